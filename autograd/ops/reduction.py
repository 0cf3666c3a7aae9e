"""Operations that sum up: along axes, or to the shape that a gradient should have."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from math import inf
from typing import Any, TypeVar

from .._primitive import primitive
from .._tensor import Axis
from .elementwise import absolute, astype, exp, isfinite, log, maximum, sqrt, square, where
from .shape import axes_of, broadcast_to, reshape

__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "min",
    "norm",
    "softmax",
    "std",
    "sum",
    "var",
]


def wide(x: Any) -> Any:
    """`x` in single precision if it is in half precision, in which sums round and overflow soon."""
    return astype(x, "float32") if x.dtype == "float16" else x


Function = TypeVar("Function", bound=Callable[..., Any])


def computed_wide(f: Function) -> Function:
    """Decorate a function of an array to compute half precision in single precision."""

    @wraps(f)
    def computed(x: Any, *args: Any, **options: Any) -> Any:
        if getattr(x, "dtype", None) != "float16":
            return f(x, *args, **options)
        return astype(f(wide(x), *args, **options), "float16")

    return computed  # type: ignore[return-value]


def _kept(x_shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape after a reduction over `axes` that keeps them as length 1."""
    return tuple(1 if a in axes else n for a, n in enumerate(x_shape))


@primitive(x=lambda g, x_shape, axes: broadcast_to(reshape(g, _kept(x_shape, axes)), x_shape))
def _sum(xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool) -> Any:
    if x.dtype != "float16":
        return x.sum(axes, keepdims=keepdims)
    return x.sum(axes, "float32", keepdims=keepdims).astype("float16")


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The sum over `axis` (None: over all)."""
    return _sum(x, axes=axes_of(axis, x.ndim), keepdims=keepdims)


def _count(x: Any, axes: tuple[int, ...]) -> int:
    count = 1
    for a in axes:
        count *= x.shape[a]
    return count


def floating(x: Any) -> Any:
    """Integers and booleans as float64, in which nothing wraps around."""
    return x if x.dtype.kind == "f" else astype(x, "float64")


@computed_wide
def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The mean over `axis`; half precision is summed up in single precision."""
    axes, x = axes_of(axis, x.ndim), floating(x)
    return _sum(x, axes=axes, keepdims=keepdims) / _count(x, axes)


@computed_wide
def var(x: Any, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Any:
    """The variance over `axis`: the sum of squared distances from the mean, divided by n - ddof."""
    axes = axes_of(axis, x.ndim)
    distances = x - mean(x, axes, keepdims=True)
    total = _sum(square(distances), axes=axes, keepdims=keepdims)
    count = _count(x, axes)
    return total / (count - ddof if count > ddof else 0)


@computed_wide
def std(x: Any, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Any:
    """The standard deviation, the root of `var`; where it is 0 its gradient is 0."""
    variance = var(x, axis, keepdims, ddof)
    flat = variance == 0
    return where(flat, 0, sqrt(where(flat, 1, variance)))


def _share_extremes(g: Any, x: Any, y: Any, axes: tuple[int, ...]) -> Any:
    """The gradient goes to the extreme elements, in equal parts; to none if the extreme is nan."""
    kept = _kept(x.shape, axes)
    hit, g = x == reshape(y, kept), wide(reshape(g, kept))
    ties = maximum(_sum(hit, axes=axes, keepdims=True), 1)
    return where(hit, g / astype(ties, g.dtype), 0)


@primitive(x=_share_extremes)
def _max(xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool) -> Any:
    return xp.max(x, axes, keepdims=keepdims)


@primitive(x=_share_extremes)
def _min(xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool) -> Any:
    return xp.min(x, axes, keepdims=keepdims)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The greatest element; several equally great share the gradient evenly."""
    return _max(x, axes=axes_of(axis, x.ndim), keepdims=keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The least element; several equally small share the gradient evenly."""
    return _min(x, axes=axes_of(axis, x.ndim), keepdims=keepdims)


@primitive()
def _all(xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool) -> Any:
    return xp.all(x, axes, keepdims=keepdims)


@primitive()
def _any(xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool) -> Any:
    return xp.any(x, axes, keepdims=keepdims)


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Whether all elements over `axis` (None: over all) are true, or not 0."""
    return _all(x, axes=axes_of(axis, x.ndim), keepdims=keepdims)


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Whether some element over `axis` (None: over all) is true, or not 0."""
    return _any(x, axes=axes_of(axis, x.ndim), keepdims=keepdims)


@primitive()
def _argmax(xp: Any, x: Any, *, axis: int | None) -> Any:
    return xp.argmax(x, axis)


@primitive()
def _argmin(xp: Any, x: Any, *, axis: int | None) -> Any:
    return xp.argmin(x, axis)


def argmax(x: Any, axis: int | None = None) -> Any:
    """The index of the (first) greatest element, among all or along `axis`."""
    return _argmax(x, axis=axis)


def argmin(x: Any, axis: int | None = None) -> Any:
    """The index of the (first) least element, among all or along `axis`."""
    return _argmin(x, axis=axis)


@computed_wide
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))), shifted by the maximum so that nothing overflows; for rows of -inf,
    or of no elements, it is -inf and its gradient 0.
    """
    axes, x = axes_of(axis, x.ndim), floating(x)
    peak = 0.0
    if _count(x, axes):
        peak = _max(_without_history(x), axes=axes, keepdims=True)
        peak = where(isfinite(peak), peak, 0)
    total = _sum(exp(x - peak), axes=axes, keepdims=True)
    none = total == 0
    shifted = where(none, -inf, log(where(none, 1, total))) + peak
    return (
        shifted
        if keepdims
        else reshape(shifted, tuple(n for a, n in enumerate(x.shape) if a not in axes))
    )


def _without_history(x: Any) -> Any:
    return x.detach() if hasattr(x, "detach") else x


@computed_wide
def norm(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The Euclidean norm; where it is 0 its gradient is 0."""
    squared = sum(square(absolute(floating(x))), axis, keepdims)
    zero = squared == 0
    return where(zero, 0, sqrt(where(zero, 1, squared)))


@primitive(x=lambda g, y, axis: g - exp(y) * _sum(g, axes=axes_of(axis, y.ndim), keepdims=True))
def _log_softmax(xp: Any, x: Any, *, axis: int) -> Any:
    if not x.size:
        return x.copy()
    shifted = x - xp.max(x, axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis, keepdims=True))


@computed_wide
def log_softmax(x: Any, axis: int = -1) -> Any:
    """log(softmax(x)) along `axis`, computed without ever forming a vanishing probability."""
    return _log_softmax(floating(x), axis=axis)


@computed_wide
def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) / sum(exp(x)) along `axis`."""
    return exp(log_softmax(x, axis=axis))


def fit(g: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """A gradient in the shape and dtype of its tensor: summed over the axes along which the tensor
    was broadcast, and cast.

    Raises ValueError for a shape that the tensor does not broadcast to, TypeError for a dtype that
    is not real.
    """
    if g.dtype.kind not in "fiub":
        raise TypeError(f"a gradient of dtype {g.dtype} is not real")
    if g.shape != shape:
        extra = len(g.shape) - len(shape)
        aligned = (1,) * extra + shape
        if extra < 0 or [n for n, m in zip(aligned, g.shape, strict=True) if n not in (1, m)]:
            raise ValueError(f"a tensor of shape {shape} does not broadcast to {g.shape}")
        axes = tuple([a for a, n in enumerate(aligned) if n == 1 and g.shape[a] != 1])
        g = _sum(g, axes=axes, keepdims=True) if axes else g
        g = g.reshape(shape) if extra else g
    return astype(g, dtype)
