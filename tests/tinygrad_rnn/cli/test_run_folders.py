"""Run folders that are damaged or malicious: nothing outside them changes, and every error is one
line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from command import contents, is_one_line

from tinygrad_rnn import cli, nn
from tinygrad_rnn.cli import demo as command
from tinygrad_rnn.demos import report
from tinygrad_rnn.demos.runner import Demo
from tinygrad_rnn.demos.saved_model import SavedModel
from tinygrad_rnn.demos.scripts import read_script
from tinygrad_rnn.training.files import write_file

pytestmark = pytest.mark.host

SCRIPT = '''"""A demonstration in no time."""
from tinygrad_rnn import nn

CLAIM = "It ends."
DATA = "text files"

def main(demo):
    demo.record("share", 1, "%", at_least=0.5)
    demo.path("note.txt", "a note").write_text("new")
    demo.save(nn.Linear(2, 1), sizes=[2, 1])

def predict(run, input):
    print(run.load(nn.Linear(*run.config["sizes"])).weight.shape)
'''
DEEP = "[" * 100_000


@pytest.fixture
def place(tmp_path: Path, monkeypatch: Any) -> Path:
    """A folder with a finished run in `out`, and files beside it that nothing may touch."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick.py").write_text(SCRIPT)
    assert cli.main(["demo", "quick.py", "--out", "out"]) == 0
    (tmp_path / "outside").mkdir()
    for name in ("precious.txt", "results.json", "note.txt"):
        (tmp_path / "outside" / name).write_text("precious")
    script = read_script(tmp_path / "quick.py")
    for module in (command, report):
        monkeypatch.setattr(module, "find_scripts", lambda: {"quick": script, "out": script})
    return tmp_path


def change(place: Path, file: str = "results.json", **fields: Any) -> None:
    path = place / "out" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def fails(words: list[str], capsys: Any, says: str = "") -> None:
    capsys.readouterr()
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert is_one_line(error), error
    assert says in error


OVERWRITE = ["demo", "quick.py", "--out", "out", "--overwrite"]
REPORT = ["demo", "--all", "--quick", "--out", "none", "--report", "page.md"]


@pytest.mark.parametrize(
    "name",
    [
        *("../outside/precious.txt", "{outside}/precious.txt", "a/../../outside/precious.txt"),
        *("..", ".", "", "sub/kept.txt", "..\\outside\\precious.txt", "C:precious.txt"),
        *("a\0b", "\ud800", "a\nb"),
    ],
)
def test_names_in_results_cannot_leave_the_folder(place: Path, name: str, capsys: Any) -> None:
    (place / "out" / "sub").mkdir()
    (place / "out" / "sub" / "kept.txt").write_text("kept")
    change(place, files={name.format(outside=place / "outside"): "a picture"})
    before = contents(place)
    fails(OVERWRITE, capsys, "is not a plain file name")
    assert contents(place) == before


@pytest.mark.parametrize("name", ["../a.txt", "/tmp/a.txt", "a/b", ".."])
def test_demos_write_plain_names_only(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a plain file name"):
        Demo("own", tmp_path).path(name, "a file")


@pytest.mark.parametrize("target", ["outside", "outside/precious.txt", "nowhere"])
def test_an_aside_folder_that_is_a_link_is_refused(place: Path, target: str, capsys: Any) -> None:
    (place / "out" / ".earlier").symlink_to(place / target)
    before = contents(place)
    fails(OVERWRITE, capsys, ".earlier is not the folder of an interrupted run")
    assert contents(place) == before


@pytest.mark.parametrize("file", ["results.json", "config.json", "model.safetensors", "note.txt"])
@pytest.mark.parametrize("target", ["outside/{}", "outside/new.txt", "outside"])
def test_links_in_a_folder_are_replaced_and_not_followed(
    place: Path, file: str, target: str, capsys: Any
) -> None:
    path = place / "out" / file
    content = path.read_bytes()
    path.unlink()
    outside = place / target.format(file)
    if target == "outside/{}":
        outside.write_bytes(content)
    path.symlink_to(outside)
    before = contents(place / "outside")
    code = cli.main(OVERWRITE)
    assert contents(place / "outside") == before
    if code == 0:
        assert not path.is_symlink()
    else:  # results.json that cannot be read: still one line
        assert is_one_line(capsys.readouterr().err)


def test_links_that_no_results_name_are_not_written_through(place: Path) -> None:
    """An interrupted run leaves no list of its files."""
    change(place, files={})
    (place / "out" / "note.txt").unlink()
    (place / "out" / "note.txt").symlink_to(place / "outside" / "precious.txt")
    partial = place / "out" / f".results.json.{os.getpid()}.partial"
    partial.symlink_to(place / "outside" / "precious.txt")
    assert cli.main(OVERWRITE) == 0
    assert (place / "outside" / "precious.txt").read_text() == "precious"
    assert (place / "out" / "note.txt").read_text() == "new"


def test_a_link_in_place_of_a_partial_file_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("precious")
    (tmp_path / f".a.json.{os.getpid()}.partial").symlink_to(tmp_path / "precious.txt")
    write_file(tmp_path / "a.json", b"new")
    assert (tmp_path / "precious.txt").read_text() == "precious"
    assert (tmp_path / "a.json").read_text() == "new"


@pytest.mark.parametrize("target", ["outside/precious.txt", "outside/none.txt"])
def test_links_are_not_copied_into_a_report(place: Path, target: str) -> None:
    (place / "out" / "secret.png").symlink_to(place / target)
    change(place, files={"secret.png": "a picture"})
    with pytest.raises(ValueError, match="symbolic link"):
        report.write_report(place / "page.md", place)
    assert not [*(place / "figures").iterdir()]


def test_a_report_does_not_write_through_links(place: Path) -> None:
    (place / "out" / "line.png").write_bytes(b"picture")
    change(place, files={"line.png": "a picture"})
    (place / "figures").mkdir()
    (place / "figures" / "out-line.png").symlink_to(place / "outside" / "precious.txt")
    report.write_report(place / "page.md", place)
    assert (place / "outside" / "precious.txt").read_text() == "precious"
    assert (place / "figures" / "out-line.png").read_bytes() == b"picture"


ROW = {"name": "share", "value": 1, "unit": "", "at_least": None, "at_most": None}


@pytest.mark.parametrize(
    "fields",
    [
        {"rows": None},
        {"rows": 3},
        {"rows": {"a": 1}},
        {"rows": [None]},
        {"rows": [[1, 2]]},
        {"rows": [{}]},
        {"rows": [ROW | {"value": "1"}]},
        {"rows": [ROW | {"value": None}]},
        {"rows": [ROW | {"value": 10**400}]},
        {"rows": [ROW | {"name": 3}]},
        {"rows": [ROW | {"unit": None}]},
        {"rows": [ROW | {"at_least": "x"}]},
        {"rows": [ROW | {"at_most": []}]},
        {"files": None},
        {"files": [["a"]]},
        {"files": {"a.png": 3}},
        {"seconds": "1"},
        {"seconds": float("nan")},
        {"seconds": 10**400},
        {"seed": None},
        {"title": 1},
        {"claim": None},
    ],
)
def test_malformed_results_are_one_line(place: Path, fields: dict[str, Any], capsys: Any) -> None:
    change(place, **fields)
    fails(OVERWRITE, capsys, "results.json")
    with pytest.raises(ValueError, match=r"results\.json"):
        report.write_report(place / "page.md", place)


@pytest.mark.parametrize("row", [ROW | {"value": float("inf")}, ROW | {"more": 1}, ROW])
def test_unusual_results_are_read(place: Path, row: dict[str, Any]) -> None:
    change(place, rows=[row], title="\ud800", more={"a": 1})
    report.write_report(place / "page.md", place)
    assert "share" in (place / "page.md").read_text()


def test_runs_that_measured_other_things_are_not_averaged(place: Path) -> None:
    (place / "out-seed1").mkdir()
    content = json.loads((place / "out" / "results.json").read_text()) | {"rows": [ROW, ROW]}
    (place / "out-seed1" / "results.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="have different measurements"):
        report.write_report(place / "page.md", place)


@pytest.mark.parametrize("content", [DEEP, '{"a":' * 5000, "", "{", b"\xff", "1" * 5000])
@pytest.mark.parametrize("file", ["results.json", "config.json"])
def test_json_that_is_no_json_is_one_line(
    place: Path, file: str, content: str | bytes, capsys: Any
) -> None:
    path = place / "out" / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    commands = {
        "results.json": [OVERWRITE],
        "config.json": [OVERWRITE, ["predict", "out", "x"], ["sample", "out"], ["eval", "out"]],
    }
    for words in [*commands[file], ["train", "--out", "out", "--overwrite", "quick.py"]]:
        fails(words, capsys)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"sizes": None},
        {"sizes": 3},
        {"sizes": [1, 2, 3, 4, 5, 6, 7, 8]},
        {"sizes": ["a", "b"]},
        {"sizes": [-1, 2]},
        {"sizes": [3, 1]},
        {"sizes": {"a": 1}},
    ],
)
@pytest.mark.parametrize("checksum", ["none", "old"])
def test_malformed_configurations_are_one_line(
    place: Path, config: dict[str, Any], checksum: str, capsys: Any
) -> None:
    change(place, "config.json", config=config)
    if checksum == "none":
        content = json.loads((place / "out" / "config.json").read_text())
        del content["sha256"]
        (place / "out" / "config.json").write_text(json.dumps(content))
    fails(["predict", "out", "x"], capsys)


def test_configurations_without_a_checksum_are_read(place: Path, capsys: Any) -> None:
    content = json.loads((place / "out" / "config.json").read_text())
    del content["sha256"]
    (place / "out" / "config.json").write_text(json.dumps(content))
    capsys.readouterr()
    assert cli.main(["predict", "out", "x"]) == 0
    assert capsys.readouterr().out == "(1, 2)\n"


def test_a_defect_of_a_script_keeps_its_traceback(place: Path) -> None:
    (place / "quick.py").write_text(SCRIPT.replace('run.config["sizes"]', "None"))
    with pytest.raises(TypeError):
        cli.main(["predict", "out", "x"])


def test_checksums_do_not_depend_on_tuples(tmp_path: Path) -> None:
    Demo("own", tmp_path).save(nn.Linear(1, 1), a=(1, (2.5, "é\ud800")), b={"c": None})
    assert SavedModel.open(tmp_path).verified
