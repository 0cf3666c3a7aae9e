"""Creation of tensors, and conversion to another dtype or device."""

from __future__ import annotations

from typing import Any

from .. import backend
from ..backend import Array, asarray, get_default_dtype
from ..core.tensor import Tensor, unwrap
from .arguments import as_operand
from .declaration import primitive

__all__ = [
    "arange",
    "astype",
    "eye",
    "from_dlpack",
    "full",
    "one_hot",
    "ones",
    "ones_like",
    "tensor",
    "zeros",
    "zeros_like",
]


def tensor(
    data: Any, requires_grad: bool = False, dtype: Any = None, device: str | None = None
) -> Tensor:
    """Create a tensor from a copy of the data.

    Parameters
    ----------
    data : array_like or Tensor
        Numbers, nested lists, a NumPy or CuPy array, or another Tensor.
    requires_grad : bool, default False
        Record operations on the tensor, to compute its gradient.
    dtype : dtype_like, optional
        By default arrays keep their dtype, and Python floats become the default dtype.
    device : str, optional
        By default device arrays stay on their device, and other data goes to the default device.

    Returns
    -------
    Tensor
        Tensor of the shape of `data`.

    Raises
    ------
    TypeError
        If the data is not real numbers or booleans.
    DeviceError
        If the device is not available.

    Examples
    --------
    >>> ag.tensor([1.0, 2.0], requires_grad=True)
    tensor([1., 2.], requires_grad=True)
    """
    array = check_real(asarray(unwrap(data), dtype, device))
    return Tensor(array.copy()).requires_grad_(requires_grad)


def from_dlpack(data: Any) -> Tensor:
    """Create a tensor that shares the memory of another library's array.

    Parameters
    ----------
    data : object
        Array of PyTorch, JAX, CuPy or another library that supports the DLPack protocol.

    Returns
    -------
    Tensor
        Tensor on the same memory: each side sees what the other writes.

    Raises
    ------
    DeviceError
        If the memory is on neither the CPU nor a CUDA device.
    TypeError
        If the data is not real numbers or booleans.
    """
    kind, index = data.__dlpack_device__()
    device = {1: "cpu", 2: f"cuda:{index}"}.get(int(kind))
    if device is None:
        raise backend.DeviceError(
            "from_dlpack: the array must be on the CPU (DLPack device type 1) or on CUDA (2), "
            f"got DLPack device type {int(kind)}"
        )
    return Tensor(check_real(backend.get(device).xp.from_dlpack(data)))


def check_real(array: Array) -> Array:
    """Return the array; raise TypeError if it does not hold real numbers or booleans."""
    if array.dtype.kind not in "biuf":
        raise TypeError(f"a tensor must hold real numbers or booleans, got {array.dtype} data")
    return array


def zeros(
    shape: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Create a tensor of zeros.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the tensor.
    dtype : dtype_like, optional
        By default the default dtype.
    device : str, optional
        By default the default device.
    requires_grad : bool, default False
        Record operations on the tensor, to compute its gradient.

    Returns
    -------
    Tensor
        Tensor of the given shape.
    """
    return _create("zeros", shape, dtype, device).requires_grad_(requires_grad)


def ones(
    shape: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Create a tensor of ones.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the tensor.
    dtype : dtype_like, optional
        By default the default dtype.
    device : str, optional
        By default the default device.
    requires_grad : bool, default False
        Record operations on the tensor, to compute its gradient.

    Returns
    -------
    Tensor
        Tensor of the given shape.
    """
    return _create("ones", shape, dtype, device).requires_grad_(requires_grad)


def _create(name: str, shape: Any, dtype: Any, device: str | None) -> Tensor:
    """Return a tensor made by a function of the array module, which is faster than `full`."""
    array = getattr(backend.get(device).xp, name)(shape, dtype or get_default_dtype())
    return Tensor(check_real(array))


def full(
    shape: Any,
    value: Any,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Create a tensor filled with one value.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the tensor.
    value : float, int or bool
        Value of all elements.
    dtype : dtype_like, optional
        By default the dtype of `value`; Python floats become the default dtype.
    device : str, optional
        By default the default device.
    requires_grad : bool, default False
        Record operations on the tensor, to compute its gradient.

    Returns
    -------
    Tensor
        Tensor of the given shape.
    """
    if dtype is None and isinstance(value, float):
        dtype = get_default_dtype()
    target = backend.get(device)
    array = check_real(target.asarray(target.xp.full(shape, value, dtype)))
    return Tensor(array).requires_grad_(requires_grad)


def arange(*bounds: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """Create a tensor of evenly spaced numbers: `arange([start,] stop[, step])`.

    Parameters
    ----------
    *bounds : int or float
        Start (0 by default, included), stop (excluded) and step (1 by default).
    dtype : dtype_like, optional
        By default integers for integer bounds, and the default dtype for floats.
    device : str, optional
        By default the default device.

    Returns
    -------
    Tensor
        Numbers start, start + step, ... before stop; shape (n,).
    """
    if dtype is None and any(isinstance(bound, float) for bound in bounds):
        dtype = get_default_dtype()
    target = backend.get(device)
    return Tensor(check_real(target.asarray(target.xp.arange(*bounds, dtype=dtype))))


def eye(n: int, m: int | None = None, dtype: Any = None, device: str | None = None) -> Tensor:
    """Create a matrix with ones on the diagonal and zeros elsewhere.

    Parameters
    ----------
    n : int
        Number of rows.
    m : int, optional
        Number of columns; by default `n`.
    dtype : dtype_like, optional
        By default the default dtype.
    device : str, optional
        By default the default device.

    Returns
    -------
    Tensor
        Matrix of shape (n, m).
    """
    target = backend.get(device)
    array = target.xp.eye(n, m, dtype=dtype or get_default_dtype())
    return Tensor(check_real(target.asarray(array)))


def zeros_like(x: Any, dtype: Any = None) -> Any:
    """Create zeros of the shape and on the device of an array.

    Parameters
    ----------
    x : Tensor or array_like
        Array that gives shape, dtype and device.
    dtype : dtype_like, optional
        By default the dtype of `x`.

    Returns
    -------
    Tensor or array
        Zeros of the shape of `x`, without a gradient; a Tensor if `x` is one.
    """
    array = unwrap(as_operand(x))
    zeros = backend.of_array(array).xp.zeros_like(array, dtype=dtype)
    return Tensor(check_real(zeros)) if isinstance(x, Tensor) else zeros


def ones_like(x: Any, dtype: Any = None) -> Any:
    """Create ones of the shape and on the device of an array.

    Parameters
    ----------
    x : Tensor or array_like
        Array that gives shape, dtype and device.
    dtype : dtype_like, optional
        By default the dtype of `x`.

    Returns
    -------
    Tensor or array
        Ones of the shape of `x`, without a gradient; a Tensor if `x` is one.
    """
    array = unwrap(as_operand(x))
    ones = backend.of_array(array).xp.ones_like(array, dtype=dtype)
    return Tensor(check_real(ones)) if isinstance(x, Tensor) else ones


def as_indices(indices: Array) -> Array:
    """Return an array of indices as integers.

    Booleans count as 0 and 1. An array without elements, such as an empty list makes, may have any
    dtype. Other dtypes raise TypeError.
    """
    if not indices.size or indices.dtype.kind == "b":
        return indices.astype("int64")
    if indices.dtype.kind not in "iu":
        raise TypeError(f"indices must be integers, got {indices.dtype}")
    return indices


def one_hot(indices: Any, classes: int, dtype: Any = None) -> Tensor:
    """Encode class indices as rows of zeros with a single one.

    Parameters
    ----------
    indices : Tensor or array_like of int
        Class indices from 0 to classes - 1, of any shape; booleans count as 0 and 1.
    classes : int
        Number of classes.
    dtype : dtype_like, optional
        By default the default dtype.

    Returns
    -------
    Tensor
        One-hot vectors along a new last axis; shape (..., classes).

    Raises
    ------
    TypeError
        If the indices are not integers.
    IndexError
        If an index is out of range.

    Examples
    --------
    >>> ag.one_hot([2, 0], 3)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    array = as_indices(asarray(unwrap(indices)))
    array_backend = backend.of_array(array)
    if array.size:
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= classes:
            raise IndexError(
                f"one_hot: indices must be between 0 and {classes - 1} for {classes} classes, "
                f"got indices between {low} and {high}"
            )
    rows = array_backend.xp.eye(classes, dtype=dtype or get_default_dtype())
    return Tensor(check_real(array_backend.asarray(rows[array])))


@primitive(x=lambda g: g)  # the backward pass casts the gradient to the dtype of `x`
def _astype(xp: Any, x: Any, *, dtype: Any) -> Any:
    return x.astype(dtype)


def astype(x: Any, dtype: Any) -> Any:
    """Convert to another dtype.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    dtype : dtype_like
        New dtype.

    Returns
    -------
    Tensor or array
        `x` itself if it has this dtype, else a copy; a Tensor if `x` is one.

    Notes
    -----
    The gradient is converted back to the dtype of `x`. There is none through integers or booleans.
    """
    x = as_operand(x)
    return x if x.dtype == dtype else _astype(x, dtype=dtype)


@primitive(x=lambda g, origin: _to_device(g, device=origin, origin=None))
def _to_device(xp: Any, x: Any, *, device: str, origin: str | None) -> Any:
    source, target = backend.of_array(x), backend.get(device)
    return x if source is target else target.asarray(source.to_host(x))


def to_device(x: Tensor, device: str) -> Tensor:
    """Copy a tensor to another device; its gradient is copied back."""
    result: Tensor = _to_device(x, device=device, origin=x.device)
    return result


def zeros_on_device_of(like: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Create zeros on the device of `like`; a Tensor if `like` is one."""
    zeros = backend.of_array(unwrap(like)).xp.zeros(shape, dtype)
    return Tensor(zeros) if isinstance(like, Tensor) else zeros
