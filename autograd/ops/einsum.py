"""Sums of products: einsum, and what is written with it."""

from __future__ import annotations

import string
from typing import Any

from ..core.operands import as_operands
from ..core.primitive import primitive
from .arguments import as_integer, check_integer, normalize_axes
from .creation import astype, zeros_on_device_of
from .elementwise import multiply
from .indexing import getitem
from .movement import atleast_1d, diagonal
from .reduction import sum
from .shape import broadcast_to, concatenate, expand_dims, ravel, reshape, stack, unstack

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


def _einsum_back(g: Any, operands: Any, operands_shape: Any, inputs: Any, output: str) -> list[Any]:
    """The gradient of each operand: contract `g` with the others, for the labels that they have;
    along a label that only this operand has, its gradient is constant.
    """
    found = []
    for i, labels in enumerate(inputs):
        others = inputs[:i] + inputs[i + 1 :]
        shared = "".join(c for c in labels if c in output or any(c in other for other in others))
        part = _einsum(
            g,
            *operands[:i],
            *operands[i + 1 :],
            inputs=(output, *others),
            output=shared,
        )
        shape = operands_shape[i]
        kept = tuple(n if c in shared else 1 for c, n in zip(labels, shape, strict=True))
        found.append(broadcast_to(reshape(part, kept), shape))
    return found


@primitive(_einsum_back)
def _einsum(xp: Any, *operands: Any, inputs: tuple[str, ...], output: str) -> Any:
    dtype = xp.result_type(*operands)
    if dtype == "float16":
        operands = tuple([x.astype("float32") for x in operands])
    y = xp.einsum(f"{','.join(inputs)}->{output}", *operands, optimize=True)
    return y.astype(dtype) if dtype == "float16" else y


def einsum(subscripts: Any, *given: Any) -> Any:
    """Einstein's sums, as NumPy writes them: `einsum("ij,jk->ik", a, b)`; ellipsis and repeated
    labels included. `einsum(a, [0, 1], b, [1, 2], [0, 2])` is the same with numbers as labels.
    """
    if not isinstance(subscripts, str):
        subscripts, *given = _with_letters(subscripts, *given)  # type: ignore[assignment]
    arrays = as_operands(*given, name="einsum")
    inputs, output = _labels(subscripts.replace(" ", ""), [x.ndim for x in arrays])
    pairs = [_without_repeats(x, labels) for x, labels in zip(arrays, inputs, strict=True)]
    parts, inputs = _without_ones([x for x, _ in pairs], [labels for _, labels in pairs])
    return _einsum(*parts, inputs=tuple(inputs), output=output)


def _with_letters(*arguments: Any) -> list[Any]:
    """The arguments of `einsum` that label axes by numbers, with letters in the same order."""
    letters = string.ascii_uppercase + string.ascii_lowercase
    end = len(arguments) // 2 * 2

    def term(labels: Any) -> str:
        return "".join(
            "..." if label is ... else letters[range(52)[check_integer("an einsum label", label)]]
            for label in labels
        )

    output = f"->{term(arguments[-1])}" if len(arguments) > end else ""
    return [",".join(map(term, arguments[1:end:2])) + output, *arguments[:end:2]]


def _labels(subscripts: str, ndims: list[int]) -> tuple[list[str], str]:
    """One letter for each axis of the operands, and of the result."""
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
    spare = [c for c in string.ascii_letters if c not in subscripts]
    dots = "".join(spare[: max(0, *extra)])
    for term, n in zip(terms, extra, strict=True):
        if n < 0 or (n and "..." not in term):
            raise ValueError(f"einsum: {term!r} does not fit an operand of {ndims} axes")
    named = output.replace("...", "", 1)
    fits = set(named) <= set(letters) and len(set(named)) == len(named)
    if not fits or (dots and "..." not in output) or not set(letters) <= set(string.ascii_letters):
        raise ValueError(
            f"einsum: labels are letters, and the result of {subscripts!r} has labels of the "
            "operands, each once, and '...' if they have axes without a label"
        )
    inputs = [t.replace("...", dots[len(dots) - n :]) for t, n in zip(terms, extra, strict=True)]
    return inputs, output.replace("...", dots)


def _without_repeats(x: Any, labels: str) -> tuple[Any, str]:
    """Repeated labels replaced by the diagonal that they mean."""
    for c in dict.fromkeys(labels):
        while labels.count(c) > 1:
            i = labels.index(c)
            j = labels.index(c, i + 1)
            if x.shape[i] != x.shape[j]:
                raise ValueError(f"einsum: label {c!r} has lengths {x.shape[i]} and {x.shape[j]}")
            x = diagonal(x, 0, i, j)
            labels = labels[:i] + labels[i + 1 : j] + labels[j + 1 :] + c
    return x, labels


def _without_ones(parts: list[Any], inputs: list[str]) -> tuple[list[Any], list[str]]:
    """Axes of length 1 that broadcast against longer ones of the same label are dropped."""
    longest: dict[str, int] = {}
    for x, labels in zip(parts, inputs, strict=True):
        for c, n in zip(labels, x.shape, strict=True):
            longest[c] = longest.get(c, 1) if n == 1 else n
    kept_parts, kept_inputs = [], []
    for x, labels in zip(parts, inputs, strict=True):
        drop = [a for a, c in enumerate(labels) if x.shape[a] == 1 and longest[c] != 1]
        shape = tuple(n for a, n in enumerate(x.shape) if a not in drop)
        kept_parts.append(reshape(x, shape) if drop else x)
        kept_inputs.append("".join(c for a, c in enumerate(labels) if a not in drop))
    return kept_parts, kept_inputs


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """The sum of products over axes of both: the last of `a` with the first of `b` for an integer,
    or two lists of axes.
    """
    a, b = as_operands(a, b, name="tensordot")
    n = as_integer(axes)
    if n is not None:
        axes = tuple(range(a.ndim - n, a.ndim)), tuple(range(n))
    left, right = (normalize_axes(one, x.ndim) for one, x in zip(axes, (a, b), strict=True))
    if [a.shape[i] for i in left] != [b.shape[j] for j in right]:
        raise ValueError(
            f"tensordot: axes {left} of shape {a.shape} do not match axes {right} of {b.shape}"
        )
    letters = iter(string.ascii_letters)
    of_a = [next(letters) for _ in range(a.ndim)]
    of_b = [next(letters) for _ in range(b.ndim)]
    for i, j in zip(left, right, strict=True):
        of_b[j] = of_a[i]
    free = [c for i, c in enumerate(of_a) if i not in left]
    free += [c for j, c in enumerate(of_b) if j not in right]
    return _einsum(a, b, inputs=("".join(of_a), "".join(of_b)), output="".join(free))


def dot(a: Any, b: Any) -> Any:
    """NumPy's dot: the product of numbers, of vectors, of matrices; the sum over the last axis of
    `a` and the last but one of `b` for more.
    """
    a, b = as_operands(a, b, name="dot")
    if not a.ndim or not b.ndim:
        return multiply(a, b)
    return tensordot(a, b, ([-1], [-2 if b.ndim > 1 else -1]))


def inner(a: Any, b: Any) -> Any:
    """The sum of products over the last axis of both."""
    a, b = as_operands(a, b, name="inner")
    if not a.ndim or not b.ndim:
        return multiply(a, b)
    return tensordot(a, b, ([-1], [-1]))


def vdot(a: Any, b: Any) -> Any:
    """The sum of products of all elements of two arrays of one size."""
    a, b = as_operands(a, b, name="vdot")
    return tensordot(ravel(a), ravel(b), 1)


def outer(a: Any, b: Any) -> Any:
    """All products of an element of `a` and one of `b`: a matrix."""
    a, b = as_operands(a, b, name="outer")
    return multiply(expand_dims(ravel(a), 1), expand_dims(ravel(b), 0))


def kron(a: Any, b: Any) -> Any:
    """The Kronecker product: `b`, scaled by every element of `a`, as blocks."""
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
    """The cross product of vectors of length 2 or 3 that lie along an axis of `a` and of `b`.

    `axisa`, `axisb` and `axisc` are the axes of the vectors of `a`, `b` and the result; `axis`
    replaces all three. The missing third component of a vector of length 2 is 0; for two such
    vectors the result is the third component alone.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = as_operands(a, b, name="cross")
    u, v = unstack(a, axisa), unstack(b, axisb)
    if not {len(u), len(v)} <= {2, 3}:
        raise ValueError(f"cross: vectors of length 2 or 3 are needed, got {len(u)} and {len(v)}")
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
    """The discrete convolution of two vectors, "full", "same" or "valid" as in NumPy.

    Row i of the outer product of `v` and `a`, shifted by i, is added up; nothing is multiplied by
    padding, since 0 times infinity is nan.
    """
    a, v = (atleast_1d(x) for x in as_operands(a, v, name="convolve"))
    if a.ndim != 1 or v.ndim != 1 or not a.size or not v.size:
        raise ValueError(f"convolve: two vectors are needed, got shapes {a.shape}, {v.shape}")
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
