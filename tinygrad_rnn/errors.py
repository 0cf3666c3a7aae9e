"""Exceptions for users, and validation of untrusted input.

All loaders of the library use these functions, so the module is in the lowest layer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 100
"""Maximum nesting depth of lists and objects in a JSON document. It is enough for every file that
the library writes and within the recursion limit of functions that traverse documents."""


class InputError(ValueError):
    """Invalid request or input file.

    The message is one line that states what was expected. The command prints it to standard error
    without a traceback and exits with code 2. Any other exception is a defect of the program and
    keeps its traceback.

    Parameters
    ----------
    message
        The message. Line breaks in it are escaped.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__("\\n".join(str(message).splitlines()))


class TrainingDiverged(ArithmeticError):
    """Training stopped because a loss, a gradient or a validation loss is not finite.

    The command reports it like an `InputError`: one line on standard error and exit code 2.
    """


def parse_json(content: str | bytes, source: object) -> Any:
    """Parse a JSON document.

    Parameters
    ----------
    content
        The document.
    source
        Description of the document in error messages: a file, or a line of a file.

    Returns
    -------
    object
        The value of the document.

    Raises
    ------
    InputError
        If the document is not valid JSON, or nests lists and objects more than `MAX_DEPTH` deep.
    """
    try:
        value = json.loads(content)
    except ValueError as error:  # invalid JSON or invalid UTF-8
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
    """Return a file name that was read from a file, if it names a file in the same folder.

    Parameters
    ----------
    name
        The value to check.
    source
        Description of the file in the error message.

    Raises
    ------
    InputError
        If `name` is not a string, is empty, `.` or `..`, or contains a path separator of Unix or
        Windows, a colon or a character that is not printable.
    """
    if (
        not isinstance(name, str)
        or name in ("", ".", "..")
        or not name.isprintable()
        or any(character in name for character in "/\\:")
    ):
        raise InputError(f"{source}: {name!r} is not a plain file name")
    return name


def check_fields(content: Any, types: Mapping[str, Any], source: object) -> dict[str, Any]:
    """Return the named fields of a JSON object after checking their types.

    Parameters
    ----------
    content
        The value to check.
    types
        The type or union of types of each field. `float` also accepts integers and converts them.
        A field whose type includes None may be missing.
    source
        Description of the object in error messages.

    Raises
    ------
    InputError
        If `content` is not an object, or if a field is missing or has another type.
    """
    if not isinstance(content, dict):
        raise InputError(f"{source} is damaged: expected an object, got {str(content)[:40]!r}")
    fields = {}
    for name, expected in types.items():
        value = content.get(name)
        try:
            if type(value) is int and not isinstance(value, expected):
                value = float(value)
        except OverflowError:
            pass
        if not isinstance(value, expected):
            expected = getattr(expected, "__name__", expected)
            raise InputError(f"{source} is damaged: {name!r} is missing or not of type {expected}")
        fields[name] = value
    return fields
