"""The memory of one training step of our `nn.LSTM` beside PyTorch's, on the CPU.

    python benchmarks/scan_memory.py [--threads 2] [--json FILE]

T = 1000 steps of 32 sequences, I = H = 128, forward and backward with the gradients of all weights,
float32. The figure is by how much the peak of the process's resident size exceeds the size before
the step, after a short one has warmed it up. "recorded" is ours with its compiler switched off.
"""

from pathlib import Path

import contest
import numpy as np
from step_memory import WARM_UP_STEPS, peak
from train_step import CONTENDERS, Case, make_problem

CASES = [Case("LSTM", 32, 1000, 128, 128)]


def resident() -> float:
    """The resident size of this process, in MB, or its peak where that alone is known."""
    status = Path("/proc/self/status")
    if not status.exists():
        return peak()
    lines = (line.split() for line in status.read_text().splitlines())
    return next(int(words[1]) for words in lines if words[0] == "VmRSS:") / 1e3


def measure(contender: str, case: Case) -> contest.Result:
    """Megabytes, and the gradients."""
    short = case._replace(T=WARM_UP_STEPS)
    CONTENDERS[contender](short, make_problem(short)).step()
    step, gradients = CONTENDERS[contender](case, make_problem(case))
    before = resident()
    step()
    return np.array([peak() - before]), gradients()


if __name__ == "__main__":
    contest.run(
        str(__doc__).partition("\n")[0],
        "Megabytes",
        CASES,
        ["ours", "recorded", "PyTorch"],
        measure,
        columns=[contest.ratio("ours", "recorded"), contest.ratio("ours", "PyTorch")],
        afresh=True,
    )
