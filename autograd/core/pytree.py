"""Nested tuples, lists and dicts of arrays, seen as a flat list of leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
        if not same_nesting(tree, other):
            raise ValueError(f"nested structures differ: {structure(tree)} and {structure(other)}")
    return _map(fn, tree, *others)


def _map(fn: Callable[..., Any], tree: Any, *others: Any) -> Any:
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {key: _map(fn, tree[key], *(other[key] for other in others)) for key in tree}
    if isinstance(tree, (tuple, list)):
        items = [_map(fn, *parts) for parts in zip(tree, *others, strict=True)]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return fn(tree, *others)


def unflatten(tree: Any, leaves: Iterable[Any]) -> Any:
    """The nesting of `tree` with other leaves, given in order."""
    if not isinstance(tree, (tuple, list, dict)):
        return None if tree is None else next(iter(leaves))
    left = iter(leaves)
    return _map(lambda _: next(left), tree)


def same_nesting(tree: Any, other: Any) -> bool:
    """Whether two trees have the same keys and lengths, tuples where the other has tuples, and None
    where the other has None.
    """
    if isinstance(tree, dict):
        same = isinstance(other, dict) and tree.keys() == other.keys()
        return same and all(same_nesting(tree[key], other[key]) for key in tree)
    if isinstance(tree, (tuple, list)):
        kind = tuple if isinstance(tree, tuple) else list
        return (
            isinstance(other, kind)
            and len(tree) == len(other)
            and all(map(same_nesting, tree, other))
        )
    return (tree is None) == (other is None) and not isinstance(other, (tuple, list, dict))


def structure(tree: Any) -> str:
    """The nesting as text, with * for each leaf: "(*, (*, *))"."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {structure(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, (tuple, list)):
        opening, closing = "()" if isinstance(tree, tuple) else "[]"
        return opening + ", ".join(map(structure, tree)) + closing
    return "None" if tree is None else "*"
