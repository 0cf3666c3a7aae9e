"""Demos on text: the user's data, their predictions, and how they count statements."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import cli, data
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


@pytest.mark.filterwarnings("error:Glyph")
def test_sentiment_trains_on_the_users_reviews(
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


def test_too_few_reviews_are_an_error(tmp_path: Path) -> None:
    for name in ("neg", "pos"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.txt").write_text("so so")
    demo = Demo("sentiment", tmp_path, data=tmp_path)
    with pytest.raises(InputError, match="at least 20 texts, got 2"):
        find_scripts()["sentiment"].load_module().main(demo)


def test_translation_trains_on_the_users_pairs(
    tmp_path: Path, few_steps: None, capsys: Any
) -> None:
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
    outputs = []
    (tmp_path / "some.txt").write_text("a x\n\nb y\n")
    for argument in (str(tmp_path / "some.txt"), "a x", "b y"):
        assert cli.main(["predict", str(out), argument]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] + outputs[2]


def test_too_few_pairs_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("source,target\na,b\n")
    demo = Demo("translation", tmp_path, data=path)
    with pytest.raises(InputError, match="at least 20 pairs, got 1"):
        find_scripts()["translation"].load_module().main(demo)


def test_python_writer_counts_top_level_simple_statements() -> None:
    module = find_scripts()["python_writer"].load_module()
    text = (
        "import os\n\n@cache\ndef f(x):\n    return x\nclass C:\n    pass\n# no\nx = (1\ny = f(2)\n"
        "if x:\n    z = 1\nelse:\n    pass\nimport ast, re\nasync def g():\n    pass\niffy = 2\n"
    )
    lines = module.find_statements(text)
    assert lines == ["import os", "x = (1", "y = f(2)", "import ast, re", "iffy = 2"]
    assert module.parsing_fraction(lines) == 4 / 5
    assert module.parsing_fraction([]) == 0


@pytest.mark.parametrize(("count", "batch", "seq_len"), [(1000, 4, 7), (513, 8, 16), (99, 1, 98)])
def test_windows_of_a_text_are_contiguous(count: int, batch: int, seq_len: int) -> None:
    """The state is carried over between windows, and no symbol is added at a cut."""
    windows = list(data.StatefulBatches(np.arange(count), batch, seq_len))
    inputs, targets = (np.concatenate(x) for x in zip(*windows, strict=True))
    np.testing.assert_array_equal(targets, inputs + 1)
    np.testing.assert_array_equal(np.diff(inputs, axis=0), 1)
    assert set(inputs.ravel()) == set(range(count - 1))
