"""Time per operation of eager execution: many small operations, forward and backward, on the CPU.

    python benchmarks/overhead.py [--threads 2] [--json FILE]

The first case repeats y <- tanh(y * y) 500 times on 8 numbers, sums the result and computes the
gradient of the initial y; the time is in microseconds per operation (1000 operations). The other
cases run a textbook LSTM as a Python loop over 100 steps and compute the gradients of its weights;
the time is in milliseconds. All arrays are float32.
"""

import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import harness
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

LINKS = 500
CHECKED_LINKS = 3  # compare gradients on a short chain; on a long chain they underflow to 0
STEPS = 100


class Case(NamedTuple):
    """A measured quantity, for a batch of B vectors of H numbers."""

    quantity: str
    B: int
    H: int


CHAIN, LOOP = "us per operation", "ms per LSTM loop"
CASES = [Case(CHAIN, 1, 8), Case(LOOP, 1, 32), Case(LOOP, 32, 128)]


class Operations(NamedTuple):
    """The functions whose names differ between the libraries."""

    tanh: Callable[[Any], Any]
    sigmoid: Callable[[Any], Any]
    split_gates: Callable[[Any], Any]  # (B, 4H) -> four of (B, H)
    stack: Callable[[list[Any]], Any]


def chain(op: Operations, y: Any, *, links: int) -> Any:
    """Return the sum of y after `links` applications of y <- tanh(y * y)."""
    for _ in range(links):
        y = op.tanh(y * y)
    return y.sum()


def lstm(op: Operations, weight_ih: Any, weight_hh: Any, bias: Any, xs: Any, h: Any, c: Any) -> Any:
    """Return the summed outputs of an LSTM (Hochreiter & Schmidhuber 1997; Gers et al. 2000)."""
    hs = []
    for t in range(len(xs)):
        i, f, g, o = op.split_gates(xs[t] @ weight_ih.T + h @ weight_hh.T + bias)
        c = op.sigmoid(f) * c + op.sigmoid(i) * op.tanh(g)
        h = op.sigmoid(o) * op.tanh(c)
        hs.append(h)
    return op.stack(hs).sum()


class LSTM(NamedTuple):
    """Inputs of `lstm`, equal in every process."""

    parameters: list[Array]
    constants: list[Array]

    @classmethod
    def create(cls, T: int, B: int, H: int) -> "LSTM":
        rng = np.random.default_rng(0)
        shapes = (4 * H, H), (4 * H, H), (4 * H,)
        parameters = [rng.uniform(-(H**-0.5), H**-0.5, s).astype(np.float32) for s in shapes]
        xs = rng.standard_normal((T, B, H), dtype=np.float32)
        return cls(parameters, [xs, *np.zeros((2, B, H), np.float32)])


# A competitor builds, from a loss, its parameters and its constants, a function that computes the
# gradients of the parameters in the library's usual style. Each one imports its library itself,
# because a process must not load the other libraries.

Gradients = Callable[[], list[Array]]


def tinygrad_rnn(loss: Any, parameters: list[Array], constants: list[Array]) -> Gradients:
    """Use this project's engine."""
    import autograd as ag

    op = Operations(ag.tanh, ag.sigmoid, lambda z: ag.split(z, 4, axis=1), ag.stack)
    leaves = [ag.tensor(array, requires_grad=True) for array in parameters]
    inputs = [ag.tensor(array) for array in constants]

    def gradients() -> list[Array]:
        for leaf in leaves:
            leaf.grad = None
        loss(op, *leaves, *inputs).backward()
        return [leaf.grad.data for leaf in leaves if leaf.grad is not None]

    return gradients


def pytorch(loss: Any, parameters: list[Array], constants: list[Array]) -> Gradients:
    """Use PyTorch, which does not read the number of threads from the environment everywhere."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    op = Operations(torch.tanh, torch.sigmoid, lambda z: z.chunk(4, dim=1), torch.stack)
    leaves = [torch.tensor(array, requires_grad=True) for array in parameters]
    inputs = [torch.tensor(array) for array in constants]

    def gradients() -> list[Array]:
        for leaf in leaves:
            leaf.grad = None
        loss(op, *leaves, *inputs).backward()
        return [leaf.grad.numpy() for leaf in leaves]

    return gradients


def hips(loss: Any, parameters: list[Array], constants: list[Array]) -> Gradients:
    """Use HIPS autograd, from its own folder."""
    np = import_module("autograd.numpy")
    grad = import_module("autograd").grad
    op = Operations(
        np.tanh,
        lambda x: 0.5 * (np.tanh(0.5 * x) + 1),
        lambda z: np.split(z, 4, axis=1),
        np.stack,
    )
    gradient = grad(lambda leaves: loss(op, *leaves, *constants))
    return lambda: gradient(parameters)


def mygrad(loss: Any, parameters: list[Array], constants: list[Array]) -> Gradients:
    """Use MyGrad without its memory guarding, which its manual recommends for speed."""
    mg = import_module("mygrad")
    mg.turn_memory_guarding_off()

    def split_gates(z: Any) -> list[Any]:
        H = z.shape[1] // 4
        return [z[:, k * H : (k + 1) * H] for k in range(4)]

    op = Operations(mg.tanh, import_module("mygrad.nnet").sigmoid, split_gates, mg.stack)
    leaves = [mg.tensor(array) for array in parameters]
    inputs = [mg.tensor(array, constant=True) for array in constants]

    def gradients() -> list[Array]:
        loss(op, *leaves, *inputs).backward()
        return [leaf.grad for leaf in leaves]

    return gradients


COMPETITORS = {
    harness.PROJECT: tinygrad_rnn,
    "PyTorch": pytorch,
    "HIPS autograd": hips,
    "MyGrad": mygrad,
}


def measure(competitor: str, case: Case) -> harness.Result:
    """Return the micro- or milliseconds of each step, and gradients."""
    build = COMPETITORS[competitor]
    if case.quantity == CHAIN:
        y = np.random.default_rng(0).standard_normal(case.H, dtype=np.float32)
        seconds = harness.time_steps(build(partial(chain, links=LINKS), [y], []))
        (dy,) = build(partial(chain, links=CHECKED_LINKS), [y], [])()
        return 1e6 / (2 * LINKS) * seconds, {"y": dy}
    step = build(lstm, *LSTM.create(STEPS, case.B, case.H))
    seconds = harness.time_steps(step)
    return 1e3 * seconds, dict(zip(("weight_ih", "weight_hh", "bias"), step(), strict=True))


if __name__ == "__main__":
    title = str(__doc__).partition("\n")[0]
    harness.run(title, "Time", CASES, list(COMPETITORS), measure)
