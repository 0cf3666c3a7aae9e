"""The error that is meant for users, and checks of untrusted input that raise it.

Every loader of the library uses these checks, so they are in the lowest layer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 100
"""Levels of lists and objects in a JSON document, at most: enough for every file that this program
writes, and few enough for recursive functions."""


class InputError(ValueError):
    """The request or a file of the user cannot be used. The message is one line and says what is
    expected.

    The command prints it to standard error without a traceback and exits with code 2; any other
    exception is a defect of the program and keeps its traceback.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__("\\n".join(str(message).splitlines()))


class TrainingDiverged(ArithmeticError):
    """Training stopped because a loss, a gradient or a validation loss is not finite.

    The command reports it like an `InputError`: one line on standard error and exit code 2.
    """


def parse_json(content: str | bytes, source: object) -> Any:
    """Return the value of a JSON document.

    Parameters
    ----------
    content
        The document.
    source
        The file, or the line of a file, that the error message names.

    Raises
    ------
    InputError
        If the document is not valid JSON, or nests lists and objects more than `MAX_DEPTH` deep.
    """
    try:
        value = json.loads(content)
    except ValueError as error:  # not JSON, or not UTF-8
        raise InputError(f"{source} is damaged or not JSON: {error}") from error
    except RecursionError:
        raise InputError(f"{source} is damaged: it nests more than {MAX_DEPTH} levels") from None
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        containers = [item for item in level if isinstance(item, (dict, list))]
        if not containers:
            return value
        level = [
            child
            for item in containers
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    raise InputError(f"{source} is damaged: it nests more than {MAX_DEPTH} levels")


def check_file_name(name: Any, source: object) -> str:
    """Return `name`, which a file contains, if it is the name of a file in the same folder.

    Raises
    ------
    InputError
        If it is not a string, is empty, `.` or `..`, has a separator of Unix or Windows, a colon
        or a character that cannot be printed. The message names `source`.
    """
    if (
        not isinstance(name, str)
        or name in ("", ".", "..")
        or not name.isprintable()
        or any(character in name for character in "/\\:")
    ):
        raise InputError(f"{source}: {name!r} is not a plain file name")
    return name


def check_fields(content: Any, kinds: Mapping[str, Any], source: object) -> dict[str, Any]:
    """Return the named fields of a JSON object, each of its type.

    Parameters
    ----------
    content
        What should be the object.
    kinds
        The type or union of types of each field. `float` allows integers, which it converts; a
        field that may be None may be missing.
    source
        What the error message names.

    Raises
    ------
    InputError
        If `content` is not an object, or a field is missing or of another type.
    """
    if not isinstance(content, dict):
        raise InputError(f"{source} is damaged: expected an object, got {str(content)[:40]!r}")
    fields = {}
    for name, kind in kinds.items():
        value = content.get(name)
        try:
            if type(value) is int and not isinstance(value, kind):
                value = float(value)
        except OverflowError:
            pass
        if not isinstance(value, kind):
            kind = getattr(kind, "__name__", kind)
            raise InputError(f"{source} is damaged: {name!r} is missing or not of type {kind}")
        fields[name] = value
    return fields
