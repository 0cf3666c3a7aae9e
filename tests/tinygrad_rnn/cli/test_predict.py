"""The input of `predict`, and commands applied to folders of other commands."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import is_one_line

from tinygrad_rnn import cli, data, models, nn
from tinygrad_rnn.demos.runner import Demo
from tinygrad_rnn.demos.saved_model import read_text_argument
from tinygrad_rnn.demos.scripts import find_scripts
from tinygrad_rnn.errors import InputError

pytestmark = pytest.mark.host


def set_standard_input(monkeypatch: Any, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize(
    "name",
    [
        *("nwe.txt", "a/b", "./a", "../a", "/nowhere/a b", "~/a", "my review.txt", "a b/c d.csv"),
        *("a\\b", "C:\\a b.txt", "x.md", "two words.jsonl.gz", "reviews/", "a.TXT", ".hidden/x"),
    ],
)
def test_a_missing_file_is_an_error(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_text_argument(name)


@pytest.mark.parametrize(
    "text",
    [
        *("not bad at all", "It was good.", "Good!", "a", "", "good and/or bad", "it cost 3.50"),
        *("ok...", "Mr. Smith was late.", "words\nin a.txt lines", "好", "one, two", "end. Begin"),
    ],
)
def test_text_is_used_unchanged(text: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_text_argument(text) == text


@pytest.mark.parametrize("name", ["new.txt", "word", "two words", "sub/a.b.c"])
def test_a_file_is_read(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / name).write_text("content")
    assert read_text_argument(name) == "content"


@pytest.mark.parametrize("content", [b"not bad", b"a.txt", "好\r\nb\n".encode()])
def test_a_dash_reads_standard_input(content: bytes, monkeypatch: Any) -> None:
    set_standard_input(monkeypatch, content)
    assert read_text_argument("-") == content.decode().replace("\r", "")


def test_a_folder_is_an_error(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews").mkdir()
    with pytest.raises(InputError, match="is a directory"):
        read_text_argument("reviews")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: Any) -> Path:
    """Create folders of a demo with a model, of a demo without one, and of a training run."""
    monkeypatch.chdir(tmp_path)
    sizes: dict[str, Any] = {"words": ["bad", "good"], "classes": ["neg", "pos"]}
    sizes |= {"size": 4, "dropout": 0.0}
    network = find_scripts()["sentiment"].load_module().build_model(**sizes)
    for name in ("sentiment", "elman", "trained"):
        (tmp_path / name).mkdir()
    Demo("sentiment", tmp_path / "sentiment").save(network, **sizes)
    (tmp_path / "elman" / "results.json").write_text('{"demo": "elman"}')
    (tmp_path / "trained" / "config.json").write_text(json.dumps({"format": "a language model"}))
    return tmp_path


@pytest.mark.parametrize("argv", [["nwe.txt"], ["./good"], ["a good film.txt"]])
def test_predict_does_not_use_the_name_of_a_missing_file_as_text(
    runs: Path, argv: list[str], capsys: Any
) -> None:
    assert cli.main(["predict", "sentiment", *argv]) == 2
    captured = capsys.readouterr()
    assert is_one_line(captured.err)
    assert f"{argv[0]}: no such file" in captured.err
    assert captured.out == ""


def test_predict_reads_text_from_standard_input(runs: Path, monkeypatch: Any, capsys: Any) -> None:
    outputs = []
    for argument in ("good bad", "-"):
        set_standard_input(monkeypatch, b"good bad")
        assert cli.main(["predict", "sentiment", argument]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert "not among" not in outputs[0]


@pytest.mark.parametrize("name", ["forecast", "genome", "handwriting", "audio"])
def test_demos_that_need_a_file_report_a_missing_file(
    name: str, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    configs: dict[str, dict[str, Any]] = {
        "forecast": {"columns": ["x"], "mean": [0], "std": [1]},
        "genome": {"hidden": 2},
        "handwriting": {"inputs": 2, "hidden": 2},
        "audio": {"classes": ["a", "b"]},
    }
    Demo(name, tmp_path).save(nn.Linear(1, 1), **configs[name])
    suffix = {"forecast": "csv"}.get(name, "x")
    assert cli.main(["predict", ".", f"nwe.{suffix}"]) == 2
    error = capsys.readouterr().err
    assert is_one_line(error)


def save_untrained_model(name: str, folder: Path) -> bytes:
    """Save an untrained model of a demo, and return the content of an input file for it."""
    module, demo = find_scripts()[name].load_module(), Demo(name, folder)
    if name == "forecast":
        model = models.Forecaster(nn.GRU(1, module.HIDDEN))
        demo.save(model, columns=["x"], mean=[0.0], std=[1.0])
        return b"x\n1\n2\n3\n"
    if name == "genome":
        demo.save(module.build_model(True, 4), hidden=4)
        return b">a\nACGTACGTAC\n"
    if name == "handwriting":
        demo.save(module.build_model(inputs=5, hidden=4), inputs=5, hidden=4)
        return bytes([0, 0, 8, 3, *(0, 0, 0, 1), *(0, 0, 0, 5), *(0, 0, 0, 5), *range(25)])
    assert name == "audio"
    demo.save(module.build_model(2), classes=["a", "b"])
    data.write_wav(folder / "a.wav", np.sin(np.arange(4000) / 9), 8000)
    return (folder / "a.wav").read_bytes()


@pytest.mark.parametrize("name", ["forecast", "genome", "handwriting", "audio"])
def test_demos_that_need_a_file_read_standard_input(
    name: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    content = save_untrained_model(name, tmp_path)
    path = tmp_path / ("file.csv" if name == "forecast" else "file")
    path.write_bytes(content)
    outputs = []
    for argument in (str(path), "-"):
        set_standard_input(monkeypatch, content)
        assert cli.main(["predict", str(tmp_path), argument]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != ""


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["sample", "sentiment"], "tinygrad-rnn predict sentiment INPUT"),
        (["eval", "sentiment"], "tinygrad-rnn predict sentiment INPUT"),
        (["train", "--resume", "--out", "sentiment"], "tinygrad-rnn predict sentiment INPUT"),
        (["train", "--overwrite", "--out", "sentiment"], "the demo 'sentiment'"),
        (["predict", "trained", "x"], "tinygrad-rnn sample trained"),
        (["predict", "elman", "x"], "the demo did not save one"),
        (["sample", "elman"], "elman is not a run"),
        (["predict", "nowhere", "x"], "nowhere does not contain a trained model"),
    ],
)
def test_an_error_names_the_command_for_the_folder(
    runs: Path, argv: list[str], message: str, capsys: Any
) -> None:
    assert cli.main(argv) == 2
    error = capsys.readouterr().err
    assert is_one_line(error)
    assert message in error


def test_folder_names_are_quoted_for_the_shell(runs: Path, capsys: Any) -> None:
    (runs / "sentiment").rename(runs / "two words")
    assert cli.main(["sample", "two words"]) == 2
    assert "tinygrad-rnn predict 'two words' INPUT" in capsys.readouterr().err
