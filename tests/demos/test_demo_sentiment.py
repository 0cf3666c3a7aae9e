"""The demonstration `sentiment`: its reviews, one's own, and what it says of a text."""

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

pytestmark = [pytest.mark.host, pytest.mark.demo]


@pytest.fixture
def few_steps(monkeypatch: Any) -> None:
    monkeypatch.setattr(
        Demo, "fit", lambda demo, trainer, *_, **__: trainer.fit(max_steps=2, progress=False)
    )


def verdict(text: str, good: list[str], bad: list[str]) -> str:
    """The label of a review by its rules, read off the text alone."""
    clauses = text.split(". ")[-1].rstrip(".").lower().replace(",", "").split(" was ")
    main = len(clauses) - 1  # of several clauses the last one counts,
    if "although" in clauses[1]:
        main = 1  # unless it is the one with "although"
    words = clauses[main].split(" although ")[0].split(" the ")[0].split()
    turned = any(word in words for word in ("not", "never", "far"))
    praised = any(word in good for word in words)
    assert praised != any(word in bad for word in words)
    return "pos" if praised != turned else "neg"


def test_reviews_mean_what_their_labels_say() -> None:
    rng = np.random.default_rng(0)
    good, bad = sentences.GOOD.split(), sentences.BAD.split()
    for _ in range(300):
        text, label = sentences.make_review(rng)
        assert verdict(text, good, bad) == label, text


@pytest.mark.filterwarnings("error:Glyph")
def test_reviews_of_ones_own(
    tmp_path: Path, few_steps: None, monkeypatch: Any, capsys: Any
) -> None:
    reviews, out = tmp_path / "reviews", tmp_path / "out"
    for name, word in (("$a_{$书", "fine"), ("disliked", "书")):
        (reviews / name).mkdir(parents=True)
        for k in range(15):
            text = f"It was {'very ' * (k % 3)}{word}, I think."
            (reviews / name / f"{k}.txt").write_text(text, encoding="utf-8")
    assert cli.main(["demo", "sentiment", "--data", str(reviews), "--out", str(out)]) == 0
    results = runner.read_results(out)
    assert [row.at_least for row in results["rows"]] == [None, None]
    assert (out / "reading.png").is_file()
    capsys.readouterr()
    (tmp_path / "one.txt").write_text("It was very fine")
    for text in ("It was very fine", str(tmp_path / "one.txt")):
        assert cli.main(["predict", str(out), text]) == 0
        printed = capsys.readouterr().out
        assert printed.split()[0] in ("$a_{$书", "disliked")
        assert "%)" in printed
        assert "unknown words" not in printed
    cli.main(["predict", str(out), "It was fabulous"])
    assert "unknown words: fabulous" in capsys.readouterr().out
    (tmp_path / "long.txt").write_text("It was very fine. " * 5000)
    assert cli.main(["predict", str(out), str(tmp_path / "long.txt")]) == 0
    monkeypatch.chdir(tmp_path)
    assert cli.main(["predict", str(out), " "]) == 2
    assert "the text contains no words" in capsys.readouterr().err


def test_too_few_reviews(tmp_path: Path) -> None:
    for name in ("neg", "pos"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.txt").write_text("so so")
    demo = Demo("sentiment", tmp_path, data=tmp_path)
    with pytest.raises(InputError, match="at least 20 texts, got 2"):
        find_scripts()["sentiment"].load_module().main(demo)
