"""Steps that declare the tensors and options that determine them, for the scan compiler."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from copy import copy
from typing import Any

from autograd import Tensor
from autograd.compile.pure_step import PureStep

from ..module import Module

OPTION_TYPES = frozenset((bool, int, float, str, type(None)))
IGNORED = frozenset(("_constructor_arguments", "_placement", "_buffers"))
HOOKS = frozenset(("_forward_hooks", "_forward_pre_hooks"))
LIBRARY = __name__.partition(".")[0] + ".nn."

Functions = tuple[Callable[[Any, Any], Any], Callable[[Any], Any] | None]


def declare_pure(
    functions: Callable[[Any, Any], Functions],
    modules: Sequence[Module | None],
    key: Hashable,
    tensors: Sequence[Tensor] = (),
) -> Functions:
    """Return the step and the precompute of a scan, the step as a PureStep if all modules are pure.

    A module is pure if it is a module of `tinygrad_rnn.nn`, or if its class, not only a base class,
    sets `pure` to True. This declaration includes the child modules.

    Parameters
    ----------
    functions : callable
        ``functions(modules, tensors) -> (step, precompute)``.
    modules : sequence of (Module or None)
        The modules that the functions call.
    key : hashable
        What else determines their operations.
    tensors : sequence of Tensor
        Other tensors that they read.
    """
    step, precompute = functions(modules, tensors)
    captures: list[Tensor] = [*tensors]
    options: list[Any] = [key]
    for module in modules:
        if module is None:
            options.append(None)
        elif not _collect(module, captures, options, declared=False):
            return step, precompute

    def bind(captures: tuple[Tensor, ...]) -> Functions:
        remaining = iter(captures)
        others = [next(remaining) for _ in tensors]
        return functions([_with_tensors(module, remaining) for module in modules], others)

    return PureStep(step, tuple(options), tuple(captures), bind), precompute


def _with_tensors(module: Module | None, tensors: Iterator[Tensor]) -> Any:
    """Return a copy of a module with other tensors, in the order in which they are collected."""
    module = copy(module)
    for name, value in list(vars(module).items()) if module is not None else ():
        if isinstance(value, Tensor):
            vars(module)[name] = next(tensors)
        elif isinstance(value, Module):
            vars(module)[name] = _with_tensors(value, tensors)
    return module


def _collect(module: Module, captures: list[Tensor], options: list[Any], declared: bool) -> bool:
    """Collect the tensors and options of a module; return False if it is not known to be pure.

    Replaced methods, hooks, and attributes that are neither tensors,
    numbers, strings (also in tuples) nor modules make a module impure.
    """
    kind: Any = type(module)
    declared = declared or kind.__dict__.get("pure", False)
    if not declared and not kind.__module__.startswith(LIBRARY):
        return False
    options += (kind, kind.forward)
    if declared:
        options += (getattr(kind, "step", None), getattr(kind, "precompute", None))
    for name, value in vars(module).items():
        type_of_value = type(value)
        if type_of_value in OPTION_TYPES or _is_tuple_of_options(value):
            options += (name, type_of_value, value)
        elif isinstance(value, Tensor):
            options.append(name)
            captures.append(value)
        elif isinstance(value, Module):
            options.append(name)
            if not _collect(value, captures, options, declared):
                return False
        elif name not in IGNORED and (value or name not in HOOKS):
            return False
    options.append(None)  # the end of the module
    return True


def _is_tuple_of_options(value: Any) -> bool:
    return type(value) is tuple and OPTION_TYPES.issuperset(map(type, value))
