"""The connection between the core and the operations, which are written in terms of it.

The backward pass calls one operation, `unbroadcast`, and the conversion of arguments another one,
`stack`. The operators and methods of `Tensor` are operations, too. `autograd.ops` passes all of
them to `install`, once, when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Operations:
    """Operations that modules call which are imported before the operations are defined.

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
    """Set the `operations`, and copy everything that `methods` defines to `tensor_class`.

    The attributes belong to the class itself then, so an operator costs no more than if it were
    defined there.
    """
    operations.unbroadcast, operations.stack = unbroadcast, stack
    for base in reversed(methods.__mro__[:-1]):  # without `object`
        for name, attribute in vars(base).items():
            if name not in ("__doc__", "__module__", "__slots__"):
                setattr(tensor_class, name, attribute)
