"""Memory of one training step of `nn.LSTM`, compared with PyTorch, on the CPU.

    python benchmarks/scan_memory.py [--threads 2] [--json FILE]

T = 1000 time steps of 32 sequences, I = H = 128, forward and backward with the gradients of all
weights, in float32. The result is the peak resident set size of the process minus the size before
the step, after a warm-up on a short sequence. "eager" is this project without its compiler.
"""

from pathlib import Path

import harness
import numpy as np
from step_memory import WARM_UP_STEPS, peak_memory
from train_step import COMPETITORS, Case, make_problem

CASES = [Case("LSTM", 32, 1000, 128, 128)]


def current_memory() -> float:
    """Return the resident set size in MB, or its peak where /proc is not available."""
    status = Path("/proc/self/status")
    if not status.exists():
        return peak_memory()
    lines = (line.split() for line in status.read_text().splitlines())
    return next(int(words[1]) for words in lines if words[0] == "VmRSS:") / 1e3


def measure(competitor: str, case: Case) -> harness.Result:
    """Return the megabytes, and the gradients."""
    short = case._replace(T=WARM_UP_STEPS)
    COMPETITORS[competitor](short, make_problem(short)).step()
    step, gradients = COMPETITORS[competitor](case, make_problem(case))
    before = current_memory()
    step()
    return np.array([peak_memory() - before]), gradients()


if __name__ == "__main__":
    harness.run(
        str(__doc__).partition("\n")[0],
        "Megabytes",
        CASES,
        [harness.PROJECT, "eager", "PyTorch"],
        measure,
        columns=[
            harness.ratio(harness.PROJECT, "eager"),
            harness.ratio(harness.PROJECT, "PyTorch"),
        ],
        fresh_process=True,
    )
