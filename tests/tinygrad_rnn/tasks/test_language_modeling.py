"""Language modeling: options, evaluation, generation, training and run folders."""

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

import autograd as ag
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
from tinygrad_rnn.training import Session, files, serialization
from tinygrad_rnn.training.progress import NoProgress
from tinygrad_rnn.training.session import SAVE_EVERY

pytestmark = pytest.mark.host  # tests/autograd/backend/test_devices.py trains on other devices

SMALL = Options(hidden=8, embed=4, batch=4, seq_len=8, max_steps=20)
CORPUS = TextCorpus(TEXT)


def test_defaults_are_valid() -> None:
    assert Options() == Options(**Options().as_dict())


@given(st.sampled_from(fields(Options)), st.text() | st.floats() | st.integers())
def test_parsing_and_checking_accept_the_same_values(field: Any, value: Any) -> None:
    """Parsing the text of a value succeeds if and only if the value is valid."""
    rule = field.metadata["rule"]

    def result(read: Any, argument: Any) -> Any:
        try:
            return read(field.name, argument)
        except InputError:
            return None

    if isinstance(value, rule.kind):
        assert result(rule.parse, str(value)) == result(rule.check, value)


@given(st.sampled_from(LIMITS), st.integers(1, 9), st.integers(1, 9))
def test_limits_can_be_raised_but_not_lowered(name: str, saved: int, limit: int) -> None:
    options = Options(**{name: saved})
    if limit >= saved:
        assert getattr(options.with_limits({name: limit}), name) == limit
    else:
        with pytest.raises(InputError, match=rf"{limit} \(the run has {saved}\)"):
            options.with_limits({name: limit})


@settings(deadline=None)
@given(st.integers(2, 120), st.integers(0, 9))
def test_bits_per_character_is_the_mean_negative_log2_likelihood(length: int, seed: int) -> None:
    """The reference is one pass over the whole text."""
    ag.manual_seed(seed)
    model = build_model(SMALL, 5, "cpu")
    ids = np.random.default_rng(seed).integers(0, 5, length)
    logits, _ = model(ids[:-1, None])
    scores = logits.numpy()[:, 0].astype(np.float64)
    log_p = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    expected = -log_p[np.arange(length - 1), ids[1:]].mean() / math.log(2)
    assert bits_per_character(model, ids) == pytest.approx(expected, rel=1e-5)


def test_samples_follow_the_distribution_of_the_model() -> None:
    """A model with zero weights generates all characters with equal probability."""
    model = build_model(SMALL, len(CORPUS.vocabulary), "cpu")
    for parameter in model.parameters():
        parameter.data[...] = 0
    text = "".join(generate(model, CORPUS.vocabulary, 3100, temperature=1.0, seed=1))
    counts = [text.count(character) for character in CORPUS.vocabulary.characters]
    expected = 3100 / len(counts)
    chi_squared = sum((count - expected) ** 2 / expected for count in counts)
    assert chi_squared < 61  # the 99.9% quantile at 30 degrees of freedom is 59.7


def test_a_prompt_with_unknown_characters_is_an_error() -> None:
    model = build_model(SMALL, len(CORPUS.vocabulary), "cpu")
    with pytest.raises(InputError, match="ß"):
        generate(model, CORPUS.vocabulary, 5, prompt="ß")


def test_the_learning_rate_decays_by_lr_decay_per_epoch() -> None:
    trainer = LanguageTraining(SMALL, CORPUS)
    rates = [trainer.update()["lr"] for _ in range(trainer.steps_per_epoch + 1)]
    assert rates[0] == SMALL.lr
    assert rates[-1] == pytest.approx(SMALL.lr * SMALL.lr_decay)


def test_the_state_is_carried_within_an_epoch() -> None:
    trainer = LanguageTraining(SMALL, CORPUS)
    carried = []
    while trainer.position.epoch == 1:
        trainer.update()
        carried.append(trainer.state_dict()["carried"]["later"])
    assert all(state is not None for state in carried[:-1])
    assert carried[-1] is None


def test_every_epoch_has_a_different_shift() -> None:
    trainer = LanguageTraining(SMALL, CORPUS)
    shifts = []
    for epoch in range(1, 9):
        shifts.append(trainer.batches.shift(epoch))
        while trainer.position.epoch == epoch:
            trainer.update()
    assert len(set(shifts)) > 1
    assert all(0 <= shift < SMALL.seq_len for shift in shifts)


def test_a_state_from_a_file_continues_in_a_new_trainer(tmp_path: Path) -> None:
    """The updates after a step of the second epoch are bit-identical."""
    options = Options(hidden=8, embed=4, layers=2, dropout=0.3, batch=4, seq_len=8)
    original = LanguageTraining(options, CORPUS)
    for _ in range(original.steps_per_epoch + 5):
        original.update()
    serialization.save_tree(tmp_path / "state", original.state_dict())
    expected = [original.update() for _ in range(2 * original.steps_per_epoch)]
    copy = LanguageTraining(options, CORPUS)
    copy.load_state_dict(serialization.load_tree(tmp_path / "state"), tmp_path / "state")
    assert [copy.update() for _ in expected] == expected


def test_diverged_training_leaves_the_weights_unchanged() -> None:
    trainer = LanguageTraining(SMALL, CORPUS)
    trainer.update()
    readout = trainer.model.readout.bias
    readout.data[0] = np.inf
    weights = trainer.model.state_dict()
    with pytest.raises(TrainingDiverged, match=r"diverged at step 2: the loss is .*--lr"):
        trainer.update()
    assert trainer.position.step == 1
    for name, array in trainer.model.state_dict().items():
        np.testing.assert_array_equal(array, weights[name])


def make_session(folder: Path, options: Options) -> Session:
    """Return the next session of a run, which is created if it does not exist."""
    trainer = LanguageTraining(options, CORPUS)
    run = Run.open(folder) if folder.exists() else Run.create(folder, options, CORPUS)
    return Session(run.folder, trainer, options.limits())


def test_other_folders_cannot_be_overwritten(tmp_path: Path) -> None:
    (tmp_path / "sample.txt").write_text("keep")
    with pytest.raises(InputError, match="replaces only runs"):
        Run.create(tmp_path, SMALL, CORPUS, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["sample.txt"]


def test_a_folder_of_a_killed_process_can_be_overwritten(tmp_path: Path) -> None:
    """The process was killed after it created the folder and before it renamed the first file."""
    files.prepare(tmp_path / "config.json", b"{")
    Run.create(tmp_path, SMALL, CORPUS, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "corpus.txt"}


def test_checkpoints_are_seconds_apart_and_do_not_affect_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the test advances by about a second per update."""
    make_session(tmp_path / "quick", SMALL).train(NoProgress())
    session = make_session(tmp_path / "slow", SMALL)
    now, saved_at = [0.0], []

    def tick() -> float:
        now[0] += 0.25
        return now[0]

    def record_save(path: Path, tree: Any) -> None:
        saved_at.append(now[0])
        serialization.save_tree(path, tree)

    monkeypatch.setattr("tinygrad_rnn.training.session.time.monotonic", tick)
    monkeypatch.setattr("tinygrad_rnn.training.session.save_tree", record_save)
    session.train(NoProgress())
    assert len(saved_at) > 4
    assert max(np.diff(saved_at)) < SAVE_EVERY + 2
    model = "model.safetensors"
    assert (tmp_path / "slow" / model).read_bytes() == (tmp_path / "quick" / model).read_bytes()


def test_a_full_disk_at_any_write_loses_no_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resumed run gives identical results after a failure of any write."""
    options = Options(hidden=4, embed=2, batch=4, seq_len=8, max_steps=3)
    make_session(tmp_path / "undisturbed", options).train(NoProgress())
    expected = (tmp_path / "undisturbed/model.safetensors").read_bytes()
    fsync = files.os.fsync
    for writes in range(99):
        session = make_session(tmp_path / f"full-{writes}", options)
        remaining = [writes]

        def limited(handle: int, remaining: list[int] = remaining) -> None:
            if not remaining[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            remaining[0] -= 1
            fsync(handle)

        with monkeypatch.context() as patch:
            patch.setattr("tinygrad_rnn.training.files.os.fsync", limited)
            try:
                session.train(NoProgress())
                break
            except OSError as error:
                file = error.filename
        assert Path(file).parent == tmp_path / f"full-{writes}"
        make_session(tmp_path / f"full-{writes}", options).train(NoProgress())
        assert (tmp_path / f"full-{writes}/model.safetensors").read_bytes() == expected
    assert writes > 10


def test_the_best_model_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation that is worse than an earlier one does not change model.safetensors."""
    session = make_session(tmp_path / "run", SMALL)
    results = iter([2.0, 3.0])
    task = "tinygrad_rnn.tasks.language_modeling.training"
    monkeypatch.setattr(f"{task}.bits_per_character", lambda *arguments: next(results))
    weights = session.trainer.model.state_dict()
    session.train(NoProgress())
    saved = serialization.read_arrays(tmp_path / "run/model.safetensors")[0]
    for name, array in weights.items():
        np.testing.assert_array_equal(saved[name], array)
    records = map(json.loads, (tmp_path / "run/metrics.jsonl").open())
    assert [r["best"] for r in records if r["event"] == "evaluation"] == [True, False]


def test_smooth_is_a_moving_average() -> None:
    values = np.random.default_rng(0).normal(size=500)
    half_width = 5
    means = [values[max(i - half_width, 0) : i + half_width + 1].mean() for i in range(500)]
    np.testing.assert_allclose(smooth(values), means, atol=1e-12)
