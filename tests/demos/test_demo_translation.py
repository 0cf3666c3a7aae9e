"""The demonstration `translation`: its grammar, one's own pairs, and what it translates."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import cli
from tinygrad_rnn.data.generators import sentences
from tinygrad_rnn.demos import runner
from tinygrad_rnn.demos.runner import Demo
from tinygrad_rnn.demos.scripts import find_scripts
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.plotting import safe_label, subplots, to_png

pytestmark = [pytest.mark.host, pytest.mark.demo]


def test_numbers() -> None:
    assert [sentences.chinese_numeral(n) for n in (1, 9, 10, 12, 19, 20, 21, 40, 99)] == [
        *("一", "九", "十", "十二", "十九", "二十", "二十一", "四十", "九十九"),
    ]


def test_sentences_say_the_same_in_their_own_order() -> None:
    """Every word's counterpart is there, and stands where Chinese wants it."""
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
        verb = next(做 for do, did, 做 in sentences.DO if do in words or did in words)
        for text, phrase in [*sentences.WHEN, *sentences.WHERE]:
            if text and f"{text} " in f"{english.rstrip('.?')} ":
                assert chinese.index(phrase) < chinese.index(verb), (english, chinese)
        thing, measure = next(
            (物, 只) for one, many, 只, 物 in sentences.THING if one in words or many in words
        )
        assert chinese.index(measure) < chinese.rindex(thing)
        if " two " in f" {english.lower()}" and not any(ten in words for ten in sentences.TENS):
            assert f"两{measure}" in chinese
        if relative:
            assert chinese.index(verb) < chinese.rindex(thing)
            assert "的那" in chinese
        assert set(chinese) <= set(sentences.PINYIN)
    assert len(kinds) == 4


def test_pairs_of_ones_own(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(
        Demo, "fit", lambda demo, trainer, *_, **__: trainer.fit(max_steps=2, progress=False)
    )
    pairs, out = tmp_path / "pairs.tsv", tmp_path / "out"
    lines = [f"{a} {b}\t{b.upper()} {a.upper()}" for a in "abcdef" for b in "uvwxyz"]
    pairs.write_text("source\ttarget\n" + "\n".join(lines), encoding="utf-8")
    assert cli.main(["demo", "translation", "--data", str(pairs), "--out", str(out)]) == 0
    assert all(row.passed is None for row in runner.read_results(out)["rows"])
    assert (out / "attention.png").is_file()
    capsys.readouterr()
    assert cli.main(["predict", str(out), "a x"]) == 0
    assert set(capsys.readouterr().out.split()) <= set("ABCDEFUVWXYZ?")
    assert cli.main(["predict", str(out), "a q"]) == 0
    assert "unknown words: q" in capsys.readouterr().out
    printed = []
    (tmp_path / "some.txt").write_text("a x\n\nb y\n")
    for read in (str(tmp_path / "some.txt"), "a x", "b y"):
        assert cli.main(["predict", str(out), read]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] + printed[2]


def test_too_few_pairs(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("source,target\na,b\n")
    demo = Demo("translation", tmp_path, data=path)
    with pytest.raises(InputError, match="at least 20 pairs, got 1"):
        find_scripts()["translation"].load_module().main(demo)


def test_labels_are_legible_with_the_font_that_there_is() -> None:
    assert safe_label("shū, été") == "shū, été"
    assert safe_label("a书") == "aU+4E66"


def test_labels_are_no_formulas() -> None:
    figure, axes = subplots()
    for label in ("$a_{$", r"$\frac$", r"\$", "100 $"):
        title = axes.set_title(safe_label(label))
        assert title._preprocess_math(title.get_text()) == (label, False)
    assert to_png(figure)
