"""Pytrees: nested tuples, lists and dicts of arrays, seen as flat lists of leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def flatten(tree: Any) -> list[Any]:
    """Return the leaves of nested tuples, lists and dicts.

    Parameters
    ----------
    tree : Any
        Nested tuples, lists and dicts. Everything else is a leaf, except None, which is an empty
        tree.

    Returns
    -------
    list
        The leaves, in order; dicts in the order of their entries.

    Examples
    --------
    >>> flatten({"a": 1, "b": (2, [3, None])})
    [1, 2, 3]
    """
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [leaf for key in tree for leaf in flatten(tree[key])]
    if isinstance(tree, (tuple, list)):
        return [leaf for item in tree for leaf in flatten(item)]
    return [tree]


def tree_map(fn: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply a function to every leaf.

    Parameters
    ----------
    fn : callable
        Function of a leaf of `tree` and the corresponding leaf of each of `others`.
    tree : Any
        Nested tuples, lists and dicts.
    *others : Any
        Trees of the same structure.

    Returns
    -------
    Any
        A tree of the structure of `tree` with the results of `fn` as leaves.

    Raises
    ------
    ValueError
        If the structures differ.

    Examples
    --------
    >>> tree_map(lambda a, b: a + b, (1, [2]), (10, [20]))
    (11, [22])
    """
    for other in others:
        if not same_structure(tree, other):
            raise ValueError(f"nested structures differ: {structure(tree)} and {structure(other)}")
    return _map(fn, tree, *others)


def _map(fn: Callable[..., Any], tree: Any, *others: Any) -> Any:
    if isinstance(tree, (tuple, list)):
        if others:
            items = [_map(fn, *children) for children in zip(tree, *others, strict=True)]
        else:
            items = [_map(fn, child) for child in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    if isinstance(tree, dict):
        return {key: _map(fn, tree[key], *(other[key] for other in others)) for key in tree}
    return None if tree is None else fn(tree, *others)


def unflatten(tree: Any, leaves: Iterable[Any]) -> Any:
    """Return a tree of the structure of `tree` with `leaves`, in order, as its leaves."""
    if not isinstance(tree, (tuple, list, dict)):
        return None if tree is None else next(iter(leaves))
    remaining = iter(leaves)
    return _map(lambda _: next(remaining), tree)


def same_structure(tree: Any, other: Any) -> bool:
    """True if two trees have equal keys and lengths, and tuples, lists and None in equal places."""
    if isinstance(tree, dict):
        same_keys = isinstance(other, dict) and tree.keys() == other.keys()
        return same_keys and all(same_structure(tree[key], other[key]) for key in tree)
    if isinstance(tree, (tuple, list)):
        kind = tuple if isinstance(tree, tuple) else list
        return (
            isinstance(other, kind)
            and len(tree) == len(other)
            and all(map(same_structure, tree, other))
        )
    return (tree is None) == (other is None) and not isinstance(other, (tuple, list, dict))


def structure(tree: Any) -> str:
    """Return the structure as text with * for each leaf, such as "(*, (*, *))"."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {structure(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, (tuple, list)):
        left, right = "()" if isinstance(tree, tuple) else "[]"
        return left + ", ".join(map(structure, tree)) + right
    return "None" if tree is None else "*"
