"""Operations that sum up: along axes, or to the shape that a gradient should have."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from math import inf
from typing import Any, TypeVar

from ..core.operands import as_operand
from ..core.primitive import primitive
from ..core.tensor import Axis
from . import selection
from .arguments import normalize_axes, normalize_axis
from .creation import astype
from .elementwise import absolute, exp, log, maximum, minimum, sqrt, square
from .logic import isfinite
from .selection import where
from .shape import broadcast_to, over, reduced, reshape

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
    """Decorate a function of an array to compute half precision in single precision, unless it is
    given a `dtype`.
    """

    @wraps(f)
    def computed(x: Any, *args: Any, **options: Any) -> Any:
        if getattr(x, "dtype", None) != "float16" or options.get("dtype") is not None:
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


def sum(
    x: Any,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The sum over `axis` (None: over all).

    It is computed in `dtype`, begins with the number `initial`, and leaves out the elements where
    the mask `where` is False.
    """
    x, axes = over(x, axis, keepdims, numbers=True)
    if dtype is not None:
        x = astype(x, dtype)
    if where is not None:
        x = masked(x, where, 0)
    y = _sum(x, axes=axes, keepdims=keepdims)
    y = y if dtype is None else astype(y, dtype)
    return y if initial is None else y + started(initial, y)


def masked(x: Any, mask: Any, fill: Any) -> Any:
    """`x`, with `fill` where a mask that broadcasts to its shape is False."""
    mask = as_operand(mask)
    if mask.dtype.kind == "f":
        raise TypeError(f"where must be a boolean mask, got {mask.dtype}")
    return selection.where(broadcast_to(mask, x.shape), x, astype(as_operand(fill, x), x.dtype))


def started(initial: Any, like: Any) -> Any:
    """The number that a reduction begins with, in the dtype of `like`."""
    is_whole = isinstance(initial, float) and like.dtype.kind in "iu"
    number = as_operand(int(initial) if is_whole else initial, like)
    if number.ndim:
        raise ValueError(f"initial must be a number, got an array of shape {number.shape}")
    return astype(number, like.dtype)


def _count(x: Any, axes: tuple[int, ...]) -> int:
    count = 1
    for a in axes:
        count *= x.shape[a]
    return count


def _number(x: Any, axes: tuple[int, ...], keepdims: bool, mask: Any) -> Any:
    """The number of elements that a mask selects for each result."""
    if mask is None:
        return _count(x, axes)
    return _sum(astype(broadcast_to(mask, x.shape), "int64"), axes=axes, keepdims=keepdims)


def floating(x: Any) -> Any:
    """Integers and booleans as float64, in which nothing wraps around."""
    return x if x.dtype.kind == "f" else astype(x, "float64")


def _mean(x: Any, axes: tuple[int, ...], keepdims: bool, mask: Any) -> Any:
    total = sum(x, axes, keepdims, where=mask)
    return astype(total / _number(x, axes, keepdims, mask), x.dtype)


@computed_wide
def mean(
    x: Any, axis: Axis = None, keepdims: bool = False, *, dtype: Any = None, where: Any = None
) -> Any:
    """The mean over `axis`; half precision is summed up in single precision. `dtype` and `where` as
    in `sum`.
    """
    x, axes = over(x, axis, keepdims)
    return _mean(floating(x) if dtype is None else astype(x, dtype), axes, keepdims, where)


@computed_wide
def var(
    x: Any,
    axis: Axis = None,
    keepdims: bool = False,
    ddof: float = 0,
    *,
    dtype: Any = None,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """The variance over `axis`: the sum of squared distances from the mean, divided by n - ddof.

    `correction` is another name of `ddof`. PyTorch's default is 1, NumPy's and ours 0. `mean` is
    the mean, if it is known already (with ``keepdims=True``); `dtype` and `where` as in `sum`.
    """
    if correction is not None:
        if ddof:
            raise ValueError("var: give ddof or correction, not both")
        ddof = correction
    x, axes = over(x, axis, keepdims)
    x = x if dtype is None else astype(x, dtype)
    if dtype is not None and x.dtype.kind != "f":
        raise TypeError(f"var: dtype must be a floating dtype, got {x.dtype}")
    values = floating(x)
    center = _mean(values, axes, True, where) if mean is None else as_operand(mean, x)
    total = sum(square(values - center), axes, keepdims, where=where)
    number = _number(x, axes, keepdims, where) - ddof
    result = total / (number * (number > 0))
    return astype(result, values.dtype if dtype is None else x.dtype)


@computed_wide
def std(
    x: Any,
    axis: Axis = None,
    keepdims: bool = False,
    ddof: float = 0,
    *,
    dtype: Any = None,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """The standard deviation, the root of `var`; where it is 0 its gradient is 0."""
    options = {"dtype": dtype, "where": where, "mean": mean, "correction": correction}
    root = _root(var(x, axis, keepdims, ddof, **options))
    return root if dtype is None else astype(root, dtype)


def _root(squared: Any) -> Any:
    """The square root, whose gradient is 0 where it is 0."""
    zero = squared == 0
    return where(zero, 0, sqrt(where(zero, 1, squared)))


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


def _extreme(
    reduce: Any, combine: Any, x: Any, axis: Axis, keepdims: bool, initial: Any, mask: Any
) -> Any:
    x, axes = over(x, axis, keepdims, numbers=True)
    mask = None if mask is True else mask
    if initial is None:
        if mask is not None:
            raise ValueError(f"{reduce.__name__}: where= needs initial=, for an empty selection")
        return reduce(x, axes=axes, keepdims=keepdims)
    initial = started(initial, x)
    x = x if mask is None else masked(x, mask, initial)
    if not _count(x, axes):
        return astype(_sum(x, axes=axes, keepdims=keepdims) + initial, x.dtype)
    return combine(reduce(x, axes=axes, keepdims=keepdims), initial)


def max(
    x: Any, axis: Axis = None, keepdims: bool = False, *, initial: Any = None, where: Any = None
) -> Any:
    """The greatest element; several equally great share the gradient evenly. `initial` and `where`
    as in `sum`.
    """
    return _extreme(_max, maximum, x, axis, keepdims, initial, where)


def min(
    x: Any, axis: Axis = None, keepdims: bool = False, *, initial: Any = None, where: Any = None
) -> Any:
    """The least element; several equally small share the gradient evenly. `initial` and `where` as
    in `sum`.
    """
    return _extreme(_min, minimum, x, axis, keepdims, initial, where)


@primitive()
def _all(xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool) -> Any:
    return xp.all(x, axes, keepdims=keepdims)


@primitive()
def _any(xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool) -> Any:
    return xp.any(x, axes, keepdims=keepdims)


def all(x: Any, axis: Axis = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """True if all elements over `axis` (None: over all) are true, or not 0; `where` as in `sum`."""
    x, axes = over(x, axis, keepdims, numbers=True)
    return _all(x if where is None else masked(x, where, 1), axes=axes, keepdims=keepdims)


def any(x: Any, axis: Axis = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """True if an element over `axis` (None: over all) is true, or not 0; `where` as in `sum`."""
    x, axes = over(x, axis, keepdims, numbers=True)
    return _any(x if where is None else masked(x, where, 0), axes=axes, keepdims=keepdims)


@primitive()
def _argmax(xp: Any, x: Any, *, axis: int | None) -> Any:
    return xp.argmax(x, axis)


@primitive()
def _argmin(xp: Any, x: Any, *, axis: int | None) -> Any:
    return xp.argmin(x, axis)


def _place(places: Any, x: Any, axis: int | None, keepdims: bool) -> Any:
    x, axes = over(x, axis, keepdims, numbers=True)
    if isinstance(axis, (tuple, list)):
        raise TypeError(f"axis must be an integer or None, got {axis}")
    found = places(x, axis=axes[0] if axis is not None and axes else None)
    return reshape(found, reduced(x.shape, axes, True)) if keepdims else found


def argmax(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """The index of the (first) greatest element, among all or along `axis`."""
    return _place(_argmax, x, axis, keepdims)


def argmin(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """The index of the (first) least element, among all or along `axis`."""
    return _place(_argmin, x, axis, keepdims)


@computed_wide
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))), shifted by the maximum so that nothing overflows; for rows of -inf,
    or of no elements, it is -inf and its gradient 0.
    """
    x, axes = over(x, axis, keepdims)
    x, peak = floating(x), 0.0
    if _count(x, axes):
        peak = _max(without_history(x), axes=axes, keepdims=True)
        peak = where(isfinite(peak), peak, 0)
    total = _sum(exp(x - peak), axes=axes, keepdims=True)
    none = total == 0
    shifted = where(none, -inf, log(where(none, 1, total))) + peak
    return reshape(shifted, reduced(x.shape, axes, keepdims))


def without_history(x: Any) -> Any:
    """`x` as a constant."""
    return x.detach() if hasattr(x, "detach") else x


@computed_wide
def norm(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The Euclidean norm; where it is 0 its gradient is 0."""
    return _root(sum(square(absolute(floating(as_operand(x)))), axis, keepdims))


@primitive(
    x=lambda g, y, axis: g - exp(y) * _sum(g, axes=normalize_axes(axis, y.ndim), keepdims=True)
)
def _log_softmax(xp: Any, x: Any, *, axis: int) -> Any:
    if not x.size:
        return x.copy()
    shifted = x - xp.max(x, axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis, keepdims=True))


@computed_wide
def log_softmax(x: Any, axis: int = -1) -> Any:
    """log(softmax(x)) along `axis`, computed without ever forming a vanishing probability."""
    x = floating(as_operand(x))
    return _log_softmax(x, axis=normalize_axis(axis, x.ndim))


@computed_wide
def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) / sum(exp(x)) along `axis`."""
    return exp(log_softmax(x, axis=axis))


def unbroadcast(g: Any, shape: tuple[int, ...], dtype: Any) -> Any:
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
