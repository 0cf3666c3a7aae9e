"""Checkpointing: the memory and the time of a training step of `nn.LSTM` against the sequence's
length, on the CPU.

    python benchmarks/memory.py [--threads 2] [--json FILE] [--png FILE]

B = 32, H = I = 128, float32, the loss on the last output, the gradients of all weights. Once with
the record of every step, once with `checkpoint="sqrt"`, once with a `memory_budget` of a tenth of
that record. Megabytes are by how much the peak of the process's resident size rises, after a short
sequence has warmed it up; a step under `no_grad` is its forward part alone.
"""

import tracemalloc
from pathlib import Path
from typing import Any, NamedTuple

import contest
import numpy as np
from step_memory import WARM_UP_STEPS, peak

B, H = 32, 128
LENGTHS = [100, 300, 1000, 3000]
FORWARD, MEMORY, TIME = "MB under no_grad", "MB", "ms"
CONTENDERS = ["all recorded", "sqrt", "budget"]
BUDGET = 0.1  # of the record of all steps


class Case(NamedTuple):
    """What is measured, for T steps."""

    what: str
    T: int


def loss(lstm: Any, x: Any) -> Any:
    """The sum of squares of the last output."""
    return (lstm(x)[0][-1] ** 2).sum()


def record_of_a_step(lstm: Any, x: Any) -> float:
    """The bytes that are held for backward, for each of some steps."""
    tracemalloc.start()
    kept = loss(lstm, x)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return held / len(x)


def measure(contender: str, case: Case) -> contest.Result:
    """Megabytes or milliseconds, and the gradients (under no_grad: the loss)."""
    import autograd as ag
    from tinygrad_rnn import nn

    x = ag.tensor(np.random.default_rng(0).standard_normal((case.T, B, H), dtype=np.float32))
    short = x[:WARM_UP_STEPS]
    plain = nn.LSTM(H, H)
    loss(plain, short).backward()
    options: dict[str, dict[str, Any]] = {
        "all recorded": {},
        "sqrt": {"checkpoint": "sqrt"},
        "budget": {"memory_budget": int(BUDGET * case.T * record_of_a_step(plain, short))},
    }
    ag.manual_seed(0)
    lstm = nn.LSTM(H, H, **options[contender])

    def step() -> dict[str, Any]:
        lstm.zero_grad()
        loss(lstm, x).backward()
        return {name: p.grad.numpy() for name, p in lstm.named_parameters() if p.grad is not None}

    if case.what == TIME:
        return 1e3 * contest.seconds_of(step), step()
    before = peak()
    if case.what == MEMORY:
        results = step()
    else:
        with ag.no_grad():
            results = {"loss": loss(lstm, x).numpy()}
    return np.array([peak() - before]), results


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Memory and time over the number of steps, a line for each contender."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), dpi=150, layout="constrained")
    for axes, what in zip(figure.subplots(1, 2), (MEMORY, TIME), strict=True):
        for name in CONTENDERS:
            axes.loglog(LENGTHS, [r[name] for r in rows if r["what"] == what], "o-", label=name)
        axes.set(xlabel="time steps", ylabel=f"{what} per training step")
        axes.set_xticks(LENGTHS, [f"{T:,}" for T in LENGTHS])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    title = " ".join(str(__doc__).partition("\n\n")[0].split())
    cases = [Case(what, T) for what in (FORWARD, MEMORY, TIME) for T in LENGTHS]
    contest.run(title, "Figures", cases, CONTENDERS, measure, draw, columns=[], afresh=True)
