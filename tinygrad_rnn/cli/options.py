"""Options shared by the commands, and the devices and files that they name."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import autograd as ag

from ..data import TextCorpus
from ..data.text import EncodingError
from ..errors import InputError
from ..tasks.language_modeling.options import Rule, flag
from .argparsing import Parser


def add_option(parser: Parser, name: str, default: Any, rule: Rule, help_text: str) -> None:
    """Add an option with a value, which `parse_options` validates with the same rule."""
    metavar = {int: "N", float: "X", str: name.upper()}[rule.kind]
    choices = f": {rule.expected}" if rule.kind is str else ""
    default_text = "" if default is None else f" (default: {default})"
    parser.add_argument(
        flag(name),
        default=argparse.SUPPRESS,
        metavar=metavar,
        help=help_text + choices + default_text,
    )


def parse_options(arguments: argparse.Namespace, rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Return the values of the options on the command line; raise InputError for invalid ones."""
    texts = vars(arguments)
    return {name: rules[name].parse(name, texts[name]) for name in rules if name in texts}


def check_device(device: str) -> None:
    """Raise InputError if the device is not available."""
    try:
        ag.backend.get(device)
    except ag.backend.DeviceError as error:
        raise InputError(f"--device {device}: {error}") from error


def read_texts(names: list[str], encoding: str | None) -> TextCorpus | None:
    """Return the text of some files, or None; raise InputError for --encoding without files."""
    if names:
        try:
            return TextCorpus.from_files(names, encoding or "utf-8")
        except EncodingError as error:
            raise InputError(f"{error}; choose another with --encoding NAME") from error
    if encoding is not None:
        raise InputError("--encoding needs TEXT, the files to decode")
    return None
