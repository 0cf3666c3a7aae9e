"""The command as its users meet it: a process of its own, in a folder of its own."""

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
"""Seconds after which a process is taken to hang, on a machine that does much else too."""
TEXT = "the quick brown fox jumps over the lazy dog.\nit was not amused, was it?\n" * 40
SMALL = ["--hidden", "8", "--embed", "4", "--batch", "4", "--seq-len", "8"]


def run(*words: Any, cwd: Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    """`tinygrad-rnn words...` in the folder `cwd`; `input` is what it reads from standard input."""
    settings = {"capture_output": True, "encoding": "utf-8", "timeout": PATIENCE} | settings
    command = [*COMMAND, *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, **settings)


def succeeds(*words: Any, cwd: Path, **settings: Any) -> str:
    """What a command prints that is to succeed, without a word on standard error."""
    done = run(*words, cwd=cwd, **settings)
    assert (done.returncode, done.stderr) == (0, ""), done
    return str(done.stdout)


def fails(*words: Any, cwd: Path, says: list[str], **settings: Any) -> None:
    """The command exits with 2 and one line that holds all of `says`, and changes no file."""
    before = contents(cwd)
    done = run(*words, cwd=cwd, **settings)
    assert done.returncode == 2, done
    assert is_one_line(done.stderr), done
    assert not [phrase for phrase in says if phrase not in done.stderr], done
    assert contents(cwd) == before


def is_one_line(error: str) -> bool:
    """Whether this is an error for the person at the keyboard: no usage dump, no traceback."""
    dumps = any(phrase in error for phrase in ("Traceback", "usage:"))
    return error.startswith("tinygrad-rnn: error: ") and error.count("\n") == 1 and not dumps


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its content, and every folder with None."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }
