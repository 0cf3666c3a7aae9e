"""Gradients against finite differences.

With J the Jacobian of f, weights v of its outputs and a direction u of its inputs, the number v'Ju
can be had in three ways: reverse mode gives the row v'J, forward mode the column Ju, and so do
differences of f along u.
Unit vectors for u and v compare the Jacobian entry by entry; for large functions random ones do.
At the second order the function (x, v) -> v'J takes the place of f.

Differences are central, at two steps, and extrapolated to a step of 0 (Richardson 1911). Their
error is of the order step^4: about 12 digits remain for a function that varies on a scale of 1,
8 on a scale of 0.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import backend
from ..core.graph import enable_grad
from ..core.pytree import flatten
from ..core.tensor import Tensor
from ..ops.creation import zeros_like
from ..transforms import gradients, jvp

Function = Callable[..., Any]

STEP = 1e-3  # how far an input is moved; kinks must be further away than this
SMALL = 32  # up to so many entries each one is looked at; beyond, random directions are
DIRECTIONS = 4


def check_gradients(
    f: Function,
    *args: Any,
    order: int = 2,
    modes: Sequence[str] = ("reverse", "forward"),
    rtol: float = 1e-6,
    atol: float = 1e-6,
) -> None:
    """Compare the derivatives of `f` at `args`, up to `order`, with central differences.

    `args` are float64 arrays (their memory layout is kept), Python floats or Tensors. `f` takes
    them as Tensors and returns a Tensor, or nested tuples, lists and dicts of them; results that
    are no floats are passed over. f must be smooth within 1e-3 of args, and the same whenever it is
    called.

    Raises AssertionError if an entry is off by more than `atol + rtol * |difference quotient|`, and
    says which, or if a gradient is of another shape or dtype than its argument; TypeError for
    arguments or results that are not float64; ValueError for an unknown mode, or when there is
    nothing to check.
    """
    if unknown := [mode for mode in modes if mode not in ("reverse", "forward")]:
        raise ValueError(f"there is no mode {unknown[0]!r}, only 'reverse' and 'forward'")
    if order < 1 or not modes or not args:
        raise ValueError("nothing to check: give arguments, a mode, and an order of at least 1")
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
    """An argument as an array of the host, its layout kept."""
    array = value.numpy() if isinstance(value, Tensor) else backend.of_array(value).to_host(value)
    if array.dtype != np.float64:
        raise TypeError(
            f"argument {i} is {array.dtype}; differences are exact enough in float64 only"
        )
    return array


def _random(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of either sign and of similar size, so that no entry is lost among the others."""
    numbers: np.ndarray = rng.uniform(0.5, 1, shape) * rng.choice((-1, 1), shape)
    return numbers


def _probes(rng: np.random.Generator, size: int) -> np.ndarray:
    """All unit vectors if they are few, else some random ones: shape (probes, size)."""
    return np.eye(size) if 0 < size <= SMALL else _random(rng, (DIRECTIONS, size))


# --- the three ways to the Jacobian ---------------------------------------------------------------


class _Jacobian:
    """The derivative of f at a point: `row` by reverse mode, `pushed` by forward mode, `column` by
    differences.

    Vectors run over the entries of all outputs, or inputs, one after another.
    """

    def __init__(self, f: Function, points: list[np.ndarray]) -> None:
        self.f, self.points = f, points
        self.inputs = [_tensor(point).requires_grad_() for point in points]
        with enable_grad():
            self.outputs = _outputs(f, self.inputs)

    def row(self, v: np.ndarray) -> np.ndarray:
        """v'J."""
        weights = [_tensor(part) for part in _parts(v, self.outputs)]
        slopes = _slopes(self.outputs, self.inputs, weights)
        for i, (slope, x) in enumerate(zip(slopes, self.inputs, strict=True)):
            if (slope.shape, slope.dtype) != (x.shape, x.dtype):
                raise AssertionError(
                    f"argument {i} is {x.shape} {x.dtype}, its gradient {slope.shape} {slope.dtype}"
                )
        return _flat(slopes)

    def pushed(self, u: np.ndarray) -> np.ndarray:
        """Ju by the rules."""
        points = [x.detach() for x in self.inputs]
        directions = [_tensor(part) for part in _parts(u, points)]
        outputs, tangents = jvp(lambda *xs: _outputs(self.f, xs), points, directions)
        for k, (tangent, y) in enumerate(zip(tangents, outputs, strict=True)):
            if (tangent.shape, tangent.dtype) != (y.shape, y.dtype):
                raise AssertionError(
                    f"output {k} is {y.shape} {y.dtype}, its tangent {tangent.shape} "
                    f"{tangent.dtype}"
                )
        return _flat(tangents)

    def products(self, mode: str, vs: np.ndarray, us: np.ndarray) -> np.ndarray:
        """v'Ju by the rules for all rows v of `vs` and u of `us`."""
        found: np.ndarray
        if mode == "reverse":
            found = np.stack([self.row(v) for v in vs]) @ us.T
        else:
            found = vs @ np.stack([self.pushed(u) for u in us]).T
        return found

    def column(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ju, and the difference between its two estimates (large across a kink)."""

        def f(step: float) -> np.ndarray:
            moved = [
                p + step * part for p, part in zip(self.points, _parts(u, self.points), strict=True)
            ]
            return _flat(_outputs(self.f, [_tensor(p) for p in moved]))

        coarse = (f(STEP) - f(-STEP)) / (2 * STEP)
        fine = (f(STEP / 2) - f(-STEP / 2)) / STEP
        return (4 * fine - coarse) / 3, np.abs(fine - coarse)


def _tensor(array: np.ndarray) -> Tensor:
    return Tensor(backend.current().asarray(array))


def _flat(tensors: Sequence[Tensor]) -> np.ndarray:
    return np.concatenate([np.empty(0), *(t.numpy().ravel() for t in tensors)])


def _parts(vector: np.ndarray, like: Sequence[Any]) -> list[np.ndarray]:
    """The parts of a vector that belong to each of these arrays, in its shape."""
    ends = np.cumsum([item.size for item in like])[:-1]
    pieces = np.split(vector, ends) if len(like) else []
    return [piece.reshape(item.shape) for piece, item in zip(pieces, like, strict=True)]


def _outputs(f: Function, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The results of f that can have a gradient, in a row."""
    results = flatten(f(*inputs))
    for result in results:
        if not isinstance(result, Tensor):
            raise TypeError(f"the function must return Tensors, not {type(result).__name__}")
        if result.dtype.kind == "f" and result.dtype != np.float64:
            raise TypeError(f"the function must compute in float64, but it returned {result.dtype}")
    return [result for result in results if result.dtype.kind == "f"]


def _slopes(
    outputs: list[Tensor],
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
    create_graph: bool = False,
) -> list[Tensor]:
    """v'J for the weights v, one entry per input; 0 where the outputs do not depend on it."""
    weighted = [(y, v) for y, v in zip(outputs, weights, strict=True) if y.requires_grad]
    found: tuple[Tensor | None, ...] = (None,) * len(inputs)
    if weighted:
        ys, vs = zip(*weighted, strict=True)
        found = gradients(ys, inputs, vs, True, create_graph, allow_unused=True)
    return [zeros_like(x.detach()) if g is None else g for x, g in zip(inputs, found, strict=True)]


def _gradient_of(f: Function, count: int) -> Function:
    """The function (x, v) -> v'J for an f of `count` arguments; recorded if its arguments are."""

    def gradient(*arguments: Tensor) -> list[Tensor]:
        recorded = any(argument.requires_grad for argument in arguments)
        with enable_grad():
            xs = [x if x.requires_grad else x.detach().requires_grad_() for x in arguments[:count]]
            return _slopes(_outputs(f, xs), xs, arguments[count:], create_graph=recorded)

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
    """What is wrong, in words, if anything is."""
    vs = _probes(rng, sum(y.size for y in jacobian.outputs))
    us = _probes(rng, sum(x.size for x in jacobian.inputs))
    analytic = jacobian.products(mode, vs, us)
    numeric = vs @ np.stack([jacobian.column(u)[0] for u in us]).T
    wrong = ~(np.abs(analytic - numeric) <= atol + rtol * np.abs(numeric))
    if not wrong.any():
        return None
    i, j = np.argwhere(wrong)[0]
    v, u = vs[i], _worst_entry(jacobian, mode, vs[i], us[j])
    column, doubt = jacobian.column(u)
    exact = jacobian.products(mode, v[None], u[None]).item() / u.sum()
    quotient = v @ column / u.sum()
    of = f"the weighted {results}s"
    if np.count_nonzero(v) == 1:
        of = _entry(v, jacobian.outputs, [f"{results} {k}" for k in range(len(jacobian.outputs))])
    by = _entry(u, jacobian.inputs, arguments)
    kink = np.abs(v) @ doubt > 1e-2 * (1 + abs(quotient))
    return (
        f"the derivative of {of} by {by} is {exact:.9g} by the rules, but "
        f"{quotient:.9g} by central differences: off by {abs(exact - quotient):.3g}, "
        f"where {atol + rtol * abs(quotient):.3g} is allowed"
        + (f" (with half the step it differs: is there a kink within {STEP}?)" if kink else "")
    )


def _worst_entry(jacobian: _Jacobian, mode: str, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The entry of the direction u most to blame for a mismatch in v'Ju, found by halving u."""
    row = jacobian.row(v)
    if not np.isfinite(row).all():
        unit = np.zeros_like(row)
        unit[np.argmin(np.isfinite(row))] = 1
        return unit

    def mismatch(w: np.ndarray) -> float:
        analytic = jacobian.products(mode, v[None], w[None]).item()
        return float(np.nan_to_num(abs(analytic - v @ jacobian.column(w)[0]), nan=np.inf))

    while np.count_nonzero(u) > 1:
        entries = np.flatnonzero(u)
        half = u.copy()
        half[entries[len(entries) // 2 :]] = 0
        u = max(half, u - half, key=mismatch)
    return u


def _entry(unit: np.ndarray, like: Sequence[Any], names: list[str]) -> str:
    """Where a unit vector points: "entry (1, 2) of argument 0"."""
    parts = _parts(unit, like)
    k = next(k for k, part in enumerate(parts) if part.any())
    index = tuple(int(i) for i in np.argwhere(parts[k])[0])
    return f"entry {index} of {names[k]}" if index else names[k]
