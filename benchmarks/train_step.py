"""One training step of our recurrent layers beside PyTorch's and JAX's, on the CPU.

    python benchmarks/train_step.py [--cells lstm,gru] [--sizes 0,1] [--threads 2] [--turns 5]
                                    [--seconds 1] [--json FILE]

A step is forward and backward with the gradients of all weights: float32, input of shape (T, B, I),
the loss a sum of the outputs times fixed random numbers, everything alike on all sides.

PyTorch has LSTM, GRU and Elman's network fused in its own layers; a peephole LSTM is the loop that
its users write. JAX is `jit` of the gradient of `lax.scan`. "recorded" is ours with its compiler
switched off; "own cell" is ours with an LSTM that a user wrote, with another order of gates. The
matrix products of a step, alone, in NumPy, are "products"; what they take of our time is
"% products". "wanted" is what we want of ours/PyTorch.
"""

import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import contest
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
WANTED = {
    "LSTM": (2.2, 1.8, 1.7, 1.1, 1.0),
    "GRU": (0.2, 0.5, 0.6, 1.0, 1.0),
    "Elman": (0.25, 0.6, 0.6, 0.9, 0.9),
    "peephole": (0.1, 0.3, 0.45, 0.85, 0.9),
}


class Problem(NamedTuple):
    """What all contenders are given."""

    x: Array  # (T, B, I)
    loss_weights: Array  # (T, B, H)
    parameters: dict[str, Array]


def make_problem(case: Case) -> Problem:
    """The same numbers in every process."""
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


# A contender makes its layer and its tensors, and gives a step and the gradients after it, by name.
# It imports what it needs itself: the others' libraries must not be in its process.


class Contender(NamedTuple):
    """What is measured."""

    step: Callable[[], Any]
    gradients: Callable[[], dict[str, Any]]


def with_layer(layer: Any, tensor: Any, problem: Problem) -> Contender:
    """A layer in PyTorch's manner, which is ours too."""
    layer.load_state_dict({name: tensor(p) for name, p in problem.parameters.items()})
    x, loss_weights = tensor(problem.x), tensor(problem.loss_weights)

    def step() -> None:
        layer.zero_grad()
        out, _ = layer(x)
        (out * loss_weights).sum().backward()

    return Contender(step, lambda: {name: p.grad.numpy() for name, p in layer.named_parameters()})


def ours(case: Case, problem: Problem) -> Contender:
    """This library."""
    import autograd as ag
    from tinygrad_rnn import nn

    layers = {"LSTM": nn.LSTM, "GRU": nn.GRU, "Elman": nn.RNN, "peephole": nn.PeepholeLSTM}
    return with_layer(layers[case.cell](case.I, case.H), ag.tensor, problem)


def recorded(case: Case, problem: Problem) -> Contender:
    """This library without its compiler: every operation of every step is recorded."""
    os.environ["AUTOGRAD_COMPILE"] = "0"
    return ours(case, problem)


def own_cell(case: Case, problem: Problem) -> Contender:
    """This library with an LSTM of a user's own, whose gates are in the order o, f, i, g."""
    import autograd as ag
    from tinygrad_rnn import nn

    class OwnCell(nn.Cell):
        gates = 4

        def initial_state(self, batch: int) -> Any:
            return self.zeros(batch, self.hidden_size), self.zeros(batch, self.hidden_size)

        def step(self, state: Any, x: Any) -> Any:
            h, c = state
            o, f, i, g = ag.split(x + self.recurrent(h), 4, axis=-1)
            c = ag.sigmoid(f) * c + ag.sigmoid(i) * ag.tanh(g)
            h = ag.sigmoid(o) * ag.tanh(c)
            return (h, c), h

    def in_order(arrays: dict[str, Array], order: str, given: str) -> dict[str, Array]:
        """The same blocks of rows in another order."""
        places = [given.index(gate) for gate in order]
        return {
            name: np.concatenate([np.split(array, 4)[place] for place in places])
            for name, array in arrays.items()
        }

    permuted = problem._replace(parameters=in_order(problem.parameters, "ofig", given="ifgo"))
    step, gradients = with_layer(nn.Recurrent(OwnCell(case.I, case.H)), ag.tensor, permuted)
    return Contender(step, lambda: in_order(gradients(), "ifgo", given="ofig"))


def pytorch(case: Case, problem: Problem) -> Contender:
    """PyTorch, which does not read the number of threads from the environment everywhere."""
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


def jax(case: Case, problem: Problem) -> Contender:
    """JAX, whose threads are as many as the cores that it may use."""
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
        gru = case.cell == "GRU"  # whose reset gate acts on b_h too

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

    return Contender(step, lambda: {name: np.asarray(g) for name, g in step().items()})


def products(case: Case, problem: Problem) -> Contender:
    """The matrix products alone: of the inputs, of every step there and back, and of the weights'
    gradients, which are stacked over time.
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

    return Contender(step, dict)


OWN_CELL = "own cell"
CONTENDERS: dict[str, Callable[[Case, Problem], Contender]] = {
    "ours": ours,
    "recorded": recorded,
    OWN_CELL: own_cell,
    "PyTorch": pytorch,
    "JAX": jax,
    "products": products,
}


@cache
def contender(name: str, case: Case) -> Contender:
    """One for all turns: libraries compile at the first."""
    return CONTENDERS[name](case, make_problem(case))


def measure(name: str, case: Case) -> contest.Result:
    """Milliseconds of each step, and the gradients of the last."""
    step, gradients = contender(name, case)
    milliseconds = 1e3 * contest.seconds_of(step)
    return milliseconds, gradients()


def size(case: Case) -> int:
    """Which of the sizes it is."""
    return SIZES.index(case[1:])


def wanted(row: Mapping[str, Any]) -> float:
    """Of ours/PyTorch."""
    case = Case(**{name: row[name] for name in Case._fields})
    return WANTED[case.cell][size(case)]


COLUMNS = [
    contest.ratio("ours", "PyTorch"),
    contest.Column("wanted", ("ours", "PyTorch"), wanted),
    contest.ratio("ours", "JAX"),
    contest.ratio("recorded", "ours"),
    contest.ratio(OWN_CELL, "ours"),
    contest.Column(
        "% products", ("ours", "products"), lambda row: 100 * row["products"] / row["ours"]
    ),
]


if __name__ == "__main__":
    contest.run(
        str(__doc__).partition("\n")[0],
        "Milliseconds per step",
        CASES,
        list(CONTENDERS),
        measure,
        columns=COLUMNS,
        enters=lambda name, case: name != OWN_CELL or case.cell == "LSTM",
        choices={"cells": lambda case: case.cell.lower(), "sizes": lambda case: str(size(case))},
    )
