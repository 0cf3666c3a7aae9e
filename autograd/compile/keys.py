"""Keys: static parameters and the variables of functions in a form that can be hashed."""

from __future__ import annotations

import functools
import types
from inspect import Parameter, signature
from operator import attrgetter
from typing import Any
from weakref import WeakKeyDictionary

from ..core.primitive import Primitive


class Uncomparable(Exception):
    """Raised for a value that cannot be part of a key."""


class Reference(int):
    """The number of an array among the arguments of a logged operation."""


_PACKAGE = __name__.partition(".")[0] + "."
_user_functions: WeakKeyDictionary[Primitive, list[Any]] = WeakKeyDictionary()


def rule_state(primitive: Primitive) -> tuple[Any, ...]:
    """Return the variables that the functions of a user's primitive read, as a key."""
    own = _user_functions.get(primitive)
    if own is None:
        functions = [*primitive.rules.values(), primitive.kernels.forward]
        functions = [f for f in functions if isinstance(f, types.FunctionType)]
        own = [f for f in functions if not f.__module__.startswith(_PACKAGE)]
        _user_functions[primitive] = own
    return tuple([freeze(f) for f in own]) if own else ()


def freeze(value: Any) -> Any:
    """Return a static parameter as a part of a key; raise Uncomparable if that is not possible."""
    if isinstance(value, Reference):
        return ("array", int(value))
    if isinstance(value, dict):
        return tuple([(name, freeze(item)) for name, item in value.items()])
    if isinstance(value, (tuple, list)):
        return (type(value), *map(freeze, value))
    if isinstance(value, slice):
        return ("slice", value.start, value.stop, value.step)
    if isinstance(value, types.FunctionType):
        return _freeze_function(value)
    if isinstance(value, attrgetter):
        return repr(value)
    hashing: Any = type(value).__hash__
    by_identity = hashing is None or hashing is object.__hash__
    if by_identity and value not in (None, ...) and not isinstance(value, type):
        raise Uncomparable(f"a {type(value).__name__}, a parameter, cannot be compared by value")
    return (type(value), value or repr(value))


def _freeze_function(function: types.FunctionType) -> Any:
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    names = [function.__globals__.get(name) for name in function.__code__.co_names]
    variables = [
        x for x in names if not isinstance(x, (type, types.ModuleType)) and not callable(x)
    ]
    return (function.__code__, freeze(cells), freeze(function.__defaults__), freeze(variables))


@functools.cache
def static_defaults(primitive: Primitive) -> dict[str, Any]:
    """Return the default values of the static parameters of a primitive."""
    if isinstance(primitive.kernels.forward, str):
        return {}
    parameters = signature(primitive.kernels.forward).parameters.values()
    return {
        p.name: p.default
        for p in parameters
        if p.kind is Parameter.KEYWORD_ONLY and p.default is not Parameter.empty
    }
