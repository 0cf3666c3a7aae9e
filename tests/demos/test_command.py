"""The command `tinygrad-rnn demo`: output, exit codes, folders and reports."""

import json
from pathlib import Path
from typing import Any

import pytest
from command import fails, run, succeeds

from tinygrad_rnn import cli
from tinygrad_rnn.cli import demo as command
from tinygrad_rnn.cli import predict
from tinygrad_rnn.demos import report, runner
from tinygrad_rnn.demos.runner import Measurement
from tinygrad_rnn.demos.scripts import find_scripts, read_script
from tinygrad_rnn.training.files import lock_folder

pytestmark = [pytest.mark.host, pytest.mark.demo]

SCRIPT = '''"""Title of the demo.

Description of the demo.
"""
from tinygrad_rnn import nn
from tinygrad_rnn.plotting import subplots

CLAIM = "Weights fall."
DATA = "text files"

def main(demo):
    demo.record("fraction", demo.choose(0.9, 0.6), "%", at_least=0.8, quick=0.5)
    demo.record("error", demo.rng.uniform(), at_most=BOUND)
    demo.record("P(a | b)", 3, "bits")
    figure, axes = subplots()
    axes.plot([1, 2])
    demo.save_figure("line.png", figure, "a line")
    demo.path("note.txt", "a note").write_text("x")
    demo.save(nn.Linear(2, 1), sizes=[2, 1])

def predict(run, input):
    print(input, run.load(nn.Linear(*run.config["sizes"])).weight.shape)
'''


def rows_in(folder: Path) -> list[Measurement]:
    results = runner.read_results(folder)
    assert results is not None
    rows: list[Measurement] = results["rows"]
    return rows


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A demo that meets all its targets."""
    path = tmp_path / "falling.py"
    path.write_text(SCRIPT.replace("BOUND", "1"))
    return path


def test_a_demo_prints_its_results_and_writes_its_files(script: Path, tmp_path: Path) -> None:
    printed = succeeds("demo", script, "--out", "out", cwd=tmp_path)
    assert "Title of the demo." in printed
    assert "Claim: Weights fall." in printed
    rows = [line.split() for line in printed.splitlines()]
    assert ["fraction", "90.0%", "at", "least", "80.0%", "pass"] in rows
    assert ["P(a", "|", "b)", "3", "bits"] in rows
    assert f"{Path('out', 'line.png')}: a line" in printed
    assert (tmp_path / "out" / "line.png").read_bytes().startswith(b"\x89PNG")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["files"] == {"line.png": "a line", "note.txt": "a note"}
    assert [row["at_least"] for row in results["rows"]] == [0.8, None, None]
    assert (results["seed"], results["quick"]) == (0, False)


def test_a_failed_target_is_exit_code_1(script: Path, tmp_path: Path) -> None:
    script.write_text(SCRIPT.replace("BOUND", "-1"))
    done = run("demo", script, "--out", "out", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "fail" in done.stdout


def test_a_quick_run_has_the_quick_targets(script: Path, tmp_path: Path) -> None:
    succeeds("demo", script, "--out", "out", "--quick", cwd=tmp_path)
    fraction, error, _ = rows_in(tmp_path / "out")
    assert (fraction.value, fraction.at_least, fraction.passed) == (0.6, 0.5, True)
    assert (error.at_most, error.passed) == (None, None)


def test_results_depend_on_the_seed_only(script: Path, tmp_path: Path) -> None:
    errors = []
    for number, seed in enumerate((1, 1, 2)):
        succeeds("demo", script, "--out", f"out{number}", "--seed", seed, cwd=tmp_path)
        errors.append(rows_in(tmp_path / f"out{number}")[1].value)
    assert errors[0] == errors[1] != errors[2]


def test_predict_applies_the_saved_model(
    script: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    succeeds("demo", script, "--out", "out", cwd=tmp_path)
    monkeypatch.setattr(predict, "find_scripts", lambda: {"falling": read_script(script)})
    assert cli.main(["predict", str(tmp_path / "out"), "a word"]) == 0
    assert capsys.readouterr().out == "a word (1, 2)\n"


def test_overwrite_replaces_results_and_no_other_files(script: Path, tmp_path: Path) -> None:
    succeeds("demo", script, "--out", "out", cwd=tmp_path)
    fails("demo", script, "--out", "out", cwd=tmp_path, phrases=["out is not empty", "--overwrite"])
    (tmp_path / "out" / "notes.txt").write_text("notes")
    succeeds("demo", script, "--out", "out", "--overwrite", cwd=tmp_path)
    assert (tmp_path / "out" / "notes.txt").read_text() == "notes"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("notes")
    words = ["demo", script, "--out", "other", "--overwrite"]
    fails(*words, cwd=tmp_path, phrases=["other is not empty and was not written by a demo"])


def test_an_interrupted_run_is_replaced(script: Path, tmp_path: Path) -> None:
    text = script.read_text()
    script.write_text(text.replace("    demo.path", "    raise KeyboardInterrupt\n    demo.path"))
    done = run("demo", script, "--out", "out", cwd=tmp_path)
    assert done.returncode == 130
    assert (tmp_path / "out" / "line.png").is_file()
    assert runner.read_results(tmp_path / "out") is None
    script.write_text(text)
    succeeds("demo", script, "--out", "out", "--overwrite", cwd=tmp_path)
    assert len(rows_in(tmp_path / "out")) == 3


def test_an_earlier_run_is_restored_unless_the_new_run_finishes(
    script: Path, tmp_path: Path
) -> None:
    """The new run ends by invalid data, Ctrl-C, or kill -9."""
    succeeds("demo", script, "--out", "out", cwd=tmp_path)

    def folder_content() -> dict[str, bytes]:
        files = (p for p in (tmp_path / "out").rglob("*") if p.is_file())
        return {str(p.relative_to(tmp_path / "out")): p.read_bytes() for p in files}

    text, earlier = script.read_text(), folder_content()
    assert {"results.json", "config.json", "model.safetensors", "line.png"} <= set(earlier)
    fail_on_data = (
        "    from tinygrad_rnn.errors import InputError\n    raise InputError('bad data')\n"
    )
    kill = "    import os\n    os.kill(os.getpid(), 9)\n"
    words = ["demo", script, "--out", "out", "--overwrite"]
    for end, code in ((fail_on_data, 2), ("    raise KeyboardInterrupt\n", 130), (kill, -9)):
        script.write_text(text.replace("    demo.path", f"{end}    demo.path"))
        assert run(*words, cwd=tmp_path).returncode == code
        if code != -9:
            assert folder_content() == earlier
    script.write_text(text.replace("    demo.path", f"{fail_on_data}    demo.path"))
    assert run(*words, cwd=tmp_path).returncode == 2
    assert folder_content() == earlier  # from the backup of the killed run
    script.write_text(text)
    succeeds(*words, cwd=tmp_path)
    assert set(folder_content()) == set(earlier)


def test_invalid_data_leaves_no_files(script: Path, tmp_path: Path) -> None:
    script.write_text(SCRIPT[: SCRIPT.index("def main")] + BAD_DATA)
    for _ in range(2):
        fails("demo", script, "--out", "out", cwd=tmp_path, phrases=["bad data"])


BAD_DATA = """
def main(demo):
    from tinygrad_rnn.errors import InputError
    raise InputError("bad data")
"""


def test_other_files_are_not_overwritten(script: Path, tmp_path: Path) -> None:
    """Runs of `tinygrad-rnn train`, whose files have the same names, and the user's data."""
    run_folder, words = tmp_path / "run", ["--overwrite", "--out"]
    run_folder.mkdir()
    (run_folder / "config.json").write_text('{"format": "another"}')
    fails("demo", script, *words, "run", cwd=tmp_path, phrases=["was not written by a demo"])
    assert [*run_folder.iterdir()] == [run_folder / "config.json"]
    for data, out in (("run", "run"), ("run", "run/in"), ("run/config.json", "run")):
        phrases = ["must not contain each other"]
        fails("demo", script, "--data", data, *words, out, cwd=tmp_path, phrases=phrases)
    assert [*run_folder.iterdir()] == [run_folder / "config.json"]


def test_a_folder_is_locked_during_a_run(script: Path, tmp_path: Path) -> None:
    succeeds("demo", script, "--out", "out", cwd=tmp_path)
    with lock_folder(tmp_path / "out"):
        words = ["demo", script, "--out", "out", "--overwrite"]
        fails(*words, cwd=tmp_path, phrases=["another process"])
    assert len(rows_in(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        (["demo"], ["expected one of NAME, --list and --all"]),
        (["demo", "elmann"], ["unknown demo 'elmann'; did you mean elman?"]),
        (["demo", "elman", "--all"], ["expected one of NAME, --list and --all"]),
        (["demo", "elman", "--seed", "x"], ["--seed x: expected an integer"]),
        (["demo", "elman", "--jobs", "2"], ["need --all"]),
        (["demo", "elman", "--report", "x.md"], ["need --all"]),
        (["demo", "elman", "--device", "gpu"], ["--device gpu: expected cpu, cuda or cuda:N"]),
        (["demo", "elman", "--data", "x", "--out", "y"], ["elman does not accept --data"]),
        (
            ["demo", "falling.py", "--data", "x", "--out", "y"],
            ["--data x: file or folder"],
        ),
        (["demo", "falling.py", "--data", "falling.py"], ["--data needs --out RUN"]),
        (["demo", "none.py"], ["none.py: file not found"]),
        (["demo", "plain.py"], ["plain.py is not a demo"]),
        (["demo", "broken.py"], ["broken.py", "line 1"]),
        (["demo", "half.py"], ["half.py is not a demo"]),
        (["demo", "computed.py"], ["computed.py: CLAIM and DATA must be string literals"]),
        (["demo", "falling.py", "--device", "cuda:99"], ["--device cuda:99"]),
        (["predict", "silent", "x"], ["silent: the demo elman does not define predict"]),
        (["demo", "falling.py", "--out", "plain.py"], ["plain.py is not a folder"]),
        (["demo", "--all", "--data", "x"], ["--data needs the NAME of one demo"]),
        (["predict", "nowhere", "x"], ["nowhere does not contain a trained model"]),
        (["predict", "language", "x"], ["tinygrad-rnn sample language", "tinygrad-rnn eval"]),
        (["predict", "strange", "x"], ["the unknown demo 'strange'"]),
        (["predict", "damaged", "x"], ["config.json is damaged"]),
        (["predict", "language"], ["INPUT"]),
    ],
)
def test_errors_are_one_line(
    script: Path, tmp_path: Path, words: list[str], phrases: list[str]
) -> None:
    (tmp_path / "plain.py").write_text("print('not a demo')\n")
    (tmp_path / "broken.py").write_text("CLAIM = (\n")
    (tmp_path / "half.py").write_text("CLAIM = 'x'\n")
    (tmp_path / "computed.py").write_text("CLAIM = str(1)\ndef main(demo): pass\n")
    for name, content in {
        "language": '{"format": "another"}',
        "strange": '{"demo": "strange", "config": {}}',
        "silent": '{"demo": "elman", "config": {}}',
        "damaged": "{",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(content)
    fails(*words, cwd=tmp_path, phrases=phrases)


def test_all_demos_run_in_processes_and_are_reported(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    """Three demos: one with targets in percent, one that fails a target, one that crashes."""
    texts = {
        "percent": SCRIPT.replace("demo.choose(0.9, 0.6)", "0.9 + 0.01 * demo.seed"),
        "below": SCRIPT.replace('"%"', '""').replace("BOUND", "-1"),
        "crashing": SCRIPT.replace("def main(demo):", "def main(demo):\n    raise KeyError('oh')"),
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text.replace("BOUND", "1"))
    scripts = {name: read_script(tmp_path / f"{name}.py") for name in texts}
    for module in (command, report):
        monkeypatch.setattr(module, "find_scripts", lambda: scripts)
    page, out = tmp_path / "pages" / "RESULTS.md", tmp_path / "out"
    words = ["demo", "--all", "--seeds", "3", "--out", str(out), "--report", str(page)]
    assert cli.main(words) == 1
    printed = capsys.readouterr().out
    assert "percent-seed2      2 of 2 pass" in printed
    assert "fail: error" in printed
    assert "KeyError: 'oh'" in printed
    text = page.read_text()
    assert "| fraction | 91.0% (90.0% to 92.0%) | at least 80.0% | pass |" in text
    assert "| at most -1 | fail |" in text
    assert "| P(a \\| b) | 3 bits |  |  |" in text
    assert "Seeds 0, 1, 2; " in text
    assert "![a line](figures/percent-line.png)" in text
    assert (page.parent / "figures" / "percent-line.png").is_file()
    assert "crashing" not in text


def test_list_shows_names_and_titles(tmp_path: Path) -> None:
    printed = succeeds("demo", "--list", cwd=tmp_path)
    for name, script in find_scripts().items():
        assert f"{name} " in printed
        assert script.title in printed
