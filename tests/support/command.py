"""Helpers that run the command in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "tinygrad_rnn"]
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT),
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "COLUMNS": "80",
    "PYTHONUNBUFFERED": "",
}
PATIENCE = 1800
"""Timeout of a process in seconds, for a busy machine."""
TEXT = "the quick brown fox jumps over the lazy dog.\nit was not amused, was it?\n" * 40
SMALL = ["--hidden", "8", "--embed", "4", "--batch", "4", "--seq-len", "8"]


def run(*argv: Any, cwd: Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run `tinygrad-rnn` in the folder `cwd`; `input` is its standard input."""
    settings = {"capture_output": True, "encoding": "utf-8", "timeout": PATIENCE} | settings
    command = [*COMMAND, *map(str, argv)]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, **settings)


def succeeds(*argv: Any, cwd: Path, **settings: Any) -> str:
    """Run a command, assert that it succeeds without an error message, and return its output."""
    done = run(*argv, cwd=cwd, **settings)
    assert (done.returncode, done.stderr) == (0, ""), done
    return str(done.stdout)


def fails(*argv: Any, cwd: Path, says: list[str], **settings: Any) -> None:
    """Assert that a command prints a one-line error with all phrases and changes no file."""
    before = contents(cwd)
    done = run(*argv, cwd=cwd, **settings)
    assert done.returncode == 2, done
    assert is_one_line(done.stderr), done
    assert not [phrase for phrase in says if phrase not in done.stderr], done
    assert contents(cwd) == before


def is_one_line(error: str) -> bool:
    """True if this is an error message of one line, without usage or traceback."""
    has_dump = any(phrase in error for phrase in ("Traceback", "usage:"))
    return error.startswith("tinygrad-rnn: error: ") and error.count("\n") == 1 and not has_dump


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return the contents of all files below a folder, and None for folders, by path."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }
