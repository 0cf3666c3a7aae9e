"""Checks of Python code: whether a step writes to objects that outlive it.

A compiled step must be pure: its Python code runs at the first steps of a call only. Functions that
store into global variables, into variables of enclosing functions, or into attributes or items of
outer objects are recognized by their bytecode, and are executed eagerly. Calls of methods, such as
`list.append`, are not recognized.
"""

from __future__ import annotations

import dis
import functools
import random
import types
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..core.tensor import Tensor
from .pure_step import PureStep

STATE = "it changes the state of Python objects"
DRAWS = "it draws random numbers"

_OUTER_LOADS = {"LOAD_GLOBAL", "LOAD_DEREF", "LOAD_NAME", "LOAD_CLASSDEREF"}
_OUTER_PARTS = {"LOAD_ATTR", "LOAD_METHOD", "BINARY_SUBSCR"}
_NO_RESULT = ("STORE", "DELETE", "POP", "RETURN", "JUMP", "RESUME", "NOP", "PRECALL", "KW_NAMES")
_PLAIN = {Tensor, np.ndarray, bool, int, float, str, tuple, list, dict, types.NoneType}
_FUNCTIONS = {types.FunctionType, types.MethodType, functools.partial, PureStep}
_GENERATORS = (random.Random, np.random.Generator, np.random.RandomState)


def examine(functions: Iterable[Any]) -> tuple[tuple[types.CodeType, ...], str]:
    """Return the code of functions and of those that they call, and why they are not pure.

    The functions that they call are found in their closures, among arguments of
    `functools.partial`, global variables, and methods of the same object; the latter two only in
    the module of the caller. The reason is "" if no side effect is known.
    """
    codes: dict[types.CodeType, None] = {}
    reason = ""
    pending = [(f, None) for f in functions if f is not None]
    while pending:
        function, owner = pending.pop()
        if isinstance(function, PureStep):
            function = function.function
        if isinstance(function, types.MethodType):
            owner, function = type(function.__self__), function.__func__
        elif not isinstance(function, (types.FunctionType, functools.partial, type)):
            owner, function = type(function), getattr(type(function), "__call__", function)  # noqa: B004
        if isinstance(function, functools.partial):
            parts = (function.func, *function.args, *function.keywords.values())
            pending += [(x, None) for x in parts if type(x) not in _PLAIN]
        elif not isinstance(function, types.FunctionType):
            reason = reason or _state_of(owner)
        elif function.__code__ not in codes and not hasattr(function, "primitive"):
            codes[function.__code__] = None
            reason = reason or _side_effect(function.__code__, _outer_arguments(function))
            pending += _called(function, owner)
    return tuple(codes), reason


def _state_of(kind: Any) -> str:
    """Return the reason why an object of a class makes a step impure, or ""."""
    if kind is None or kind is types.NoneType:
        return ""
    if issubclass(kind, _GENERATORS):
        return DRAWS
    return f"{STATE}: it can reach an iterator" if hasattr(kind, "__next__") else ""


def _called(function: types.FunctionType, owner: Any) -> list[tuple[Any, Any]]:
    """Return the functions and objects that a function may call, with the class of methods.

    `owner` is the class of the object whose method the function is, or None.
    """
    found: list[tuple[Any, Any]] = []
    variables, names = function.__globals__, function.__code__.co_names
    owners = [owner]
    for cell in function.__closure__ or ():
        try:
            x = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
        kind = type(x)
        if kind in _PLAIN:
            continue
        if kind.__module__ == function.__module__:
            owners.append(kind)
        call = getattr(kind, "__call__", None)  # noqa: B004
        is_callable = getattr(call, "__module__", None) == kind.__module__
        if kind in _FUNCTIONS or is_callable or _state_of(kind):
            found.append((x, None))
    for name in names:
        candidates = [(getattr(kind, name, None), kind) for kind in owners]
        for x, kind in ((variables.get(name), None), *candidates):
            if type(x) is types.FunctionType and x.__module__ == function.__module__:
                found.append((x, kind))
    return found


def _outer_arguments(function: types.FunctionType) -> frozenset[str]:
    """Return the parameters that are outer objects: those with defaults, and the object itself."""
    code = function.__code__
    positional = code.co_varnames[: code.co_argcount]
    defaults = positional[len(positional) - len(function.__defaults__ or ()) :]
    owner = {"self", "cls"}.intersection(positional[:1])
    return frozenset([*defaults, *(function.__kwdefaults__ or ()), *owner])


@functools.lru_cache(1000)
def _side_effect(code: types.CodeType, arguments: frozenset[str] = frozenset()) -> str:
    """Return a reason if code, or code of functions inside it, stores into outer objects.

    `arguments` are the parameters that are outer objects.
    """
    outer = set(arguments)
    stack: list[bool] = []  # for each value, True if it is an outer object or a part of one

    def from_top(depth: int) -> bool:
        return len(stack) > depth and stack[-1 - depth]

    for one in dis.get_instructions(code):
        name = one.opname
        if name in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            return STATE
        if name in ("STORE_DEREF", "DELETE_DEREF") and one.argval in code.co_freevars:
            return STATE
        if name in ("STORE_ATTR", "DELETE_ATTR") and from_top(0):
            return STATE
        is_item = name in ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE")
        if is_item and from_top(2 if name == "STORE_SLICE" else 1):
            return STATE
        if name == "STORE_FAST" and from_top(0):
            outer.add(one.argval)
        _simulate(one, stack, outer)
    inner = [x for x in code.co_consts if isinstance(x, types.CodeType)]
    return next(filter(None, map(_side_effect, inner)), "")


def _simulate(one: dis.Instruction, stack: list[bool], outer: set[str]) -> None:
    """Apply an instruction to the stack; jumps count as not taken."""
    name = one.opname
    top = stack[-1] if stack else False
    if name in ("COPY", "DUP_TOP"):
        depth = one.arg if name == "COPY" and one.arg else 1
        stack.append(len(stack) >= depth and stack[-depth])
        return
    if name in ("SWAP", "ROT_TWO"):
        depth = one.arg if name == "SWAP" and one.arg else 2
        if len(stack) >= depth:
            stack[-1], stack[-depth] = stack[-depth], stack[-1]
        return
    effect = dis.stack_effect(one.opcode, one.arg, jump=False)
    if name == "BINARY_SUBSCR":
        top = len(stack) > 1 and stack[-2]
    if effect < 0:
        del stack[effect:]
    stack += [False] * max(effect, 0)
    if not stack or name.startswith(_NO_RESULT):
        return
    if name in _OUTER_LOADS:
        stack[-1] = True
    elif name.startswith("LOAD_FAST"):
        stack[-1] = one.argval in outer
    else:
        stack[-1] = name in _OUTER_PARTS and top


def random_state() -> Any:
    """Return the state of the global random streams of Python and NumPy."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return random.getstate(), kind, np.asarray(keys).tobytes(), rest
