"""Memory of one training step of a textbook LSTM as an eager Python loop, on the CPU.

    python benchmarks/step_memory.py [--threads 2] [--json FILE]

T = 1000 time steps, forward and backward with the gradients of all weights, in float32. The result
is the increase of the process's peak resident set size, after a warm-up on a short sequence.
"""

import resource
import sys
from typing import NamedTuple

import harness
import numpy as np
from overhead import COMPETITORS, LSTM, lstm


class Size(NamedTuple):
    """Time steps, batch, hidden (and input) size."""

    T: int
    B: int
    H: int


SIZES = [Size(1000, 32, 128)]
WARM_UP_STEPS = 10


def peak_memory() -> float:
    """Return the peak resident set size of this process so far, in MB."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (1e6 if sys.platform == "darwin" else 1e3)  # bytes on macOS, kB elsewhere


def measure(competitor: str, size: Size) -> harness.Result:
    """Return the megabytes, and the gradients."""
    build = COMPETITORS[competitor]
    build(lstm, *LSTM.create(WARM_UP_STEPS, size.B, size.H))()
    step = build(lstm, *LSTM.create(*size))
    before = peak_memory()
    gradients = step()
    megabytes = np.array([peak_memory() - before])
    return megabytes, dict(zip(("weight_ih", "weight_hh", "bias"), gradients, strict=True))


if __name__ == "__main__":
    title = str(__doc__).partition("\n")[0]
    harness.run(
        title, "Megabytes", SIZES, [harness.PROJECT, "PyTorch"], measure, fresh_process=True
    )
