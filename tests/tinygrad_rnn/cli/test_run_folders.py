"""Damaged and malicious run folders: files outside are unchanged, and errors are one line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from command import contents, is_one_line

from tinygrad_rnn import cli, nn
from tinygrad_rnn.cli import demo as demo_command
from tinygrad_rnn.cli import predict as predict_command
from tinygrad_rnn.demos import report
from tinygrad_rnn.demos.runner import Demo
from tinygrad_rnn.demos.saved_model import SavedModel
from tinygrad_rnn.demos.scripts import read_script
from tinygrad_rnn.training.files import write_file

pytestmark = pytest.mark.host

SCRIPT = '''"""A demo without training."""
from tinygrad_rnn import nn

CLAIM = "The demo ends."
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
def work_dir(tmp_path: Path, monkeypatch: Any) -> Path:
    """Create a complete run in `out`, and files in `outside` that must not change."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick.py").write_text(SCRIPT)
    assert cli.main(["demo", "quick.py", "--out", "out"]) == 0
    (tmp_path / "outside").mkdir()
    for name in ("precious.txt", "results.json", "note.txt"):
        (tmp_path / "outside" / name).write_text("precious")
    script = read_script(tmp_path / "quick.py")
    for module in (demo_command, predict_command, report):
        monkeypatch.setattr(module, "find_scripts", lambda: {"quick": script, "out": script})
    return tmp_path


def change_fields(work_dir: Path, file: str = "results.json", **fields: Any) -> None:
    path = work_dir / "out" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def fails(argv: list[str], capsys: Any, message: str = "") -> None:
    capsys.readouterr()
    assert cli.main(argv) == 2
    error = capsys.readouterr().err
    assert is_one_line(error), error
    assert message in error


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
def test_file_names_in_results_cannot_leave_the_folder(
    work_dir: Path, name: str, capsys: Any
) -> None:
    (work_dir / "out" / "sub").mkdir()
    (work_dir / "out" / "sub" / "kept.txt").write_text("kept")
    change_fields(work_dir, files={name.format(outside=work_dir / "outside"): "a picture"})
    snapshot = contents(work_dir)
    fails(OVERWRITE, capsys, "is not a plain file name")
    assert contents(work_dir) == snapshot


@pytest.mark.parametrize("name", ["../a.txt", "/tmp/a.txt", "a/b", ".."])
def test_demos_write_only_into_their_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a plain file name"):
        Demo("own", tmp_path).path(name, "a file")


@pytest.mark.parametrize("target", ["outside", "outside/precious.txt", "nowhere"])
def test_a_backup_folder_that_is_a_link_is_an_error(
    work_dir: Path, target: str, capsys: Any
) -> None:
    (work_dir / "out" / ".earlier").symlink_to(work_dir / target)
    snapshot = contents(work_dir)
    fails(OVERWRITE, capsys, ".earlier is not a backup of an interrupted run")
    assert contents(work_dir) == snapshot


@pytest.mark.parametrize("file", ["results.json", "config.json", "model.safetensors", "note.txt"])
@pytest.mark.parametrize("target", ["outside/{}", "outside/new.txt", "outside"])
def test_links_in_a_folder_are_replaced_and_not_followed(
    work_dir: Path, file: str, target: str, capsys: Any
) -> None:
    path = work_dir / "out" / file
    content = path.read_bytes()
    path.unlink()
    outside = work_dir / target.format(file)
    if target == "outside/{}":
        outside.write_bytes(content)
    path.symlink_to(outside)
    snapshot = contents(work_dir / "outside")
    code = cli.main(OVERWRITE)
    assert contents(work_dir / "outside") == snapshot
    if code == 0:
        assert not path.is_symlink()
    else:  # results.json is not readable
        assert is_one_line(capsys.readouterr().err)


def test_links_that_are_missing_in_the_results_are_not_followed(work_dir: Path) -> None:
    """An interrupted run has no list of its files."""
    change_fields(work_dir, files={})
    (work_dir / "out" / "note.txt").unlink()
    (work_dir / "out" / "note.txt").symlink_to(work_dir / "outside" / "precious.txt")
    partial = work_dir / "out" / f".results.json.{os.getpid()}.partial"
    partial.symlink_to(work_dir / "outside" / "precious.txt")
    assert cli.main(OVERWRITE) == 0
    assert (work_dir / "outside" / "precious.txt").read_text() == "precious"
    assert (work_dir / "out" / "note.txt").read_text() == "new"


def test_a_link_in_place_of_a_partial_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("precious")
    (tmp_path / f".a.json.{os.getpid()}.partial").symlink_to(tmp_path / "precious.txt")
    write_file(tmp_path / "a.json", b"new")
    assert (tmp_path / "precious.txt").read_text() == "precious"
    assert (tmp_path / "a.json").read_text() == "new"


@pytest.mark.parametrize("target", ["outside/precious.txt", "outside/none.txt"])
def test_links_are_not_copied_into_a_report(work_dir: Path, target: str) -> None:
    (work_dir / "out" / "secret.png").symlink_to(work_dir / target)
    change_fields(work_dir, files={"secret.png": "a picture"})
    with pytest.raises(ValueError, match="symbolic link"):
        report.write_report(work_dir / "page.md", work_dir)
    assert not [*(work_dir / "figures").iterdir()]


def test_a_report_does_not_follow_links(work_dir: Path) -> None:
    (work_dir / "out" / "line.png").write_bytes(b"picture")
    change_fields(work_dir, files={"line.png": "a picture"})
    (work_dir / "figures").mkdir()
    (work_dir / "figures" / "out-line.png").symlink_to(work_dir / "outside" / "precious.txt")
    report.write_report(work_dir / "page.md", work_dir)
    assert (work_dir / "outside" / "precious.txt").read_text() == "precious"
    assert (work_dir / "figures" / "out-line.png").read_bytes() == b"picture"


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
def test_malformed_results_are_a_one_line_error(
    work_dir: Path, fields: dict[str, Any], capsys: Any
) -> None:
    change_fields(work_dir, **fields)
    fails(OVERWRITE, capsys, "results.json")
    with pytest.raises(ValueError, match=r"results\.json"):
        report.write_report(work_dir / "page.md", work_dir)


@pytest.mark.parametrize("row", [ROW | {"value": float("inf")}, ROW | {"more": 1}, ROW])
def test_unusual_results_are_accepted(work_dir: Path, row: dict[str, Any]) -> None:
    change_fields(work_dir, rows=[row], title="\ud800", more={"a": 1})
    report.write_report(work_dir / "page.md", work_dir)
    assert "share" in (work_dir / "page.md").read_text()


def test_runs_with_different_measurements_are_not_averaged(work_dir: Path) -> None:
    (work_dir / "out-seed1").mkdir()
    content = json.loads((work_dir / "out" / "results.json").read_text()) | {"rows": [ROW, ROW]}
    (work_dir / "out-seed1" / "results.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="have different measurements"):
        report.write_report(work_dir / "page.md", work_dir)


@pytest.mark.parametrize("content", [DEEP, '{"a":' * 5000, "", "{", b"\xff", "1" * 5000])
@pytest.mark.parametrize("file", ["results.json", "config.json"])
def test_invalid_json_is_a_one_line_error(
    work_dir: Path, file: str, content: str | bytes, capsys: Any
) -> None:
    path = work_dir / "out" / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    commands = {
        "results.json": [OVERWRITE],
        "config.json": [OVERWRITE, ["predict", "out", "x"], ["sample", "out"], ["eval", "out"]],
    }
    for argv in [*commands[file], ["train", "--out", "out", "--overwrite", "quick.py"]]:
        fails(argv, capsys)


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
def test_malformed_configurations_are_a_one_line_error(
    work_dir: Path, config: dict[str, Any], checksum: str, capsys: Any
) -> None:
    change_fields(work_dir, "config.json", config=config)
    if checksum == "none":
        content = json.loads((work_dir / "out" / "config.json").read_text())
        del content["sha256"]
        (work_dir / "out" / "config.json").write_text(json.dumps(content))
    fails(["predict", "out", "x"], capsys)


def test_configurations_without_a_checksum_are_accepted(work_dir: Path, capsys: Any) -> None:
    content = json.loads((work_dir / "out" / "config.json").read_text())
    del content["sha256"]
    (work_dir / "out" / "config.json").write_text(json.dumps(content))
    capsys.readouterr()
    assert cli.main(["predict", "out", "x"]) == 0
    assert capsys.readouterr().out == "(1, 2)\n"


def test_a_defect_of_a_script_keeps_its_traceback(work_dir: Path) -> None:
    (work_dir / "quick.py").write_text(SCRIPT.replace('run.config["sizes"]', "None"))
    with pytest.raises(TypeError):
        cli.main(["predict", "out", "x"])


def test_checksums_do_not_depend_on_tuples(tmp_path: Path) -> None:
    Demo("own", tmp_path).save(nn.Linear(1, 1), a=(1, (2.5, "é\ud800")), b={"c": None})
    assert SavedModel.open(tmp_path).verified
