"""The benchmarks run and report consistent results. The tests do not check speed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import ENVIRONMENT, PATIENCE, ROOT

pytestmark = pytest.mark.host

BENCHMARKS = ROOT / "benchmarks"
QUICK = ["--repeats", "1", "--seconds", "0", "--threads", "1"]


def run(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([ENVIRONMENT["PYTHONPATH"], str(BENCHMARKS)])
    return subprocess.run(
        [sys.executable, str(script), *QUICK, *words],
        env=ENVIRONMENT | {"PYTHONPATH": path},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
    )


def test_train_step_reports_all_competitors_and_ratios(tmp_path: Path) -> None:
    """A row has the results of the competitors that support its case, and derived columns."""
    file = tmp_path / "results.json"
    words = "--cells", "lstm,peephole", "--sizes", "0", "--json", str(file)
    done = run(BENCHMARKS / "train_step.py", *words)
    assert done.returncode == 0, done
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert [(row["cell"], row["H"]) for row in rows] == [("LSTM", 32), ("peephole", 32)]
    for row in rows:
        is_lstm = row["cell"] == "LSTM"
        assert ("custom cell" in row) == ("custom cell/tinygrad-rnn" in row) == is_lstm
        assert row["eager/tinygrad-rnn"] == row["eager"] / row["tinygrad-rnn"]
        assert row["% matmul"] > 0
        assert row["gradient difference"] <= 1e-4


def test_an_unknown_filter_value_is_an_error_that_lists_the_known_ones() -> None:
    done = run(BENCHMARKS / "train_step.py", "--cells", "lstm,gnu")
    assert done.returncode == 2
    assert "--cells gnu: choose from lstm,gru,elman,peephole" in done.stderr


SCRIPT = """
from itertools import count
from typing import NamedTuple
import harness, numpy as np

class Case(NamedTuple):
    n: int

repeats = count(1)

def measure(name, case):
    print("output of a library")
    return np.array([next(repeats)]), {{"w": np.ones(2) * float({gradients}[name])}}

harness.run(
    "Title",
    "Unit",
    [Case(1), Case(22)],
    ["first", "second"],
    measure,
    fresh_process={fresh_process},
)
"""


def last_line(folder: Path, *words: str, second: str = "1", fresh_process: bool = False) -> str:
    """Return the last line that a benchmark prints; `second` is the second one's gradient."""
    script = folder / "benchmark.py"
    gradients = {"first": "1", "second": second}
    script.write_text(SCRIPT.format(gradients=gradients, fresh_process=fresh_process))
    done = run(script, *words)
    return (done.stdout if done.returncode == 0 else done.stderr).splitlines()[-1]


def test_different_gradients_stop_the_benchmark(tmp_path: Path) -> None:
    assert last_line(tmp_path).split() == ["22", "1.00", "1.00", "0.0e+00"]
    assert last_line(tmp_path, second="1.1") == "gradients differ by 1.0e-01: first, second"
    assert last_line(tmp_path, second="nan") == "gradients differ by nan: first, second"


def test_one_process_measures_all_repeats_or_one(tmp_path: Path) -> None:
    """The result counts the calls in its process: the median of 1 and 2, or of 1 and 1."""
    assert last_line(tmp_path, "--repeats", "2").split()[1] == "1.50"
    assert last_line(tmp_path, "--repeats", "2", fresh_process=True).split()[1] == "1.00"


def test_language_model_step_reports_a_time(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    words = "--models", "small", "--json", str(file)
    done = run(BENCHMARKS / "language_model_step.py", *words)
    assert done.returncode == 0, done
    (row,) = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert (row["model"], row["vocabulary"]) == ("small", 10_000)
    assert row["tinygrad-rnn"] > 0


def test_call_overhead_reports_multiples_of_tanh(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    words = "--cells", "elman,own-step", "--json", str(file)
    done = run(BENCHMARKS / "call_overhead.py", *words)
    assert done.returncode == 0, done
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert [row["cell"] for row in rows] == ["Elman", "own step"]
    for row in rows:
        assert row["tinygrad-rnn/np.tanh"] == row["tinygrad-rnn"] / row["np.tanh"]
        assert row["target"] > 0
        assert row["gradient difference"] <= 1e-4
