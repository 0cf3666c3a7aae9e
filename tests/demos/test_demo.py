"""Demonstrations: what the command makes of a script, and that those of examples/ can fail."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import fails, run, succeeds
from helpers import instead

import autograd as ag
from autograd.ops import matmul
from tinygrad_rnn import cli, nn
from tinygrad_rnn.cli import demo as command
from tinygrad_rnn.demos import report, runner
from tinygrad_rnn.demos.runner import Demo, Measurement
from tinygrad_rnn.demos.saved_model import SavedModel
from tinygrad_rnn.demos.scripts import find_scripts, read_script
from tinygrad_rnn.training.files import lock_folder

pytestmark = [pytest.mark.host, pytest.mark.demo]

SCRIPT = '''"""Weights fall.

What one sees, and from whom it is.
"""
from tinygrad_rnn import nn
from tinygrad_rnn.plotting import subplots

CLAIM = "Everything falls."
DATA = "text files"

def main(demo):
    demo.record("share", demo.choose(0.9, 0.6), "%", at_least=0.8, quick=0.5)
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
    """A demonstration that reaches everything."""
    path = tmp_path / "falling.py"
    path.write_text(SCRIPT.replace("BOUND", "1"))
    return path


def test_a_demonstration_measures_draws_and_keeps(script: Path, tmp_path: Path) -> None:
    printed = succeeds("demo", script, "--out", "out", cwd=tmp_path)
    assert "Weights fall." in printed
    assert "Claim: Everything falls." in printed
    rows = [line.split() for line in printed.splitlines()]
    assert ["share", "90.0%", "at", "least", "80.0%", "pass"] in rows
    assert ["P(a", "|", "b)", "3", "bits"] in rows
    assert f"{Path('out', 'line.png')}: a line" in printed
    assert (tmp_path / "out" / "line.png").read_bytes().startswith(b"\x89PNG")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["files"] == {"line.png": "a line", "note.txt": "a note"}
    assert [row["at_least"] for row in results["rows"]] == [0.8, None, None]
    assert (results["seed"], results["quick"]) == (0, False)


def test_a_figure_that_is_missed_is_an_exit_code_of_1(script: Path, tmp_path: Path) -> None:
    script.write_text(SCRIPT.replace("BOUND", "-1"))
    done = run("demo", script, "--out", "out", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "fail" in done.stdout


def test_a_quick_run_must_reach_what_is_said_for_it(script: Path, tmp_path: Path) -> None:
    succeeds("demo", script, "--out", "out", "--quick", cwd=tmp_path)
    share, error, _ = rows_in(tmp_path / "out")
    assert (share.value, share.at_least, share.passed) == (0.6, 0.5, True)
    assert (error.at_most, error.passed) == (None, None)


def test_the_seed_decides(script: Path, tmp_path: Path) -> None:
    errors = []
    for number, seed in enumerate((1, 1, 2)):
        succeeds("demo", script, "--out", f"out{number}", "--seed", seed, cwd=tmp_path)
        errors.append(rows_in(tmp_path / f"out{number}")[1].value)
    assert errors[0] == errors[1] != errors[2]


def test_nothing_is_wanted_of_ones_own_data(tmp_path: Path) -> None:
    demo = Demo("own", tmp_path, data=tmp_path)
    demo.record("share", 0.1, "%", at_least=0.9, quick=0.5)
    assert demo.rows == [Measurement("share", 0.1, "%")]
    assert demo.passed


@pytest.mark.parametrize(
    ("row", "reached", "shown"),
    [
        (Measurement("a", 0.95, "%", at_least=0.95), True, "95.0%"),
        (Measurement("a", 0.9499, "%", at_least=0.95), False, "95.0%"),
        (Measurement("a", 2e-11, "", at_most=1e-10), True, "2.00e-11"),
        (Measurement("a", 1200.0, "steps", at_most=1000), False, "1,200 steps"),
        (Measurement("a", float("nan"), "", at_most=1000), False, "nan"),
        (Measurement("a", float("inf"), "", at_most=1000), False, "inf"),
        (Measurement("a", 1.5), None, "1.500"),
    ],
)
def test_a_row_says_whether_it_holds(row: Measurement, reached: bool | None, shown: str) -> None:
    assert row.passed is reached
    assert row.formatted == shown


def test_most_learn_alike(tmp_path: Path) -> None:
    demo, model = Demo("own", tmp_path, quick=True), nn.Linear(1, 1)
    model.bias.requires_grad_(False)
    weight, bias = model.weight.item(), model.bias.item()

    def rates(**options: Any) -> list[float]:
        records = demo.train(
            model,
            lambda model, x: ((model(x) - 3) ** 2).mean(),
            lambda rng: ag.tensor(rng.normal(size=(4, 1))),
            *(100, 10),
            rate=0.1,
            progress=False,
            **options,
        )
        assert not model.training
        return [record["lr"] for record in records]

    assert rates() == [0.1] * 10
    falling, cycle = rates(cosine=True), rates(cycle=True)
    assert falling == sorted(falling, reverse=True)
    assert (falling[0], len(falling)) == (0.1, 10)
    assert cycle[0] == pytest.approx(0.1 / 25)
    assert max(cycle) == pytest.approx(0.1)
    assert cycle[-1] < 1e-4
    assert model.bias.item() == bias
    assert model.weight.item() != weight


def test_the_price_of_a_call_is_the_memory_that_it_holds_and_its_fastest_time(
    monkeypatch: Any,
) -> None:
    clock = iter([1.0, 4.0, 5.0, 7.0, 8.0, 11.0])
    monkeypatch.setattr(runner.time, "process_time", lambda: next(clock))
    milliseconds, megabytes = runner.measure_cost(lambda: np.ones(10**6), repeats=3)
    assert milliseconds == 2000
    assert megabytes == pytest.approx(8, abs=0.1)


def test_what_was_learned_is_applied(
    script: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    succeeds("demo", script, "--out", "out", cwd=tmp_path)
    monkeypatch.setattr(command, "find_scripts", lambda: {"falling": read_script(script)})
    assert cli.main(["predict", str(tmp_path / "out"), "a word"]) == 0
    assert capsys.readouterr().out == "a word (1, 2)\n"


def test_results_replace_results_and_nothing_else(script: Path, tmp_path: Path) -> None:
    succeeds("demo", script, "--out", "out", cwd=tmp_path)
    fails("demo", script, "--out", "out", cwd=tmp_path, says=["out is not empty", "--overwrite"])
    (tmp_path / "out" / "mine.txt").write_text("mine")
    succeeds("demo", script, "--out", "out", "--overwrite", cwd=tmp_path)
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    words = ["demo", script, "--out", "other", "--overwrite"]
    fails(*words, cwd=tmp_path, says=["other is not empty and was not written by a demo"])


def test_what_was_interrupted_is_replaced(script: Path, tmp_path: Path) -> None:
    text = script.read_text()
    script.write_text(text.replace("    demo.path", "    raise KeyboardInterrupt\n    demo.path"))
    done = run("demo", script, "--out", "out", cwd=tmp_path)
    assert done.returncode == 130
    assert (tmp_path / "out" / "line.png").is_file()
    assert runner.read_results(tmp_path / "out") is None
    script.write_text(text)
    succeeds("demo", script, "--out", "out", "--overwrite", cwd=tmp_path)
    assert len(rows_in(tmp_path / "out")) == 3


def test_an_earlier_run_comes_back_unless_another_ends(script: Path, tmp_path: Path) -> None:
    """Whatever ends it: data that are no good, Ctrl-C, or kill -9."""
    succeeds("demo", script, "--out", "out", cwd=tmp_path)

    def held() -> dict[str, bytes]:
        files = (p for p in (tmp_path / "out").rglob("*") if p.is_file())
        return {str(p.relative_to(tmp_path / "out")): p.read_bytes() for p in files}

    text, earlier = script.read_text(), held()
    assert {"results.json", "config.json", "model.safetensors", "line.png"} <= set(earlier)
    refuse = "    from tinygrad_rnn.errors import InputError\n    raise InputError('no good')\n"
    kill = "    import os\n    os.kill(os.getpid(), 9)\n"
    words = ["demo", script, "--out", "out", "--overwrite"]
    for end, code in ((refuse, 2), ("    raise KeyboardInterrupt\n", 130), (kill, -9)):
        script.write_text(text.replace("    demo.path", f"{end}    demo.path"))
        assert run(*words, cwd=tmp_path).returncode == code
        if code != -9:
            assert held() == earlier
    script.write_text(text.replace("    demo.path", f"{refuse}    demo.path"))
    assert run(*words, cwd=tmp_path).returncode == 2
    assert held() == earlier  # what was put aside when the last one was killed
    script.write_text(text)
    succeeds(*words, cwd=tmp_path)
    assert set(held()) == set(earlier)


def test_data_that_are_no_good_leave_nothing(script: Path, tmp_path: Path) -> None:
    script.write_text(SCRIPT[: SCRIPT.index("def main")] + NO_GOOD)
    for _ in range(2):
        fails("demo", script, "--out", "out", cwd=tmp_path, says=["no good"])


NO_GOOD = """
def main(demo):
    from tinygrad_rnn.errors import InputError
    raise InputError("no good")
"""


def test_nothing_of_others_is_overwritten(script: Path, tmp_path: Path) -> None:
    """Neither a run of `tinygrad-rnn train`, whose files have the same names, nor one's data."""
    run_folder, words = tmp_path / "run", ["--overwrite", "--out"]
    run_folder.mkdir()
    (run_folder / "config.json").write_text('{"format": "another"}')
    fails("demo", script, *words, "run", cwd=tmp_path, says=["was not written by a demo"])
    assert [*run_folder.iterdir()] == [run_folder / "config.json"]
    for data, out in (("run", "run"), ("run", "run/in"), ("run/config.json", "run")):
        says = ["must not contain each other"]
        fails("demo", script, "--data", data, *words, out, cwd=tmp_path, says=says)
    assert [*run_folder.iterdir()] == [run_folder / "config.json"]


def test_one_run_at_a_time(script: Path, tmp_path: Path) -> None:
    succeeds("demo", script, "--out", "out", cwd=tmp_path)
    with lock_folder(tmp_path / "out"):
        words = ["demo", script, "--out", "out", "--overwrite"]
        fails(*words, cwd=tmp_path, says=["another process"])
    assert len(rows_in(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["demo"], ["expected one of NAME, --list and --all"]),
        (["demo", "elmann"], ["unknown demo 'elmann'; did you mean elman?"]),
        (["demo", "elman", "--all"], ["expected one of NAME, --list and --all"]),
        (["demo", "elman", "--seed", "x"], ["--seed x: expected an integer"]),
        (["demo", "elman", "--jobs", "2"], ["go with --all"]),
        (["demo", "elman", "--report", "x.md"], ["go with --all"]),
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
        (["demo", "made.py"], ["made.py: CLAIM and DATA must be string literals"]),
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
def test_mistakes_are_one_line(
    script: Path, tmp_path: Path, words: list[str], says: list[str]
) -> None:
    (tmp_path / "plain.py").write_text("print('no demonstration')\n")
    (tmp_path / "broken.py").write_text("CLAIM = (\n")
    (tmp_path / "half.py").write_text("CLAIM = 'x'\n")
    (tmp_path / "made.py").write_text("CLAIM = str(1)\ndef main(demo): pass\n")
    for name, content in {
        "language": '{"format": "another"}',
        "strange": '{"demo": "strange", "config": {}}',
        "silent": '{"demo": "elman", "config": {}}',
        "damaged": "{",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(content)
    fails(*words, cwd=tmp_path, says=says)


def test_all_run_apart_and_are_reported(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    """Three: one whose shares want several seeds, one that misses, one that fails."""
    texts = {
        "shares": SCRIPT.replace("demo.choose(0.9, 0.6)", "0.9 + 0.01 * demo.seed"),
        "missing": SCRIPT.replace('"%"', '""').replace("BOUND", "-1"),
        "failing": SCRIPT.replace("def main(demo):", "def main(demo):\n    raise KeyError('oh')"),
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text.replace("BOUND", "1"))
    found = {name: read_script(tmp_path / f"{name}.py") for name in texts}
    for module in (command, report):
        monkeypatch.setattr(module, "find_scripts", lambda: found)
    page, out = tmp_path / "pages" / "RESULTS.md", tmp_path / "out"
    words = ["demo", "--all", "--seeds", "3", "--out", str(out), "--report", str(page)]
    assert cli.main(words) == 1
    printed = capsys.readouterr().out
    assert "shares-seed2       2 of 2 pass" in printed
    assert "fail: error" in printed
    assert "KeyError: 'oh'" in printed
    text = page.read_text()
    assert "| share | 91.0% (90.0% to 92.0%) | at least 80.0% | pass |" in text
    assert "| at most -1 | fail |" in text
    assert "| P(a \\| b) | 3 bits |  |  |" in text
    assert "Seeds 0, 1, 2; " in text
    assert "![a line](figures/shares-line.png)" in text
    assert (page.parent / "figures" / "shares-line.png").is_file()
    assert "failing" not in text


def test_the_list_tells_all(tmp_path: Path) -> None:
    printed = succeeds("demo", "--list", cwd=tmp_path)
    for name, found in find_scripts().items():
        assert f"{name} " in printed
        assert found.title in printed


def missed(name: str, folder: Path) -> list[str]:
    """What a quick run misses."""
    demo = Demo(name, folder, quick=True)
    runner.run(find_scripts()[name], demo)
    return [row.name for row in demo.rows if row.passed is False]


def forgetful(monkeypatch: Any) -> None:
    """A cell through whose state no gradient goes."""
    step = nn.RNNCell.step
    monkeypatch.setattr(nn.RNNCell, "step", lambda self, h, x: step(self, h.detach(), x))


def greedy(monkeypatch: Any) -> None:
    """A layer whose memory grows like the fourth power of the length."""
    forward = nn.Recurrent.forward

    def run(self: Any, input: Any, *rest: Any) -> Any:
        taken = np.ones(len(input) ** 4 // 1000)
        return forward(self, input, *rest)[: len(taken)]

    monkeypatch.setattr(nn.Recurrent, "forward", run)


WRONG = {
    "bptt": (instead(ag.tanh, lambda rule: lambda g, y: 2 * rule(g, y)), "dE/dU"),
    "cost": (greedy, "Elman: R² of memory against T"),
    "shapes": (forgetful, "pairs (x, y) with an unexpected gradient"),
    "vanishing": (
        instead(matmul._linear, lambda rule: lambda *args: 1.01 * rule(*args)),
        "decay rate",
    ),
}
"""What these show needs no training: something wrong, and a row that must notice it."""


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_missed(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    wrong, row = WRONG[name]
    wrong(monkeypatch)
    assert any(row in what for what in missed(name, tmp_path))


@pytest.mark.parametrize("name", sorted(set(find_scripts()) - set(WRONG)))
def test_an_untrained_model_misses(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(Demo, "fit", lambda *args, **options: [])
    assert missed(name, tmp_path)


def test_models_of_demonstrations_are_kept(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    Demo("elman", tmp_path).save(model, hidden=3)
    saved = SavedModel.open(tmp_path)
    assert (saved.demo, saved.config) == ("elman", {"hidden": 3})
    assert (saved.load(nn.Linear(3, 2)).weight == model.weight).numpy().all()
