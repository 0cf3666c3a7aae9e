"""L-BFGS, with a line search for the strong Wolfe conditions.

The inverse Hessian is approximated from the last secant pairs: `s`, a step, and `y`, the change of
the gradient over it. All parameters are flattened into one vector. The order of evaluations and the
constants follow PyTorch, which adopted them from minFunc (Schmidt 2005), so the trajectories agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from autograd import Tensor, absolute, concatenate, enable_grad, no_grad, ravel, zeros_like

from .optimizer import Closure, Group, Optimizer, State

_PYTORCH_NAMES = {
    "steps": "old_stps",
    "changes": "old_dirs",
    "scale": "H_diag",
    "g": "prev_flat_grad",
}
"""PyTorch's names of entries of the state."""


class LineSearchPoint(NamedTuple):
    """The loss at step size `t` along the search direction."""

    t: float
    loss: float
    gradient: Tensor
    derivative: float
    """The directional derivative of the loss."""


Probe = Callable[[float], LineSearchPoint]
"""Evaluates the loss at a step size."""


class LBFGS(Optimizer):
    """Limited-memory BFGS, a quasi-Newton method.

    Each call of `step(closure)` takes up to `max_iter` quasi-Newton steps. It ends early after
    `max_eval` evaluations of the closure, when no entry of the gradient exceeds `tolerance_grad`,
    or when the loss and the parameters change by less than `tolerance_change`. Only one parameter
    group is supported.

    Parameters
    ----------
    params : iterable of Tensor
        The parameters.
    lr : float, default 1.0
        Step size; with a line search, the first step size that it tries.
    max_iter : int, default 20
        Maximum number of quasi-Newton steps per call of `step`.
    max_eval : int, optional
        Maximum number of evaluations per call of `step`; 1.25 `max_iter` by default.
    tolerance_grad : float, default 1e-7
        Tolerance of the largest absolute entry of the gradient.
    tolerance_change : float, default 1e-9
        Tolerance of the changes of the loss and of the parameters.
    history_size : int, default 100
        Number of secant pairs that are stored.
    line_search_fn : {None, "strong_wolfe"}, default None
        The line search; None takes steps of size `lr`.

    Raises
    ------
    ValueError
        If an option is out of range.

    References
    ----------
    Nocedal 1980, "Updating quasi-Newton matrices with limited storage".

    Nocedal & Wright 2006, "Numerical optimization", algorithms 3.5, 3.6, 7.4 and 7.5.

    Examples
    --------
    >>> from tinygrad_rnn import nn, optim
    >>> p = nn.Parameter([3.0])
    >>> optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((p - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()  # the loss before the step
    4.0
    """

    state_counters = ("func_evals", "n_iter")

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
        """Add the only parameter group; the constructor calls this.

        Parameters
        ----------
        param_group : dict
            `{"params": [...]}`, and options that override the defaults.

        Raises
        ------
        ValueError
            If the optimizer has a group already.
        """
        if self.param_groups:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        super().add_param_group(param_group)

    def _check_group(self, group: Group) -> None:
        super()._check_group(group)
        for name in ("max_iter", "max_eval", "history_size"):
            if not isinstance(group[name], int):
                raise TypeError(f"{name} must be an integer, got {group[name]!r}")
        if not group["history_size"]:
            raise ValueError("history_size must be at least 1, got 0")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(
                "line_search_fn: only 'strong_wolfe' is supported, or None, "
                f"got {group['line_search_fn']!r}"
            )

    @no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Take up to `max_iter` quasi-Newton steps.

        Parameters
        ----------
        closure : callable
            Clears the gradients, computes the loss and its gradients, and returns the loss. It is
            called several times.

        Returns
        -------
        Any
            The loss before the first step, as `closure` returned it.

        Raises
        ------
        TypeError
            If `closure` is missing.
        """
        if closure is None:
            raise TypeError(
                "LBFGS needs a closure that clears the gradients, computes the loss and its "
                "gradients, and returns the loss: optimizer.step(closure)"
            )
        (group,) = self.param_groups
        state = self.state.setdefault(self._parameters()[0], {})
        if not state:
            state.update(_initial_state())
        evaluation_limit = state["func_evals"] + group["max_eval"]

        def evaluate() -> tuple[Any, Tensor]:
            with enable_grad():
                loss = closure()
            state["func_evals"] += 1
            return loss, self._flat_gradient()

        initial_loss, g = evaluate()
        loss = float(initial_loss)
        if _max_abs(g) <= group["tolerance_grad"]:
            return initial_loss
        for iteration in range(1, group["max_iter"] + 1):
            d, t = _next_step(state, g, group)
            derivative, previous_loss = _dot(g, d), loss
            if derivative >= -group["tolerance_change"]:
                break
            start = self._flat_parameters()
            if group["line_search_fn"]:
                initial = LineSearchPoint(0.0, loss, g, derivative)
                max_probes = evaluation_limit - state["func_evals"]
                t, loss, g, _ = self._search(evaluate, start, d, initial, t, max_probes)
                state["t"] = t
            self._set_parameters(start + t * d)
            if iteration == group["max_iter"]:
                break
            if not group["line_search_fn"]:
                value, g = evaluate()
                loss = float(value)
            if (
                state["func_evals"] >= evaluation_limit
                or _max_abs(g) <= group["tolerance_grad"]
                or _max_abs(t * d) <= group["tolerance_change"]
                or abs(loss - previous_loss) < group["tolerance_change"]
            ):
                break
        return initial_loss

    def _search(
        self,
        evaluate: Callable[[], tuple[Any, Tensor]],
        start: Tensor,
        d: Tensor,
        initial: LineSearchPoint,
        t: float,
        max_probes: int,
    ) -> LineSearchPoint:
        """Search along the direction `d` from the parameters `start`."""

        def probe(t: float) -> LineSearchPoint:
            self._set_parameters(start + t * d)
            loss, g = evaluate()
            return LineSearchPoint(t, float(loss), g, _dot(g, d))

        return strong_wolfe(probe, initial, t, 1e-9 / _max_abs(d), max_probes)

    def _flat_gradient(self) -> Tensor:
        return _flatten(zeros_like(p) if p.grad is None else p.grad for p in self._parameters())

    def _flat_parameters(self) -> Tensor:
        return _flatten(self._parameters())

    def _set_parameters(self, vector: Tensor) -> None:
        """Write a flat vector into the parameters."""
        end = 0
        for p in self._parameters():
            start, end = end, end + p.size
            p[...] = vector[start:end].reshape(p.shape)

    def _state_shape(self, p: Tensor) -> tuple[int, ...]:
        return (sum(p.size for p in self._parameters()),)

    def _restored_state(self, p: Tensor, group: Group, saved: State) -> State:
        if saved.get("n_iter") == 0:
            saved = _initial_state() | saved
        elif "old_stps" in saved:
            names = (*_initial_state(), *"dtg")
            saved = {name: saved[_PYTORCH_NAMES.get(name, name)] for name in names}
        state = super()._restored_state(p, group, saved)
        if not state:
            return state
        has_step = state["n_iter"] > 0
        numbers = [state["scale"], *([state["t"]] if has_step else [])]
        vectors = [*state["steps"], *state["changes"]]
        vectors += [state["d"], state["g"]] if has_step else []
        if not (
            all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers)
            and all(isinstance(vector, Tensor) for vector in vectors)
            and len(state["steps"]) == len(state["changes"])
        ):
            raise ValueError(
                "the saved state of LBFGS is malformed: expected finite numbers in 'scale' and "
                "'t', vectors in 'd' and 'g', and as many vectors in 'steps' as in 'changes'"
            )
        return state


def _initial_state() -> State:
    """Return the state before the first step, which adds `d`, `t` and `g`."""
    return {"func_evals": 0, "n_iter": 0, "steps": [], "changes": [], "scale": 1.0}


def _flatten(tensors: Iterable[Tensor]) -> Tensor:
    vector: Tensor = concatenate([ravel(t) for t in tensors])
    return vector


@np.errstate(over="ignore")
def _dot(a: Tensor, b: Tensor) -> float:
    """Return the inner product, in float64 where float32 overflows or underflows."""
    product = a.dot(b).item()
    if not 1e-18 < abs(product) < math.inf:
        product = a.astype("float64").dot(b.astype("float64")).item()
    return float(product)


def _max_abs(a: Tensor) -> float:
    return float(absolute(a).max().item()) if a.size else 0.0


def _next_step(state: State, g: Tensor, group: Group) -> tuple[Tensor, float]:
    """Return the next direction and step size from the gradient `g`, and update the state."""
    state["n_iter"] += 1
    if state["n_iter"] == 1:
        d, t = -g, min(1.0, 1 / absolute(g.astype("float64")).sum().item()) * group["lr"]
    else:
        _store_pair(state, state["t"] * state["d"], g - state["g"], group["history_size"])
        d, t = _quasi_newton_direction(state, g), group["lr"]
    state.update(d=d, t=t, g=g)
    return d, t


def _store_pair(state: State, s: Tensor, y: Tensor, history_size: int) -> None:
    """Store a secant pair of positive curvature, and the scale `s'y / y'y` of the newest pair."""
    curvature = _dot(y, s)
    if curvature > 1e-10:
        state.update(  # in one call: an interrupt in between would leave steps without changes
            steps=[*state["steps"], s][-history_size:],
            changes=[*state["changes"], y][-history_size:],
            scale=curvature / _dot(y, y),
        )


def _quasi_newton_direction(state: State, g: Tensor) -> Tensor:
    """Return `-H g` for the approximate inverse Hessian `H` by the two-loop recursion.

    Nocedal & Wright 2006, algorithm 7.4.
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


class WolfeConditions(NamedTuple):
    """The strong Wolfe conditions on a point, relative to the initial point of a line search.

    loss(t) <= loss(0) + c1 t derivative(0)          |derivative(t)| <= c2 |derivative(0)|
    """

    initial: LineSearchPoint
    c1: float = 1e-4
    c2: float = 0.9

    def is_too_high(self, point: LineSearchPoint) -> bool:
        return point.loss > self.initial.loss + self.c1 * point.t * self.initial.derivative

    def is_flat(self, point: LineSearchPoint) -> bool:
        return abs(point.derivative) <= -self.c2 * self.initial.derivative


def strong_wolfe(
    probe: Probe, initial: LineSearchPoint, t: float, resolution: float, max_probes: int
) -> LineSearchPoint:
    """Return a point along the search direction that satisfies the strong Wolfe conditions.

    The search widens a bracket until it must contain such a point, and then narrows it by cubic
    interpolation (Nocedal & Wright 2006, algorithms 3.5 and 3.6).

    Parameters
    ----------
    probe : callable
        Evaluates the loss at a step size.
    initial : LineSearchPoint
        The point at step size 0, with a negative derivative.
    t : float
        The first step size to try.
    resolution : float
        Smallest width of the bracket.
    max_probes : int
        Maximum number of probes after the first.

    Returns
    -------
    LineSearchPoint
        A point that satisfies the conditions, or the lowest end of the bracket if the search ends
        early.
    """
    conditions = WolfeConditions(initial)
    bracket, probes = _find_bracket(probe, conditions, t, max_probes)
    if len(bracket) == 1:
        return bracket[0]
    return _narrow_bracket(probe, conditions, bracket, resolution, max_probes - probes)


def _find_bracket(
    probe: Probe, conditions: WolfeConditions, t: float, max_probes: int
) -> tuple[list[LineSearchPoint], int]:
    """Return the two ends of a bracket, or one point that satisfies the conditions.

    The number of probes after the first is the second result.
    """
    previous, point = conditions.initial, probe(t)
    for probes in range(max_probes):
        if conditions.is_too_high(point) or (probes > 1 and point.loss >= previous.loss):
            return [previous, point], probes
        if conditions.is_flat(point):
            return [point], probes
        if point.derivative >= 0:
            return [previous, point], probes
        limits = point.t + 0.01 * (point.t - previous.t), point.t * 10
        previous, point = point, probe(_cubic_minimum(previous, point, *limits))
    return [conditions.initial, point], max_probes


def _narrow_bracket(
    probe: Probe,
    conditions: WolfeConditions,
    ends: list[LineSearchPoint],
    resolution: float,
    max_probes: int,
) -> LineSearchPoint:
    """Return a point in the bracket that satisfies the conditions, or its lowest end."""
    was_near_end = False
    low = _lower(ends)
    for _ in range(max_probes):
        if not abs(ends[1].t - ends[0].t) > resolution:
            break
        left, right = sorted(end.t for end in ends)
        t = _cubic_minimum(ends[0], ends[1], left, right)
        margin = 0.1 * (right - left)
        near_end = min(right - t, t - left) < margin
        if near_end and (was_near_end or t >= right or t <= left):
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            near_end = False
        was_near_end = near_end
        point = probe(t)
        if conditions.is_too_high(point) or point.loss >= ends[low].loss:
            ends[1 - low] = point
            low = _lower(ends)
            continue
        if conditions.is_flat(point):
            return point
        if point.derivative * (ends[1 - low].t - ends[low].t) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = point
    return ends[low]


def _lower(ends: list[LineSearchPoint]) -> int:
    """Return the index of the end with the lower loss."""
    return 0 if ends[0].loss <= ends[1].loss else 1


def _cubic_minimum(a: LineSearchPoint, b: LineSearchPoint, low: float, high: float) -> float:
    """Return the minimum, within limits, of the cubic through two points and their derivatives.

    If the cubic has no minimum, the midpoint of the limits is returned. Nocedal & Wright 2006,
    equation 3.59.
    """
    if a.t > b.t:
        a, b = b, a
    d1 = a.derivative + b.derivative - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.derivative * b.derivative
    d2 = math.sqrt(square) if square >= 0 else 0.0
    denominator = b.derivative - a.derivative + 2 * d2
    if not square >= 0 or denominator == 0:
        return (low + high) / 2
    return min(max(b.t - (b.t - a.t) * (b.derivative + d2 - d1) / denominator, low), high)
