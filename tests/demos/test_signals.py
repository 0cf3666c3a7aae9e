"""Demos on signals: training on the user's files, predictions, and baselines."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import idx_bytes

from tinygrad_rnn import data
from tinygrad_rnn.data.formats.midi import Note
from tinygrad_rnn.demos import runner
from tinygrad_rnn.demos.runner import Demo
from tinygrad_rnn.demos.saved_model import SavedModel
from tinygrad_rnn.demos.scripts import find_scripts
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.training import Trainer

pytestmark = [pytest.mark.host, pytest.mark.demo]  # files, and the command on the host

ODD_NAME = "$a_{$书"
"""A name with characters of formulas, and a character that the font lacks."""


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: Any) -> None:
    """Train for two steps only."""

    def fit(self: Demo, trainer: Trainer, steps: int, quick: int) -> list[dict[str, Any]]:
        return trainer.fit(max_steps=2, progress=False)

    monkeypatch.setattr(Demo, "fit", fit)


@pytest.fixture
def train_on(tmp_path: Path) -> Callable[[str, Path], Demo]:
    """Return a function that runs a demo on the user's data."""

    def run(name: str, path: Path) -> Demo:
        demo = Demo(name, tmp_path / "run", quick=True, data=path)
        demo.folder.mkdir()
        runner.run(find_scripts()[name], demo)
        assert [row.passed for row in demo.rows] == [None] * len(demo.rows)
        assert all(np.isfinite(row.value) for row in demo.rows)
        assert all((demo.folder / file).is_file() for file in demo.files)
        return demo

    return run


def predict(demo: Demo, path: Path, capsys: Any) -> str:
    """Return the output of the demo's `predict`."""
    capsys.readouterr()
    find_scripts()[demo.name].load_module().predict(SavedModel.open(demo.folder), str(path))
    return str(capsys.readouterr().out)


def load_script(name: str) -> Any:
    return find_scripts()[name].load_module()


# --- sound ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error:Glyph")
def test_audio_trains_on_the_users_recordings(tmp_path: Path, train_on: Any, capsys: Any) -> None:
    rng = np.random.default_rng(0)
    for name in ("noise", ODD_NAME):
        (tmp_path / "sounds" / name).mkdir(parents=True)
        for number, rate in enumerate((8000, 16000, 11025)):
            t = np.arange(rate // 4) / rate
            samples = np.sin(900 * t) if name == ODD_NAME else rng.normal(0, 0.1, len(t))
            data.write_wav(tmp_path / "sounds" / name / f"{number}.wav", samples, rate)
    demo = train_on("audio", tmp_path / "sounds")
    printed = predict(demo, tmp_path / "sounds" / ODD_NAME / "1.wav", capsys)
    assert printed.split()[0] in ("noise", ODD_NAME)


@pytest.mark.parametrize("name", ["audio", "music"])
def test_a_damaged_file_is_skipped_with_a_warning(tmp_path: Path, train_on: Any, name: str) -> None:
    for number in range(24):
        folder = tmp_path / "own" / "ab"[number % 2] / "takes"
        folder.mkdir(parents=True, exist_ok=True)
        if name == "audio":
            tone = np.sin(np.arange(2000) * (1 + number % 2) / 9)
            data.write_wav(folder / f"{number}.wav", tone, 8000)
        else:
            data.write_midi(folder / f"{number}.mid", [Note(4 * i, 30 + i, 4) for i in range(9)])
    (folder / "bad.wav").write_bytes(b"RIFX")
    (folder / "bad.mid").write_bytes(b"MThd")
    with pytest.warns(UserWarning, match=r"skipped 1 of 25 files(.|\n)*/bad\."):
        train_on(name, tmp_path / "own")


# --- series ---------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error:Glyph")
def test_forecast_trains_on_the_users_series(tmp_path: Path, train_on: Any, capsys: Any) -> None:
    t, path = np.arange(400), tmp_path / f"{ODD_NAME}.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("up", "same"), *zip(5 + t / 100, [7] * 400, strict=True)])
    demo = train_on("forecast", path)
    rows = list(csv.reader(predict(demo, path, capsys).splitlines()))
    assert rows[0] == ["up", "same"]
    assert len(rows) == 11
    assert np.isfinite(np.array(rows[1:], float)).all()
    (tmp_path / "b.csv").write_text("x\n1\n2\n")
    with pytest.raises(InputError, match="expected at least 300 rows, got 2"):
        runner.run(find_scripts()["forecast"], Demo("forecast", tmp_path, data=tmp_path / "b.csv"))
    with pytest.raises(InputError, match="expected a column 'up'"):
        predict(demo, tmp_path / "b.csv", capsys)


def test_forecasts_of_large_numbers_are_precise_and_constant_data_is_an_error(
    tmp_path: Path, train_on: Any, capsys: Any
) -> None:
    """Seconds since 1970 have more digits than single precision."""
    t = np.arange(400)
    rows = [("seconds", "wave"), *zip(1_700_000_000 + t, np.sin(t / 5), strict=True)]
    for name, chosen in (("a.csv", rows), ("b.csv", [rows[0], *[(7, 0.1)] * 400])):
        with open(tmp_path / name, "w", newline="") as file:
            csv.writer(file).writerows(chosen)
    demo = train_on("forecast", tmp_path / "a.csv")
    forecasts = predict(demo, tmp_path / "a.csv", capsys).splitlines()[1:]
    assert len({line.split(",")[0] for line in forecasts}) == len(forecasts)
    with pytest.raises(InputError, match="the first 280 rows \\(training data\\) are all equal"):
        runner.run(find_scripts()["forecast"], Demo("forecast", tmp_path, data=tmp_path / "b.csv"))


def test_the_error_ratio_to_a_perfect_baseline_is_infinite(tmp_path: Path) -> None:
    rows = ["x", *(str(t % 7) for t in range(300)), *["3"] * 100]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    demo = Demo("forecast", tmp_path, data=tmp_path / "a.csv")
    runner.run(find_scripts()["forecast"], demo)
    assert demo.rows[1].value == np.inf


# --- DNA ------------------------------------------------------------------------------------------


def test_genome_trains_on_the_users_sequences(tmp_path: Path, train_on: Any, capsys: Any) -> None:
    path = tmp_path / "a.fa"
    path.write_text(">one\n" + ("acgtn" * 9 + "ATGGCTGCATAA" * 4) * 8 + "\n>two\n" + "acgATG" * 60)
    demo = train_on("genome", path)
    for line in predict(demo, path, capsys).splitlines():
        name, place = line.split()
        first, last = map(int, place.split(".."))
        assert name in ("one", "two")
        assert 1 <= first <= last <= (744 if name == "one" else 360)
    path.write_text(">one\nacgATG\n")
    with pytest.raises(InputError, match="at least 50 bases"):
        runner.run(find_scripts()["genome"], Demo("genome", tmp_path, data=path))


def test_f1_score() -> None:
    predicted, true = np.array([1, 1, 0, 0, 1]) > 0, np.array([1, 0, 1, 0, 1]) > 0
    assert load_script("genome").f1_score(predicted, true) == pytest.approx(
        2 / 3
    )  # precision = recall = 2/3


@pytest.mark.parametrize("length", [30, 50, 100, 400])
def test_labels_next_to_a_cut_are_masked(length: int) -> None:
    genome = load_script("genome")
    bases = np.arange(120)
    sample = genome.window_sampler([(bases, bases % 4, None, None)], length)
    seen: set[int] = set()
    for seed in range(20):
        inputs, lengths, targets, _ = (np.asarray(x) for x in sample(np.random.default_rng(seed)))
        for row, labels, n in zip(inputs.T, targets.T, lengths, strict=True):
            valid = labels[:n] != genome.IGNORED
            assert not valid[n - genome.MASKED :].any()
            assert valid[: n - genome.MASKED][: genome.MASKED].any() == (row[0] == 0)
            np.testing.assert_array_equal(labels[:n][valid], row[:n][valid] % 4)
            seen |= set(row[:n].tolist())
    assert seen == set(range(120))  # windows include the last base


# --- digits ---------------------------------------------------------------------------------------


def test_handwriting_trains_on_the_users_images(tmp_path: Path, train_on: Any, capsys: Any) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(60, 6, 5)).astype(np.uint8)
    folder = tmp_path / "mnist"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes(images, 8))
    (folder / "train-labels-idx1-ubyte").write_bytes(
        idx_bytes(np.arange(60, dtype=np.uint8) % 10, 8)
    )
    demo = train_on("handwriting", folder)
    digits = predict(demo, folder / "train-images-idx3-ubyte", capsys).split()
    assert len(digits) == 60
    assert set(digits) <= set("0123456789")
    (tmp_path / "other").write_bytes(idx_bytes(images[:, :, :4], 8))
    with pytest.raises(
        InputError, match="rows of 5 pixels, as in training, got images of 6 x 4 pixels"
    ):
        predict(demo, tmp_path / "other", capsys)
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(60, dtype=np.uint8), 8))
    with pytest.raises(InputError, match=r"labels 0 to 9, got 60 images of .* with labels 0 to 59"):
        runner.run(find_scripts()["handwriting"], Demo("handwriting", tmp_path, data=folder))


def test_reading_orders_of_an_image() -> None:
    to_sequences = load_script("handwriting").to_sequences
    image = np.arange(64.0).reshape(1, 8, 8)
    assert to_sequences(image, "rows")[1, 0].tolist() == list(range(8, 16))
    assert to_sequences(image, "pixels")[:, 0, 0].tolist() == list(range(64))
    assert to_sequences(image, "patches")[6, 0].tolist() == [20, 21, 28, 29]
    shuffled = to_sequences(image, "shuffled pixels")[:, 0, 0].tolist()
    assert shuffled != sorted(shuffled) == list(range(64))


@pytest.mark.parametrize("most", [1, 2])
def test_random_shifts_lose_at_most_the_edge(most: int) -> None:
    images = np.random.default_rng(0).uniform(size=(100 * most, 4, 5)).astype(np.float32)
    moved = data.random_shift(np.random.default_rng(1), images, most)
    steps = range(2 * most + 1)
    places = [
        [(y, x) for y in steps for x in steps if (np.pad(a, most)[y : y + 4, x : x + 5] == b).all()]
        for a, b in zip(images, moved, strict=True)
    ]
    assert {len(p) for p in places} == {1}
    assert len({p[0] for p in places}) == len(steps) ** 2


# --- music ----------------------------------------------------------------------------------------


def test_music_trains_on_the_users_files(tmp_path: Path, train_on: Any, capsys: Any) -> None:
    folder = tmp_path / "midis"
    folder.mkdir()
    for number in range(3):
        scale = [Note(60 * number + 4 * i, 40 + number + 2 * i, 4) for i in range(9)]
        data.write_midi(folder / f"{number}.mid", scale)
    demo = train_on("music", folder)
    opening = tmp_path / "opening.mid"
    data.write_midi(opening, [Note(8, 40, 4), Note(12, 42, 4)])
    printed = predict(demo, opening, capsys)
    continued = tmp_path / "opening-continued.mid"
    assert printed.startswith(f"{continued}: ")
    with pytest.raises(InputError, match="already exists"):
        predict(demo, opening, capsys)
    notes = data.read_midi(continued)
    assert [(n.start, n.key) for n in notes[:2]] == [(8, 40), (12, 42)]
    for path in (folder / "1.mid", folder / "2.mid"):
        path.unlink()
    with pytest.raises(InputError, match=r"expected at least 2 \.mid or \.midi files, found 1"):
        runner.run(find_scripts()["music"], Demo("music", tmp_path, data=folder))
