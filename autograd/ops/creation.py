"""Making tensors, from data and from nothing, and moving them between devices."""

from __future__ import annotations

from typing import Any

from .. import backend
from ..backend import Array, asarray, get_default_dtype
from ..core.operands import as_operand
from ..core.primitive import primitive
from ..core.tensor import Tensor, unwrap

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
    """A tensor that holds a copy of `data`: numbers, nested lists, a NumPy or CuPy array, another
    Tensor.

    Python floats become the default dtype (float32), arrays keep theirs. Raises TypeError for what
    is no number (complex data too), DeviceError for a device that is not there.
    """
    array = check_real(asarray(unwrap(data), dtype, device))
    return Tensor(array.copy()).requires_grad_(requires_grad)


def from_dlpack(data: Any) -> Tensor:
    """A tensor on the memory of another library's array (PyTorch's, JAX's, CuPy's, ...), without a
    copy: either sees what the other writes.

    Raises DeviceError for memory that is neither the CPU's nor a CUDA device's.
    """
    kind, index = data.__dlpack_device__()
    device = {1: "cpu", 2: f"cuda:{index}"}.get(int(kind))
    if device is None:
        raise backend.DeviceError(
            f"an array of DLPack device type {int(kind)} cannot be taken over; "
            "there are cpu (1) and cuda (2)"
        )
    return Tensor(check_real(backend.get(device).xp.from_dlpack(data)))


def check_real(array: Array) -> Array:
    """Return `array` itself; raise TypeError if it does not hold real numbers or booleans."""
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"cannot make a tensor of {array.dtype} data; real numbers and booleans are supported"
        )
    return array


def zeros(
    shape: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of zeros."""
    return full(shape, 0.0, dtype, device, requires_grad)


def ones(
    shape: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of ones."""
    return full(shape, 1.0, dtype, device, requires_grad)


def full(
    shape: Any,
    value: Any,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor that holds `value` everywhere; floats are of the default dtype."""
    if dtype is None and isinstance(value, float):
        dtype = get_default_dtype()
    home = backend.get(device)
    array = check_real(home.asarray(home.xp.full(shape, value, dtype)))
    return Tensor(array).requires_grad_(requires_grad)


def arange(*bounds: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """`arange([start,] stop[, step])`: evenly spaced numbers; floats are of the default dtype."""
    if dtype is None and any(isinstance(bound, float) for bound in bounds):
        dtype = get_default_dtype()
    home = backend.get(device)
    return Tensor(check_real(home.asarray(home.xp.arange(*bounds, dtype=dtype))))


def eye(n: int, m: int | None = None, dtype: Any = None, device: str | None = None) -> Tensor:
    """Ones on the diagonal of an (n, m) matrix of zeros (m: n if left out)."""
    home = backend.get(device)
    array = home.xp.eye(n, m, dtype=dtype or get_default_dtype())
    return Tensor(check_real(home.asarray(array)))


def zeros_like(x: Any, dtype: Any = None) -> Any:
    """Zeros of the shape, dtype and device of `x`: a Tensor if `x` is one."""
    array = unwrap(as_operand(x))
    made = backend.of_array(array).xp.zeros_like(array, dtype=dtype)
    return Tensor(check_real(made)) if isinstance(x, Tensor) else made


def ones_like(x: Any, dtype: Any = None) -> Any:
    """Ones of the shape, dtype and device of `x`: a Tensor if `x` is one."""
    array = unwrap(as_operand(x))
    made = backend.of_array(array).xp.ones_like(array, dtype=dtype)
    return Tensor(check_real(made)) if isinstance(x, Tensor) else made


def as_indices(indices: Array) -> Array:
    """Return an array of indices as integers: booleans count as 0 and 1, and an array of no
    elements, as an empty list makes it, may have any dtype. Raises TypeError for other numbers.
    """
    if not indices.size or indices.dtype.kind == "b":
        return indices.astype("int64")
    if indices.dtype.kind not in "iu":
        raise TypeError(f"indices must be integers, got {indices.dtype}")
    return indices


def one_hot(indices: Any, classes: int, dtype: Any = None) -> Tensor:
    """For each index a row of `classes` zeros with a one at the index: shape (..., classes).

    Booleans count as 0 and 1. Raises TypeError for indices that are not integers.
    """
    array = as_indices(asarray(unwrap(indices)))
    home = backend.of_array(array)
    if array.size:
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= classes:
            raise IndexError(
                f"one_hot: {classes} classes are 0 to {classes - 1}; "
                f"the indices lie between {low} and {high}"
            )
    rows = home.xp.eye(classes, dtype=dtype or get_default_dtype())
    return Tensor(check_real(home.asarray(rows[array])))


@primitive(x=lambda g: g)  # the sweep casts the gradient back
def _astype(xp: Any, x: Any, *, dtype: Any) -> Any:
    return x.astype(dtype)


def astype(x: Any, dtype: Any) -> Any:
    """`x` in another dtype; the gradient comes back in its own."""
    x = as_operand(x)
    return x if x.dtype == dtype else _astype(x, dtype=dtype)


@primitive(x=lambda g, origin: _to_device(g, device=origin, origin=None))
def _to_device(xp: Any, x: Any, *, device: str, origin: str | None) -> Any:
    home = backend.of_array(x)
    target = backend.get(device)
    return x if home is target else target.asarray(home.to_host(x))


def to_device(x: Tensor, device: str) -> Tensor:
    """`x` on another device; its gradient travels back."""
    result: Tensor = _to_device(x, device=device, origin=x.device)
    return result


def zeros_on_device_of(like: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Zeros where `like` lives; a Tensor if `like` is one."""
    made = backend.of_array(unwrap(like)).xp.zeros(shape, dtype)
    return Tensor(made) if isinstance(like, Tensor) else made
