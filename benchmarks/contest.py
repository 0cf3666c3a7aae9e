"""What the benchmarks share: contenders measured each in a process of its own, a table, a file.

Two thread pools in one process spin against each other, so each contender runs in a process of its
own, and only one at a time. They take turns, so that all meet the same moods of the machine; a
figure is the median over the turns.

A benchmark gives its cases (named tuples of numbers and words, a line of the table each), the names
of its contenders, and a function `measure(contender, case)` that runs in the contender's process,
imports what it needs there, and returns the figures of one turn and the gradients by name.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import metadata, util
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Case = Any  # a NamedTuple
Result = tuple[Array, dict[str, Any]]
Measure = Callable[[str, Case], Result]

ROUNDS = 5
WARM_UP_STEPS = 2
SECONDS = 1.0  # of measuring per turn, and never fewer than MIN_STEPS steps
MIN_STEPS = 3


class Library(NamedTuple):
    """Where a contender comes from."""

    module: str
    distribution: str
    install: str  # how to get it
    folder: Path | None = None  # where it is installed, if not beside everything else

    def version(self) -> str | None:
        """None if it is not installed."""
        if self.folder is not None:
            found = metadata.distributions(name=self.distribution, path=[str(self.folder)])
            return next((one.version for one in found), None)
        return metadata.version(self.distribution) if util.find_spec(self.module) else None


HIPS = Path(os.environ.get("HIPS_AUTOGRAD", Path.home() / ".cache" / "hips-autograd"))
"""HIPS autograd has the import name of our engine, so it lives in a folder of its own."""

LIBRARIES = {
    "PyTorch": Library("torch", "torch", "pip install torch==2.13.0"),
    "HIPS autograd": Library(
        "autograd",
        "autograd",
        f"pip install --no-deps --target {HIPS} autograd (HIPS_AUTOGRAD names another folder)",
        HIPS,
    ),
    "MyGrad": Library("mygrad", "mygrad", "pip install mygrad"),
}


def seconds_of(step: Callable[[], Any]) -> Array:
    """Seconds of each of the steps of one turn."""
    for _ in range(WARM_UP_STEPS):
        step()
    seconds: list[float] = []
    while len(seconds) < MIN_STEPS or sum(seconds) < SECONDS:
        start = perf_counter()
        step()
        seconds.append(perf_counter() - start)
    return np.array(seconds)


def measure_apart(contender: str, case: int, threads: int) -> Result:
    """`measure` for one contender and case, in a new process with that many threads."""
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(pools, str(threads))}
    library = LIBRARIES.get(contender)
    if library is not None and library.folder is not None:
        environment["PYTHONPATH"] = str(library.folder)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.npz")
        command = [sys.executable, sys.argv[0], "--turn", contender, str(case), str(result)]
        subprocess.run(command, env=environment, check=True)
        with np.load(result) as arrays:
            gradients = dict(arrays)
            return gradients.pop("figures"), gradients


def compare(case: int, contenders: Sequence[str], threads: int) -> dict[str, Any]:
    """The median figure of each contender, ours divided by PyTorch's, and by how much the gradients
    differ from the first contender's at most, relative to the greatest of those.
    """
    medians: dict[str, list[float]] = {name: [] for name in contenders}
    gradients: dict[str, dict[str, Any]] = {}
    for _ in range(ROUNDS):
        for name in contenders:
            figures, gradients[name] = measure_apart(name, case, threads)
            medians[name].append(float(np.median(figures)))
    row: dict[str, Any] = {name: float(np.median(medians[name])) for name in contenders}
    if "PyTorch" in row:
        row["ratio"] = row["ours"] / row["PyTorch"]
    if len(contenders) > 1:
        row["difference"] = max(
            float(np.abs(gradients[name][key] - first).max() / np.abs(first).max())
            for name in contenders[1:]
            for key, first in gradients[contenders[0]].items()
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
        "load average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "Python": platform.python_version(),
        "NumPy": f"{np.__version__} ({blas['name']} {blas['version']})",
    }


def line(cells: dict[str, Any]) -> str:
    """One line of the table."""
    formats = {str: "{:<24}", int: "{:4}", float: "{:14.2f}"}
    return " ".join(
        f"{cell:20.1e}" if name == "difference" else formats[type(cell)].format(cell)
        for name, cell in cells.items()
    )


def header(case: Case, contenders: Sequence[str]) -> str:
    """The line above the table."""
    cells = [
        f"{name:<24}" if isinstance(value, str) else f"{name:>4}"
        for name, value in case._asdict().items()
    ]
    cells += [f"{name:>14}" for name in contenders]
    cells += [f"{'ours/PyTorch':>14}"] * ("PyTorch" in contenders)
    return " ".join(cells + [f"{'gradients differ by':>20}"] * (len(contenders) > 1))


def run(
    title: str,
    unit: str,
    cases: Sequence[Case],
    contenders: Sequence[str],
    measure: Measure,
    draw: Callable[[list[dict[str, Any]], Path], None] | None = None,
) -> None:
    """The command of a benchmark: compare all cases and print a line for each; in a contender's
    process, measure one. `contenders` begins with "ours", where there are others'; those not
    installed are left out. `draw(rows, file)`, where given, makes the picture of `--png`.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--threads", type=int, default=2, help="threads of each contender")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    if draw:
        parser.add_argument("--png", type=Path, metavar="FILE", help="draw the figures there")
    parser.add_argument("--turn", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turn:
        name, case, result = options.turn
        figures, gradients = measure(name, cases[int(case)])
        np.savez(result, figures=figures, **gradients)
        return

    versions = {name: LIBRARIES[name].version() for name in contenders if name in LIBRARIES}
    about = {**machine(options.threads), **versions}
    print(", ".join(f"{name} {value}" for name, value in about.items() if value is not None))
    for name, version in versions.items():
        if version is None:
            print(f"{name} is not installed; to see it beside ours: {LIBRARIES[name].install}")
    contenders = [name for name in contenders if versions.get(name, name) is not None]
    print(f"{unit}, median of {ROUNDS} turns each")
    print(header(cases[0], contenders))
    rows = []
    for i, case in enumerate(cases):
        rows.append({**case._asdict(), **compare(i, contenders, options.threads)})
        print(line(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": about, "rows": rows}, indent=2) + "\n")
    if draw and options.png:
        draw(rows, options.png)
