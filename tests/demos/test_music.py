"""The music demo: segments of pieces, compositions, and the vocabulary of notes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autograd as ag
from tinygrad_rnn import cli, data, nn
from tinygrad_rnn.data.formats.midi import Note, NoteVocabulary
from tinygrad_rnn.demos.runner import Demo
from tinygrad_rnn.demos.saved_model import SavedModel
from tinygrad_rnn.demos.scripts import find_scripts
from tinygrad_rnn.errors import InputError

pytestmark = [pytest.mark.host, pytest.mark.demo]


@pytest.fixture
def music() -> Any:
    return find_scripts()["music"].load_module()


@pytest.mark.parametrize("count", [1, 2, 127, 128, 129, 300, 1000])
def test_segments_within_a_piece_have_no_boundary_token(count: int, music: Any) -> None:
    rng = np.random.default_rng(count)
    notes = [Note(t, int(key), 1) for t, key in enumerate(rng.integers(0, 88, count))]
    (piece,) = music.encode_pieces([notes], NoteVocabulary.from_pieces([notes]))
    inputs, targets = [], []
    for number, (tokens, following) in enumerate(music.split_segments(piece)):
        assert len(tokens) == len(following) <= music.MAX_LENGTH + music.CONTEXT
        assert (music.BOUNDARY in tokens) == (number == 0)
        masked = following == music.IGNORED
        assert not np.diff(masked.astype(int)).max(initial=0)  # the context comes first
        end = sum(map(len, targets)) + 1 + np.count_nonzero(~masked)
        np.testing.assert_array_equal(tokens, piece[end - 1 - len(tokens) : end - 1])
        inputs.append(tokens[~masked])
        targets.append(following[~masked])
    np.testing.assert_array_equal(np.concatenate(inputs), piece[:-1])
    np.testing.assert_array_equal(np.concatenate(targets), piece[1:])


@pytest.mark.parametrize("lengths", [(5, 300), (129,), (1, 1, 1), (400, 128, 7)])
def test_training_data_has_one_end_for_each_piece(
    lengths: tuple[int, ...], music: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """Count the boundary tokens among the targets."""
    rng = np.random.default_rng(0)
    pieces = [
        [Note(t, int(key), 1) for t, key in enumerate(rng.integers(30, 60, n))]
        for n in (*lengths, 4)
    ]
    targets: list[Any] = []

    def train(self: Demo, model: Any, loss: Any, batches: Any, **_: Any) -> None:
        for batch in batches:
            following = batch[2].numpy()
            targets.append(following[following != music.IGNORED])
        raise InterruptedError

    monkeypatch.setattr(music, "load_pieces", lambda demo: (pieces[:-1], pieces[-1:], None))
    monkeypatch.setattr(Demo, "train", train)
    with pytest.raises(InterruptedError):
        music.main(Demo("music", tmp_path))
    all_targets = np.concatenate(targets)
    assert (all_targets == music.BOUNDARY).sum() == len(lengths)
    assert len(all_targets) == sum(lengths) + len(lengths)


class EndingModel(nn.Module):
    """A model that ends the piece `times` times before it generates a note."""

    def __init__(self, times: int) -> None:
        self.remaining = times

    def encode(self, tokens: Any) -> Any:
        return ag.zeros((1, 1))

    def step(self, state: Any, tokens: Any) -> tuple[Any, Any]:
        self.remaining -= 1
        return state, ag.tensor([[0.0, -np.inf] if self.remaining >= 0 else [-np.inf, 0.0]])


@pytest.mark.parametrize(("times", "notes"), [(0, 80), (1, 80), (9, 80), (10, 0), (50, 0)])
def test_an_empty_continuation_is_sampled_again(times: int, notes: int, music: Any) -> None:
    opening = [Note(0, 40, 1)]
    vocabulary = NoteVocabulary.from_pieces([opening])
    assert len(music.compose(EndingModel(times), vocabulary, opening)) == 1 + notes


@pytest.mark.parametrize("name", ["opening.mid", "a b.mid", "x.y.mid"])
def test_an_empty_continuation_is_an_error(name: str, music: Any, tmp_path: Path) -> None:
    model = music.build_model(known=[40 * 17 + 1], hidden=2)
    nn.init.zeros_(model.readout.weight)
    with ag.no_grad():
        model.readout.bias.data[:] = [100, -100]
    run = Demo("music", tmp_path / "run")
    run.folder.mkdir()
    run.save(model, known=[40 * 17 + 1], hidden=2)
    data.write_midi(tmp_path / name, [Note(0, 40, 4), Note(4, 40, 4)])
    with pytest.raises(InputError, match="0 notes to write"):
        music.predict(SavedModel.open(run.folder), str(tmp_path / name))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "run"])


def test_a_continuation_is_not_written_through_a_link(
    music: Any, tmp_path: Path, capsys: Any
) -> None:
    config = {"known": [40 * 17 + 1], "hidden": 2}
    Demo("music", tmp_path).save(music.build_model(**config), **config)
    data.write_midi(tmp_path / "a.mid", [Note(0, 40, 4)])
    (tmp_path / "a-continued.mid").symlink_to(tmp_path / "outside.mid")
    assert cli.main(["predict", str(tmp_path), str(tmp_path / "a.mid")]) == 2
    assert "already exists" in capsys.readouterr().err
    assert not (tmp_path / "outside.mid").exists()


def test_the_loss_counts_each_note_once(music: Any) -> None:
    """Compare the loss of a batch with the losses of its pieces."""
    ag.manual_seed(0)
    model = music.build_model(known=[0] * 6, hidden=8).eval()
    pieces = [np.array([0, 1, 2, 3, 0]), np.array([0, 6, 0])]
    segments = [music.split_segments(piece) for piece in pieces]
    batched = music.loss(model, music.collate([*segments[0], *segments[1]])).item()
    first, second = (music.loss(model, music.collate(one)).item() for one in segments)
    assert batched * 6 == pytest.approx(4 * first + 2 * second, rel=1e-5)


def test_unknown_notes_are_encoded_as_the_nearest_token() -> None:
    piece = [Note(0, 40, 4), Note(4, 40, 8), Note(12, 43, 4)]
    vocabulary = NoteVocabulary.from_pieces([piece])
    assert len(vocabulary) == 4
    assert vocabulary.encode(piece).tolist() == [1, 2, 3]
    assert vocabulary.decode([1, 2, 3]) == piece
    assert vocabulary.decode([]) == []
    assert vocabulary.encode([Note(0, 40, 3), Note(3, 44, 4)]).tolist() == [1, 3]
