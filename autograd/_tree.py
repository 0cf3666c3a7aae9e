"""Nested tuples, lists and dicts of arrays, seen as a flat list of leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def flatten(tree: Any) -> list[Any]:
    """The leaves of nested tuples, lists and dicts, in order; None is an empty tree."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [leaf for key in tree for leaf in flatten(tree[key])]
    if isinstance(tree, (tuple, list)):
        return [leaf for item in tree for leaf in flatten(item)]
    return [tree]


def tree_map(fn: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The same nesting with `fn(leaf, *leaves of the others)` for every leaf.

    Raises ValueError where the nestings differ.
    """
    for other in others:
        _check_same(tree, other)
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {key: tree_map(fn, tree[key], *(other[key] for other in others)) for key in tree}
    if isinstance(tree, (tuple, list)):
        items = [tree_map(fn, *parts) for parts in zip(tree, *others, strict=True)]
        if hasattr(tree, "_fields"):  # a named tuple
            return type(tree)(*items)
        return type(tree)(items)
    return fn(tree, *others)


def _check_same(tree: Any, other: Any) -> None:
    """One level: both dicts of the same keys, both sequences of the same kind and length, or both
    leaves.
    """
    containers = (tuple, list, dict)
    if isinstance(tree, dict) and isinstance(other, dict):
        same = tree.keys() == other.keys()
    elif isinstance(tree, (tuple, list)) and isinstance(other, (tuple, list)):
        same = len(tree) == len(other) and isinstance(tree, tuple) == isinstance(other, tuple)
    else:
        same = (
            (tree is None) == (other is None)
            and not isinstance(tree, containers)
            and not isinstance(other, containers)
        )
    if not same:
        raise ValueError(f"nested structures differ: {structure(tree)} and {structure(other)}")


def structure(tree: Any) -> str:
    """The nesting as text, with * for each leaf: "(*, (*, *))"."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {structure(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, (tuple, list)):
        opening, closing = "()" if isinstance(tree, tuple) else "[]"
        return opening + ", ".join(map(structure, tree)) + closing
    return "None" if tree is None else "*"
