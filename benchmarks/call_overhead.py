"""Time of one call of a recurrent layer, forward and backward, where overhead dominates.

    python benchmarks/call_overhead.py [--cells lstm,gru] [--threads 2] [--repeats 5] [--json FILE]

The sequence has T = 2 steps, the batch B = 1 sequence, and the layer H = 32 hidden units and input
features, in float32. A call computes the outputs, and the gradients of all weights for the sum of
the outputs times fixed random numbers. Times are in microseconds. "np.tanh" is the time that NumPy
takes for tanh of 32 numbers. The ratios to it differ less between machines than the times do, and
"target" is the target for the ratio tinygrad-rnn/np.tanh.

"own step" is an Elman step that a user writes: a function for `autograd.scan`, a Python loop in
PyTorch, and `lax.scan` in JAX.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import harness
import numpy as np
import train_step
from train_step import Case, Competitor, Problem

OWN_STEP, TANH = "own step", "np.tanh"
CASES = [Case(cell, B=1, T=2, I=32, H=32) for cell in ("Elman", "GRU", "LSTM", OWN_STEP)]
TARGETS = {"Elman": 250.0, "GRU": 250.0, "LSTM": 250.0, OWN_STEP: 580.0}
TANH_CALLS = 100  # in each timed step


def with_leaves(
    outputs: Callable[..., Any], leaves: dict[str, Any], xs: Any, start: Any, loss_weights: Any
) -> Competitor:
    """Wrap ``outputs(xs, start, **leaves)``, which computes the outputs of an Elman network."""

    def step() -> None:
        for leaf in leaves.values():
            leaf.grad = None
        (outputs(xs, start, **leaves) * loss_weights).sum().backward()

    return Competitor(step, lambda: {name: leaf.grad.numpy() for name, leaf in leaves.items()})


def tinygrad_rnn(case: Case, problem: Problem) -> Competitor:
    """Use the layers of this project, or `scan` with a step."""
    if case.cell != OWN_STEP:
        return train_step.tinygrad_rnn(case, problem)
    import autograd as ag

    def outputs(xs: Any, start: Any, weight_ih_l0: Any, weight_hh_l0: Any, **biases: Any) -> Any:
        bias = biases["bias_ih_l0"] + biases["bias_hh_l0"]

        def step(h: Any, x: Any) -> Any:
            h = ag.tanh(ag.linear(x, weight_ih_l0, bias) + ag.linear(h, weight_hh_l0))
            return h, h

        return ag.scan(step, start, xs)[1]

    leaves = {name: ag.tensor(p, requires_grad=True) for name, p in problem.parameters.items()}
    start = ag.zeros((case.B, case.H))
    return with_leaves(
        outputs, leaves, ag.tensor(problem.x), start, ag.tensor(problem.loss_weights)
    )


def pytorch(case: Case, problem: Problem) -> Competitor:
    """Use the layers of PyTorch, or a loop."""
    if case.cell != OWN_STEP:
        return train_step.pytorch(case, problem)
    import torch

    def outputs(xs: Any, h: Any, weight_ih_l0: Any, weight_hh_l0: Any, **biases: Any) -> Any:
        bias = biases["bias_ih_l0"] + biases["bias_hh_l0"]
        linear, hs = torch.nn.functional.linear, []
        for x in xs:
            h = torch.tanh(linear(x, weight_ih_l0, bias) + linear(h, weight_hh_l0))
            hs.append(h)
        return torch.stack(hs)

    leaves = {name: torch.tensor(p, requires_grad=True) for name, p in problem.parameters.items()}
    xs, start = torch.tensor(problem.x), torch.zeros((case.B, case.H))
    return with_leaves(outputs, leaves, xs, start, torch.tensor(problem.loss_weights))


def jax(case: Case, problem: Problem) -> Competitor:
    """Use `jit` of the gradient of `lax.scan`."""
    return train_step.jax(_with_gates(case), problem)


def tanh(case: Case, problem: Problem) -> Competitor:
    """Compute tanh of one vector of hidden units several times."""
    x = problem.loss_weights[0, 0]

    def step() -> None:
        for _ in range(TANH_CALLS):
            np.tanh(x)

    return Competitor(step, dict)


COMPETITORS: dict[str, Callable[[Case, Problem], Competitor]] = {
    harness.PROJECT: tinygrad_rnn,
    "PyTorch": pytorch,
    "JAX": jax,
    TANH: tanh,
}


def _with_gates(case: Case) -> Case:
    """Return a case whose cell has its number of gates in `train_step.GATES`."""
    return case._replace(cell="Elman") if case.cell == OWN_STEP else case


@cache
def build_competitor(name: str, case: Case) -> Competitor:
    """Build each competitor once per process, since libraries compile at the first call."""
    return COMPETITORS[name](case, train_step.make_problem(_with_gates(case)))


def measure(name: str, case: Case) -> harness.Result:
    """Return the microseconds of each call, and the gradients."""
    step, gradients = build_competitor(name, case)
    calls = TANH_CALLS if name == TANH else 1
    return 1e6 / calls * harness.time_steps(step), gradients()


def target_ratio(row: Mapping[str, Any]) -> float:
    """Return the target for the ratio tinygrad-rnn/np.tanh."""
    return TARGETS[row["cell"]]


COLUMNS = [
    *map(partial(harness.ratio, denominator=TANH), (harness.PROJECT, "PyTorch", "JAX")),
    harness.Column("target", (harness.PROJECT, TANH), target_ratio),
]


if __name__ == "__main__":
    harness.run(
        str(__doc__).partition("\n")[0],
        "Microseconds per call",
        CASES,
        list(COMPETITORS),
        measure,
        columns=COLUMNS,
        filters={"cells": lambda case: case.cell.lower().replace(" ", "-")},
    )
