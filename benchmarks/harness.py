"""The benchmark harness: competitors run in separate processes, and results are printed as a table.

Two thread pools in one process compete for the cores, so each competitor runs in a process of its
own, and only one competitor runs at a time. Competitors alternate, so that changes of the machine's
load affect all of them; a result is the median over the repeats. The harness compares the gradients
of all competitors and stops if they disagree.

A benchmark defines its cases (named tuples; each is one row of the table), the names of its
competitors, and a function `measure(competitor, case)`. The function runs in the competitor's
process, imports its library there, and returns the measured values of one repeat and the gradients
by name (an empty dictionary if it computes none). The same process calls it again for each repeat.
"""

import argparse
import json
import os
import pickle
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from importlib import metadata, util
from pathlib import Path
from time import perf_counter, sleep
from typing import IO, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Case = Any  # a NamedTuple
Result = tuple[Array, dict[str, Any]]
Measure = Callable[[str, Case], Result]
Repeat = Callable[[], Result]

PROJECT = "tinygrad-rnn"  # the name of this project among the competitors
REPEATS = 5
WARM_UP_STEPS = 2
SECONDS = float(os.environ.get("BENCHMARK_SECONDS", 1))  # timed seconds per repeat
MIN_STEPS = 3  # per repeat, however long they take
PAUSE = 0.2  # seconds after a repeat, until its threads stop spinning
WIDEST_VALUE = 12345.67  # sets the column width
DIFFERENCE = "gradient difference"
TOLERANCE = 1e-4  # relative to the largest gradient of the same parameter


class Library(NamedTuple):
    """The package of a competitor."""

    module: str
    distribution: str
    install: str  # the command that installs it
    folder: Path | None = None  # where it is installed, if not in site-packages

    def version(self) -> str | None:
        """Return the installed version, or None."""
        if self.folder is not None:
            found = metadata.distributions(name=self.distribution, path=[str(self.folder)])
            return next((distribution.version for distribution in found), None)
        return metadata.version(self.distribution) if util.find_spec(self.module) else None


HIPS = Path(os.environ.get("HIPS_AUTOGRAD", Path.home() / ".cache" / "hips-autograd"))
"""HIPS autograd has the same import name as this project's engine, so it needs its own folder."""

LIBRARIES = {
    "PyTorch": Library("torch", "torch", "pip install torch==2.13.0"),
    "JAX": Library("jax", "jax", "pip install jax"),
    "HIPS autograd": Library(
        "autograd",
        "autograd",
        f"pip install --no-deps --target {HIPS} autograd (HIPS_AUTOGRAD names another folder)",
        HIPS,
    ),
    "MyGrad": Library("mygrad", "mygrad", "pip install mygrad"),
}


def time_steps(step: Callable[[], Any]) -> Array:
    """Return the duration in seconds of each step of one repeat, after a warm-up."""
    for _ in range(WARM_UP_STEPS):
        step()
    seconds: list[float] = []
    while len(seconds) < MIN_STEPS or sum(seconds) < SECONDS:
        start = perf_counter()
        step()
        seconds.append(perf_counter() - start)
    return np.array(seconds)


@contextmanager
def start_worker(competitor: str, case: int, threads: int, seconds: float) -> Iterator[Repeat]:
    """Start a process that measures one competitor in one case; yield a function that runs it."""
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(pools, str(threads))}
    environment["BENCHMARK_SECONDS"] = str(seconds)
    library = LIBRARIES.get(competitor)
    if library is not None and library.folder is not None:
        environment["PYTHONPATH"] = str(library.folder)
    command = [sys.executable, sys.argv[0], "--worker", competitor, str(case)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        requests, answers = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)

        def read_answer() -> Any:
            try:
                return pickle.load(answers)
            except EOFError:
                raise SystemExit(f"{competitor} failed; see its traceback above") from None

        def run_repeat() -> Result:
            requests.write(b"\n")
            requests.flush()
            result: Result = read_answer()
            sleep(PAUSE)
            return result

        read_answer()  # the process has started and is idle, so other competitors can run
        yield run_repeat


def serve(measure: Callable[[], Result]) -> None:
    """Answer the requests of `start_worker`. Output of libraries goes to standard error."""
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        pickle.dump("ready", answers)
        answers.flush()
        for _ in sys.stdin.buffer:
            pickle.dump(measure(), answers)
            answers.flush()


def max_difference(gradients: Mapping[str, Mapping[str, Any]]) -> float:
    """Return the largest difference from the first competitor's gradients.

    It is relative to the largest gradient of the same parameter. Competitors that compute no
    gradients do not count.
    """
    reference, *others = gradients.values()
    differences = [
        np.abs(other[key] - expected).max() / np.abs(expected).max()
        for other in filter(None, others)
        for key, expected in reference.items()
    ]
    return float(np.max(differences, initial=0.0))


def compare(
    start: Callable[[str], AbstractContextManager[Repeat]],
    competitors: Sequence[str],
    repeats: int,
    fresh_process: bool,
) -> dict[str, float]:
    """Return the median value of each competitor, and the difference between their gradients.

    With `fresh_process`, each repeat runs in a new process.
    """
    medians: dict[str, list[float]] = {name: [] for name in competitors}
    gradients: dict[str, Any] = {}
    with ExitStack() as running:
        for k in range(repeats):
            if fresh_process or not k:
                running.close()
                workers = {name: running.enter_context(start(name)) for name in competitors}
            for name in competitors:
                values, gradients[name] = workers[name]()
                medians[name].append(float(np.median(values)))
            difference = max_difference(gradients)
            if not difference <= TOLERANCE:
                raise SystemExit(f"gradients differ by {difference:.1e}: {', '.join(competitors)}")
    row = {name: float(np.median(medians[name])) for name in competitors}
    return row | ({DIFFERENCE: difference} if len(competitors) > 1 else {})


def describe_machine(threads: int) -> dict[str, Any]:
    """Return the hardware and software that the results depend on."""
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


class Column(NamedTuple):
    """A derived column of the table, for rows that have the columns in `requires`."""

    name: str
    requires: tuple[str, ...]
    compute: Callable[[Mapping[str, Any]], float]


def ratio(numerator: str, denominator: str) -> Column:
    """Return a column with one competitor's value divided by another's."""
    return Column(
        f"{numerator}/{denominator}",
        (numerator, denominator),
        lambda row: row[numerator] / row[denominator],
    )


class Table:
    """A table that is printed row by row.

    A column name is split over the two header lines at a space or after a slash.
    """

    def __init__(self, cases: Sequence[Case], names: Sequence[str]) -> None:
        self.parts = {name: re.split(r"(?<=/)| ", name, maxsplit=1) for name in names}
        self.formats: dict[str, str] = {}
        for name, parts in self.parts.items():
            values = [case._asdict().get(name, WIDEST_VALUE) for case in cases]
            width = max(len(str(cell)) for cell in (*parts, *values))
            self.formats[name] = f"{'<' if name in cases[0]._fields[:1] else '>'}{width}"

    def header(self) -> str:
        """Return the two header lines."""
        upper = {name: parts[0] if parts[1:] else "" for name, parts in self.parts.items()}
        lower = {name: parts[-1] for name, parts in self.parts.items()}
        return f"{self.line(upper)}\n{self.line(lower)}"

    def line(self, row: Mapping[str, Any]) -> str:
        """Return one line of the table."""
        cells = {name: f"{x:.2f}" if isinstance(x, float) else x for name, x in row.items()}
        if isinstance(difference := row.get(DIFFERENCE), float):
            cells[DIFFERENCE] = f"{difference:.1e}"
        return "  ".join(f"{cells.get(name, '-'):{form}}" for name, form in self.formats.items())


def parse_arguments(
    title: str, repeats: int, with_plot: bool, labels: Mapping[str, Sequence[str]]
) -> argparse.Namespace:
    """Parse the command line of a benchmark; `labels` are the values of each filter option."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--threads", type=int, default=2, help="threads of each competitor")
    parser.add_argument("--repeats", type=int, default=repeats, help="repeats of each measurement")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="timed seconds per repeat")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to FILE")
    if with_plot:
        parser.add_argument("--png", type=Path, metavar="FILE", help="plot the results to FILE")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    for name, known in labels.items():
        joined = ",".join(known)
        parser.add_argument(f"--{name}", default=joined, help=f"some of {joined}", metavar="LIST")
    options = parser.parse_args()
    for name, known in labels.items():
        if unknown := set(getattr(options, name).split(",")) - set(known):
            parser.error(f"--{name} {','.join(unknown)}: choose from {','.join(known)}")
    return options


def installed_competitors(
    competitors: Sequence[str], threads: int
) -> tuple[list[str], dict[str, Any]]:
    """Print the machine and the versions; return the installed competitors and what was printed."""
    versions = {name: LIBRARIES[name].version() for name in competitors if name in LIBRARIES}
    environment = {**describe_machine(threads), **versions}
    print(", ".join(f"{name} {value}" for name, value in environment.items() if value is not None))
    for name, version in versions.items():
        if version is None:
            print(f"{name} is not installed; to include it: {LIBRARIES[name].install}")
    return [name for name in competitors if versions.get(name, name) is not None], environment


def run(
    title: str,
    unit: str,
    cases: Sequence[Case],
    competitors: Sequence[str],
    measure: Measure,
    plot: Callable[[list[dict[str, Any]], Path], None] | None = None,
    *,
    columns: Sequence[Column] = (ratio(PROJECT, "PyTorch"),),
    supports: Callable[[str, Case], bool] = lambda competitor, case: True,
    filters: Mapping[str, Callable[[Case], str]] | None = None,
    repeats: int = REPEATS,
    fresh_process: bool = False,
) -> None:
    """Run a benchmark: measure all cases and print one row for each.

    Parameters
    ----------
    title, unit
        The description of the command, and the heading of the table.
    cases, competitors, measure
        See the module's docstring. Competitors whose library is not installed are skipped.
    plot
        A function `plot(rows, file)` for the option `--png`.
    columns
        Derived columns. A column is omitted if a competitor that it requires is missing.
    supports
        Function `supports(competitor, case)` that is False where a competitor does not apply.
    filters
        Options that select cases: for each option, a function that returns a case's label.
    repeats
        The default of `--repeats`.
    fresh_process
        If True, start a new process for each repeat. Peak memory needs this.
    """
    filters = filters or {}
    labels = {name: [*dict.fromkeys(map(label, cases))] for name, label in filters.items()}
    options = parse_arguments(title, repeats, plot is not None, labels)
    if options.worker:  # a process that `start_worker` has started
        competitor, case = options.worker
        return serve(lambda: measure(competitor, cases[int(case)]))

    competitors, environment = installed_competitors(competitors, options.threads)
    columns = [column for column in columns if {*column.requires} <= {*competitors}]
    names = [*cases[0]._fields, *competitors, *(column.name for column in columns)]
    table = Table(cases, names + [DIFFERENCE] * (len(competitors) > 1))
    print(f"{unit}, median of {options.repeats} repeats\n{table.header()}", flush=True)
    rows = []
    for i, case in enumerate(cases):
        if any(label(case) not in getattr(options, n).split(",") for n, label in filters.items()):
            continue
        active = [name for name in competitors if supports(name, case)]
        start = partial(start_worker, case=i, threads=options.threads, seconds=options.seconds)
        row = {**case._asdict(), **compare(start, active, options.repeats, fresh_process)}
        row |= {c.name: c.compute(row) for c in columns if {*c.requires} <= {*row}}
        rows.append(row)
        print(table.line(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": environment, "rows": rows}, indent=2) + "\n")
    if plot and options.png:
        plot(rows, options.png)
