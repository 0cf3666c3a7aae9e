"""Runs that are stopped, killed or extended give bit-identical results after a resume."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import COMMAND, ENVIRONMENT, PATIENCE, SMALL, TEXT, run, succeeds
from safetensors.numpy import load_file

from tinygrad_rnn.training.serialization import load_tree

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(sys.platform == "win32", reason="signals work differently"),
]

# Two layers with dropout, so that results depend on the carried state and the random state.
MODEL = [*SMALL, "--layers", "2", "--dropout", "0.2", "--seed", "7"]


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    words = TEXT.split()
    random.Random(1).shuffle(words)
    (tmp_path / "text.txt").write_text(" ".join(words))
    return tmp_path


def assert_same_run(run: Path, reference: Path) -> None:
    """Assert that weights, moments, states and records are identical, except for times."""
    for name in ("model.safetensors", "last.safetensors"):
        assert_same_tensors(run, reference, name)
    assert metrics(run) == metrics(reference)


def assert_same_tensors(run: Path, reference: Path, name: str) -> None:
    actual, expected = load_file(run / name), load_file(reference / name)
    assert actual.keys() == expected.keys()
    for key in actual:
        np.testing.assert_array_equal(actual[key], expected[key], key)


def metrics(folder: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
    for record in records:
        assert record.pop("seconds") >= 0
    return records


def start(*argv: Any, cwd: Path) -> subprocess.Popen[str]:
    """Start `tinygrad-rnn train`, and return its process when training has begun."""
    process = subprocess.Popen(
        [*COMMAND, "train", *map(str, argv)],
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    while process.stdout.readline().strip():  # the header ends with an empty line
        pass
    return process


def test_equal_seeds_give_identical_runs(work_dir: Path) -> None:
    for out in ("one", "two"):
        succeeds("train", "text.txt", *MODEL, "--max-steps", 100, "--out", out, cwd=work_dir)
    assert_same_run(work_dir / "one", work_dir / "two")
    assert (work_dir / "one/sample.txt").read_bytes() == (work_dir / "two/sample.txt").read_bytes()
    argv = ["train", "text.txt", *MODEL[:-1], 8, "--max-steps", 100, "--out", "three"]
    succeeds(*argv, cwd=work_dir)
    assert metrics(work_dir / "three") != metrics(work_dir / "one")


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.thorough)])
def test_runs_killed_at_random_times(work_dir: Path, kills: int) -> None:
    """The result is identical to a run without interruptions."""
    (work_dir / "text.txt").write_text(TEXT[:1440])  # short epochs, so that each session evaluates
    argv = ["text.txt", *MODEL, "--max-steps", 250 * kills, "--epochs", 999, "--out"]
    succeeds("train", *argv, "undisturbed", cwd=work_dir)
    records = metrics(work_dir / "undisturbed")
    evaluations = sum(record["event"] == "evaluation" for record in records)
    folder = work_dir / "killed"
    for _ in range(kills):
        resume = ["--resume"] if folder.exists() else []
        process = start(*argv, "killed", *resume, cwd=work_dir)
        assert process.stdout is not None
        for _ in range(random.randrange(evaluations * 2 // (5 * kills))):  # long before the end
            process.stdout.readline()
        time.sleep(random.uniform(0, 0.01))  # between two evaluations
        process.kill()
        assert process.wait() == -signal.SIGKILL
    succeeds("train", "--resume", "--out", "killed", cwd=work_dir)
    assert_same_run(work_dir / "undisturbed", folder)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_runs_stopped_by_a_signal(work_dir: Path, number: signal.Signals, code: int) -> None:
    """The current update is completed and saved, and the output command resumes the run."""
    argv = ["text.txt", *MODEL, "--epochs", 9999, "--out"]
    step = stop(start(*argv, "stopped", cwd=work_dir), number, code)
    assert metrics(work_dir / "stopped")[-1]["step"] == step > 0
    succeeds("train", *argv, "undisturbed", "--max-steps", step, cwd=work_dir)
    assert_same_tensors(work_dir / "undisturbed", work_dir / "stopped", "last.safetensors")
    assert stop(start("--resume", "--out", "stopped", cwd=work_dir), number, code) > step


def stop(process: subprocess.Popen[str], number: signal.Signals, code: int) -> int:
    """Send a signal to training, and return the step at which it stopped."""
    assert process.stdout is not None
    while not re.match(r"epoch \d+, step [1-9]", process.stdout.readline()):  # training has begun
        assert process.poll() is None
    process.send_signal(number)
    output, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, error) == (code, "")
    *_, stopped, command = output.splitlines()
    assert command.endswith(" train --resume --out stopped")
    assert "saved" in stopped
    return int(stopped.split("at step ")[1].split(" ")[0].replace(",", ""))


def test_extending_a_run_equals_a_run_with_a_higher_limit(work_dir: Path) -> None:
    """The runs end at epochs. The text is given again, or was deleted."""
    argv = ["train", "text.txt", *MODEL, "--out"]
    succeeds(*argv, "long", "--epochs", 3, cwd=work_dir)
    succeeds(*argv, "short", "--epochs", 1, cwd=work_dir)
    succeeds(*argv, "short", "--resume", "--epochs", 2, cwd=work_dir)
    (work_dir / "text.txt").unlink()
    succeeds("train", "--resume", "--out", "short", "--epochs", 3, cwd=work_dir)
    assert_same_run(work_dir / "long", work_dir / "short")
    config = json.loads((work_dir / "short/config.json").read_text())
    assert config["options"]["epochs"] == 3


def test_stopping_within_an_epoch_adds_an_evaluation(work_dir: Path) -> None:
    """The weights equal the weights of a run without interruption."""
    argv = ["train", "text.txt", *MODEL, "--out"]
    succeeds(*argv, "long", "--max-steps", 150, cwd=work_dir)
    succeeds(*argv, "short", "--max-steps", 70, cwd=work_dir)
    succeeds("train", "--resume", "--out", "short", "--max-steps", 150, cwd=work_dir)
    long, short = metrics(work_dir / "long"), metrics(work_dir / "short")
    assert [record for record in short if record not in long] == [
        next(r for r in short if r["event"] == "evaluation" and r["step"] == 70)
    ]
    assert_same_tensors(work_dir / "long", work_dir / "short", "last.safetensors")


def test_training_time_includes_earlier_sessions(work_dir: Path) -> None:
    argv = ["train", "text.txt", *MODEL, "--epochs", 9999, "--out", "timed"]
    succeeds(*argv, "--max-seconds", 0.5, cwd=work_dir)
    first = json.loads((work_dir / "timed/metrics.jsonl").read_text().splitlines()[-1])["seconds"]
    limit = first + 1
    succeeds("train", "--resume", "--out", "timed", "--max-seconds", limit, cwd=work_dir)
    records = [json.loads(line) for line in (work_dir / "timed/metrics.jsonl").open()]
    seconds = [record["seconds"] for record in records]
    assert seconds == sorted(seconds)
    *start_seconds, _ = (record["seconds"] for record in records if record["event"] == "update")
    assert max(start_seconds) <= limit  # every update starts before the limit; times are rounded
    assert load_tree(work_dir / "timed/last.safetensors")["seconds"] >= limit
    process = run("train", "--resume", "--out", "timed", cwd=work_dir)
    assert f"complete: it has reached --max-seconds {limit:g}" in process.stdout


def test_a_run_killed_before_its_first_checkpoint_restarts(work_dir: Path) -> None:
    argv = ["train", "text.txt", *SMALL, "--max-steps", 3, "--out"]
    succeeds(*argv, "undisturbed", cwd=work_dir)
    succeeds(*argv, "killed", cwd=work_dir)
    for name in os.listdir(work_dir / "killed"):
        if name not in ("config.json", "corpus.txt"):
            (work_dir / "killed" / name).unlink()
    (work_dir / "killed/.last.safetensors.1234.partial").write_bytes(b"half a file")
    succeeds("train", "--resume", "--out", "killed", cwd=work_dir)
    assert_same_run(work_dir / "undisturbed", work_dir / "killed")
    assert not list((work_dir / "killed").glob(".*"))


def test_records_after_the_checkpoint_are_deleted(work_dir: Path) -> None:
    """Records after the last checkpoint, including incomplete lines, do not appear twice."""
    argv = ["train", "text.txt", *SMALL, "--out", "killed"]
    succeeds(*argv, "--max-steps", 5, cwd=work_dir)
    with (work_dir / "killed/metrics.jsonl").open("a") as file:
        file.write('{"event": "update", "step": 6, "seconds": 1.0}\n{"event": "upd')
    succeeds(*argv, "--resume", "--max-steps", 9, cwd=work_dir)
    steps = [r["step"] for r in metrics(work_dir / "killed") if r["event"] == "update"]
    assert steps == list(range(1, 10))


def test_changed_versions_are_reported(work_dir: Path) -> None:
    """The run continues, but its results may differ slightly."""
    succeeds("train", "text.txt", *SMALL, "--max-steps", 1, "--out", "old", cwd=work_dir)
    config = json.loads((work_dir / "old/config.json").read_text())
    config["versions"]["numpy"] = "1.26"
    (work_dir / "old/config.json").write_text(json.dumps(config))
    output = succeeds("train", "--resume", "--out", "old", "--max-steps", 2, cwd=work_dir)
    assert f"started with numpy 1.26 (now {np.__version__})" in output
