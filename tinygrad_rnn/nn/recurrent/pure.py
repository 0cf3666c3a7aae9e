"""Steps that declare the tensors and options that determine them, for the scan compiler."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from autograd import Tensor
from autograd.compile.pure_step import PureStep

from ..module import Module

OPTION_TYPES = frozenset((bool, int, float, str, type(None)))
IGNORED = frozenset(("_constructor_arguments", "_placement", "_buffers"))
HOOKS = frozenset(("_forward_hooks", "_forward_pre_hooks"))
LIBRARY = __name__.partition(".")[0] + ".nn."

Step = Callable[[Any, Any], Any]


def declare_pure(
    step: Step, modules: Iterable[Module], key: Hashable, tensors: Iterable[Tensor] = ()
) -> Step:
    """Return a step that calls modules as a PureStep; unchanged unless all modules are pure.

    A module is pure if it is a module of `tinygrad_rnn.nn`, or if its class, not only a base class,
    sets `pure` to True. This declaration includes the child modules.

    Parameters
    ----------
    step : callable
        The step of a scan.
    modules : iterable of Module
        The modules that it calls.
    key : hashable
        What else determines its operations.
    tensors : iterable of Tensor
        Other tensors that it reads.
    """
    captures: list[Tensor] = [*tensors]
    options: list[Any] = [key]
    for module in modules:
        if not _collect(module, captures, options, declared=False):
            return step
    return PureStep(step, tuple(options), tuple(captures))


def _collect(module: Module, captures: list[Tensor], options: list[Any], declared: bool) -> bool:
    """Collect the tensors and options of a module; return False if it is not known to be pure.

    Methods that replace those of the class, hooks, and attributes that are neither tensors,
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
