"""Helpers that run the command in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
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


@cache
def server() -> subprocess.Popen[str]:
    """Start the process that runs commands without importing the library again for each."""
    command = [sys.executable, str(Path(__file__).with_name("command_server.py"))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, env=ENVIRONMENT, encoding="utf-8", **pipes)


def run(*argv: Any, cwd: Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run `tinygrad-rnn` in the folder `cwd`, with settings of `subprocess.run` such as `input`."""
    arguments = [str(argument) for argument in argv]
    if settings.keys() - {"input"} or not hasattr(os, "fork"):
        settings = {"capture_output": True, "encoding": "utf-8", "timeout": PATIENCE} | settings
        return subprocess.run([*COMMAND, *arguments], cwd=cwd, env=ENVIRONMENT, **settings)
    process = server()
    with tempfile.TemporaryDirectory() as folder:
        streams = {name: Path(folder) / name for name in ("in", "out", "err")}
        for path in streams.values():
            path.touch()
        streams["in"].write_text(settings.get("input", ""), encoding="utf-8")
        paths = {name: str(path) for name, path in streams.items()}
        request = {"argv": arguments, "cwd": str(cwd), **paths}
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps(request), file=process.stdin, flush=True)
        code = int(process.stdout.readline())
        out, err = [streams[name].read_bytes().decode() for name in ("out", "err")]
    return subprocess.CompletedProcess(arguments, code, out, err)


def succeeds(*argv: Any, cwd: Path, **settings: Any) -> str:
    """Run a command, assert that it succeeds without an error message, and return its output."""
    process = run(*argv, cwd=cwd, **settings)
    assert (process.returncode, process.stderr) == (0, ""), process
    return str(process.stdout)


def fails(*argv: Any, cwd: Path, phrases: list[str], **settings: Any) -> None:
    """Assert that a command prints a one-line error with all phrases and changes no file."""
    snapshot = contents(cwd)
    process = run(*argv, cwd=cwd, **settings)
    assert process.returncode == 2, process
    assert is_one_line(process.stderr), process
    assert not [phrase for phrase in phrases if phrase not in process.stderr], process
    assert contents(cwd) == snapshot


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
