"""The generators of synthetic data produce what their documentation says."""

import ast

import numpy as np
import pytest

from tinygrad_rnn import data
from tinygrad_rnn.data.generators import programs, scenes, sentences, synthetic
from tinygrad_rnn.demos.scripts import find_scripts

pytestmark = [pytest.mark.host, pytest.mark.demo]


# --- series ---------------------------------------------------------------------------------------


def test_mackey_glass_solves_the_equation() -> None:
    """Compare the differences with the equation, at the integration step of 0.1."""
    x = synthetic.make_mackey_glass(np.random.default_rng(0), 2000, every=1)
    delayed, now = x[:-171], x[170:-1]
    derivative = 0.2 * delayed / (1 + delayed**10) - 0.1 * now
    np.testing.assert_allclose((x[171:] - now) / 0.1, derivative, atol=1e-12)
    assert 0.2 < x.min() < x.max() < 1.5


def test_adding_problem_marks_one_number_in_each_half() -> None:
    x, sums = synthetic.make_adding_problem(np.random.default_rng(0), 11, 500)
    assert x.shape == (11, 500, 2)
    assert 0 <= x[..., 0].min() < 0.01 < 0.99 < x[..., 0].max() <= 1
    steps, columns = x[..., 1].nonzero()
    for half in (steps < 5, steps >= 5):
        assert sorted(columns[half]) == [*range(500)]
    assert {*steps} == {*range(11)}
    numbers = [x[marks > 0, b, 0] for b, marks in enumerate(x[..., 1].T)]
    np.testing.assert_allclose(sums, [a + b for a, b in numbers])


def test_markov_chain_has_the_transition_probabilities_of_its_table() -> None:
    rng = np.random.default_rng(0)
    table, pairs = synthetic.make_markov_chain(rng, 3)
    np.testing.assert_allclose(table.sum(2), 1)
    np.testing.assert_allclose(np.einsum("ab,abc->bc", pairs, table), pairs, atol=1e-9)
    x = synthetic.sample_markov_chain(rng, table, 200, 1000)[50:]
    counts = np.zeros((3, 3, 3))
    np.add.at(counts, (x[:-2], x[1:-1], x[2:]), 1)
    np.testing.assert_allclose(counts / counts.sum(), pairs[:, :, None] * table, atol=0.01)


# --- sound and music ------------------------------------------------------------------------------


def test_spoken_words_have_the_sounds_of_their_letters() -> None:
    """The consonant s has high frequencies, vowels do not; the duration is scaled."""
    audio, rng = find_scripts()["audio"].load_module(), np.random.default_rng(0)
    fast, slow = (
        synthetic.make_spoken_word(rng, "sami", 120, 1, duration) for duration in (0.75, 1.3)
    )
    assert len(fast) < len(slow)
    energies = audio.spectrogram(slow)
    high = energies[:, 21:].mean(1)
    assert high[: len(high) // 8].mean() > 1
    assert high[len(high) * 3 // 10] < 0


def test_tunes_stay_in_key_and_have_the_form() -> None:
    for seed in range(20):
        notes, key = synthetic.make_tune(np.random.default_rng(seed))
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


# --- DNA ------------------------------------------------------------------------------------------


def test_genes_have_start_and_stop_codons() -> None:
    record = synthetic.make_dna(np.random.default_rng(0), 50)
    letters = "".join("ACGT"[base] for base in record.bases)
    places = data.coding_regions(record.phases)
    assert len(places) == 50
    for first, last in places:
        codons = [letters[i : i + 3] for i in range(first - 1, last, 3)]
        assert codons[0] == "ATG"
        assert [codon in synthetic.STOPS for codon in codons] == [False] * (len(codons) - 1) + [
            True
        ]
        assert record.phases[first - 1 : last].tolist() == [1, 2, 3] * len(codons)
    assert 0.4 < (record.phases > 0).mean() < 0.6


# --- images and video -----------------------------------------------------------------------------


def test_captions_describe_the_scene() -> None:
    """Count the colored pixels, and compare their corner with the caption."""
    rng = np.random.default_rng(0)
    for unseen in (False, True):
        for _ in range(60):
            picture, words = scenes.make_scene(rng, unseen)
            assert set(words) <= set(scenes.CAPTION_WORDS)
            count, color, name, *_, up, left = words
            n, corner = scenes.COUNTS.index(count), scenes.CORNERS.index(f"{up} {left}")
            shape = name if n == 0 else name[:-1]
            painted = np.all(picture == np.float32(scenes.COLORS[color]), axis=-1)
            assert painted.sum() == (n + 1) * scenes.SHAPES[shape].sum()
            assert (picture.max(-1) > 0.25).sum() == painted.sum()
            rows, columns = np.nonzero(painted)
            assert set(rows // 16) == {0 if up == "top" else 1}
            assert set(columns // 16) == {0 if left == "left" else 1}
            colors, shapes = [*scenes.COLORS], [*scenes.SHAPES]
            total = n + colors.index(color) + shapes.index(shape) + corner
            assert (total % 6 == 0) == unseen


def test_events_and_sentences_describe_the_video() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        frames, events, words = scenes.make_video(rng, noise=0)
        assert len(frames) == len(events)
        assert set(events) <= set(scenes.EVENTS)
        assert set(words) <= set(scenes.VIDEO_WORDS)
        assert words[2] in scenes.SPRITES
        assert set(frames.sum((1, 2))) <= {0, scenes.SPRITES[words[2]].sum()}
        step, positions = 2 if words[1] == "fast" else 1, []
        for frame in frames:
            seen = np.argwhere(frame)
            positions.append(seen.min(0) if len(seen) else None)
        direction = np.array(scenes.DIRECTIONS[words[4]])
        assert events[0] == "appears"
        assert events[1] == words[4]
        for before, after, event in zip(positions, positions[1:], events[1:], strict=False):
            if event in scenes.DIRECTIONS:
                assert (after - before == step * np.array(scenes.DIRECTIONS[event])).all()
            elif event == "bounces":
                assert abs(after - before).sum() == step
                direction = -direction
                assert (after - before == step * direction).all()
            else:
                assert after is None
                assert (before is None) == (event == "nothing")
        phrase = ["", "bounces", "bounces twice", "bounces thrice"][events.count("bounces")]
        assert (phrase or "moves") in " ".join(words)
        assert ("bounces" in words) == bool(phrase)
        assert ("vanishes" in words) == ("vanishes" in events)


# --- text -----------------------------------------------------------------------------------------


def test_the_observer_precedes_sees() -> None:
    rng = np.random.default_rng(0)
    found = set()
    for _ in range(200):
        text, observer = sentences.make_observer_sentence(rng)
        words = text.split()
        assert set(words) <= set(sentences.OBSERVER_WORDS)
        assert sorted(map(words.count, sentences.OBSERVER_WORDS)) == [0, 0, 0, 1, 1, 1, 1, 1]
        assert words[words.index("sees") - 1] == sentences.NAMES[observer]
        found.add((observer, words.index("sees")))
    assert len(found) == 6 * 4


def label_by_rules(text: str, good: list[str], bad: list[str]) -> str:
    """Return the label of a review, derived from its text."""
    clauses = text.split(". ")[-1].rstrip(".").lower().replace(",", "").split(" was ")
    main = len(clauses) - 1  # the last clause decides
    if "although" in clauses[1]:
        main = 1  # unless it contains "although"
    words = clauses[main].split(" although ")[0].split(" the ")[0].split()
    negated = any(word in words for word in ("not", "never", "far"))
    praised = any(word in good for word in words)
    assert praised != any(word in bad for word in words)
    return "pos" if praised != negated else "neg"


def test_reviews_have_the_label_of_their_text() -> None:
    rng = np.random.default_rng(0)
    good, bad = sentences.GOOD.split(), sentences.BAD.split()
    for _ in range(300):
        text, label = sentences.make_review(rng)
        assert label_by_rules(text, good, bad) == label, text


def test_chinese_numerals() -> None:
    assert [sentences.chinese_numeral(n) for n in (1, 9, 10, 12, 19, 20, 21, 40, 99)] == [
        *("一", "九", "十", "十二", "十九", "二十", "二十一", "四十", "九十九"),
    ]


def test_translations_have_chinese_word_order() -> None:
    """Compare the positions of verbs, nouns, adverbials and measure words."""
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(500):
        english, chinese = sentences.make_translation_pair(rng)
        words = english.rstrip(".?").split()
        question, negative = english.endswith("?"), " not " in english
        relative = english.startswith("The ") and " that " in english
        kinds.add((question, negative, relative))
        assert chinese.endswith("吗？") == question
        assert ("没" in chinese) == negative
        verb = next(zh for verb, past, zh in sentences.VERBS if verb in words or past in words)
        for text, phrase in [*sentences.TIMES, *sentences.PLACES]:
            if text and f"{text} " in f"{english.rstrip('.?')} ":
                assert chinese.index(phrase) < chinese.index(verb), (english, chinese)
        noun, measure = next(
            (noun_zh, measure)
            for singular, plural, measure, noun_zh in sentences.NOUNS
            if singular in words or plural in words
        )
        assert chinese.index(measure) < chinese.rindex(noun)
        if " two " in f" {english.lower()}" and not any(ten in words for ten in sentences.TENS):
            assert f"两{measure}" in chinese
        if relative:
            assert chinese.index(verb) < chinese.rindex(noun)
            assert "的那" in chinese
        assert set(chinese) <= set(sentences.PINYIN)
    assert len(kinds) == 4


def test_library_code_has_no_comments_or_docstrings() -> None:
    module = find_scripts()["python_writer"].load_module()
    text = programs.sample_library(np.random.default_rng(0), 50_000, max_file_size=6000)
    assert len(text) >= 50_000
    for file in text.split(programs.FILE_SEPARATOR)[1:]:
        assert len(file) <= 6000
        tree = ast.parse(file)
        assert ast.unparse(tree) == file.expandtabs(4)
        nodes = [
            node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
        ]
        assert not any(ast.get_docstring(node) for node in nodes)
    assert module.parsing_fraction(module.find_statements(text)) == 1
