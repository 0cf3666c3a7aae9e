"""Registration of the operations that the core uses.

The core is imported before the operations, which are written in terms of it. It uses some of them:
the backward pass calls `unbroadcast`, the conversion of arguments calls `stack`, and the operators
and methods of `Tensor` are operations, too. `autograd.ops` passes them to `install` when it is
imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Operations:
    """The operations that modules call which are imported before `autograd.ops`.

    `unbroadcast(g, shape, dtype)` sums a gradient down to the shape of its tensor and casts it;
    `stack(arrays)` joins arrays of one shape along a new first axis.
    """

    __slots__ = ("stack", "unbroadcast")

    unbroadcast: Callable[[Any, tuple[int, ...], Any], Any]
    stack: Callable[[list[Any]], Any]


operations = Operations()


def install(
    tensor_class: type,
    methods: type,
    *,
    unbroadcast: Callable[[Any, tuple[int, ...], Any], Any],
    stack: Callable[[list[Any]], Any],
) -> None:
    """Set the `operations`, and copy all attributes of `methods` to `tensor_class`.

    A copied operator is as fast as one that is defined in the class body.
    """
    operations.unbroadcast, operations.stack = unbroadcast, stack
    for base in reversed(methods.__mro__[:-1]):  # without `object`
        for name, attribute in vars(base).items():
            if name not in ("__doc__", "__module__", "__slots__"):
                setattr(tensor_class, name, attribute)
