"""Time of a training step of recurrent layers, compared with PyTorch and JAX, on the CPU.

    python benchmarks/train_step.py [--cells lstm,gru] [--sizes 0,1] [--threads 2] [--repeats 5]
                                    [--seconds 1] [--json FILE]

A step is a forward and a backward pass with the gradients of all weights, in float32. The input has
shape (T, B, I), and the loss is the sum of the outputs times fixed random numbers. All competitors
compute the same gradients.

PyTorch has fused layers for LSTM, GRU and Elman networks; its peephole LSTM is a Python loop. JAX
runs `jit` of the gradient of `lax.scan`. "eager" is this project without its compiler, and "custom
cell" is this project with a user-defined LSTM cell whose gates have another order. "matmul" is the
matrix products of a step alone, in NumPy; "% matmul" is their fraction of the time of a step.
"target" is the target for the ratio tinygrad-rnn/PyTorch.
"""

import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import harness
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class Case(NamedTuple):
    """A cell, batch, time steps, input size, hidden size."""

    cell: str
    B: int
    T: int
    I: int
    H: int


GATES = {"LSTM": 4, "GRU": 3, "Elman": 1, "peephole": 4}
SIZES = [
    (1, 100, 32, 32),
    (32, 100, 64, 64),
    (32, 100, 128, 128),
    (64, 100, 256, 256),
    (64, 50, 512, 512),
]
CASES = [Case(cell, *size) for cell in GATES for size in SIZES]
TARGETS = {
    "LSTM": (2.2, 1.8, 1.7, 1.1, 1.0),
    "GRU": (0.2, 0.5, 0.6, 1.0, 1.0),
    "Elman": (0.25, 0.6, 0.6, 0.9, 0.9),
    "peephole": (0.1, 0.3, 0.45, 0.85, 0.9),
}


class Problem(NamedTuple):
    """The inputs of all competitors."""

    x: Array  # (T, B, I)
    loss_weights: Array  # (T, B, H)
    parameters: dict[str, Array]


def make_problem(case: Case) -> Problem:
    """Return random inputs that are equal in every process."""
    cell, B, T, I, H = case
    rng = np.random.default_rng(0)
    rows = GATES[cell] * H
    shapes: dict[str, tuple[int, ...]] = {
        "weight_ih_l0": (rows, I),
        "weight_hh_l0": (rows, H),
        "bias_ih_l0": (rows,),
        "bias_hh_l0": (rows,),
    }
    if cell == "peephole":
        shapes["weight_ch_l0"] = (3 * H,)
    bound = H**-0.5
    return Problem(
        rng.standard_normal((T, B, I), dtype=np.float32),
        rng.standard_normal((T, B, H), dtype=np.float32),
        {name: rng.uniform(-bound, bound, s).astype(np.float32) for name, s in shapes.items()},
    )


# A competitor builds its layer and its tensors, and returns a training step and a function that
# returns the gradients by name. Each one imports its library itself, because a process must not
# load the other libraries.


class Competitor(NamedTuple):
    """A training step, and its gradients."""

    step: Callable[[], Any]
    gradients: Callable[[], dict[str, Any]]


def with_layer(layer: Any, tensor: Any, problem: Problem) -> Competitor:
    """Wrap a layer with PyTorch's interface, which this project shares."""
    layer.load_state_dict({name: tensor(p) for name, p in problem.parameters.items()})
    x, loss_weights = tensor(problem.x), tensor(problem.loss_weights)

    def step() -> None:
        layer.zero_grad()
        out, _ = layer(x)
        (out * loss_weights).sum().backward()

    return Competitor(step, lambda: {name: p.grad.numpy() for name, p in layer.named_parameters()})


def tinygrad_rnn(case: Case, problem: Problem) -> Competitor:
    """Use this project."""
    import autograd as ag
    from tinygrad_rnn import nn

    layers = {"LSTM": nn.LSTM, "GRU": nn.GRU, "Elman": nn.RNN, "peephole": nn.PeepholeLSTM}
    return with_layer(layers[case.cell](case.I, case.H), ag.tensor, problem)


def eager(case: Case, problem: Problem) -> Competitor:
    """Use this project without its compiler: every operation runs and is recorded eagerly."""
    os.environ["AUTOGRAD_COMPILE"] = "0"
    return tinygrad_rnn(case, problem)


def custom_cell(case: Case, problem: Problem) -> Competitor:
    """Use this project with a user-defined LSTM cell whose gates are in the order o, f, i, g."""
    import autograd as ag
    from tinygrad_rnn import nn

    class CustomCell(nn.Cell):
        gates = 4

        def initial_state(self, batch: int) -> Any:
            return self.zeros(batch, self.hidden_size), self.zeros(batch, self.hidden_size)

        def step(self, state: Any, x: Any) -> Any:
            h, c = state
            o, f, i, g = ag.split(x + self.recurrent(h), 4, axis=-1)
            c = ag.sigmoid(f) * c + ag.sigmoid(i) * ag.tanh(g)
            h = ag.sigmoid(o) * ag.tanh(c)
            return (h, c), h

    def permute_gates(arrays: dict[str, Array], source: str, target: str) -> dict[str, Array]:
        """Return the blocks of rows in another order of gates."""
        indices = [source.index(gate) for gate in target]
        return {
            name: np.concatenate([np.split(array, 4)[index] for index in indices])
            for name, array in arrays.items()
        }

    permuted = problem._replace(parameters=permute_gates(problem.parameters, "ifgo", "ofig"))
    step, gradients = with_layer(nn.Recurrent(CustomCell(case.I, case.H)), ag.tensor, permuted)
    return Competitor(step, lambda: permute_gates(gradients(), "ofig", "ifgo"))


def pytorch(case: Case, problem: Problem) -> Competitor:
    """Use PyTorch, which does not read the number of threads from the environment everywhere."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

    class PeepholeLSTM(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            for name, array in problem.parameters.items():
                setattr(self, name, torch.nn.Parameter(torch.empty(array.shape)))

        def forward(self, x: Any) -> Any:
            xs = torch.nn.functional.linear(x, self.weight_ih_l0, self.bias_ih_l0 + self.bias_hh_l0)
            p_i, p_f, p_o = self.weight_ch_l0.chunk(3)
            h = c = torch.zeros(case.B, case.H)
            hs = []
            for x_t in xs.unbind():
                i, f, g, o = torch.addmm(x_t, h, self.weight_hh_l0.T).chunk(4, dim=1)
                i, f = torch.sigmoid(i + p_i * c), torch.sigmoid(f + p_f * c)
                c = f * c + i * torch.tanh(g)
                h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
                hs.append(h)
            return torch.stack(hs), (h, c)

    if case.cell == "peephole":
        return with_layer(PeepholeLSTM(), torch.tensor, problem)
    layers = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "Elman": torch.nn.RNN}
    return with_layer(layers[case.cell](case.I, case.H), torch.tensor, problem)


def jax(case: Case, problem: Problem) -> Competitor:
    """Use JAX, which starts one thread for each core that the process may use."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))[: int(os.environ["OMP_NUM_THREADS"])]
        os.sched_setaffinity(0, cores)
    import jax
    from jax import numpy as jnp

    sigmoid, tanh = jax.nn.sigmoid, jnp.tanh

    def loss(parameters: dict[str, Any], xs: Any, loss_weights: Any) -> Any:
        W_x, W_h = parameters["weight_ih_l0"], parameters["weight_hh_l0"]
        b_x, b_h = parameters["bias_ih_l0"], parameters["bias_hh_l0"]
        peephole = parameters.get("weight_ch_l0")
        p_i, p_f, p_o = (0, 0, 0) if peephole is None else jnp.split(peephole, 3)
        gru = case.cell == "GRU"  # its reset gate also multiplies b_h

        def step(state: Any, x: Any) -> Any:
            h, c = state
            z = h @ W_h.T
            if case.cell == "Elman":
                h = tanh(x + z)
            elif gru:
                (x_r, x_u, x_n), (h_r, h_u, h_n) = jnp.split(x, 3, 1), jnp.split(z + b_h, 3, 1)
                u = sigmoid(x_u + h_u)
                h = (1 - u) * tanh(x_n + sigmoid(x_r + h_r) * h_n) + u * h
            else:
                i, f, g, o = jnp.split(x + z, 4, 1)
                c = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * tanh(g)
                h = sigmoid(o + p_o * c) * tanh(c)
            return (h, c), h

        zeros = jnp.zeros((case.B, case.H), xs.dtype)
        projected = xs @ W_x.T + (b_x if gru else b_x + b_h)
        return (jax.lax.scan(step, (zeros, zeros), projected)[1] * loss_weights).sum()

    gradient = jax.jit(jax.grad(loss))
    arguments = jax.tree.map(jnp.asarray, (problem.parameters, problem.x, problem.loss_weights))

    def step() -> dict[str, Any]:
        return jax.block_until_ready(gradient(*arguments))  # type: ignore[no-any-return]

    return Competitor(step, lambda: {name: np.asarray(g) for name, g in step().items()})


def matmul(case: Case, problem: Problem) -> Competitor:
    """Compute the matrix products alone, in NumPy.

    They are the input projection, one product per step forward and one backward, and the weight
    gradients, whose time steps are stacked.
    """
    W_x, W_h = problem.parameters["weight_ih_l0"], problem.parameters["weight_hh_l0"]
    hs, xs = problem.loss_weights, problem.x.reshape(-1, case.I)
    dzs = np.random.default_rng(0).standard_normal((*hs.shape[:2], len(W_h)), dtype=np.float32)
    z, dh, projected = np.empty_like(dzs[0]), np.empty_like(hs[0]), np.empty_like(dzs)

    def step() -> None:
        np.matmul(xs, W_x.T, out=projected.reshape(len(xs), -1))
        for h in hs:
            np.matmul(h, W_h.T, out=z)
        for dz in dzs[::-1]:
            np.matmul(dz, W_h, out=dh)
        for inputs in (xs, hs.reshape(-1, case.H)):
            np.matmul(dzs.reshape(len(xs), -1).T, inputs)

    return Competitor(step, dict)


CUSTOM_CELL, MATMUL = "custom cell", "matmul"
COMPETITORS: dict[str, Callable[[Case, Problem], Competitor]] = {
    harness.PROJECT: tinygrad_rnn,
    "eager": eager,
    CUSTOM_CELL: custom_cell,
    "PyTorch": pytorch,
    "JAX": jax,
    MATMUL: matmul,
}


@cache
def build_competitor(name: str, case: Case) -> Competitor:
    """Build each competitor once per process, since libraries compile at the first call."""
    return COMPETITORS[name](case, make_problem(case))


def measure(name: str, case: Case) -> harness.Result:
    """Return the milliseconds of each step, and the gradients."""
    step, gradients = build_competitor(name, case)
    milliseconds = 1e3 * harness.time_steps(step)
    return milliseconds, gradients()


def size_index(case: Case) -> int:
    """Return the index of a case in `SIZES`."""
    return SIZES.index(case[1:])


def target_ratio(row: Mapping[str, Any]) -> float:
    """Return the target for the ratio tinygrad-rnn/PyTorch."""
    case = Case(**{name: row[name] for name in Case._fields})
    return TARGETS[case.cell][size_index(case)]


COLUMNS = [
    harness.ratio(harness.PROJECT, "PyTorch"),
    harness.Column("target", (harness.PROJECT, "PyTorch"), target_ratio),
    harness.ratio(harness.PROJECT, "JAX"),
    harness.ratio("eager", harness.PROJECT),
    harness.ratio(CUSTOM_CELL, harness.PROJECT),
    harness.Column(
        "% matmul", (harness.PROJECT, MATMUL), lambda row: 100 * row[MATMUL] / row[harness.PROJECT]
    ),
]


if __name__ == "__main__":
    harness.run(
        str(__doc__).partition("\n")[0],
        "Milliseconds per step",
        CASES,
        list(COMPETITORS),
        measure,
        columns=COLUMNS,
        supports=lambda name, case: name != CUSTOM_CELL or case.cell == "LSTM",
        filters={
            "cells": lambda case: case.cell.lower(),
            "sizes": lambda case: str(size_index(case)),
        },
    )
