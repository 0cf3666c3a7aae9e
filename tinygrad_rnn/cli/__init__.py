"""The command `tinygrad-rnn`: one module per subcommand.

A subcommand is imported when it runs, so that `--version` and `--help` load no array library.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from .. import __version__
from ..errors import InputError, TrainingDiverged
from .argparsing import PROGRAM, Parser, describe_os_error, suggest

COMMANDS = {
    "train": ("train", "train a character language model"),
    "sample": ("sample", "generate text with a trained language model"),
    "eval": ("evaluate", "evaluate a trained language model"),
    "demo": ("demo", "run demos of recurrent networks and check their claims"),
    "predict": ("predict", "apply the model of a demo to new input"),
    "info": ("info", "show versions, devices and threads"),
}
"""The module and the summary of each subcommand."""


def main(argv: list[str] | None = None) -> int:
    """Run a command line and return the exit code.

    The exit code is 0 on success and 2 after an error, which is one line on standard error. It is
    130, 141 and 143 after Ctrl-C, a closed pipe and SIGTERM. Defects of the program raise.

    Parameters
    ----------
    argv
        Arguments (default: the arguments of the process).
    """
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 (None: started without one)
    if hasattr(sys.stdout, "reconfigure"):  # a missing character must not stop the program
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except (InputError, TrainingDiverged) as error:
        code = _print_error(str(error))
    except MemoryError as error:
        code = _print_error(f"not enough memory: {error}")
    except BrokenPipeError:  # the reader, such as `head`, has exited
        code = 141
    except OSError as error:
        code = _print_error(describe_os_error(error))
    except KeyboardInterrupt:
        code = 130
    _flush_or_drop_output()
    return code


def _print_error(message: str) -> int:
    """Print a message as one line on standard error, and return exit code 2."""
    print(f"{PROGRAM}: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _run(argv: list[str]) -> int:
    command, *arguments = argv or ["--help"]
    try:
        if command in COMMANDS:
            module = import_module(f".{COMMANDS[command][0]}", __package__)
            return int(module.main(arguments))
        if not command.startswith("-"):
            known = ", ".join(COMMANDS)
            raise InputError(
                f"unknown command {command!r}{suggest(command, COMMANDS)} (commands: {known})"
            )
        _parser().parse(argv or ["--help"])
    except SystemExit as stop:  # raised by --help and --version
        return int(stop.code or 0)
    raise InputError(f"a command is required (see {PROGRAM} --help)")


def _parser() -> Parser:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}   {summary}" for name, (_, summary) in COMMANDS.items()]
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} COMMAND ...",
        description="Recurrent neural networks on an automatic-differentiation engine for NumPy.",
        epilog="\n".join(
            ["commands:", *lines, "", f"`{PROGRAM} COMMAND --help` describes a command."]
        ),
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def _flush_or_drop_output() -> None:
    """Flush standard output, or discard it, so that the interpreter's exit cannot fail."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
