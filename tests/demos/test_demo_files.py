"""Demonstrations that learn from sound, series, genes, digits and music of one's own: files go in,
a model is kept, and it answers; and what they make themselves is what they say."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import idx_bytes

import autograd as ag
from tinygrad_rnn import data, nn
from tinygrad_rnn.data.formats.midi import Note, NoteVocabulary
from tinygrad_rnn.data.generators import synthetic
from tinygrad_rnn.data.generators.sentences import NAMES, OBSERVER_WORDS, make_observer_sentence
from tinygrad_rnn.data.generators.synthetic import make_spoken_word, make_tune
from tinygrad_rnn.demos import runner
from tinygrad_rnn.demos.runner import Demo
from tinygrad_rnn.demos.saved_model import SavedModel
from tinygrad_rnn.demos.scripts import find_scripts
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.models import Autoregression, Forecaster, best_autoregression, persistence
from tinygrad_rnn.training import Trainer

pytestmark = [pytest.mark.host, pytest.mark.demo]  # files, and the command on the host

STRANGE = "$a_{$书"
"""A name that is no formula, though it could be taken for one, and that the font cannot write."""


@pytest.fixture(autouse=True)
def _shortly(monkeypatch: Any) -> None:
    """Learning is a matter of other tests."""

    def fit(self: Demo, trainer: Trainer, steps: int, quick: int) -> list[dict[str, Any]]:
        return trainer.fit(max_steps=2, progress=False)

    monkeypatch.setattr(Demo, "fit", fit)


@pytest.fixture
def learn(tmp_path: Path) -> Callable[[str, Path], Demo]:
    def learned(name: str, path: Path) -> Demo:
        demo = Demo(name, tmp_path / "run", quick=True, data=path)
        demo.folder.mkdir()
        runner.run(find_scripts()[name], demo)
        assert [row.passed for row in demo.rows] == [None] * len(demo.rows)
        assert all(np.isfinite(row.value) for row in demo.rows)
        assert all((demo.folder / file).is_file() for file in demo.files)
        return demo

    return learned


def answer(demo: Demo, path: Path, capsys: Any) -> str:
    capsys.readouterr()
    find_scripts()[demo.name].load_module().predict(SavedModel.open(demo.folder), str(path))
    return str(capsys.readouterr().out)


def script(name: str) -> Any:
    return find_scripts()[name].load_module()


# --- sound ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error:Glyph")
def test_sound_of_ones_own(tmp_path: Path, learn: Any, capsys: Any) -> None:
    rng = np.random.default_rng(0)
    for name in ("noise", STRANGE):
        (tmp_path / "sounds" / name).mkdir(parents=True)
        for number, rate in enumerate((8000, 16000, 11025)):
            t = np.arange(rate // 4) / rate
            samples = np.sin(900 * t) if name == STRANGE else rng.normal(0, 0.1, len(t))
            data.write_wav(tmp_path / "sounds" / name / f"{number}.wav", samples, rate)
    demo = learn("audio", tmp_path / "sounds")
    printed = answer(demo, tmp_path / "sounds" / STRANGE / "1.wav", capsys)
    assert printed.split()[0] in ("noise", STRANGE)


def test_words_are_spoken_as_they_are_spelled() -> None:
    """Hissing is high, vowels are not; and a word lasts as long as it does."""
    audio, rng = script("audio"), np.random.default_rng(0)
    quick, slow = (make_spoken_word(rng, "sami", 120, 1, slowness) for slowness in (0.75, 1.3))
    assert len(quick) < len(slow)
    energies = audio.features(slow)
    high = energies[:, 21:].mean(1)
    assert high[: len(high) // 8].mean() > 1
    assert high[len(high) * 3 // 10] < 0


@pytest.mark.parametrize("name", ["audio", "music"])
def test_one_bad_file_does_not_end_a_demo(tmp_path: Path, learn: Any, name: str) -> None:
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
        learn(name, tmp_path / "own")


# --- series ---------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error:Glyph")
def test_series_of_ones_own(tmp_path: Path, learn: Any, capsys: Any) -> None:
    t, path = np.arange(400), tmp_path / f"{STRANGE}.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("up", "same"), *zip(5 + t / 100, [7] * 400, strict=True)])
    demo = learn("forecast", path)
    rows = list(csv.reader(answer(demo, path, capsys).splitlines()))
    assert rows[0] == ["up", "same"]
    assert len(rows) == 11
    assert np.isfinite(np.array(rows[1:], float)).all()
    (tmp_path / "b.csv").write_text("x\n1\n2\n")
    with pytest.raises(InputError, match="fewer than 300 rows"):
        runner.run(find_scripts()["forecast"], Demo("forecast", tmp_path, data=tmp_path / "b.csv"))
    with pytest.raises(InputError, match="expected a column 'up'"):
        answer(demo, tmp_path / "b.csv", capsys)


def test_series_of_large_numbers_and_of_one(tmp_path: Path, learn: Any, capsys: Any) -> None:
    """Seconds since 1970 have more digits than single precision; and nothing is learned of 0."""
    t = np.arange(400)
    rows = [("seconds", "wave"), *zip(1_700_000_000 + t, np.sin(t / 5), strict=True)]
    for name, chosen in (("a.csv", rows), ("b.csv", [rows[0], *[(7, 0.1)] * 400])):
        with open(tmp_path / name, "w", newline="") as file:
            csv.writer(file).writerows(chosen)
    demo = learn("forecast", tmp_path / "a.csv")
    forecasts = answer(demo, tmp_path / "a.csv", capsys).splitlines()[1:]
    assert len({line.split(",")[0] for line in forecasts}) == len(forecasts)
    with pytest.raises(InputError, match="the first 280 rows, to learn from, are all the same"):
        runner.run(find_scripts()["forecast"], Demo("forecast", tmp_path, data=tmp_path / "b.csv"))


def test_a_rival_without_error_is_infinitely_better(tmp_path: Path) -> None:
    rows = ["x", *(str(t % 7) for t in range(300)), *["3"] * 100]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    demo = Demo("forecast", tmp_path, data=tmp_path / "a.csv")
    runner.run(find_scripts()["forecast"], demo)
    assert demo.rows[1].value == np.inf


def test_mackey_glass_is_the_equation() -> None:
    """Its slope, at the steps of a tenth of a unit at which it was made."""
    x = synthetic.make_mackey_glass(np.random.default_rng(0), 2000, every=1)
    late, now = x[:-171], x[170:-1]
    slope = 0.2 * late / (1 + late**10) - 0.1 * now
    np.testing.assert_allclose((x[171:] - now) / 0.1, slope, atol=1e-12)
    assert 0.2 < x.min() < x.max() < 1.5


def test_forecasts_are_scored_like_those_of_the_rivals() -> None:
    """A network that adds nothing to the last value is persistence, and errs as much."""
    x = np.random.default_rng(0).normal(size=(50, 2)).cumsum(0)
    rival = persistence(2)
    np.testing.assert_array_equal(rival.predict(x), x)
    assert rival.error(x, 30) == pytest.approx(np.sqrt(np.mean(np.diff(x[29:], axis=0) ** 2)))
    for batch_first in (False, True):
        model = Forecaster(nn.GRU(2, 3, batch_first=batch_first, dtype="float64"))
        model.double()
        nn.init.zeros_(model.readout.weight)
        nn.init.zeros_(model.readout.bias)
        np.testing.assert_array_equal(model.predict(x), x)
        assert model.error(x, 30) == pytest.approx(rival.error(x, 30))
        assert model.error(x) == pytest.approx(rival.error(x))


@pytest.mark.filterwarnings("error")
def test_series_are_forecast_in_the_model_s_precision() -> None:
    model = Forecaster(nn.GRU(2, 3, dtype="float32"))
    x = np.random.default_rng(0).normal(size=(50, 2))
    assert model.predict(x).dtype == np.float32
    np.testing.assert_array_equal(model.predict(x), model.predict(x.astype("float32")))
    assert model.error(x.tolist()) == pytest.approx(model.error(x))


def test_forecasts_of_some_columns_have_no_error_against_all() -> None:
    model = Forecaster(nn.GRU(3, 4), columns=1)
    assert model.predict(np.zeros((5, 3))).shape == (5, 1)
    with pytest.raises(ValueError, match="3 columns are read and 1 forecast"):
        model.error(np.zeros((5, 3)))


def test_autoregression_finds_its_coefficients() -> None:
    rng = np.random.default_rng(0)
    x = np.zeros((4000, 2))
    a, b = np.array([[0.5, 0.2], [-0.3, 0.4]]), np.array([[0.2, 0.0], [0.1, -0.3]])
    for t in range(2, len(x)):
        x[t] = [1, -1] + x[t - 1] @ a + x[t - 2] @ b + 0.1 * rng.normal(size=2)
    model = Autoregression(2).fit(x)
    np.testing.assert_allclose(model.coefficients, np.vstack([[1, -1], a, b]), atol=0.05)
    np.testing.assert_allclose(model.predict(x)[-1], [1, -1] + x[-1] @ a + x[-2] @ b, atol=0.05)
    assert len(model.predict(x)) == len(x) - 1
    assert model.error(x) == pytest.approx(0.1, rel=0.05)
    assert best_autoregression(x[:3000], x[3000:], [0, 1, 2]).order == 2
    assert Autoregression(0).fit(x).predict(x)[0] == pytest.approx(x[:-1].mean(0), rel=0.01)


# --- sums -----------------------------------------------------------------------------------------


def test_two_marked_numbers_one_in_each_half_are_added() -> None:
    x, sums = synthetic.make_adding_problem(np.random.default_rng(0), 11, 500)
    assert x.shape == (11, 500, 2)
    assert 0 <= x[..., 0].min() < 0.01 < 0.99 < x[..., 0].max() <= 1
    steps, columns = x[..., 1].nonzero()
    for half in (steps < 5, steps >= 5):
        assert sorted(columns[half]) == [*range(500)]
    assert {*steps} == {*range(11)}
    numbers = [x[marks > 0, b, 0] for b, marks in enumerate(x[..., 1].T)]
    np.testing.assert_allclose(sums, [a + b for a, b in numbers])


# --- symbols --------------------------------------------------------------------------------------


def test_what_follows_two_symbols_is_what_their_table_says() -> None:
    rng = np.random.default_rng(0)
    table, pairs = synthetic.make_markov_chain(rng, 3)
    np.testing.assert_allclose(table.sum(2), 1)
    np.testing.assert_allclose(np.einsum("ab,abc->bc", pairs, table), pairs, atol=1e-9)
    x = synthetic.sample_markov_chain(rng, table, 200, 1000)[50:]
    counts = np.zeros((3, 3, 3))
    np.add.at(counts, (x[:-2], x[1:-1], x[2:]), 1)
    np.testing.assert_allclose(counts / counts.sum(), pairs[:, :, None] * table, atol=0.01)


def test_who_sees_stands_before_sees() -> None:
    rng = np.random.default_rng(0)
    found = set()
    for _ in range(200):
        text, who = make_observer_sentence(rng)
        words = text.split()
        assert set(words) <= set(OBSERVER_WORDS)
        assert sorted(map(words.count, OBSERVER_WORDS)) == [0, 0, 0, 1, 1, 1, 1, 1]
        assert words[words.index("sees") - 1] == NAMES[who]
        found.add((who, words.index("sees")))
    assert len(found) == 6 * 4


# --- genes ----------------------------------------------------------------------------------------


def test_genes_of_ones_own(tmp_path: Path, learn: Any, capsys: Any) -> None:
    path = tmp_path / "a.fa"
    path.write_text(">one\n" + ("acgtn" * 9 + "ATGGCTGCATAA" * 4) * 8 + "\n>two\n" + "acgATG" * 60)
    demo = learn("genome", path)
    for line in answer(demo, path, capsys).splitlines():
        name, place = line.split()
        first, last = map(int, place.split(".."))
        assert name in ("one", "two")
        assert 1 <= first <= last <= (744 if name == "one" else 360)
    path.write_text(">one\nacgATG\n")
    with pytest.raises(InputError, match="at least 50 bases"):
        runner.run(find_scripts()["genome"], Demo("genome", tmp_path, data=path))


def test_genes_begin_and_end_as_genes_do() -> None:
    made = synthetic.make_dna(np.random.default_rng(0), 50)
    letters = "".join("ACGT"[base] for base in made.bases)
    places = data.coding_regions(made.phases)
    assert len(places) == 50
    for first, last in places:
        codons = [letters[i : i + 3] for i in range(first - 1, last, 3)]
        assert codons[0] == "ATG"
        assert [codon in synthetic.STOPS for codon in codons] == [False] * (len(codons) - 1) + [
            True
        ]
        assert made.phases[first - 1 : last].tolist() == [1, 2, 3] * len(codons)
    assert 0.4 < (made.phases > 0).mean() < 0.6


def test_f1() -> None:
    found, true = np.array([1, 1, 0, 0, 1]) > 0, np.array([1, 0, 1, 0, 1]) > 0
    assert script("genome").f1(found, true) == pytest.approx(2 / 3)  # precision = recall = 2/3


# --- digits ---------------------------------------------------------------------------------------


def test_digits_of_ones_own(tmp_path: Path, learn: Any, capsys: Any) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(60, 6, 5)).astype(np.uint8)
    folder = tmp_path / "mnist"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes(images, 8))
    (folder / "train-labels-idx1-ubyte").write_bytes(
        idx_bytes(np.arange(60, dtype=np.uint8) % 10, 8)
    )
    demo = learn("handwriting", folder)
    digits = answer(demo, folder / "train-images-idx3-ubyte", capsys).split()
    assert len(digits) == 60
    assert set(digits) <= set("0123456789")
    (tmp_path / "other").write_bytes(idx_bytes(images[:, :, :4], 8))
    with pytest.raises(InputError, match="6 x 4 pixels, but the network has learned to read rows"):
        answer(demo, tmp_path / "other", capsys)
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(60, dtype=np.uint8), 8))
    with pytest.raises(InputError, match=r"labelled 0 to 9.* not 60 of .* labelled 0 to 59"):
        runner.run(find_scripts()["handwriting"], Demo("handwriting", tmp_path, data=folder))


def test_ways_to_read_an_image() -> None:
    read = script("handwriting").read
    image = np.arange(64.0).reshape(1, 8, 8)
    assert read(image, "rows")[1, 0].tolist() == list(range(8, 16))
    assert read(image, "pixels")[:, 0, 0].tolist() == list(range(64))
    assert read(image, "patches")[6, 0].tolist() == [20, 21, 28, 29]
    shuffled = read(image, "shuffled pixels")[:, 0, 0].tolist()
    assert shuffled != sorted(shuffled) == list(range(64))


@pytest.mark.parametrize("most", [1, 2])
def test_shifts_lose_no_more_than_the_edge(most: int) -> None:
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


def test_music_of_ones_own(tmp_path: Path, learn: Any, capsys: Any) -> None:
    folder = tmp_path / "midis"
    folder.mkdir()
    for number in range(3):
        scale = [Note(60 * number + 4 * i, 40 + number + 2 * i, 4) for i in range(9)]
        data.write_midi(folder / f"{number}.mid", scale)
    demo = learn("music", folder)
    opening = tmp_path / "opening.mid"
    data.write_midi(opening, [Note(8, 40, 4), Note(12, 42, 4)])
    printed = answer(demo, opening, capsys)
    continued = tmp_path / "opening-continued.mid"
    assert printed.startswith(f"{continued}: ")
    with pytest.raises(InputError, match="exists already"):
        answer(demo, opening, capsys)
    notes = data.read_midi(continued)
    assert [(n.start, n.key) for n in notes[:2]] == [(8, 40), (12, 42)]
    for path in (folder / "1.mid", folder / "2.mid"):
        path.unlink()
    with pytest.raises(InputError, match=r"expected at least 2 \.mid or \.midi files, found 1"):
        runner.run(find_scripts()["music"], Demo("music", tmp_path, data=folder))


def test_tunes_keep_their_key_and_their_form() -> None:
    for seed in range(20):
        notes, key = make_tune(np.random.default_rng(seed))
        assert len(key) == 7
        assert {note.key % 12 for note in notes} <= key
        assert all(0 <= note.key < 88 for note in notes)
        bars = [
            [(n.start % 16, n.key, n.length) for n in notes if n.start // 16 == bar]
            for bar in range(8)
        ]
        assert bars[0] == bars[2] == bars[6]
        assert bars[3] == bars[7]
        assert sum(n.length for n in notes if n.length < 16) == 128


def test_the_loss_counts_every_note_once() -> None:
    """Against the sum over notes of texts alone."""
    music = script("music")
    ag.manual_seed(0)
    model = music.language_model(known=[0] * 6, hidden=8).eval()
    texts = [np.array([0, 1, 2, 3, 0]), np.array([0, 6, 0])]
    parts = [music.parts_of(text) for text in texts]
    together = music.loss(model, music.batch([*parts[0], *parts[1]])).item()
    apart = [music.loss(model, music.batch(some)).item() for some in parts]
    assert together * 6 == pytest.approx(4 * apart[0] + 2 * apart[1], rel=1e-5)


def test_a_notation_takes_what_it_does_not_know_for_the_nearest() -> None:
    piece = [Note(0, 40, 4), Note(4, 40, 8), Note(12, 43, 4)]
    notation = NoteVocabulary.from_pieces([piece])
    assert len(notation) == 4
    assert notation.encode(piece).tolist() == [1, 2, 3]
    assert notation.decode([1, 2, 3]) == piece
    assert notation.decode([]) == []
    assert notation.encode([Note(0, 40, 3), Note(3, 44, 4)]).tolist() == [1, 3]
