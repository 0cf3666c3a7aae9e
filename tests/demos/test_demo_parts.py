"""Long sequences that demonstrations cut into parts: no cut is taught as a beginning or an end."""

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


def script(name: str) -> Any:
    return find_scripts()[name].load_module()


@pytest.mark.parametrize("count", [1, 2, 127, 128, 129, 300, 1000])
def test_parts_within_a_piece_have_no_symbol_of_its_begin_or_end(count: int) -> None:
    music = script("music")
    rng = np.random.default_rng(count)
    notes = [Note(t, int(key), 1) for t, key in enumerate(rng.integers(0, 88, count))]
    notation = NoteVocabulary.from_pieces([notes])
    (text,) = music.texts_of([notes], notation)
    read, predicted = [], []
    for number, (symbols, following) in enumerate(music.parts_of(text)):
        assert len(symbols) == len(following) <= music.LONGEST + music.CONTEXT
        assert (music.BETWEEN in symbols) == (number == 0)
        masked = following == music.NONE
        assert not np.diff(masked.astype(int)).max(initial=0)  # the context comes first
        wanted = following[~masked]
        end = sum(map(len, predicted)) + 1 + len(wanted)
        np.testing.assert_array_equal(symbols, text[end - 1 - len(symbols) : end - 1])
        read.append(symbols[~masked])
        predicted.append(wanted)
    np.testing.assert_array_equal(np.concatenate(read), text[:-1])
    np.testing.assert_array_equal(np.concatenate(predicted), text[1:])


@pytest.mark.parametrize("lengths", [(5, 300), (129,), (1, 1, 1), (400, 128, 7)])
def test_music_trains_on_one_end_for_each_piece(
    lengths: tuple[int, ...], tmp_path: Path, monkeypatch: Any
) -> None:
    """Count the ends among the targets that training receives."""
    music = script("music")
    rng = np.random.default_rng(0)
    pieces = [
        [Note(t, int(key), 1) for t, key in enumerate(rng.integers(30, 60, n))]
        for n in (*lengths, 4)
    ]
    targets: list[Any] = []

    def learn(self: Demo, model: Any, loss: Any, batches: Any, **_: Any) -> None:
        for batch in batches:
            following = batch[2].numpy()
            targets.append(following[following != music.NONE])
        raise InterruptedError

    monkeypatch.setattr(music, "pieces_of", lambda demo: (pieces[:-1], pieces[-1:], None))
    monkeypatch.setattr(Demo, "learn", learn)
    with pytest.raises(InterruptedError):
        music.main(Demo("music", tmp_path))
    all_targets = np.concatenate(targets)
    assert (all_targets == music.BETWEEN).sum() == len(lengths)
    assert len(all_targets) == sum(lengths) + len(lengths)


class Ending(nn.Module):
    """A model that ends the piece `times` times before it writes a note."""

    def __init__(self, times: int) -> None:
        self.left = times

    def encode(self, tokens: Any) -> Any:
        return ag.zeros((1, 1))

    def step(self, state: Any, tokens: Any) -> tuple[Any, Any]:
        self.left -= 1
        return state, ag.tensor([[0.0, -np.inf] if self.left >= 0 else [-np.inf, 0.0]])


@pytest.mark.parametrize(("times", "written"), [(0, 80), (1, 80), (9, 80), (10, 0), (50, 0)])
def test_a_continuation_without_notes_is_drawn_again(times: int, written: int) -> None:
    notes = [Note(0, 40, 1)]
    composed = script("music").compose(Ending(times), NoteVocabulary.from_pieces([notes]), notes)
    assert len(composed) == 1 + written


@pytest.mark.parametrize("name", ["opening.mid", "a b.mid", "x.y.mid"])
def test_no_notes_are_said_and_no_file_is_written(name: str, tmp_path: Path) -> None:
    music = script("music")
    model = music.language_model(known=[40 * 17 + 1], hidden=2)
    nn.init.zeros_(model.readout.weight)
    with ag.no_grad():
        model.readout.bias.data[:] = [100, -100]
    run = Demo("music", tmp_path / "run")
    run.folder.mkdir()
    run.save(model, known=[40 * 17 + 1], hidden=2)
    data.write_midi(tmp_path / name, [Note(0, 40, 4), Note(4, 40, 4)])
    with pytest.raises(InputError, match="0 notes were written"):
        music.predict(SavedModel.open(run.folder), str(tmp_path / name))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "run"])


def test_a_continuation_is_not_written_through_a_link(tmp_path: Path, capsys: Any) -> None:
    music = script("music")
    Demo("music", tmp_path).save(
        music.language_model(known=[40 * 17 + 1], hidden=2), known=[40 * 17 + 1], hidden=2
    )
    data.write_midi(tmp_path / "a.mid", [Note(0, 40, 4)])
    (tmp_path / "a-continued.mid").symlink_to(tmp_path / "outside.mid")
    assert cli.main(["predict", str(tmp_path), str(tmp_path / "a.mid")]) == 2
    assert "exists already" in capsys.readouterr().err
    assert not (tmp_path / "outside.mid").exists()


@pytest.mark.parametrize("length", [30, 50, 100, 400])
def test_labels_at_a_cut_are_not_learned(length: int) -> None:
    genome = script("genome")
    bases = np.arange(120)
    draw = genome.windows([(bases, bases % 4, None, None)], length)
    seen: set[int] = set()
    for seed in range(20):
        read, lengths, wanted, _ = (np.asarray(x) for x in draw(np.random.default_rng(seed)))
        for row, labels, n in zip(read.T, wanted.T, lengths, strict=True):
            kept = labels[:n] != genome.NONE
            assert not kept[n - genome.EDGE :].any()
            assert kept[: n - genome.EDGE][: genome.EDGE].any() == (row[0] == 0)
            np.testing.assert_array_equal(labels[:n][kept], row[:n][kept] % 4)
            seen |= set(row[:n].tolist())
    assert seen == set(range(120))  # the last base is in windows, too


@pytest.mark.parametrize(("count", "batch", "seq_len"), [(1000, 4, 7), (513, 8, 16), (99, 1, 98)])
def test_windows_of_a_text_follow_each_other(count: int, batch: int, seq_len: int) -> None:
    """The state is carried from each to the next, and no symbol is added at a cut."""
    windows = list(data.StatefulBatches(np.arange(count), batch, seq_len))
    inputs, targets = (np.concatenate(x) for x in zip(*windows, strict=True))
    np.testing.assert_array_equal(targets, inputs + 1)
    np.testing.assert_array_equal(np.diff(inputs, axis=0), 1)
    assert set(inputs.ravel()) == set(range(count - 1))
