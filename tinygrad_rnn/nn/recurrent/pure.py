"""Cells that declare themselves pure: the tensors and options that determine their step."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from autograd import Tensor
from autograd.compile.pure_step import PureStep

from ..module import Module

OPTION_TYPES = frozenset((bool, int, float, str, type(None)))
IGNORED = frozenset(("_constructor_arguments", "_placement", "_buffers"))
HOOKS = frozenset(("_forward_hooks", "_forward_pre_hooks"))


def declare_pure(step: Callable[..., Any], cell: Any, key: Hashable) -> Callable[..., Any]:
    """Return a step of a cell as a PureStep; unchanged if the cell is not declared to be pure.

    Parameters
    ----------
    step : callable
        The step that is executed.
    cell : Cell
        The cell. The declaration counts if its class, not only a base class, sets `pure` to True.
    key : hashable
        What determines `step` besides the cell.
    """
    kind = type(cell)
    if not kind.__dict__.get("pure", False):
        return step
    captures: list[Tensor] = []
    options: list[Any] = [key, kind, kind.step, kind.precompute]
    if not _collect(cell, captures, options):
        return step
    return PureStep(step, tuple(options), tuple(captures))


def _collect(module: Module, captures: list[Tensor], options: list[Any]) -> bool:
    """Collect the tensors and options of a module; return False if it has other attributes.

    Other attributes are, for example, methods that replace those of the class, and hooks.
    """
    for name, value in vars(module).items():
        kind = type(value)
        if kind in OPTION_TYPES:
            options += (name, kind, value)
        elif isinstance(value, Tensor):
            options.append(name)
            captures.append(value)
        elif isinstance(value, Module):
            options += (name, kind, kind.forward)
            if not _collect(value, captures, options):
                return False
            options.append(None)  # the end of the module
        elif name not in IGNORED and (value or name not in HOOKS):
            return False
    return True
