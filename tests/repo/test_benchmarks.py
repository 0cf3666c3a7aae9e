"""The benchmarks run; what they measure is for longer runs on a quiet machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import ENVIRONMENT, PATIENCE, ROOT

pytestmark = pytest.mark.host

BENCHMARKS = ROOT / "benchmarks"
QUICK = ["--turns", "1", "--seconds", "0", "--threads", "1"]


def run(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([ENVIRONMENT["PYTHONPATH"], str(BENCHMARKS)])
    return subprocess.run(
        [sys.executable, str(script), *QUICK, *words],
        env=ENVIRONMENT | {"PYTHONPATH": path},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
    )


def test_a_training_step_is_compared_in_every_way(tmp_path: Path) -> None:
    """A row has the figures of those that entered, and what follows from them."""
    file = tmp_path / "figures.json"
    words = "--cells", "lstm,peephole", "--sizes", "0", "--json", str(file)
    done = run(BENCHMARKS / "train_step.py", *words)
    assert done.returncode == 0, done
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert [(row["cell"], row["H"]) for row in rows] == [("LSTM", 32), ("peephole", 32)]
    for row in rows:
        assert ("own cell" in row) == ("own cell/ours" in row) == (row["cell"] == "LSTM")
        assert row["recorded/ours"] == row["recorded"] / row["ours"]
        assert row["% products"] > 0
        assert row["gradients differ by"] <= 1e-4


def test_an_unknown_choice_is_refused_with_the_known_ones() -> None:
    done = run(BENCHMARKS / "train_step.py", "--cells", "lstm,gnu")
    assert done.returncode == 2
    assert "--cells gnu: choose from lstm,gru,elman,peephole" in done.stderr


CONTEST = """
from itertools import count
from typing import NamedTuple
import contest, numpy as np

class Case(NamedTuple):
    n: int

turns = count(1)

def measure(name, case):
    print("whatever a library prints")
    return np.array([next(turns)]), {{"w": np.ones(2) * float({gradients}[name])}}

contest.run("Title", "Unit", [Case(1), Case(22)], ["ours", "other"], measure, afresh={afresh})
"""


def contest(folder: Path, *words: str, other: str = "1", afresh: bool = False) -> str:
    """The last line that a contest of two prints; `other` is the other's gradient."""
    script = folder / "contest_of_two.py"
    script.write_text(CONTEST.format(gradients={"ours": "1", "other": other}, afresh=afresh))
    done = run(script, *words)
    return (done.stdout if done.returncode == 0 else done.stderr).splitlines()[-1]


def test_contenders_whose_gradients_disagree_have_no_figures(tmp_path: Path) -> None:
    assert contest(tmp_path).split() == ["22", "1.00", "1.00", "0.0e+00"]
    assert contest(tmp_path, other="1.1") == "gradients differ by 1.0e-01: ours, other"
    assert contest(tmp_path, other="nan") == "gradients differ by nan: ours, other"


def test_a_process_measures_all_turns_or_one(tmp_path: Path) -> None:
    """A figure counts the turns of its process: the median of 1 and 2, or of 1 and 1."""
    assert contest(tmp_path, "--turns", "2").split()[1] == "1.50"
    assert contest(tmp_path, "--turns", "2", afresh=True).split()[1] == "1.00"


def test_a_step_of_a_language_model_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    words = "--models", "small", "--json", str(file)
    done = run(BENCHMARKS / "language_model_step.py", *words)
    assert done.returncode == 0, done
    (row,) = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert (row["model"], row["vocabulary"]) == ("small", 10_000)
    assert row["ours"] > 0
