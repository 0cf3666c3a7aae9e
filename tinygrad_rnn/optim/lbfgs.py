"""L-BFGS (Nocedal 1980), with a line search for the strong Wolfe conditions.

The inverse Hessian is known by its last few secant pairs only: s, a step, and y, the change of the
gradient along it. All parameters together are one vector. The order of evaluations and the
constants are PyTorch's, which has them from minFunc (Schmidt 2005), so that trajectories agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from autograd import Tensor, absolute, concatenate, enable_grad, no_grad, ravel, zeros_like

from .optimizer import Closure, Group, Optimizer, State

_PYTORCHS = {"steps": "old_stps", "changes": "old_dirs", "scale": "H_diag", "g": "prev_flat_grad"}
"""The names that PyTorch gives to entries of the state."""


class Point(NamedTuple):
    """What is known of the place a step of size t along the direction leads to."""

    t: float
    loss: float
    gradient: Tensor
    slope: float  # of the loss along the direction


class LBFGS(Optimizer):
    """Up to `max_iter` quasi-Newton steps per call of `step(closure)`, each of size `lr`, or as a
    line search finds it (`line_search_fn="strong_wolfe"`).

    It ends early after `max_eval` evaluations (None: 1.25 max_iter), at a gradient of which no
    entry exceeds `tolerance_grad`, or when loss and parameters change by less than
    `tolerance_change`. There is one parameter group.
    """

    counters = ("func_evals", "n_iter")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )

    def add_param_group(self, param_group: Group) -> None:
        if self.param_groups:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        super().add_param_group(param_group)

    def check(self, group: Group) -> None:
        super().check(group)
        for name in ("max_iter", "max_eval", "history_size"):
            if not isinstance(group[name], int):
                raise TypeError(f"{name} must be a whole number, not {group[name]!r}")
        if not group["history_size"]:
            raise ValueError("history_size must be at least 1")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(
                "line_search_fn: only 'strong_wolfe' is supported, or None, "
                f"not {group['line_search_fn']!r}"
            )

    @no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Go down. `closure` clears the gradients, computes the loss, its gradients (`backward`),
        and returns the loss; it is called many times. Returns the loss before the step.
        """
        if closure is None:
            raise TypeError("LBFGS needs a closure that computes the loss and its gradients anew")
        (group,) = self.param_groups
        change, history = group["tolerance_change"], group["history_size"]
        state = self.state.setdefault(self._parameters()[0], {})
        if not state:
            state.update(_first_state())
        evaluations = state["func_evals"]

        def evaluate() -> tuple[Any, Tensor]:
            with enable_grad():
                loss = closure()
            state["func_evals"] += 1
            return loss, self._gradient()

        first, g = evaluate()
        loss = float(first)
        if _largest(g) <= group["tolerance_grad"]:
            return first
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                d, t = -g, min(1.0, 1 / absolute(g.astype("float64")).sum().item()) * group["lr"]
            else:
                _remember(state, state["t"] * state["d"], g - state["g"], history)
                d, t = _direction(state, g), group["lr"]
            state.update(d=d, t=t, g=g)
            slope, before = _dot(g, d), loss
            if slope >= -change:
                break
            start = self._vector()
            if group["line_search_fn"]:

                def probe(t: float, start: Tensor = start, d: Tensor = d) -> Point:
                    self._move(start + t * d)
                    loss, g = evaluate()
                    return Point(t, float(loss), g, _dot(g, d))

                left = group["max_eval"] - (state["func_evals"] - evaluations)
                here = Point(0.0, loss, g, slope)
                t, loss, g, _ = strong_wolfe(probe, here, t, 1e-9 / _largest(d), left)
                state["t"] = t
            self._move(start + t * d)
            if iteration == group["max_iter"]:
                break
            if not group["line_search_fn"]:
                value, g = evaluate()
                loss = float(value)
            if (
                state["func_evals"] - evaluations >= group["max_eval"]
                or _largest(g) <= group["tolerance_grad"]
                or _largest(t * d) <= change
                or abs(loss - before) < change
            ):
                break
        return first

    def _gradient(self) -> Tensor:
        return _joined(zeros_like(p) if p.grad is None else p.grad for p in self._parameters())

    def _vector(self) -> Tensor:
        return _joined(self._parameters())

    def _move(self, vector: Tensor) -> None:
        """Write `vector` into the parameters."""
        end = 0
        for p in self._parameters():
            start, end = end, end + p.size
            p[...] = vector[start:end].reshape(p.shape)

    def _state_shape(self, p: Tensor) -> tuple[int, ...]:
        return (sum(p.size for p in self._parameters()),)

    def _restored_state(self, p: Tensor, group: Group, saved: State) -> State:
        if saved.get("n_iter") == 0:
            saved = _first_state() | saved
        elif "old_stps" in saved:
            saved = {name: saved[_PYTORCHS.get(name, name)] for name in (*_first_state(), *"dtg")}
        state = super()._restored_state(p, group, saved)
        if not state:
            return state
        moved = state["n_iter"] > 0
        numbers = [state["scale"], *([state["t"]] if moved else [])]
        vectors = [*state["steps"], *state["changes"], *([state["d"], state["g"]] if moved else [])]
        if not (
            all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers)
            and all(isinstance(vector, Tensor) for vector in vectors)
            and len(state["steps"]) == len(state["changes"])
        ):
            raise ValueError("the saved state of LBFGS is malformed: not its numbers and vectors")
        return state


def _first_state() -> State:
    """Return the state before the first step, which adds d, t and g."""
    return {"func_evals": 0, "n_iter": 0, "steps": [], "changes": [], "scale": 1.0}


def _joined(tensors: Iterable[Tensor]) -> Tensor:
    vector: Tensor = concatenate([ravel(t) for t in tensors])
    return vector


@np.errstate(over="ignore")
def _dot(a: Tensor, b: Tensor) -> float:
    """Return the inner product, in double precision where single overflows or underflows."""
    product = a.dot(b).item()
    if not 1e-18 < abs(product) < math.inf:
        product = a.astype("float64").dot(b.astype("float64")).item()
    return float(product)


def _largest(a: Tensor) -> float:
    return float(absolute(a).max().item()) if a.size else 0.0


def _remember(state: State, s: Tensor, y: Tensor, history: int) -> None:
    """Add a secant pair of positive curvature, at most `history` in all; the newest also gives the
    scale s'y / y'y of the inverse Hessian.
    """
    curvature = _dot(y, s)
    if curvature > 1e-10:
        state.update(  # at once: an interrupt in between would leave steps without changes
            steps=[*state["steps"], s][-history:],
            changes=[*state["changes"], y][-history:],
            scale=curvature / _dot(y, y),
        )


def _direction(state: State, g: Tensor) -> Tensor:
    """-H g for the inverse Hessian H of the secant pairs, by two loops over them (Nocedal & Wright
    2006, algorithm 7.4).
    """
    pairs = [(s, y, 1 / _dot(y, s)) for s, y in zip(state["steps"], state["changes"], strict=True)]
    d, alphas = -g, []
    for s, y, rho in reversed(pairs):
        alphas.append(rho * _dot(s, d))
        d = d - alphas[-1] * y
    d *= state["scale"]
    for (s, y, rho), alpha in zip(pairs, reversed(alphas), strict=True):
        d = d + (alpha - rho * _dot(y, d)) * s
    return d


def strong_wolfe(
    probe: Callable[[float], Point],
    first: Point,
    t: float,
    resolution: float,
    max_probes: int,
    c1: float = 1e-4,
    c2: float = 0.9,
) -> Point:
    """A point at which the loss has fallen enough and its slope has flattened enough (Nocedal &
    Wright 2006, algorithms 3.5 and 3.6), from step size t on:

        loss(t) <= loss(0) + c1 t slope(0)          |slope(t)| <= c2 |slope(0)|

    A bracket is widened until it must contain one, then narrowed by cubic interpolation. After
    `max_probes` iterations, or in a bracket narrower than `resolution`, the lowest point will do.
    """

    def too_high(point: Point) -> bool:
        return point.loss > first.loss + c1 * point.t * first.slope

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -c2 * first.slope

    previous, point = first, probe(t)
    iteration = 0
    while iteration < max_probes:
        if too_high(point) or (iteration > 1 and point.loss >= previous.loss):
            break
        if flat(point):
            return point
        if point.slope >= 0:
            break
        limits = point.t + 0.01 * (point.t - previous.t), point.t * 10
        previous, point = point, probe(_cubic_minimum(previous, point, *limits))
        iteration += 1
    ends = [first if iteration == max_probes else previous, point]

    stuck = False
    low = _lower(ends)
    while iteration < max_probes and abs(ends[1].t - ends[0].t) > resolution:
        left, right = sorted(end.t for end in ends)
        t = _cubic_minimum(ends[0], ends[1], left, right)
        margin = 0.1 * (right - left)
        near_an_end = min(right - t, t - left) < margin
        if near_an_end and (stuck or t >= right or t <= left):
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            near_an_end = False
        stuck = near_an_end
        point = probe(t)
        iteration += 1
        if too_high(point) or point.loss >= ends[low].loss:
            ends[1 - low] = point
            low = _lower(ends)
        else:
            done = flat(point)
            if not done and point.slope * (ends[1 - low].t - ends[low].t) >= 0:
                ends[1 - low] = ends[low]
            ends[low] = point
            if done:
                break
    return ends[low]


def _lower(ends: list[Point]) -> int:
    return 0 if ends[0].loss <= ends[1].loss else 1


def _cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Where the cubic through two points, with their slopes, has its minimum, within limits;
    halfway between them if it has none.
    """
    if a.t > b.t:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    d2 = math.sqrt(square) if square >= 0 else 0.0
    turn = b.slope - a.slope + 2 * d2
    if not square >= 0 or turn == 0:
        return (low + high) / 2
    return min(max(b.t - (b.t - a.t) * (b.slope + d2 - d1) / turn, low), high)
