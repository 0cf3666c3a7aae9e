"""The memory of one training step of a textbook LSTM in a Python loop, on the CPU.

    python benchmarks/step_memory.py [--threads 2] [--json FILE]

T = 1000 steps, forward and backward with the gradients of all weights, float32. The figure is by
how much that raises the peak of the process's resident size, after a short one has warmed it up.
"""

import resource
import sys
from typing import NamedTuple

import contest
import numpy as np
from overhead import CONTENDERS, LSTM, lstm


class Size(NamedTuple):
    """Time steps, batch, hidden (and input) size."""

    T: int
    B: int
    H: int


SIZES = [Size(1000, 32, 128)]
WARM_UP_STEPS = 10


def peak() -> float:
    """The greatest resident size of this process so far, in MB."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (1e6 if sys.platform == "darwin" else 1e3)  # in bytes, or in kB elsewhere


def measure(contender: str, size: Size) -> contest.Result:
    """Megabytes, and the gradients."""
    derive = CONTENDERS[contender]
    derive(lstm, *LSTM.of(WARM_UP_STEPS, size.B, size.H))()
    step = derive(lstm, *LSTM.of(*size))
    before = peak()
    gradients = step()
    figures = np.array([peak() - before])
    return figures, dict(zip(("weight_ih", "weight_hh", "bias"), gradients, strict=True))


if __name__ == "__main__":
    title = str(__doc__).partition("\n")[0]
    contest.run(title, "Megabytes", SIZES, ["ours", "PyTorch"], measure, afresh=True)
