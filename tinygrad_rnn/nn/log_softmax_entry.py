"""One entry per row of log_softmax, computed from the scores without the other entries.

`log_softmax` followed by the selection of one class per row writes several arrays of the size of
the scores, forward and backward. With a large vocabulary these passes over memory cost as much as a
matrix product. Here the forward pass needs one temporary array and saves none, and the backward
pass computes in the array that it returns.
"""

from __future__ import annotations

from typing import Any

from autograd import backend, expand_dims, primitive, softmax, sum


def _exponentials(xp: Any, x: Any, out: Any) -> tuple[Any, Any]:
    """exp(x - max x) in each row of `x` (N, C), written into `out`; its sums and the maxima."""
    peak = xp.max(x, 1, keepdims=True)
    xp.exp(xp.subtract(x, peak, out), out)
    return xp.sum(out, 1), peak[:, 0]


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
    residual = xp.empty(x.shape, x.dtype)

    def kernel(rows: slice) -> None:
        total, _ = _exponentials(xp, x[rows], residual[rows])
        residual[rows] *= (-g[rows] / total)[:, None]

    backend.of(x).for_rows(kernel, *x.shape)
    residual[target] += g
    return residual


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
    temporary = xp.empty(x.shape, x.dtype)
    total, peak = xp.empty((2, len(x)), x.dtype)

    def kernel(rows: slice) -> None:
        total[rows], peak[rows] = _exponentials(xp, x[rows], temporary[rows])

    backend.of(x).for_rows(kernel, *x.shape)
    return x[target] - peak - xp.log(total)
