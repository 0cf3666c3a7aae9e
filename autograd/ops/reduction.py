"""Reductions over axes: sum, mean, variance, norm, all and any.

`unbroadcast`, which the backward pass applies to every gradient, is also a sum.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from math import prod
from typing import Any, TypeVar

from ..core.tensor import Axis
from .arguments import as_operand
from .creation import astype
from .declaration import primitive
from .elementwise import absolute, sqrt, square
from .selection import where
from .shape import array_and_axes, broadcast_to, reduced_shape, reshape

__all__ = ["all", "any", "mean", "norm", "std", "sum", "var"]

Function = TypeVar("Function", bound=Callable[..., Any])

# --- dtypes and masks -----------------------------------------------------------------------------


def upcast_half(x: Any) -> Any:
    """Return float16 as float32, in which sums are more precise and do not overflow."""
    return astype(x, "float32") if x.dtype == "float16" else x


def with_half_upcast(f: Function) -> Function:
    """Decorate a function of an array to compute float16 in float32, unless `dtype` is given."""

    @wraps(f)
    def wrapper(x: Any, *args: Any, **options: Any) -> Any:
        if getattr(x, "dtype", None) != "float16" or options.get("dtype") is not None:
            return f(x, *args, **options)
        return astype(f(upcast_half(x), *args, **options), "float16")

    return wrapper  # type: ignore[return-value]


def as_floating(x: Any) -> Any:
    """Return integers and booleans as float64, which cannot overflow."""
    return x if x.dtype.kind == "f" else astype(x, "float64")


def stop_gradient(x: Any) -> Any:
    """Return `x` without its history."""
    return x.detach() if hasattr(x, "detach") else x


def apply_mask(x: Any, mask: Any, fill: Any) -> Any:
    """Replace elements by `fill` where a mask that broadcasts to the shape of `x` is False."""
    mask = as_operand(mask)
    if mask.dtype.kind == "f":
        raise TypeError(f"where must be a boolean mask, got {mask.dtype}")
    fill = astype(as_operand(fill, x), x.dtype)
    return where(broadcast_to(mask, x.shape), x, fill)


def initial_value(initial: Any, like: Any) -> Any:
    """Return the initial value of a reduction in the dtype of `like`."""
    is_truncated = isinstance(initial, float) and like.dtype.kind in "iu"
    value = as_operand(int(initial) if is_truncated else initial, like)
    if value.ndim:
        raise ValueError(f"initial must be a number, got an array of shape {value.shape}")
    return astype(value, like.dtype)


def element_count(x: Any, axes: tuple[int, ...]) -> int:
    """Return the number of elements that a reduction over `axes` combines."""
    return prod([x.shape[a] for a in axes])


def _masked_count(x: Any, axes: tuple[int, ...], keepdims: bool, mask: Any) -> Any:
    """Return the number of elements that a mask selects for each result."""
    if mask is None:
        return element_count(x, axes)
    return _sum(astype(broadcast_to(mask, x.shape), "int64"), axes=axes, keepdims=keepdims)


# --- reductions -----------------------------------------------------------------------------------


def _broadcast_gradient(g: Any, x_shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Return the gradient of the argument of a sum over `axes`."""
    if g.shape:
        g = reshape(g, reduced_shape(x_shape, axes, True))
    return broadcast_to(g, x_shape)


@primitive(x=lambda g, x_shape, axes: _broadcast_gradient(g, x_shape, axes))
def _sum(xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool) -> Any:
    if x.dtype.char != "e":  # faster than a comparison with "float16"
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
    """Sum elements over axes.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int or tuple of int, optional
        The axes to reduce. The default is all axes.
    keepdims : bool, default False
        Keep the reduced axes with length 1.
    dtype : dtype, optional
        The dtype of the sum and of the result.
    initial : number, optional
        A number that is added to each sum.
    where : Tensor or array_like of bool, optional
        A mask that broadcasts to the shape of `x`. Elements where it is False are left out.

    Returns
    -------
    Tensor or array
        Sums over the axes; 0 for a sum of no elements.

    Notes
    -----
    float16 is summed in float32.
    """
    x, axes = array_and_axes(x, axis, keepdims, allow_scalar=True)
    if dtype is not None:
        x = astype(x, dtype)
    if where is not None:
        x = apply_mask(x, where, 0)
    y = _sum(x, axes=axes, keepdims=keepdims)
    y = y if dtype is None else astype(y, dtype)
    return y if initial is None else y + initial_value(initial, y)


def _mean(x: Any, axes: tuple[int, ...], keepdims: bool, mask: Any) -> Any:
    total = sum(x, axes, keepdims, where=mask)
    return astype(total / _masked_count(x, axes, keepdims, mask), x.dtype)


@with_half_upcast
def mean(
    x: Any, axis: Axis = None, keepdims: bool = False, *, dtype: Any = None, where: Any = None
) -> Any:
    """Return the arithmetic mean over axes.

    Parameters
    ----------
    x : Tensor or array_like
        Integers and booleans are converted to float64.
    axis : int or tuple of int, optional
        The axes to reduce. The default is all axes.
    keepdims : bool, default False
        Keep the reduced axes with length 1.
    dtype : dtype, optional
        The dtype of the computation and of the result. By default float16 is computed in float32.
    where : Tensor or array_like of bool, optional
        A mask that broadcasts to the shape of `x`. Elements where it is False are left out.

    Returns
    -------
    Tensor or array
        Means over the axes; nan for a mean of no elements.
    """
    x, axes = array_and_axes(x, axis, keepdims)
    return _mean(as_floating(x) if dtype is None else astype(x, dtype), axes, keepdims, where)


@with_half_upcast
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
    """Return the variance over axes.

    Parameters
    ----------
    x : Tensor or array_like
        Integers and booleans are converted to float64.
    axis : int or tuple of int, optional
        The axes to reduce. The default is all axes.
    keepdims : bool, default False
        Keep the reduced axes with length 1.
    ddof : float, default 0
        The sum of squared deviations from the mean is divided by ``n - ddof``. The default is
        NumPy's; PyTorch's is 1.
    dtype : dtype, optional
        The floating dtype of the computation and of the result. By default float16 is computed in
        float32.
    where : Tensor or array_like of bool, optional
        A mask that broadcasts to the shape of `x`. Elements where it is False are left out.
    mean : Tensor or array_like, optional
        The mean, computed with ``keepdims=True``. By default it is computed here.
    correction : float, optional
        Another name for `ddof`.

    Returns
    -------
    Tensor or array
        Variances over the axes; nan if ``n - ddof`` is not positive.

    Raises
    ------
    ValueError
        If both `ddof` and `correction` are given.
    TypeError
        If `dtype` is not a floating dtype.
    """
    if correction is not None:
        if ddof:
            raise ValueError("var: ddof and correction cannot be used together")
        ddof = correction
    x, axes = array_and_axes(x, axis, keepdims)
    x = x if dtype is None else astype(x, dtype)
    if dtype is not None and x.dtype.kind != "f":
        raise TypeError(f"var: dtype must be a floating dtype, got {x.dtype}")
    values = as_floating(x)
    center = _mean(values, axes, True, where) if mean is None else as_operand(mean, x)
    total = sum(square(values - center), axes, keepdims, where=where)
    divisor = _masked_count(x, axes, keepdims, where) - ddof
    result = total / (divisor * (divisor > 0))
    return astype(result, values.dtype if dtype is None else x.dtype)


@with_half_upcast
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
    """Return the standard deviation over axes, the square root of `var`.

    Parameters
    ----------
    x : Tensor or array_like
        Integers and booleans are converted to float64.
    axis : int or tuple of int, optional
        The axes to reduce. The default is all axes.
    keepdims : bool, default False
        Keep the reduced axes with length 1.
    ddof : float, default 0
        The sum of squared deviations from the mean is divided by ``n - ddof``. The default is
        NumPy's; PyTorch's is 1.
    dtype, where, mean, correction
        As in `var`.

    Returns
    -------
    Tensor or array
        Standard deviations over the axes; nan if ``n - ddof`` is not positive.

    Notes
    -----
    The gradient is 0 where the standard deviation is 0.
    """
    options = {"dtype": dtype, "where": where, "mean": mean, "correction": correction}
    root = _root(var(x, axis, keepdims, ddof, **options))
    return root if dtype is None else astype(root, dtype)


def _root(x: Any) -> Any:
    """Return the square root, with gradient 0 where it is 0."""
    is_zero = x == 0
    return where(is_zero, 0, sqrt(where(is_zero, 1, x)))


@with_half_upcast
def norm(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the Euclidean norm over axes.

    Parameters
    ----------
    x : Tensor or array_like
        Integers and booleans are converted to float64.
    axis : int or tuple of int, optional
        The axes to reduce. The default is all axes.
    keepdims : bool, default False
        Keep the reduced axes with length 1.

    Returns
    -------
    Tensor or array
        Norms over the axes.

    Notes
    -----
    The gradient is 0 where the norm is 0.
    """
    return _root(sum(square(absolute(as_floating(as_operand(x)))), axis, keepdims))


@primitive()
def _all(xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool) -> Any:
    return xp.all(x, axes, keepdims=keepdims)


@primitive()
def _any(xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool) -> Any:
    return xp.any(x, axes, keepdims=keepdims)


def all(x: Any, axis: Axis = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """Return True where all elements over axes are nonzero.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int or tuple of int, optional
        The axes to reduce. The default is all axes.
    keepdims : bool, default False
        Keep the reduced axes with length 1.
    where : Tensor or array_like of bool, optional
        A mask that broadcasts to the shape of `x`. Elements where it is False are left out.

    Returns
    -------
    Tensor or array of bool
        True for a reduction of no elements. The result has no gradient.
    """
    x, axes = array_and_axes(x, axis, keepdims, allow_scalar=True)
    return _all(x if where is None else apply_mask(x, where, 1), axes=axes, keepdims=keepdims)


def any(x: Any, axis: Axis = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """Return True where at least one element over axes is nonzero.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int or tuple of int, optional
        The axes to reduce. The default is all axes.
    keepdims : bool, default False
        Keep the reduced axes with length 1.
    where : Tensor or array_like of bool, optional
        A mask that broadcasts to the shape of `x`. Elements where it is False are left out.

    Returns
    -------
    Tensor or array of bool
        False for a reduction of no elements. The result has no gradient.
    """
    x, axes = array_and_axes(x, axis, keepdims, allow_scalar=True)
    return _any(x if where is None else apply_mask(x, where, 0), axes=axes, keepdims=keepdims)


# --- gradients ------------------------------------------------------------------------------------


def unbroadcast(g: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return a gradient in the shape and dtype of its Tensor.

    It is summed over the axes along which the Tensor was broadcast, and cast. Raises ValueError for
    a shape that the Tensor does not broadcast to, TypeError for a dtype that is not real.
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
