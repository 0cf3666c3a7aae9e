"""Comparison of gradients with finite differences.

Let J be the Jacobian of f, v weights of its outputs and u a direction of its inputs. The number
v'Ju is computed in three ways: from the row v'J of reverse mode, from the column Ju of forward
mode, and from differences of f along u. Small functions are compared entry by entry, with unit
vectors u and v; large functions with random vectors. The second order applies the same comparison
to the function (x, v) -> v'J.

The differences are central, at two step sizes, and extrapolated to step size 0 (Richardson 1911).
Their error is O(step^4): about 12 correct digits for a function that varies on a scale of 1, and 8
on a scale of 0.1.

References
----------
Richardson 1911, "The approximate arithmetical solution by finite differences of physical problems
involving differential equations".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import backend
from ..core.graph import enable_grad
from ..core.pytree import flatten
from ..core.tensor import Tensor
from ..transforms import jvp
from ..transforms.reverse import weighted_gradients

Function = Callable[..., Any]

STEP = 1e-3  # step of the differences; kinks must be further away
SMALL = 32  # largest number of entries that are compared one by one
DIRECTIONS = 4  # number of random directions for more entries


def check_gradients(
    f: Function,
    *args: Any,
    order: int = 2,
    modes: Sequence[str] = ("reverse", "forward"),
    rtol: float = 1e-6,
    atol: float = 1e-6,
) -> None:
    """Compare the derivatives of a function with central differences.

    Parameters
    ----------
    f : callable
        Function of Tensors that returns a Tensor, or nested tuples, lists and dicts of Tensors.
        Results that are not floats are ignored. The function must be deterministic, and smooth
        within 1e-3 of the arguments.
    *args : array_like
        Arguments of `f`: float64 arrays, whose memory layout is preserved, floats or Tensors.
    order : int, default 2
        Highest order of the derivatives.
    modes : sequence of str, default ("reverse", "forward")
        Modes of differentiation.
    rtol, atol : float, default 1e-6
        Tolerance of an entry d of the differences: ``atol + rtol * |d|``.

    Raises
    ------
    AssertionError
        If an entry differs by more than the tolerance, which the message names, or if a gradient
        does not have the shape and dtype of its argument.
    TypeError
        If an argument or result is not float64.
    ValueError
        If a mode is unknown, or there is nothing to check.

    Examples
    --------
    >>> ag.testing.check_gradients(lambda x: ag.tanh(x) * x, np.array([0.3, -1.0]))
    """
    if unknown := [mode for mode in modes if mode not in ("reverse", "forward")]:
        raise ValueError(f"modes must be 'reverse' or 'forward', got {unknown[0]!r}")
    if order < 1 or not modes or not args:
        raise ValueError("nothing to check: pass arguments, a mode, and an order of at least 1")
    points = [_point(arg, i) for i, arg in enumerate(args)]
    arguments = [f"argument {i}" for i in range(len(points))]
    rng = np.random.default_rng(0)
    results = "output"
    for n in range(1, order + 1):
        jacobian = _Jacobian(f, points)
        weights = [_random(rng, y.shape) for y in jacobian.outputs]
        for mode in modes:
            failure = _compare(jacobian, mode, rng, rtol, atol, arguments, results)
            if failure:
                raise AssertionError(f"{mode} mode, order {n}: {failure}")
        f, results = _gradient_of(f, len(points)), "gradient"
        points = points + weights
        arguments += [f"the weight of output {k}" for k in range(len(weights))]


def _point(value: Any, i: int) -> np.ndarray:
    """Return an argument as a host array of the same memory layout."""
    array = value.numpy() if isinstance(value, Tensor) else backend.of_array(value).to_host(value)
    if array.dtype != np.float64:
        raise TypeError(
            f"argument {i} must be float64, because differences are not precise enough in other "
            f"dtypes, got {array.dtype}"
        )
    return array


def _random(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers of both signs and similar magnitude, so that every entry has an effect."""
    numbers: np.ndarray = rng.uniform(0.5, 1, shape) * rng.choice((-1, 1), shape)
    return numbers


def _probes(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return all unit vectors for a small size, else random vectors: shape (probes, size)."""
    return np.eye(size) if 0 < size <= SMALL else _random(rng, (DIRECTIONS, size))


# --- the Jacobian in three ways -------------------------------------------------------------------


class _Jacobian:
    """Jacobian J of f at a point, as products with vectors.

    A vector concatenates the entries of all outputs, or of all inputs.
    """

    def __init__(self, f: Function, points: list[np.ndarray]) -> None:
        self.f, self.points = f, points
        self.inputs = [_tensor(point).requires_grad_() for point in points]
        with enable_grad():
            self.outputs = _outputs(f, self.inputs)

    def row(self, v: np.ndarray) -> np.ndarray:
        """Return v'J from reverse mode."""
        weights = [_tensor(part) for part in _parts(v, self.outputs)]
        computed = weighted_gradients(self.outputs, self.inputs, weights, record=False)
        for i, (gradient, x) in enumerate(zip(computed, self.inputs, strict=True)):
            if (gradient.shape, gradient.dtype) != (x.shape, x.dtype):
                raise AssertionError(
                    f"the gradient of argument {i} must be {x.shape} {x.dtype}, "
                    f"got {gradient.shape} {gradient.dtype}"
                )
        return _flat(computed)

    def column(self, u: np.ndarray) -> np.ndarray:
        """Return Ju from forward mode."""
        points = [x.detach() for x in self.inputs]
        directions = [_tensor(part) for part in _parts(u, points)]
        outputs, tangents = jvp(lambda *xs: _outputs(self.f, xs), points, directions)
        for k, (tangent, y) in enumerate(zip(tangents, outputs, strict=True)):
            if (tangent.shape, tangent.dtype) != (y.shape, y.dtype):
                raise AssertionError(
                    f"the tangent of output {k} must be {y.shape} {y.dtype}, "
                    f"got {tangent.shape} {tangent.dtype}"
                )
        return _flat(tangents)

    def products(self, mode: str, vs: np.ndarray, us: np.ndarray) -> np.ndarray:
        """Return v'Ju for all rows v of `vs` and u of `us`: shape (len(vs), len(us))."""
        products: np.ndarray
        if mode == "reverse":
            products = np.stack([self.row(v) for v in vs]) @ us.T
        else:
            products = vs @ np.stack([self.column(u) for u in us]).T
        return products

    def difference(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return Ju from differences, and its uncertainty, which is large at a kink."""

        def f(step: float) -> np.ndarray:
            shifted_points = [
                p + step * part for p, part in zip(self.points, _parts(u, self.points), strict=True)
            ]
            return _flat(_outputs(self.f, [_tensor(p) for p in shifted_points]))

        coarse = (f(STEP) - f(-STEP)) / (2 * STEP)
        fine = (f(STEP / 2) - f(-STEP / 2)) / STEP
        return (4 * fine - coarse) / 3, np.abs(fine - coarse)


def _tensor(array: np.ndarray) -> Tensor:
    return Tensor(backend.current().asarray(array))


def _flat(tensors: Sequence[Tensor]) -> np.ndarray:
    return np.concatenate([np.empty(0), *(t.numpy().ravel() for t in tensors)])


def _parts(vector: np.ndarray, like: Sequence[Any]) -> list[np.ndarray]:
    """Split a vector into arrays of the shapes of `like`."""
    ends = np.cumsum([item.size for item in like])[:-1]
    pieces = np.split(vector, ends) if len(like) else []
    return [piece.reshape(item.shape) for piece, item in zip(pieces, like, strict=True)]


def _outputs(f: Function, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the floating results of f in a flat list."""
    results = flatten(f(*inputs))
    for result in results:
        if not isinstance(result, Tensor):
            raise TypeError(f"the function must return Tensors, got {type(result).__name__}")
        if result.dtype.kind == "f" and result.dtype != np.float64:
            raise TypeError(f"the function must compute in float64, got a {result.dtype} result")
    return [result for result in results if result.dtype.kind == "f"]


def _gradient_of(f: Function, count: int) -> Function:
    """Return the function (x, v) -> v'J for an f of `count` arguments.

    Its result is recorded if an argument requires a gradient.
    """

    def gradient(*arguments: Tensor) -> list[Tensor]:
        is_recorded = any(argument.requires_grad for argument in arguments)
        with enable_grad():
            xs = [x if x.requires_grad else x.detach().requires_grad_() for x in arguments[:count]]
            return weighted_gradients(_outputs(f, xs), xs, list(arguments[count:]), is_recorded)

    return gradient


# --- the comparison -------------------------------------------------------------------------------


def _compare(
    jacobian: _Jacobian,
    mode: str,
    rng: np.random.Generator,
    rtol: float,
    atol: float,
    arguments: list[str],
    results: str,
) -> str | None:
    """Return a description of the first wrong entry, or None."""
    vs = _probes(rng, sum(y.size for y in jacobian.outputs))
    us = _probes(rng, sum(x.size for x in jacobian.inputs))
    analytic = jacobian.products(mode, vs, us)
    numeric = vs @ np.stack([jacobian.difference(u)[0] for u in us]).T
    is_wrong = ~(np.abs(analytic - numeric) <= atol + rtol * np.abs(numeric))
    if not is_wrong.any():
        return None
    i, j = np.argwhere(is_wrong)[0]
    v, u = vs[i], _worst_entry(jacobian, mode, vs[i], us[j])
    column, uncertainty = jacobian.difference(u)
    exact = jacobian.products(mode, v[None], u[None]).item() / u.sum()
    quotient = v @ column / u.sum()
    function = f"the weighted {results}s"
    if np.count_nonzero(v) == 1:
        function = _entry(
            v, jacobian.outputs, [f"{results} {k}" for k in range(len(jacobian.outputs))]
        )
    variable = _entry(u, jacobian.inputs, arguments)
    is_kink = np.abs(v) @ uncertainty > 1e-2 * (1 + abs(quotient))
    return (
        f"the derivative of {function} by {variable} is {exact:.9g} by the rules, but "
        f"{quotient:.9g} by central differences: off by {abs(exact - quotient):.3g}, "
        f"where {atol + rtol * abs(quotient):.3g} is allowed"
        + (
            f" (another step size gives another value: is there a kink within {STEP}?)"
            if is_kink
            else ""
        )
    )


def _worst_entry(jacobian: _Jacobian, mode: str, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return the unit vector of the entry with the largest error in v'Ju, by bisection of u."""
    row = jacobian.row(v)
    if not np.isfinite(row).all():
        unit = np.zeros_like(row)
        unit[np.argmin(np.isfinite(row))] = 1
        return unit

    def mismatch(w: np.ndarray) -> float:
        analytic = jacobian.products(mode, v[None], w[None]).item()
        return float(np.nan_to_num(abs(analytic - v @ jacobian.difference(w)[0]), nan=np.inf))

    while np.count_nonzero(u) > 1:
        entries = np.flatnonzero(u)
        half = u.copy()
        half[entries[len(entries) // 2 :]] = 0
        u = max(half, u - half, key=mismatch)
    return u


def _entry(unit: np.ndarray, like: Sequence[Any], names: list[str]) -> str:
    """Describe the entry that a unit vector selects: "entry (1, 2) of argument 0"."""
    parts = _parts(unit, like)
    k = next(k for k, part in enumerate(parts) if part.any())
    index = tuple(int(i) for i in np.argwhere(parts[k])[0])
    return f"entry {index} of {names[k]}" if index else names[k]
