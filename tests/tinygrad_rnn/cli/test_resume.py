"""A run that is stopped, killed or prolonged ends as if nothing had happened, to the last bit."""

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

# Two layers with dropout: the carried state and the random streams matter.
MODEL = [*SMALL, "--layers", "2", "--dropout", "0.2", "--seed", "7"]


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    words = TEXT.split()
    random.Random(1).shuffle(words)
    (tmp_path / "text.txt").write_text(" ".join(words))
    return tmp_path


def assert_same_run(one: Path, other: Path) -> None:
    """Bit-identical weights, moments and state; the same records but for their times."""
    for name in ("model.safetensors", "last.safetensors"):
        assert_same_tensors(one, other, name)
    assert metrics(one) == metrics(other)


def assert_same_tensors(one: Path, other: Path, name: str) -> None:
    ours, theirs = load_file(one / name), load_file(other / name)
    assert ours.keys() == theirs.keys()
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key], key)


def metrics(folder: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
    for record in records:
        assert record.pop("seconds") >= 0
    return records


def start(*words: Any, cwd: Path) -> subprocess.Popen[str]:
    """`tinygrad-rnn train words...`, which has begun to train when this returns."""
    process = subprocess.Popen(
        [*COMMAND, "train", *map(str, words)],
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    while process.stdout.readline().strip():  # the introduction ends with an empty line
        pass
    return process


def test_one_seed_gives_one_run(workshop: Path) -> None:
    for out in ("one", "two"):
        succeeds("train", "text.txt", *MODEL, "--max-steps", 100, "--out", out, cwd=workshop)
    assert_same_run(workshop / "one", workshop / "two")
    assert (workshop / "one/sample.txt").read_bytes() == (workshop / "two/sample.txt").read_bytes()
    words = ["train", "text.txt", *MODEL[:-1], 8, "--max-steps", 100, "--out", "three"]
    succeeds(*words, cwd=workshop)
    assert metrics(workshop / "three") != metrics(workshop / "one")


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.thorough)])
def test_killed_at_random_moments(workshop: Path, kills: int) -> None:
    """The result equals the result of an undisturbed run."""
    (workshop / "text.txt").write_text(TEXT[:1440])  # so that a session sees evaluations too
    words = ["text.txt", *MODEL, "--max-steps", 250 * kills, "--epochs", 999, "--out"]
    succeeds("train", *words, "undisturbed", cwd=workshop)
    records = metrics(workshop / "undisturbed")
    evaluations = sum(record["event"] == "evaluation" for record in records)
    folder = workshop / "killed"
    for _ in range(kills):
        resume = ["--resume"] if folder.exists() else []
        process = start(*words, "killed", *resume, cwd=workshop)
        assert process.stdout is not None
        for _ in range(random.randrange(evaluations * 2 // (5 * kills))):  # far from the end
            process.stdout.readline()
        time.sleep(random.uniform(0, 0.01))  # anywhere between two evaluations
        process.kill()
        assert process.wait() == -signal.SIGKILL
    succeeds("train", "--resume", "--out", "killed", cwd=workshop)
    assert_same_run(workshop / "undisturbed", folder)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_by_a_signal(workshop: Path, number: signal.Signals, code: int) -> None:
    """The update under way is finished and saved; the command that is printed goes on."""
    words = ["text.txt", *MODEL, "--epochs", 9999, "--out"]
    step = stop(start(*words, "stopped", cwd=workshop), number, code)
    assert metrics(workshop / "stopped")[-1]["step"] == step > 0
    succeeds("train", *words, "undisturbed", "--max-steps", step, cwd=workshop)
    assert_same_tensors(workshop / "undisturbed", workshop / "stopped", "last.safetensors")
    assert stop(start("--resume", "--out", "stopped", cwd=workshop), number, code) > step


def stop(process: subprocess.Popen[str], number: signal.Signals, code: int) -> int:
    """Send a signal to training and return the step at which it says that it stopped."""
    assert process.stdout is not None
    while not re.match(r"epoch \d+, step [1-9]", process.stdout.readline()):  # under way
        assert process.poll() is None
    process.send_signal(number)
    printed, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, error) == (code, "")
    *_, stopped, command = printed.splitlines()
    assert command.endswith(" train --resume --out stopped")
    assert "saved" in stopped
    return int(stopped.split("at step ")[1].split(";")[0].replace(",", ""))


def test_prolonging_is_as_if_the_limit_had_been_larger(workshop: Path) -> None:
    """Over the border of an epoch, with the text named again or the original gone."""
    words = ["train", "text.txt", *MODEL, "--out"]
    succeeds(*words, "long", "--epochs", 3, cwd=workshop)
    succeeds(*words, "short", "--epochs", 1, cwd=workshop)
    succeeds(*words, "short", "--resume", "--epochs", 2, cwd=workshop)
    (workshop / "text.txt").unlink()
    succeeds("train", "--resume", "--out", "short", "--epochs", 3, cwd=workshop)
    assert_same_run(workshop / "long", workshop / "short")
    config = json.loads((workshop / "short/config.json").read_text())
    assert config["options"]["epochs"] == 3


def test_stopping_within_an_epoch_evaluates_once_more(workshop: Path) -> None:
    """So the weights are those of the undisturbed run; the records have one evaluation more."""
    words = ["train", "text.txt", *MODEL, "--out"]
    succeeds(*words, "long", "--max-steps", 150, cwd=workshop)
    succeeds(*words, "short", "--max-steps", 70, cwd=workshop)
    succeeds("train", "--resume", "--out", "short", "--max-steps", 150, cwd=workshop)
    long, short = metrics(workshop / "long"), metrics(workshop / "short")
    assert [record for record in short if record not in long] == [
        next(r for r in short if r["event"] == "evaluation" and r["step"] == 70)
    ]
    assert_same_tensors(workshop / "long", workshop / "short", "last.safetensors")


def test_seconds_count_over_all_sessions(workshop: Path) -> None:
    words = ["train", "text.txt", *MODEL, "--epochs", 9999, "--out", "timed"]
    succeeds(*words, "--max-seconds", 0.5, cwd=workshop)
    first = json.loads((workshop / "timed/metrics.jsonl").read_text().splitlines()[-1])["seconds"]
    limit = first + 1
    succeeds("train", "--resume", "--out", "timed", "--max-seconds", limit, cwd=workshop)
    records = [json.loads(line) for line in (workshop / "timed/metrics.jsonl").open()]
    seconds = [record["seconds"] for record in records]
    assert seconds == sorted(seconds)
    *before, _ = (record["seconds"] for record in records if record["event"] == "update")
    assert max(before) <= limit  # an update begins before the limit; records are rounded
    assert load_tree(workshop / "timed/last.safetensors")["seconds"] >= limit
    done = run("train", "--resume", "--out", "timed", cwd=workshop)
    assert f"finished: it reached --max-seconds {limit:g}" in done.stdout


def test_a_run_killed_before_its_first_checkpoint_starts_over(workshop: Path) -> None:
    words = ["train", "text.txt", *SMALL, "--max-steps", 3, "--out"]
    succeeds(*words, "undisturbed", cwd=workshop)
    succeeds(*words, "killed", cwd=workshop)
    for name in os.listdir(workshop / "killed"):
        if name not in ("config.json", "corpus.txt"):
            (workshop / "killed" / name).unlink()
    (workshop / "killed/.last.safetensors.1234.partial").write_bytes(b"half a file")
    succeeds("train", "--resume", "--out", "killed", cwd=workshop)
    assert_same_run(workshop / "undisturbed", workshop / "killed")
    assert not list((workshop / "killed").glob(".*"))


def test_records_after_the_checkpoint_are_cut_back(workshop: Path) -> None:
    """Records, even half a line, that were written after the last checkpoint appear once."""
    words = ["train", "text.txt", *SMALL, "--out", "killed"]
    succeeds(*words, "--max-steps", 5, cwd=workshop)
    with (workshop / "killed/metrics.jsonl").open("a") as file:
        file.write('{"event": "update", "step": 6, "seconds": 1.0}\n{"event": "upd')
    succeeds(*words, "--resume", "--max-steps", 9, cwd=workshop)
    steps = [r["step"] for r in metrics(workshop / "killed") if r["event"] == "update"]
    assert steps == list(range(1, 10))


def test_other_versions_are_pointed_out(workshop: Path) -> None:
    """They may change last digits: the run goes on, but says so."""
    succeeds("train", "text.txt", *SMALL, "--max-steps", 1, "--out", "old", cwd=workshop)
    config = json.loads((workshop / "old/config.json").read_text())
    config["versions"]["numpy"] = "1.26"
    (workshop / "old/config.json").write_text(json.dumps(config))
    printed = succeeds("train", "--resume", "--out", "old", "--max-steps", 2, cwd=workshop)
    assert f"began with numpy 1.26 (now {np.__version__})" in printed
