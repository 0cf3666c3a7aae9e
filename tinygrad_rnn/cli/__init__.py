"""The command `tinygrad-rnn`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from .. import __version__
from ..errors import InputError, TrainingDiverged
from . import demo, sample, train
from .argparsing import PROGRAM, Parser, describe, did_you_mean

Command = Callable[[list[str]], int]

COMMANDS: dict[str, tuple[Command, str]] = {
    "train": (train.main, "learn a character language model from text"),
    "sample": (sample.sample, "let a trained model write"),
    "eval": (sample.evaluate, "measure a trained model in bits per character"),
    "demo": (demo.demo, "show a claim about recurrent networks, and measure whether it holds"),
    "predict": (demo.predict, "apply what a demonstration has learned to new input"),
    "info": (sample.info, "show versions, devices and threads"),
}


def main(words: list[str] | None = None) -> int:
    """Run the command line `words` (default: the program's own). Returns the exit code.

    0 is success, 2 an error of one line on standard error; 130, 141 and 143 are what shells expect
    after Ctrl-C, a closed pipe and SIGTERM. Defects of the program raise.
    """
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 (None: started without one)
    if hasattr(sys.stdout, "reconfigure"):  # a terminal that lacks a character is no reason to stop
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run(sys.argv[1:] if words is None else words)
        sys.stdout.flush()
    except (InputError, TrainingDiverged) as error:
        code = _error(str(error))
    except MemoryError as error:
        code = _error(f"not enough memory: {error}")
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        code = 141
    except OSError as error:
        code = _error(describe(error))
    except KeyboardInterrupt:
        code = 130
    _flush_or_drop_output()
    return code


def _error(message: str) -> int:
    """Say it in one line on standard error, whatever line ends it came with. Returns 2."""
    print(f"{PROGRAM}: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _run(words: list[str]) -> int:
    command, *rest = words or ["--help"]
    try:
        if command in COMMANDS:
            return COMMANDS[command][0](rest)
        if not command.startswith("-"):
            known = ", ".join(COMMANDS)
            raise InputError(
                f"unknown command {command!r}{did_you_mean(command, COMMANDS)} "
                f"(the commands are {known})"
            )
        _parser().parse(words or ["--help"])
    except SystemExit as stop:  # --help and --version end the parsing
        return int(stop.code or 0)
    raise InputError(f"which command? (see {PROGRAM} --help)")


def _parser() -> Parser:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}   {words}" for name, (_, words) in COMMANDS.items()]
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} COMMAND ...",
        description="Recurrent neural networks on an engine of their own.",
        epilog="\n".join(
            ["commands:", *lines, "", f"`{PROGRAM} COMMAND --help` tells more about each."]
        ),
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def _flush_or_drop_output() -> None:
    """Leave nothing that the interpreter would fail to write, and complain about, when it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
