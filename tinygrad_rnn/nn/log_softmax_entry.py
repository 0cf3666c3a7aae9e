"""One entry per row of log_softmax, computed from the scores without the other entries.

`log_softmax` followed by the selection of one class per row writes several arrays of the size of
the scores, forward and backward. With a large vocabulary these passes over memory cost as much as a
matrix product. Here the forward pass needs one temporary array and saves none, and the backward
pass computes in the array that it returns.
"""

from __future__ import annotations

from typing import Any

from autograd import expand_dims, primitive, softmax, sum


def _exponentials(xp: Any, x: Any) -> tuple[Any, Any, Any]:
    """exp(x - max x) in each row of `x` (N, C), their sums (N, 1), and the maxima (N, 1)."""
    peak = xp.max(x, 1, keepdims=True)
    e = xp.subtract(x, peak)
    xp.exp(e, e)
    return e, xp.sum(e, 1, keepdims=True), peak


def _residual_g(G: Any, x: Any, target: Any) -> Any:
    return G[target] - sum(G * softmax(x), -1)


def _residual_x(G: Any, g: Any, x: Any) -> Any:
    p = softmax(x)
    return expand_dims(g, 1) * p * (sum(G * p, -1, keepdims=True) - G)


@primitive(g=_residual_g, x=_residual_x)
def _residual(xp: Any, g: Any, x: Any, *, target: Any) -> Any:
    """g (one_hot(target) - softmax(x)), with one factor g per row."""
    if not x.size:
        return xp.zeros_like(x)
    e, total, _ = _exponentials(xp, x)
    e *= -g[:, None] / total
    e[target] += g
    return e


@primitive(x=lambda g, x, target: _residual(g, x, target=target))
def log_softmax_entry(xp: Any, x: Any, *, target: Any) -> Any:
    """Return log softmax(x) of one class per row.

    Parameters
    ----------
    x : Tensor or array, shape (N, C)
        Scores in single or double precision.
    target : tuple of two integer arrays of shape (N,)
        The numbers 0 to N - 1 of the rows, and the class of each row.

    Returns
    -------
    Tensor or array, shape (N,)
    """
    if not x.size:
        return xp.zeros(x.shape[:1], x.dtype)
    _, total, peak = _exponentials(xp, x)
    return x[target] - peak[:, 0] - xp.log(total[:, 0])
