"""Loss functions as modules. Options are attributes, and weights are buffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd import Tensor, tensor

from ..module import Module
from .cross_entropy import cross_entropy, nll_loss
from .ctc import ctc_loss
from .elementwise import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)


class _Loss(Module):
    """Loss function whose options are attributes of the same names."""

    def __init__(self, function: Callable[..., Tensor], **options: Any) -> None:
        self.function, self.options = function, tuple(options)
        for name, value in options.items():
            if name in ("weight", "pos_weight"):
                is_buffer = value is None or isinstance(value, Tensor)
                self.register_buffer(name, value if is_buffer else tensor(value))
            else:
                setattr(self, name, value)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        options = {name: getattr(self, name) for name in self.options}
        return self.function(*args, **kwargs, **options)


class CrossEntropyLoss(_Loss):
    """Module form of `functional.cross_entropy(input, target)`.

    Parameters
    ----------
    weight : Tensor or array_like, shape (C,), optional
        Factor of each class.
    ignore_index : int, default -100
        Class index of positions without loss.
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over positions.
    label_smoothing : float, default 0.0
        Smoothing of the targets, between 0 and 1.
    """

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            cross_entropy,
            weight=weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )


class NLLLoss(_Loss):
    """Module form of `functional.nll_loss(input, target)`.

    Parameters
    ----------
    weight : Tensor or array_like, shape (C,), optional
        Factor of each class.
    ignore_index : int, default -100
        Class index of positions without loss.
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over positions.
    """

    def __init__(
        self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(nll_loss, weight=weight, ignore_index=ignore_index, reduction=reduction)


class CTCLoss(_Loss):
    """Module form of `functional.ctc_loss(log_probs, targets, input_lengths, target_lengths)`.

    Parameters
    ----------
    blank : int, default 0
        Class of the blank.
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over sequences. The mean divides each loss by its target length first.
    zero_infinity : bool, default False
        If True, replace infinite losses and their gradients by 0.
    """

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(ctc_loss, blank=blank, reduction=reduction, zero_infinity=zero_infinity)


class MSELoss(_Loss):
    """Module form of `functional.mse_loss(input, target)`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over all elements.
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(mse_loss, reduction=reduction)


class L1Loss(_Loss):
    """Module form of `functional.l1_loss(input, target)`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over all elements.
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(l1_loss, reduction=reduction)


class HuberLoss(_Loss):
    """Module form of `functional.huber_loss(input, target)`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over all elements.
    delta : float, default 1.0
        Error at which the loss becomes linear.
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(huber_loss, reduction=reduction, delta=delta)


class SmoothL1Loss(_Loss):
    """Module form of `functional.smooth_l1_loss(input, target)`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over all elements.
    beta : float, default 1.0
        Error at which the loss becomes linear.
    """

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(smooth_l1_loss, reduction=reduction, beta=beta)


class BCELoss(_Loss):
    """Module form of `functional.binary_cross_entropy(input, target)`.

    Parameters
    ----------
    weight : Tensor or array_like, optional
        Factor of each loss, which is broadcast.
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over all elements.
    """

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(binary_cross_entropy, weight=weight, reduction=reduction)


class BCEWithLogitsLoss(_Loss):
    """Module form of `functional.binary_cross_entropy_with_logits(input, target)`.

    Parameters
    ----------
    weight : Tensor or array_like, optional
        Factor of each loss, which is broadcast.
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over all elements.
    pos_weight : Tensor or array_like, optional
        Factor of the term q log p, which is broadcast.
    """

    def __init__(
        self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
    ) -> None:
        super().__init__(
            binary_cross_entropy_with_logits,
            weight=weight,
            reduction=reduction,
            pos_weight=pos_weight,
        )
