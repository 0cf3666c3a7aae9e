"""One training step of our LSTM beside PyTorch's `nn.LSTM`, on the CPU.

    python benchmarks/train_step.py [--threads 2] [--json FILE]

A step is forward and backward with the gradients of all weights: float32, input of shape (T, B, I),
the loss a sum of the outputs times fixed random numbers, everything alike on both sides.

Two thread pools in one process spin against each other, so each contender runs in a process of its
own, and only one at a time. They take turns, so that both meet the same moods of the machine.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib import metadata, util
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Arrays = dict[str, Any]

ROUNDS = 5
WARM_UP_STEPS = 2
SECONDS = 1.0  # of measuring per turn, and never fewer than MIN_STEPS steps
MIN_STEPS = 3


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


def train_step(lstm: Any, x: Any, loss_weights: Any) -> None:
    """What is measured; it leaves the gradients in the LSTM's parameters."""
    lstm.zero_grad()
    out, _ = lstm(x)
    (out * loss_weights).sum().backward()


def measure(contender: str, size: Size) -> Arrays:
    """Seconds of each step, and the gradients by name. Runs in the contender's own process."""
    lstm, *tensors = CONTENDERS[contender](size, make_problem(size))
    for _ in range(WARM_UP_STEPS):
        train_step(lstm, *tensors)
    seconds: list[float] = []
    while len(seconds) < MIN_STEPS or sum(seconds) < SECONDS:
        start = perf_counter()
        train_step(lstm, *tensors)
        seconds.append(perf_counter() - start)
    gradients = {name: p.grad.numpy() for name, p in lstm.named_parameters()}
    return {"seconds": np.array(seconds), **gradients}


def measure_apart(contender: str, size: Size, threads: int) -> Arrays:
    """`measure` in a new process with that many threads."""
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(pools, str(threads))}
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.npz")
        command = [sys.executable, __file__, "--contender", contender]
        command += ["--size", *map(str, size), "--result", str(result)]
        subprocess.run(command, env=environment, check=True)
        with np.load(result) as arrays:
            return dict(arrays)


def compare(size: Size, contenders: list[str], threads: int) -> dict[str, Any]:
    """One row: the median step of each contender in milliseconds, their ratio and disagreement."""
    medians: dict[str, list[float]] = {name: [] for name in contenders}
    results: dict[str, Arrays] = {}
    for _ in range(ROUNDS):
        for name in contenders:
            results[name] = measure_apart(name, size, threads)
            medians[name].append(float(np.median(results[name].pop("seconds"))))
    row: dict[str, Any] = {**size._asdict()}
    row |= {name: 1e3 * float(np.median(medians[name])) for name in contenders}
    if len(contenders) == 2:
        row["ratio"] = row["ours"] / row["PyTorch"]
        row["difference"] = max(
            float(np.abs(results["ours"][name] - theirs).max() / np.abs(theirs).max())
            for name, theirs in results["PyTorch"].items()
        )
    return row


def machine(threads: int) -> dict[str, Any]:
    """What the figures hold for."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
        cpu = next((value.strip() for key, _, value in lines if key.strip() == "model name"), cpu)
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "CPU": cpu,
        "threads": threads,
        "Python": platform.python_version(),
        "NumPy": f"{np.__version__} ({blas['name']} {blas['version']})",
        "PyTorch": metadata.version("torch") if util.find_spec("torch") else None,
    }


def main() -> None:
    """Compare all sizes and print a line for each; in a contender's process, measure one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2, help="threads of each contender")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        np.savez(options.result, **measure(options.contender, Size(*options.size)))
        return

    about = machine(options.threads)
    print(", ".join(f"{name} {value}" for name, value in about.items() if value is not None))
    contenders = list(CONTENDERS) if about["PyTorch"] else ["ours"]
    if not about["PyTorch"]:
        print("PyTorch is not installed; to see it beside ours: pip install torch==2.13.0")
    print(f"Milliseconds per step, median of {ROUNDS} turns each")
    header = "   B    T    I    H       ours"
    print(header + "    PyTorch    ratio   gradients differ by" * (len(contenders) == 2))
    rows = []
    for size in SIZES:
        row = compare(size, contenders, options.threads)
        rows.append(row)
        line = "{B:4} {T:4} {I:4} {H:4} {ours:10.2f}"
        line += " {PyTorch:10.2f} {ratio:8.2f}   {difference:19.1e}" * (len(contenders) == 2)
        print(line.format(**row), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": about, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
