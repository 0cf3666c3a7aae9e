"""The operations that the core calls, and the one call that installs them.

`autograd.ops` is written in terms of the core. The core in turn needs two operations, and the
operators and methods of `Tensor` are operations, too. `autograd.ops` hands them over with
`install`, once, when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Operations:
    """Operations that the core calls. They work on arrays, and record on Tensors.

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
    """Give the core its `operations`, and `tensor_class` everything that `methods` defines.

    The attributes are copied to the class itself, so that calling an operator costs no more than if
    it were written there.
    """
    operations.unbroadcast, operations.stack = unbroadcast, stack
    for base in reversed(methods.__mro__[:-1]):  # without `object`
        for name, attribute in vars(base).items():
            if name not in ("__doc__", "__module__", "__slots__"):
                setattr(tensor_class, name, attribute)
