"""The Makefile and `.ci/run`, in a temporary folder, with a fake Python."""

import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from command import ENVIRONMENT, ROOT, SMALL, TEXT

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(shutil.which("make") is None, reason="needs make"),
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder with the Makefile, an installation whose Python does nothing, and a run."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "runs" / "lstm-1").mkdir(parents=True)
    script(tmp_path / ".venv" / "bin" / "python", "true")
    for name in ("python", "train", "test", "dev"):
        (tmp_path / ".venv" / f"{name}.stamp").touch()
    return tmp_path


def script(path: Path, command: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)


def test_the_resume_command_of_make_train_works_as_typed(checkout: Path) -> None:
    """After `make train` the program is not on the search path."""
    python = f'PYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} "$@"'
    script(checkout / ".venv" / "bin" / "python", python)
    (checkout / "text.txt").write_text(TEXT)
    options = "text.txt --out runs/new --max-steps 2 " + " ".join(SMALL)
    printed = subprocess.check_output(
        ["make", "train", f"ARGS={options}"], cwd=checkout, env=ENVIRONMENT, encoding="utf-8"
    )
    (command,) = [line for line in printed.splitlines() if "train --resume" in line]
    assert "step 4" in subprocess.check_output(
        command, shell=True, cwd=checkout, env=ENVIRONMENT, encoding="utf-8"
    )


def test_cleaning_keeps_the_runs(checkout: Path) -> None:
    subprocess.run(["make", "clean"], cwd=checkout, check=True, capture_output=True)
    assert sorted(path.name for path in checkout.iterdir()) == [
        "Makefile",
        "pyproject.toml",
        "runs",
    ]
    assert (checkout / "runs" / "lstm-1").is_dir()


@pytest.mark.parametrize(("lowest", "status"), [(["lowest"], 0), ([], 1)])
def test_all_checks_start_from_nothing(tmp_path: Path, lowest: list[str], status: int) -> None:
    """The lowest versions are tested if their wheels exist for this Python."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    script(tmp_path / "bin" / "make", 'echo "$*" >> made; echo 1 passed')
    script(tmp_path / ".venv" / "bin" / "python", f'[ "$1" != -c ] || exit {status}')
    environment = ENVIRONMENT | {"PATH": f"{tmp_path / 'bin'}:{ENVIRONMENT['PATH']}"}
    subprocess.run([".ci/run"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert (tmp_path / "made").read_text().splitlines() == [
        "clean",
        ".venv/test.stamp",
        "test",
        "test-thorough ARGS=-m thorough",
        *lowest,
        "demos",
        "lint",
        "docs",
    ]


def test_the_lowest_versions_are_those_of_pyproject(checkout: Path) -> None:
    """Every dependency has a bound, which becomes a constraint for pip."""
    shutil.copy(ROOT / "pyproject.toml", checkout)
    script(
        checkout / ".venv" / "bin" / "python", 'mkdir -p "$4/bin" && cp "$0.pip" "$4/bin/python"'
    )
    script(checkout / ".venv" / "bin" / "python.pip", "true")
    subprocess.run(["make", ".venv/lowest.stamp"], cwd=checkout, check=True, capture_output=True)
    bounds = (checkout / ".venv" / "lowest" / "bounds.txt").read_text().split()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    needed += project["optional-dependencies"]["examples"]
    packages = [word for word in needed if not word.startswith("tinygrad-rnn")]
    assert len(packages) > 10
    assert {word.replace(">=", "==") for word in packages} <= set(bounds)
