"""Sums of products: einsum, and the products of vectors, matrices and tensors based on it."""

from __future__ import annotations

import string
from typing import Any

from .arguments import as_integer, as_operands, check_integer, normalize_axes
from .creation import astype, zeros_on_device_of
from .declaration import primitive
from .elementwise import multiply
from .indexing import getitem
from .joining import atleast_1d, concatenate, stack, unstack
from .movement import diagonal
from .reduction import sum
from .shape import broadcast_to, expand_dims, ravel, reshape

__all__ = [
    "convolve",
    "cross",
    "dot",
    "einsum",
    "inner",
    "kron",
    "outer",
    "tensordot",
    "vdot",
]

# --- einsum ---------------------------------------------------------------------------------------


def _einsum_vjp(g: Any, operands: Any, operands_shape: Any, inputs: Any, output: str) -> list[Any]:
    """Return the gradient of each operand: the contraction of `g` with the other operands.

    Along a label that no other term has, the gradient is constant.
    """
    gradients = []
    for i, labels in enumerate(inputs):
        other_inputs = inputs[:i] + inputs[i + 1 :]
        other_labels = output + "".join(other_inputs)
        shared = "".join(c for c in labels if c in other_labels)
        contraction = _einsum(
            g,
            *operands[:i],
            *operands[i + 1 :],
            inputs=(output, *other_inputs),
            output=shared,
        )
        shape = operands_shape[i]
        aligned = tuple(n if c in shared else 1 for c, n in zip(labels, shape, strict=True))
        gradients.append(broadcast_to(reshape(contraction, aligned), shape))
    return gradients


@primitive(_einsum_vjp)
def _einsum(xp: Any, *operands: Any, inputs: tuple[str, ...], output: str) -> Any:
    dtype = xp.result_type(*operands)
    if dtype == "float16":
        operands = tuple([x.astype("float32") for x in operands])
    y = xp.einsum(f"{','.join(inputs)}->{output}", *operands, optimize=True)
    return y.astype(dtype) if dtype == "float16" else y


def einsum(subscripts: Any, *operands: Any) -> Any:
    """Evaluate a sum of products in Einstein's summation convention.

    Parameters
    ----------
    subscripts : str
        One term per operand, which labels each of its axes by a letter, and optionally "->" with
        the labels of the result. An ellipsis stands for axes that broadcast; a label that is
        repeated in a term selects a diagonal.
    *operands : Tensor or array_like
        Instead of `subscripts`, operands and lists of integer labels may alternate:
        ``einsum(a, [0, 1], b, [1, 2], [0, 2])``.

    Returns
    -------
    Tensor or array
        The sum over all labels that the result does not have.

    Raises
    ------
    ValueError
        If the subscripts are invalid, or do not match the operands.

    Notes
    -----
    float16 is computed in float32.

    Examples
    --------
    >>> import autograd as ag
    >>> ag.einsum("ij,jk->ik", ag.ones((2, 3)), ag.ones((3, 1)))
    tensor([[3.],
            [3.]])
    """
    if not isinstance(subscripts, str):
        subscripts, *operands = _with_letters(subscripts, *operands)  # type: ignore[assignment]
    arrays = as_operands(*operands, name="einsum")
    inputs, output = _labels(subscripts.replace(" ", ""), [x.ndim for x in arrays])
    pairs = [_take_diagonals(x, labels) for x, labels in zip(arrays, inputs, strict=True)]
    arrays, inputs = _drop_broadcast_axes([x for x, _ in pairs], [labels for _, labels in pairs])
    return _einsum(*arrays, inputs=tuple(inputs), output=output)


def _with_letters(*arguments: Any) -> list[Any]:
    """Convert arguments of `einsum` with integer labels to subscripts and operands."""
    letters = string.ascii_uppercase + string.ascii_lowercase
    end = len(arguments) // 2 * 2

    def term(labels: Any) -> str:
        return "".join(
            "..." if label is Ellipsis else letters[range(52)[check_integer("einsum label", label)]]
            for label in labels
        )

    output = f"->{term(arguments[-1])}" if len(arguments) > end else ""
    return [",".join(map(term, arguments[1:end:2])) + output, *arguments[:end:2]]


def _labels(subscripts: str, ndims: list[int]) -> tuple[list[str], str]:
    """Return one letter for each axis of the operands and of the result."""
    left, arrow, output = subscripts.partition("->")
    terms, letters = left.split(","), left.replace(",", "").replace("...", "")
    if len(terms) != len(ndims):
        raise ValueError(
            f"einsum: {subscripts!r} has {len(terms)} terms, but {len(ndims)} operands are given"
        )
    if not arrow:
        once = sorted(c for c in set(letters) if letters.count(c) == 1)
        output = "".join(["..." if "..." in left else "", *once])
    extra = [n - len(t.replace("...", "")) for t, n in zip(terms, ndims, strict=True)]
    unused = [c for c in string.ascii_letters if c not in subscripts]
    dots = "".join(unused[: max(0, *extra)])
    for term, n, ndim in zip(terms, extra, ndims, strict=True):
        if n < 0 or (n and "..." not in term):
            raise ValueError(
                f"einsum: {term!r} does not label the axes of an operand of {ndim} axes"
            )
    named = output.replace("...", "", 1)
    is_valid = set(named) <= set(letters) and len(set(named)) == len(named)
    is_valid = is_valid and set(letters) <= set(string.ascii_letters)
    if not is_valid or (dots and "..." not in output):
        raise ValueError(
            f"einsum: labels must be letters, and the result of {subscripts!r} must have labels of "
            "the operands, each at most once, and '...' if operands have axes without a label"
        )
    inputs = [t.replace("...", dots[len(dots) - n :]) for t, n in zip(terms, extra, strict=True)]
    return inputs, output.replace("...", dots)


def _take_diagonals(x: Any, labels: str) -> tuple[Any, str]:
    """Replace the axes of a repeated label by their diagonal."""
    for c in dict.fromkeys(labels):
        while labels.count(c) > 1:
            i = labels.index(c)
            j = labels.index(c, i + 1)
            if x.shape[i] != x.shape[j]:
                raise ValueError(f"einsum: label {c!r} has lengths {x.shape[i]} and {x.shape[j]}")
            x = diagonal(x, 0, i, j)
            labels = labels[:i] + labels[i + 1 : j] + labels[j + 1 :] + c
    return x, labels


def _drop_broadcast_axes(arrays: list[Any], inputs: list[str]) -> tuple[list[Any], list[str]]:
    """Remove axes of length 1 that broadcast to a longer axis with the same label."""
    lengths: dict[str, int] = {}
    for x, labels in zip(arrays, inputs, strict=True):
        for c, n in zip(labels, x.shape, strict=True):
            lengths[c] = lengths.get(c, 1) if n == 1 else n
    new_arrays, new_inputs = [], []
    for x, labels in zip(arrays, inputs, strict=True):
        dropped = [a for a, c in enumerate(labels) if x.shape[a] == 1 and lengths[c] != 1]
        shape = tuple(n for a, n in enumerate(x.shape) if a not in dropped)
        new_arrays.append(reshape(x, shape) if dropped else x)
        new_inputs.append("".join(c for a, c in enumerate(labels) if a not in dropped))
    return new_arrays, new_inputs


# --- other products -------------------------------------------------------------------------------


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Sum products over axes of two arrays.

    Parameters
    ----------
    a, b : Tensor or array_like
        Inputs of any shape.
    axes : int or (sequence of int, sequence of int), default 2
        For an integer n, the last n axes of `a` are contracted with the first n axes of `b`.
        A pair lists the axes of `a`, and the corresponding axes of `b`.

    Returns
    -------
    Tensor or array
        Result with the remaining axes of `a`, followed by the remaining axes of `b`.

    Raises
    ------
    ValueError
        If the lengths of the contracted axes differ.
    """
    a, b = as_operands(a, b, name="tensordot")
    n = as_integer(axes)
    if n is not None:
        axes = tuple(range(a.ndim - n, a.ndim)), tuple(range(n))
    left, right = (normalize_axes(each, x.ndim) for each, x in zip(axes, (a, b), strict=True))
    if [a.shape[i] for i in left] != [b.shape[j] for j in right]:
        raise ValueError(
            f"tensordot: axes {left} of shape {a.shape} do not match axes {right} of {b.shape}"
        )
    letters = iter(string.ascii_letters)
    a_labels = [next(letters) for _ in range(a.ndim)]
    b_labels = [next(letters) for _ in range(b.ndim)]
    for i, j in zip(left, right, strict=True):
        b_labels[j] = a_labels[i]
    output = [c for i, c in enumerate(a_labels) if i not in left]
    output += [c for j, c in enumerate(b_labels) if j not in right]
    return _einsum(a, b, inputs=("".join(a_labels), "".join(b_labels)), output="".join(output))


def dot(a: Any, b: Any) -> Any:
    """Multiply numbers, vectors, matrices or higher-dimensional arrays, as `numpy.dot`.

    Parameters
    ----------
    a : Tensor or array_like, shape (..., K) or ()
        First factor.
    b : Tensor or array_like, shape (..., K, N), (K,) or ()
        Second factor.

    Returns
    -------
    Tensor or array
        The sum of products over the last axis of `a` and the last but one axis of `b`, or the only
        axis of a vector `b`. The elementwise product if an argument is a number.
    """
    a, b = as_operands(a, b, name="dot")
    if not a.ndim or not b.ndim:
        return multiply(a, b)
    return tensordot(a, b, ([-1], [-2 if b.ndim > 1 else -1]))


def inner(a: Any, b: Any) -> Any:
    """Sum products over the last axes of two arrays.

    Parameters
    ----------
    a : Tensor or array_like, shape (..., K) or ()
        First factor.
    b : Tensor or array_like, shape (..., K) or ()
        Second factor.

    Returns
    -------
    Tensor or array, shape (*a.shape[:-1], *b.shape[:-1])
        Sums of products; the elementwise product if an argument is a number.
    """
    a, b = as_operands(a, b, name="inner")
    if not a.ndim or not b.ndim:
        return multiply(a, b)
    return tensordot(a, b, ([-1], [-1]))


def vdot(a: Any, b: Any) -> Any:
    """Return the dot product of two flattened arrays.

    Parameters
    ----------
    a, b : Tensor or array_like
        Arrays with the same number of elements.

    Returns
    -------
    Tensor or array, shape ()
        Sum of the products of corresponding elements.
    """
    a, b = as_operands(a, b, name="vdot")
    return tensordot(ravel(a), ravel(b), 1)


def outer(a: Any, b: Any) -> Any:
    """Return the products of each element of `a` and each element of `b`.

    Parameters
    ----------
    a, b : Tensor or array_like
        Arrays, which are flattened.

    Returns
    -------
    Tensor or array, shape (a.size, b.size)
        Products of all pairs.
    """
    a, b = as_operands(a, b, name="outer")
    return multiply(expand_dims(ravel(a), 1), expand_dims(ravel(b), 0))


def kron(a: Any, b: Any) -> Any:
    """Return the Kronecker product: blocks of `b`, scaled by the elements of `a`.

    Parameters
    ----------
    a, b : Tensor or array_like
        Inputs of any shape.

    Returns
    -------
    Tensor or array
        Kronecker product. The length of each axis is the product of the lengths in `a` and `b`.
    """
    a, b = as_operands(a, b, name="kron")
    ndim = max(a.ndim, b.ndim)
    a = reshape(a, (1,) * (ndim - a.ndim) + a.shape)
    b = reshape(b, (1,) * (ndim - b.ndim) + b.shape)
    rows, columns = tuple(range(1, 2 * ndim, 2)), tuple(range(0, 2 * ndim, 2))
    product = multiply(expand_dims(a, rows), expand_dims(b, columns))
    return reshape(product, tuple(n * m for n, m in zip(a.shape, b.shape, strict=True)))


def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """Return the cross product of vectors.

    Parameters
    ----------
    a, b : Tensor or array_like
        Vectors of length 2 or 3 along an axis; the other axes broadcast. The third component of a
        vector of length 2 is 0.
    axisa, axisb, axisc : int, default -1
        The axis of the vectors in `a`, in `b` and in the result.
    axis : int, optional
        Replaces `axisa`, `axisb` and `axisc`.

    Returns
    -------
    Tensor or array
        Cross products; only their third components if all vectors have length 2.

    Raises
    ------
    ValueError
        If the vectors do not have length 2 or 3.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = as_operands(a, b, name="cross")
    u, v = unstack(a, axisa), unstack(b, axisb)
    if not {len(u), len(v)} <= {2, 3}:
        raise ValueError(f"cross: vectors must have length 2 or 3, got {len(u)} and {len(v)}")
    z = u[0] * v[1] - u[1] * v[0]
    if len(u) == len(v) == 2:
        return z
    if len(u) == 2:
        x, y = u[1] * v[2], -(u[0] * v[2])
    elif len(v) == 2:
        x, y = -(u[2] * v[1]), u[2] * v[0]
    else:
        x, y = u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2]
    return stack([x, y, z], axisc)


def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """Return the discrete convolution of two vectors.

    Parameters
    ----------
    a : Tensor or array_like, shape (N,)
        First vector.
    v : Tensor or array_like, shape (M,)
        Second vector.
    mode : {"full", "same", "valid"}
        Return all N + M - 1 elements, the middle max(N, M) elements, or only the elements for which
        the vectors overlap completely.

    Returns
    -------
    Tensor or array, shape (L,)
        Convolution; `mode` determines the length L.

    Raises
    ------
    ValueError
        If an argument is not a vector or is empty, or `mode` is unknown.

    Notes
    -----
    The shifted rows of the outer product are added up. Multiplying by padding would turn infinity
    into nan.
    """
    a, v = (atleast_1d(x) for x in as_operands(a, v, name="convolve"))
    if a.ndim != 1 or v.ndim != 1 or not a.size or not v.size:
        raise ValueError(
            f"convolve: a and v must be vectors with elements, got shapes {a.shape} and {v.shape}"
        )
    if v.size > a.size:
        a, v = v, a
    N, n = a.size, v.size
    if mode not in ("full", "same", "valid"):
        raise ValueError(f'convolve: mode must be "full", "same" or "valid", got {mode!r}')
    products = expand_dims(v, 1) * a
    rows = concatenate([products, zeros_on_device_of(products, (n, n), products.dtype)], 1)
    shifted = reshape(getitem(ravel(rows), slice(n * (N + n - 1))), (n, N + n - 1))
    start, length = {
        "full": (0, N + n - 1),
        "same": ((n - 1) // 2, N),
        "valid": (n - 1, N - n + 1),
    }[mode]
    total = astype(sum(shifted, 0), products.dtype)
    return getitem(total, slice(start, start + length))
