"""Calls of functions with recorded arguments, from which the transforms take derivatives."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from typing import Any

import numpy as np

from ..backend import asarray
from ..core import graph
from ..core.graph import Node, enable_grad
from ..core.mutation import next_version
from ..core.pytree import flatten, tree_map
from ..core.tensor import Tensor
from ..ops.arguments import check_integer

Function = Callable[..., Any]
Argnums = int | tuple[int, ...] | list[int]


class Call:
    """A call of a function in which selected arguments are replaced by copies with new nodes.

    Attributes
    ----------
    arguments : list
        The leaves of the selected arguments, as the caller passed them.
    leaves : list of Tensors
        The copies of these leaves.
    out : Any
        The result of the function.
    outputs : list
        The leaves of the result.
    outer : set of Nodes
        The nodes of the results that depend on a node outside the call.
    """

    def __init__(self, f: Function, args: Any, selected: dict[int, Any], kwargs: Any) -> None:
        self.arguments = flatten(list(selected.values()))
        self.start = next_version()
        with enable_grad():
            inputs = {i: tree_map(_with_node, tree) for i, tree in selected.items()}
            self.out = f(*[inputs.get(i, arg) for i, arg in enumerate(args)], **kwargs)
        self.leaves = flatten(list(inputs.values()))
        self.outputs = flatten(self.out)
        self.outer = _dependents_since(self.start, _nodes(self.outputs))

    def must_record(self, weights: Any = ()) -> bool:
        """True if derivatives of the results, with these weights, must be recorded."""
        return graph.recording.get() and bool(self.outer or _nodes(flatten(weights)))

    def detach_derivatives(self, values: list[Tensor], weights: Any = ()) -> list[Tensor]:
        """Detach derivatives that depend neither on a node outside the call nor on `weights`."""
        outer = _dependents_since(self.start, _nodes(values), {*_nodes(flatten(weights))})
        return [_detach_unless(value, outer) for value in values]

    def detach_results(self, tree: Any) -> Any:
        """Detach results of the function that depend on no node outside the call."""
        if not _nodes(flatten(tree)):
            return tree
        return tree_map(lambda leaf: _detach_unless(leaf, self.outer), tree)

    def convert(self, value: Any) -> Any:
        """Return a value derived from the results in the type of the first argument."""
        argument = next(iter(self.arguments), value)
        return self.convert_like(argument, value) if isinstance(value, Tensor) else value

    def convert_like(self, argument: Any, value: Tensor) -> Any:
        """Return a value as a Tensor, array or number like `argument`; recorded values stay."""
        if isinstance(argument, Tensor) or is_recorded(value):
            return value
        is_number = not hasattr(argument, "dtype") or isinstance(argument, np.generic)
        return value.item() if is_number and not value.ndim else value.data


def _dependents_since(version: int, nodes: list[Node], outer: Container[Node] = ()) -> set[Node]:
    """Return `nodes` and their ancestors that depend on an outer node.

    Outer nodes are older than `version` or contained in `outer`. They are returned, too.
    """
    recent, dependents = graph.ancestors_since(version, nodes, outer)
    for node in sorted(recent, key=lambda node: node.number) if dependents else ():
        if not dependents.isdisjoint(node.parents):
            dependents.add(node)
    return dependents


def _nodes(values: list[Any]) -> list[Node]:
    """Return the nodes of the recorded values."""
    return [value._node for value in values if is_recorded(value)]


def _detach_unless(value: Any, nodes: set[Node]) -> Any:
    """Detach a value unless recording is on and its node is among `nodes`."""
    if is_recorded(value) and not (graph.recording.get() and value._node in nodes):
        return value.detach()
    return value


def is_recorded(value: Any) -> bool:
    """True for a Tensor that has a node in the graph."""
    return isinstance(value, Tensor) and value._node is not None


def _with_node(value: Any) -> Tensor:
    """Return an argument with a new node, at which gradients end.

    It is a new leaf, or one more operation in the graph of the argument.
    """
    if isinstance(value, Tensor):
        return value * 1 if value._node is not None else value.detach()._as_leaf()
    return as_tensor(value).requires_grad_()


def as_tensor(value: Any) -> Tensor:
    """Return an array or number as a Tensor without conversion; Python floats become float64."""
    if isinstance(value, Tensor):
        return value
    is_array = hasattr(value, "dtype") and not isinstance(value, np.generic)
    return Tensor(value if is_array else asarray(np.asarray(value)))


def like_arguments(call: Call, trees: Any, values: list[Tensor]) -> tuple[Any, ...]:
    """Return `values`, one per leaf, in the nesting and with the types of the arguments."""
    remaining = iter(values)
    return tuple(
        tree_map(lambda argument: call.convert_like(argument, next(remaining)), tree)
        for tree in trees
    )


def argument_positions(argnums: Argnums) -> tuple[bool, tuple[int, ...]]:
    """Return True if `argnums` is a tuple or list, and the positions as a tuple."""
    is_tuple = isinstance(argnums, (tuple, list))
    numbers = argnums if isinstance(argnums, (tuple, list)) else (argnums,)
    return is_tuple, tuple([check_integer("argnums", number) for number in numbers])


def select_arguments(args: Any, positions: tuple[int, ...]) -> dict[int, Any]:
    for i in positions:
        if not -len(args) <= i < len(args):
            raise ValueError(f"argnums {i} is out of range: there are {len(args)} arguments")
    return {i % len(args): args[i] for i in positions}


def as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list, Iterator)) else (value,)
