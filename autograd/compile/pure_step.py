"""Steps that declare what they compute and read: their plan is found without running them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from ..core.tensor import Tensor


@dataclass(frozen=True, slots=True)
class PureStep:
    """A step of a scan that declares its configuration and the tensors that it reads.

    `scan` finds the plan of such a step by the declaration, together with shapes, dtypes and
    flags. The function runs only if no plan exists yet.

    Parameters
    ----------
    function : callable
        ``function(carry, x) -> (new_carry, y)``, a pure function.
    key : hashable
        Everything that decides which operations `function`, and the `precompute` of the scan,
        apply: the class of a cell and its options, for example. Equal keys mean equal operations.
    captures : tuple of Tensor
        The tensors that both functions read besides their arguments, in an order that `key`
        determines. They may be computed tensors. If a function reads another tensor, the scan is
        traced at every call.
    bind : callable, optional
        ``bind(captures) -> (function, precompute)`` returns both functions of other tensors. It is
        required if they apply operations to captures only, such as the sum of two biases.

    Examples
    --------
    >>> import autograd as ag
    >>> w = ag.tensor(0.5)
    >>> step = PureStep(lambda h, x: (h * w + x, None), key="leaky sum", captures=(w,))
    >>> ag.scan(step, ag.tensor(0.0), ag.ones(3))[0]
    tensor(1.75)
    """

    function: Callable[[Any, Any], Any]
    key: Hashable
    captures: tuple[Tensor, ...]
    bind: Callable[[tuple[Tensor, ...]], tuple[Any, Any]] | None = None

    def __call__(self, carry: Any, x: Any) -> Any:
        return self.function(carry, x)
