"""Training without the command: serialization, options, evaluation, sampling, the session."""

import errno
import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import TEXT
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.data import TextCorpus
from tinygrad_rnn.errors import InputError, TrainingDiverged
from tinygrad_rnn.tasks.language_modeling import (
    LanguageTraining,
    Options,
    Run,
    bits_per_character,
    build_model,
    generate,
)
from tinygrad_rnn.tasks.language_modeling.options import LIMITS
from tinygrad_rnn.tasks.language_modeling.report import smooth
from tinygrad_rnn.training import Session, files, load, save, serialization
from tinygrad_rnn.training.progress import NoProgress, format_duration
from tinygrad_rnn.training.session import SAVE_EVERY

pytestmark = pytest.mark.host  # files and the loop; test_devices trains on the fake CuPy

SMALL = Options(hidden=8, embed=4, batch=4, seq_len=8, max_steps=20)
CORPUS = TextCorpus(TEXT)

# --- files ----------------------------------------------------------------------------------------

values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text()
    | arrays.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.bool_]),
        arrays.array_shapes(min_dims=0, min_side=0, max_side=3),
    )
)
trees = st.recursive(
    values,
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab."), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shelf")


@given(tree=trees)
def test_a_tree_comes_back_as_it_was_saved(shelf: Path, tree: Any) -> None:
    serialization.save_tree(shelf / "tree", tree)
    assert_same_tree(serialization.load_tree(shelf / "tree"), tree)


def assert_same_tree(one: Any, other: Any) -> None:
    if isinstance(other, np.ndarray):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()
    elif isinstance(other, list):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_same_tree(mine, theirs)
    elif isinstance(other, dict):
        assert one.keys() == other.keys()
        for key in other:
            assert_same_tree(one[key], other[key])
    else:
        assert one == other
        assert type(one) is type(other)


def test_arrays_that_are_not_contiguous_are_saved_by_value(shelf: Path) -> None:
    array = np.arange(12.0).reshape(3, 4).T[::-1]
    serialization.save_tree(shelf / "strided", [array])
    np.testing.assert_array_equal(serialization.load_tree(shelf / "strided")[0], array)


@pytest.mark.parametrize("call", ["os.fsync", "os.replace"])
def test_a_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file"
    files.write_file(path, b"old")
    monkeypatch.setattr(f"tinygrad_rnn.training.files.{call}", fail)
    with pytest.raises(OSError, match="No space left"):
        files.write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_save_and_load_a_module(tmp_path: Path) -> None:
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    save(tmp_path / "linear", one)
    load(tmp_path / "linear", other)
    for name, array in one.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], array)
    with pytest.raises(InputError, match="belongs to another model"):
        load(tmp_path / "linear", nn.Linear(3, 4))


def test_a_file_that_pytorch_wrote(tmp_path: Path) -> None:
    """The same names and layout, of a dtype that NumPy has."""
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    theirs, ours = torch.nn.LSTM(3, 4, 2, bidirectional=True), nn.LSTM(3, 4, 2, bidirectional=True)
    safetensors.save_file(theirs.state_dict(), tmp_path / "theirs")
    load(tmp_path / "theirs", ours)
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    expected = theirs(torch.from_numpy(x))[0].detach().numpy()
    np.testing.assert_allclose(ours(x)[0].numpy(), expected, rtol=0, atol=1e-6)
    save(tmp_path / "ours", ours)
    theirs.load_state_dict(safetensors.load_file(tmp_path / "ours"))


def test_a_precision_that_numpy_does_not_have_is_named(tmp_path: Path) -> None:
    """As a PyTorch model in bfloat16 is saved."""
    header = json.dumps({"weight": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}})
    content = len(header).to_bytes(8, "little") + header.encode() + bytes(12)
    (tmp_path / "half").write_bytes(content)
    with pytest.raises(InputError, match=r"half: weight has the dtype BF16, .*model.float\(\)"):
        load(tmp_path / "half", nn.Linear(3, 2, bias=False))


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\x80\x04K\x01.", bytes(99)])
def test_files_that_are_no_safetensors_are_refused(tmp_path: Path, content: bytes) -> None:
    """A pickle too: nothing in it is executed."""
    (tmp_path / "file").write_bytes(content)
    module = nn.Linear(1, 1)
    before = module.state_dict()
    with pytest.raises(InputError, match="is damaged or not a safetensors file"):
        load(tmp_path / "file", module)
    with pytest.raises(InputError, match="none is missing"):
        load(tmp_path / "none", module)
    for name, array in module.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_arrays_that_may_not_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As safetensors raises it: without the file's name."""

    def refuse(*arguments: Any, **settings: Any) -> None:
        raise PermissionError("Permission denied (os error 13)")

    path = tmp_path / "model.safetensors"
    path.touch()
    monkeypatch.setattr(serialization, "safe_open", refuse)
    with pytest.raises(InputError, match=r"model\.safetensors: Permission denied"):
        serialization.read_arrays(path)


# --- options --------------------------------------------------------------------------------------


def test_every_default_is_allowed() -> None:
    assert Options() == Options(**Options().as_dict())


@given(st.sampled_from(fields(Options)), st.text() | st.floats() | st.integers())
def test_what_the_command_line_reads_is_what_a_program_may_pass(field: Any, value: Any) -> None:
    """Parsing a value's text accepts it if and only if the value itself is accepted."""
    rule = field.metadata["rule"]

    def outcome(read: Any, *words: Any) -> Any:
        try:
            return read(field.name, *words)
        except InputError:
            return None

    if isinstance(value, rule.kind):
        assert outcome(rule.parse, str(value)) == outcome(rule.check, value)


@given(st.sampled_from(LIMITS), st.integers(1, 9), st.integers(1, 9))
def test_a_run_is_prolonged_but_not_shortened(name: str, own: int, wanted: int) -> None:
    options = Options(**{name: own})
    if wanted >= own:
        assert getattr(options.prolonged({name: wanted}), name) == wanted
    else:
        with pytest.raises(InputError, match=rf"{wanted} \(the run has {own}\)"):
            options.prolonged({name: wanted})


# --- evaluation and sampling ----------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(2, 120), st.integers(0, 9))
def test_bits_per_character_is_the_mean_surprise(length: int, seed: int) -> None:
    """As one pass over the text with its whole past gives it, however it was cut in parts."""
    ag.manual_seed(seed)
    model = build_model(SMALL, 5, "cpu")
    ids = np.random.default_rng(seed).integers(0, 5, length)
    logits, _ = model(ids[:-1, None])
    scores = logits.numpy()[:, 0].astype(np.float64)
    log_p = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    surprise = -log_p[np.arange(length - 1), ids[1:]].mean() / math.log(2)
    assert bits_per_character(model, ids) == pytest.approx(surprise, rel=1e-5)


def test_what_is_written_follows_the_distribution() -> None:
    """A model without preferences writes its characters equally often."""
    model = build_model(SMALL, len(CORPUS.vocabulary), "cpu")
    for parameter in model.parameters():
        parameter.data[...] = 0
    text = "".join(generate(model, CORPUS.vocabulary, 3100, temperature=1.0, seed=1))
    counts = [text.count(character) for character in CORPUS.vocabulary.characters]
    expected = 3100 / len(counts)
    chi_squared = sum((count - expected) ** 2 / expected for count in counts)
    assert chi_squared < 61  # the 99.9% quantile at 30 degrees of freedom is 59.7


def test_a_prompt_of_unknown_characters_is_refused_before_anything_is_written() -> None:
    model = build_model(SMALL, len(CORPUS.vocabulary), "cpu")
    with pytest.raises(InputError, match="ß"):
        generate(model, CORPUS.vocabulary, 5, prompt="ß")


# --- learning -------------------------------------------------------------------------------------


def test_the_rate_falls_by_lr_decay_per_epoch() -> None:
    training = LanguageTraining(SMALL, CORPUS)
    rates = [training.update()["lr"] for _ in range(training.steps_per_epoch + 1)]
    assert rates[0] == SMALL.lr
    assert rates[-1] == pytest.approx(SMALL.lr * SMALL.lr_decay)


def test_the_state_is_carried_within_an_epoch_and_no_further() -> None:
    training = LanguageTraining(SMALL, CORPUS)
    carried = []
    while training.position.epoch == 1:
        training.update()
        carried.append(training.state_dict()["carried"]["later"])
    assert all(state is not None for state in carried[:-1])
    assert carried[-1] is None


def test_every_epoch_reads_at_another_shift() -> None:
    training = LanguageTraining(SMALL, CORPUS)
    shifts = []
    for epoch in range(1, 9):
        shifts.append(training.batches.shift(epoch))
        while training.position.epoch == epoch:
            training.update()
    assert len(set(shifts)) > 1
    assert all(0 <= shift < SMALL.seq_len for shift in shifts)


def test_a_state_goes_through_a_file_to_a_fresh_training(tmp_path: Path) -> None:
    """From a step of the second epoch on, the copy's updates are the original's, bit by bit."""
    options = Options(hidden=8, embed=4, layers=2, dropout=0.3, batch=4, seq_len=8)
    original = LanguageTraining(options, CORPUS)
    for _ in range(original.steps_per_epoch + 5):
        original.update()
    serialization.save_tree(tmp_path / "state", original.state_dict())
    expected = [original.update() for _ in range(2 * original.steps_per_epoch)]
    copy = LanguageTraining(options, CORPUS)
    copy.load_state_dict(serialization.load_tree(tmp_path / "state"), tmp_path / "state")
    assert [copy.update() for _ in expected] == expected


def test_a_loss_that_is_not_finite_leaves_the_weights_alone() -> None:
    training = LanguageTraining(SMALL, CORPUS)
    training.update()
    readout = training.model.readout.bias
    readout.data[0] = np.inf
    before = training.model.state_dict()
    with pytest.raises(TrainingDiverged, match=r"diverged at step 2: the loss is .*--lr"):
        training.update()
    assert training.position.step == 1
    for name, array in training.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


# --- the loop -------------------------------------------------------------------------------------


def make_session(folder: Path, options: Options) -> Session:
    """A run's next session: the run is made if it is not there."""
    training = LanguageTraining(options, CORPUS)
    run = Run.open(folder) if folder.exists() else Run.create(folder, options, CORPUS)
    return Session(run.folder, training, options.limits())


def test_programs_cannot_overwrite_foreign_folders_either(tmp_path: Path) -> None:
    (tmp_path / "sample.txt").write_text("mine")
    with pytest.raises(InputError, match="replaces runs only"):
        Run.create(tmp_path, SMALL, CORPUS, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["sample.txt"]


def test_a_folder_left_by_a_kill_can_be_overwritten(tmp_path: Path) -> None:
    """One that was killed between making the folder and publishing its first file."""
    files.prepare(tmp_path / "config.json", b"{")
    Run.create(tmp_path, SMALL, CORPUS, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "corpus.txt"}


def test_checkpoints_are_seconds_apart_and_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock on which every update takes about a second."""
    make_session(tmp_path / "quick", SMALL).train(NoProgress())
    session = make_session(tmp_path / "slow", SMALL)
    now, saved_at = [0.0], []

    def tick() -> float:
        now[0] += 0.25
        return now[0]

    def note(path: Path, tree: Any) -> None:
        saved_at.append(now[0])
        serialization.save_tree(path, tree)

    monkeypatch.setattr("tinygrad_rnn.training.session.time.monotonic", tick)
    monkeypatch.setattr("tinygrad_rnn.training.session.save_tree", note)
    session.train(NoProgress())
    assert len(saved_at) > 4
    assert max(np.diff(saved_at)) < SAVE_EVERY + 2
    model = "model.safetensors"
    assert (tmp_path / "slow" / model).read_bytes() == (tmp_path / "quick" / model).read_bytes()


def test_a_disk_that_fills_up_at_any_write_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever write fails first, the run resumes and ends as if there had been room."""
    options = Options(hidden=4, embed=2, batch=4, seq_len=8, max_steps=3)
    make_session(tmp_path / "undisturbed", options).train(NoProgress())
    expected = (tmp_path / "undisturbed/model.safetensors").read_bytes()
    fsync = files.os.fsync
    for room in range(99):
        session = make_session(tmp_path / f"full-{room}", options)
        left = [room]

        def limited(handle: int, left: list[int] = left) -> None:
            if not left[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            left[0] -= 1
            fsync(handle)

        with monkeypatch.context() as patch:
            patch.setattr("tinygrad_rnn.training.files.os.fsync", limited)
            try:
                session.train(NoProgress())
                break
            except OSError as error:
                named = error.filename
        assert Path(named).parent == tmp_path / f"full-{room}"
        make_session(tmp_path / f"full-{room}", options).train(NoProgress())
        assert (tmp_path / f"full-{room}/model.safetensors").read_bytes() == expected
    assert room > 10


def test_the_best_model_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation that is worse than an earlier one leaves model.safetensors alone."""
    session = make_session(tmp_path / "run", SMALL)
    worse = iter([2.0, 3.0])
    task = "tinygrad_rnn.tasks.language_modeling.training"
    monkeypatch.setattr(f"{task}.bits_per_character", lambda *arguments: next(worse))
    before = session.trainer.model.state_dict()
    session.train(NoProgress())
    saved = serialization.read_arrays(tmp_path / "run/model.safetensors")[0]
    for name, array in before.items():
        np.testing.assert_array_equal(saved[name], array)
    records = map(json.loads, (tmp_path / "run/metrics.jsonl").open())
    assert [r["best"] for r in records if r["event"] == "evaluation"] == [True, False]


# --- what is shown --------------------------------------------------------------------------------


def test_the_smoothed_curve_is_a_running_mean() -> None:
    values = np.random.default_rng(0).normal(size=500)
    reach = 5
    means = [values[max(i - reach, 0) : i + reach + 1].mean() for i in range(500)]
    np.testing.assert_allclose(smooth(values), means, atol=1e-12)


@pytest.mark.parametrize(("seconds", "shown"), [(7.4, "0:07"), (754, "12:34"), (3723, "1:02:03")])
def test_times_are_shown_as_a_clock_shows_them(seconds: float, shown: str) -> None:
    assert format_duration(seconds) == shown
