"""Primitive that computes one entry per row of log_softmax without the other entries.

`log_softmax` followed by the selection of one class per row writes several arrays of the size of
the scores in both passes. With a large vocabulary these passes over memory cost as much as a matrix
product. Here the forward pass writes only the probabilities, and the backward pass only the
gradient.
"""

from __future__ import annotations

from typing import Any

from autograd import backend, expand_dims, primitive, sum


@primitive(g=lambda G, p, target: G[target] - sum(G * p, -1), p=lambda G, g: -expand_dims(g, 1) * G)
def _scaled_residual(xp: Any, g: Any, p: Any, *, target: Any) -> Any:
    """Return g (one_hot(target) - p), with one factor g per row."""
    result = xp.empty(p.shape, p.dtype)

    def kernel(rows: slice) -> None:
        xp.multiply(p[rows], -g[rows, None], result[rows])

    backend.of_array(p).for_rows(kernel, *p.shape)
    result[target] += g
    return result


def _gradient(g: Any, y: Any, target: Any) -> Any:
    """Return the gradient of x; g has the gradients of entries and probabilities, or None."""
    p, terms = y[1], []
    if g[0] is not None:
        terms.append(_scaled_residual(g[0], p, target=target))
    if g[1] is not None:
        terms.append(p * (g[1] - sum(g[1] * p, -1, keepdims=True)))
    return terms[0] if len(terms) == 1 else terms[0] + terms[1]


@primitive(x=_gradient)
def log_softmax_at(xp: Any, x: Any, *, target: Any) -> tuple[Any, Any]:
    """Return log_softmax(x) of one class per row, and softmax(x), which the gradient needs.

    Parameters
    ----------
    x : Tensor or array, shape (N, C)
        Scores in single or double precision.
    target : tuple of two integer arrays of shape (N,)
        The row indices 0 to N - 1, and the class of each row.

    Returns
    -------
    entries : Tensor or array, shape (N,)
    probabilities : Tensor or array, shape (N, C)
    """
    p = xp.empty(x.shape, x.dtype)
    if not x.size:
        return p.sum(1), p
    peak, total = xp.empty((2, len(x), 1), x.dtype)

    def kernel(rows: slice) -> None:
        block = p[rows]
        peak[rows] = xp.max(x[rows], 1, keepdims=True)
        xp.exp(xp.subtract(x[rows], peak[rows], block), block)
        total[rows] = xp.sum(block, 1, keepdims=True)
        xp.multiply(block, 1 / total[rows], block)

    backend.of_array(x).for_rows(kernel, *x.shape)
    return x[target] - peak[:, 0] - xp.log(total[:, 0]), p
