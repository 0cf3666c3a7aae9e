"""Argument parsing and output shared by the commands, without the array library."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from ..errors import InputError

PROGRAM = "tinygrad-rnn"


def typed_program() -> str:
    """Return the words that start this program in the user's shell.

    They are the name of the program if the search path leads to it, else the path of its script,
    or `python -m tinygrad_rnn` if it runs from a source folder and has no script.
    """
    started = sys.argv[0] if os.path.basename(sys.argv[0]).startswith(PROGRAM) else None
    script = started or shutil.which(PROGRAM, path=os.path.dirname(sys.executable))
    if script is None:
        return f"{_shell_path(sys.executable)} -m tinygrad_rnn"
    found = shutil.which(PROGRAM)
    return PROGRAM if found and os.path.samefile(found, script) else _shell_path(script)


def _shell_path(path: str) -> str:
    """Return a path quoted for a shell, relative if it is below the working directory."""
    relative = os.path.relpath(path)
    return shlex.quote(path if relative.startswith(os.pardir) else relative)


class Parser(argparse.ArgumentParser):
    """Argument parser with one-line errors and suggestions.

    Options and positional arguments may be mixed in any order.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings
        )

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message.removeprefix('argument ')} (see {self.prog} --help)")

    def parse(self, argv: list[str]) -> argparse.Namespace:
        """Parse arguments; raise InputError if an argument is not known.

        Arguments after `--` are paths (or `-`), even if they begin with a dash.
        """
        end = argv.index("--") if "--" in argv else len(argv)
        options, paths = argv[:end], argv[end + 1 :]
        known = self._option_string_actions
        for option in (argument.partition("=")[0] for argument in options):
            if re.fullmatch(r"--?[A-Za-z]\S*", option) and option not in known:
                self.error(f"unknown option {option}{suggest(option, known)}")
        protected = [
            os.path.join(os.curdir, path) if path.startswith("-") and path != "-" else path
            for path in paths
        ]
        arguments, unexpected = self.parse_known_intermixed_args(options + protected)
        if unexpected:
            self.error(f"unexpected argument {unexpected[0]!r}")
        return arguments


def suggest(word: str, known: Iterable[str]) -> str:
    """Return a question that suggests the most similar known word, or an empty string."""
    matches = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {matches[0]}?" if matches else ""


def describe_os_error(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else f"cannot write the output: {reason}"


def print_table(headings: list[str], rows: list[list[str]], highlighted: int = 0) -> None:
    """Print a table of text in the first column and numbers in the others; one row is bold."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left")
    for index, row in enumerate(rows):
        table.add_row(*row, style="bold" if index == highlighted else None)
    Console(file=sys.stdout, highlight=False, markup=False).print(table)
