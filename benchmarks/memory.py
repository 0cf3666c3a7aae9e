"""Memory and time of a training step of `nn.LSTM` with checkpointing, on the CPU.

    python benchmarks/memory.py [--threads 2] [--json FILE] [--png FILE]

The sequence length varies; B = 32, H = I = 128, float32. The loss reads the last output, and a step
computes the gradients of all weights. The benchmark compares a layer without checkpointing with
`checkpoint="sqrt"` and with a `memory_budget` of a tenth of the residuals. Memory is the increase
of the process's peak resident set size, after a warm-up on a short sequence. A step under `no_grad`
is the forward pass alone.
"""

import tracemalloc
from pathlib import Path
from typing import Any, NamedTuple

import harness
import numpy as np
from step_memory import WARM_UP_STEPS, peak_memory

B, H = 32, 128
LENGTHS = [100, 300, 1000, 3000]
FORWARD, MEMORY, TIME = "MB under no_grad", "MB", "ms"
COMPETITORS = ["no checkpoint", "sqrt", "budget"]
BUDGET = 0.1  # fraction of the memory of all residuals


class Case(NamedTuple):
    """A measured quantity, for T time steps."""

    quantity: str
    T: int


def loss(lstm: Any, x: Any) -> Any:
    """Return the sum of squares of the last output."""
    return (lstm(x)[0][-1] ** 2).sum()


def residuals_per_step(lstm: Any, x: Any) -> float:
    """Return the bytes of residuals per time step."""
    tracemalloc.start()
    output = loss(lstm, x)  # holds the graph and its residuals
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del output
    return size / len(x)


def measure(competitor: str, case: Case) -> harness.Result:
    """Return the megabytes or milliseconds, and the gradients (under no_grad, the loss)."""
    import autograd as ag
    from tinygrad_rnn import nn

    x = ag.tensor(np.random.default_rng(0).standard_normal((case.T, B, H), dtype=np.float32))
    short = x[:WARM_UP_STEPS]
    plain = nn.LSTM(H, H)
    loss(plain, short).backward()
    options: dict[str, dict[str, Any]] = {
        "no checkpoint": {},
        "sqrt": {"checkpoint": "sqrt"},
        "budget": {"memory_budget": int(BUDGET * case.T * residuals_per_step(plain, short))},
    }
    ag.manual_seed(0)
    lstm = nn.LSTM(H, H, **options[competitor])

    def step() -> dict[str, Any]:
        lstm.zero_grad()
        loss(lstm, x).backward()
        return {name: p.grad.numpy() for name, p in lstm.named_parameters() if p.grad is not None}

    if case.quantity == TIME:
        return 1e3 * harness.time_steps(step), step()
    before = peak_memory()
    if case.quantity == MEMORY:
        results = step()
    else:
        with ag.no_grad():
            results = {"loss": loss(lstm, x).numpy()}
    return np.array([peak_memory() - before]), results


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot memory and time against the number of time steps, one line for each variant."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), dpi=150, layout="constrained")
    for axes, quantity in zip(figure.subplots(1, 2), (MEMORY, TIME), strict=True):
        for name in COMPETITORS:
            axes.loglog(
                LENGTHS, [r[name] for r in rows if r["quantity"] == quantity], "o-", label=name
            )
        axes.set(xlabel="time steps", ylabel=f"{quantity} per training step")
        axes.set_xticks(LENGTHS, [f"{T:,}" for T in LENGTHS])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    title = str(__doc__).partition("\n")[0]
    cases = [Case(quantity, T) for quantity in (FORWARD, MEMORY, TIME) for T in LENGTHS]
    harness.run(
        title, "Memory and time", cases, COMPETITORS, measure, plot, columns=[], fresh_process=True
    )
