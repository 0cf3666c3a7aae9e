"""How the command reads its words and speaks: options by table, errors in one line, tables."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import autograd as ag

from ..data import TextCorpus
from ..data.text import EncodingError
from ..errors import InputError
from ..tasks.language_modeling.options import Rule, flag

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
    """Return a path as one word of a shell, relative to the working directory if it is inside."""
    relative = os.path.relpath(path)
    return shlex.quote(path if relative.startswith(os.pardir) else relative)


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line and suggestions, and options in any order with the rest."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings
        )

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message.removeprefix('argument ')} (see {self.prog} --help)")

    def parse(self, words: list[str]) -> argparse.Namespace:
        """The words' meaning; InputError for words that mean nothing here.

        What follows the word `--` is a path (or `-`), even if it begins with a dash.
        """
        end = words.index("--") if "--" in words else len(words)
        options, paths = words[:end], words[end + 1 :]
        known = self._option_string_actions
        for option in (word.partition("=")[0] for word in options):
            if re.fullmatch(r"--?[A-Za-z]\S*", option) and option not in known:
                self.error(f"unknown option {option}{did_you_mean(option, known)}")
        protected = [
            os.path.join(os.curdir, path) if path.startswith("-") and path != "-" else path
            for path in paths
        ]
        arguments, unexpected = self.parse_known_intermixed_args(options + protected)
        if unexpected:
            self.error(f"unexpected word {unexpected[0]!r}")
        return arguments

    def add_option(self, name: str, default: Any, rule: Rule, words: str) -> None:
        """An option with a value, which `given` reads by the same rule."""
        metavar = {int: "N", float: "X", str: name.upper()}[rule.kind]
        if rule.kind is str:
            words += f": {rule.words}"
        shown = "" if default is None else f" (default: {default})"
        self.add_argument(
            flag(name), default=argparse.SUPPRESS, metavar=metavar, help=words + shown
        )


def given(arguments: argparse.Namespace, rules: Mapping[str, Rule]) -> dict[str, Any]:
    """The values of those options that were given; InputError for one that is not allowed."""
    typed = vars(arguments)
    return {name: rules[name].parse(name, typed[name]) for name in rules if name in typed}


def check_device(device: str) -> None:
    """InputError, with what to install, if the device is not there."""
    try:
        ag.backend.get(device)
    except ag.backend.DeviceError as error:
        raise InputError(f"--device {device}: {error}") from error


def read_texts(names: list[str], encoding: str | None) -> TextCorpus | None:
    """Return the files' texts, if any are named; InputError for an --encoding without files."""
    if names:
        try:
            return TextCorpus.from_files(names, encoding or "utf-8")
        except EncodingError as error:
            raise InputError(f"{error}; --encoding NAME names another") from error
    if encoding is not None:
        raise InputError("--encoding says how TEXT is read, and no TEXT is given")
    return None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def describe(error: OSError) -> str:
    """An error of the operating system: what could not be used, and why."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else f"cannot write the output: {reason}"


def print_table(headings: list[str], rows: list[list[str]], highlighted: int = 0) -> None:
    """A table whose first column is text and whose others are figures; one row stands out."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left")
    for index, row in enumerate(rows):
        table.add_row(*row, style="bold" if index == highlighted else None)
    Console(file=sys.stdout, highlight=False, markup=False).print(table)
