"""What recording costs: many small plain operations, forward and backward, on the CPU.

    python benchmarks/overhead.py [--threads 2] [--json FILE]

The chain y <- tanh(y * y), 500 times on 8 numbers, then its sum and the gradient of the first y:
microseconds per operation, of which there are 1000. And the textbook's LSTM in a Python loop over
100 steps, with the gradients of its weights: milliseconds. All in float32.
"""

import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import contest
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

LINKS = 500
LINKS_CHECKED = 3  # the gradient of a long chain is 0
STEPS = 100


class Case(NamedTuple):
    """What is measured, for a batch of B vectors of H numbers."""

    what: str
    B: int
    H: int


CHAIN, LOOP = "us per operation", "ms per LSTM loop"
CASES = [Case(CHAIN, 1, 8), Case(LOOP, 1, 32), Case(LOOP, 32, 128)]


class Operations(NamedTuple):
    """How a library spells what is not an operator or method in all of them alike."""

    tanh: Callable[[Any], Any]
    sigmoid: Callable[[Any], Any]
    quarters: Callable[[Any], Any]  # (B, 4H) as four of (B, H)
    stack: Callable[[list[Any]], Any]


def chain(op: Operations, y: Any, *, links: int) -> Any:
    """The sum of tanh(y * y), nested that many times."""
    for _ in range(links):
        y = op.tanh(y * y)
    return y.sum()


def lstm(op: Operations, weight_ih: Any, weight_hh: Any, bias: Any, xs: Any, h: Any, c: Any) -> Any:
    """The sum of all outputs of an LSTM (Hochreiter & Schmidhuber 1997; Gers et al. 2000)."""
    hs = []
    for t in range(len(xs)):
        i, f, g, o = op.quarters(xs[t] @ weight_ih.T + h @ weight_hh.T + bias)
        c = op.sigmoid(f) * c + op.sigmoid(i) * op.tanh(g)
        h = op.sigmoid(o) * op.tanh(c)
        hs.append(h)
    return op.stack(hs).sum()


class LSTM(NamedTuple):
    """Numbers for `lstm`, the same in every process."""

    parameters: list[Array]
    constants: list[Array]

    @classmethod
    def of(cls, T: int, B: int, H: int) -> "LSTM":
        rng = np.random.default_rng(0)
        shapes = (4 * H, H), (4 * H, H), (4 * H,)
        parameters = [rng.uniform(-(H**-0.5), H**-0.5, s).astype(np.float32) for s in shapes]
        xs = rng.standard_normal((T, B, H), dtype=np.float32)
        return cls(parameters, [xs, *np.zeros((2, B, H), np.float32)])


# A contender turns a loss, its parameters and its constants into a function that computes the
# gradients of the parameters, the way its users write that. It imports what it needs itself: the
# others' libraries must not be in its process.

Gradients = Callable[[], list[Array]]


def ours(loss: Any, parameters: list[Array], constants: list[Array]) -> Gradients:
    """This engine."""
    import autograd as ag

    op = Operations(ag.tanh, ag.sigmoid, lambda z: ag.split(z, 4, axis=1), ag.stack)
    leaves = [ag.tensor(array, requires_grad=True) for array in parameters]
    rest = [ag.tensor(array) for array in constants]

    def gradients() -> list[Array]:
        for leaf in leaves:
            leaf.grad = None
        loss(op, *leaves, *rest).backward()
        return [leaf.grad.data for leaf in leaves if leaf.grad is not None]

    return gradients


def pytorch(loss: Any, parameters: list[Array], constants: list[Array]) -> Gradients:
    """PyTorch, which does not read the number of threads from the environment everywhere."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    op = Operations(torch.tanh, torch.sigmoid, lambda z: z.chunk(4, dim=1), torch.stack)
    leaves = [torch.tensor(array, requires_grad=True) for array in parameters]
    rest = [torch.tensor(array) for array in constants]

    def gradients() -> list[Array]:
        for leaf in leaves:
            leaf.grad = None
        loss(op, *leaves, *rest).backward()
        return [leaf.grad.numpy() for leaf in leaves]

    return gradients


def hips(loss: Any, parameters: list[Array], constants: list[Array]) -> Gradients:
    """HIPS autograd, from its own folder."""
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
    """MyGrad, without its guard against writes, as its manual says for speed."""
    mg = import_module("mygrad")
    mg.turn_memory_guarding_off()

    def quarters(z: Any) -> list[Any]:
        H = z.shape[1] // 4
        return [z[:, k * H : (k + 1) * H] for k in range(4)]

    op = Operations(mg.tanh, import_module("mygrad.nnet").sigmoid, quarters, mg.stack)
    leaves = [mg.tensor(array) for array in parameters]
    rest = [mg.tensor(array, constant=True) for array in constants]

    def gradients() -> list[Array]:
        loss(op, *leaves, *rest).backward()
        return [leaf.grad for leaf in leaves]

    return gradients


CONTENDERS = {"ours": ours, "PyTorch": pytorch, "HIPS autograd": hips, "MyGrad": mygrad}


def measure(contender: str, case: Case) -> contest.Result:
    """Micro- or milliseconds of each step, and gradients."""
    derive = CONTENDERS[contender]
    if case.what == CHAIN:
        y = np.random.default_rng(0).standard_normal(case.H, dtype=np.float32)
        seconds = contest.seconds_of(derive(partial(chain, links=LINKS), [y], []))
        (dy,) = derive(partial(chain, links=LINKS_CHECKED), [y], [])()
        return 1e6 / (2 * LINKS) * seconds, {"y": dy}
    step = derive(lstm, *LSTM.of(STEPS, case.B, case.H))
    seconds = contest.seconds_of(step)
    return 1e3 * seconds, dict(zip(("weight_ih", "weight_hh", "bias"), step(), strict=True))


if __name__ == "__main__":
    title = str(__doc__).partition("\n")[0]
    contest.run(title, "Time", CASES, list(CONTENDERS), measure)
