"""One training step of our LSTM beside PyTorch's `nn.LSTM`, on the CPU.

    python benchmarks/train_step.py [--threads 2] [--json FILE]

A step is forward and backward with the gradients of all weights: float32, input of shape (T, B, I),
the loss a sum of the outputs times fixed random numbers, everything alike on both sides.
"""

import os
from typing import Any, NamedTuple

import contest
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class Size(NamedTuple):
    """Batch, time steps, input size, hidden size."""

    B: int
    T: int
    I: int
    H: int


SIZES = [
    Size(1, 100, 32, 32),
    Size(32, 100, 64, 64),
    Size(32, 100, 128, 128),
    Size(64, 100, 256, 256),
    Size(64, 50, 512, 512),
]


class Problem(NamedTuple):
    """What both contenders are given."""

    x: Array  # (T, B, I)
    loss_weights: Array  # (T, B, H)
    parameters: dict[str, Array]


def make_problem(size: Size) -> Problem:
    """The same numbers in every process."""
    B, T, I, H = size
    rng = np.random.default_rng(0)
    shapes = {
        "weight_ih_l0": (4 * H, I),
        "weight_hh_l0": (4 * H, H),
        "bias_ih_l0": (4 * H,),
        "bias_hh_l0": (4 * H,),
    }
    bound = H**-0.5
    return Problem(
        rng.standard_normal((T, B, I), dtype=np.float32),
        rng.standard_normal((T, B, H), dtype=np.float32),
        {name: rng.uniform(-bound, bound, s).astype(np.float32) for name, s in shapes.items()},
    )


# A contender makes its LSTM and its tensors of the input and the loss weights. It imports what it
# needs itself: the other's library must not be in its process.


def ours(size: Size, problem: Problem) -> tuple[Any, Any, Any]:
    """This library."""
    import autograd as ag
    from tinygrad_rnn import nn

    lstm = nn.LSTM(size.I, size.H)
    lstm.load_state_dict(problem.parameters)
    return lstm, ag.tensor(problem.x), ag.tensor(problem.loss_weights)


def pytorch(size: Size, problem: Problem) -> tuple[Any, Any, Any]:
    """PyTorch, which does not read the number of threads from the environment everywhere."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    lstm = torch.nn.LSTM(size.I, size.H)
    lstm.load_state_dict({name: torch.tensor(p) for name, p in problem.parameters.items()})
    return lstm, torch.tensor(problem.x), torch.tensor(problem.loss_weights)


CONTENDERS = {"ours": ours, "PyTorch": pytorch}


def measure(contender: str, size: Size) -> contest.Result:
    """Milliseconds of each step, and the gradients of the last."""
    lstm, x, loss_weights = CONTENDERS[contender](size, make_problem(size))

    def train_step() -> None:
        lstm.zero_grad()
        out, _ = lstm(x)
        (out * loss_weights).sum().backward()

    milliseconds = 1e3 * contest.seconds_of(train_step)
    return milliseconds, {name: p.grad.numpy() for name, p in lstm.named_parameters()}


if __name__ == "__main__":
    title = str(__doc__).partition("\n")[0]
    contest.run(title, "Milliseconds per step", SIZES, list(CONTENDERS), measure)
