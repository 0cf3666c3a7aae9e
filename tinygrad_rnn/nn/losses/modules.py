"""The losses of `functional` as modules: their options are given once, weights are buffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd import Tensor, tensor

from .. import functional
from ..module import Module


class _Loss(Module):
    """A function of `functional`, and its options under their own names."""

    def __init__(self, function: Callable[..., Tensor], **options: Any) -> None:
        self.function, self.options = function, tuple(options)
        for name, value in options.items():
            if name in ("weight", "pos_weight"):
                weight = value is None or isinstance(value, Tensor)
                self.register_buffer(name, value if weight else tensor(value))
            else:
                setattr(self, name, value)

    def forward(self, *args: Any, **named: Any) -> Tensor:
        options = {name: getattr(self, name) for name in self.options}
        return self.function(*args, **named, **options)


class CrossEntropyLoss(_Loss):
    """`functional.cross_entropy(input, target)`."""

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            functional.cross_entropy,
            weight=weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )


class NLLLoss(_Loss):
    """`functional.nll_loss(input, target)`."""

    def __init__(
        self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(
            functional.nll_loss, weight=weight, ignore_index=ignore_index, reduction=reduction
        )


class CTCLoss(_Loss):
    """`functional.ctc_loss(log_probs, targets, input_lengths, target_lengths)`."""

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(
            functional.ctc_loss, blank=blank, reduction=reduction, zero_infinity=zero_infinity
        )


class MSELoss(_Loss):
    """`functional.mse_loss(input, target)`."""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(functional.mse_loss, reduction=reduction)


class L1Loss(_Loss):
    """`functional.l1_loss(input, target)`."""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(functional.l1_loss, reduction=reduction)


class HuberLoss(_Loss):
    """`functional.huber_loss(input, target)`."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(functional.huber_loss, reduction=reduction, delta=delta)


class SmoothL1Loss(_Loss):
    """`functional.smooth_l1_loss(input, target)`."""

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(functional.smooth_l1_loss, reduction=reduction, beta=beta)


class BCELoss(_Loss):
    """`functional.binary_cross_entropy(input, target)`."""

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(functional.binary_cross_entropy, weight=weight, reduction=reduction)


class BCEWithLogitsLoss(_Loss):
    """`functional.binary_cross_entropy_with_logits(input, target)`."""

    def __init__(
        self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
    ) -> None:
        super().__init__(
            functional.binary_cross_entropy_with_logits,
            weight=weight,
            reduction=reduction,
            pos_weight=pos_weight,
        )
