"""What the benchmarks share: contenders measured each in a process of its own, a table, a file.

Two thread pools in one process spin against each other, so each contender runs in a process of its
own, and only one at a time. They take turns, so that all meet the same moods of the machine; a
figure is the median over the turns. No figure is shown of contenders whose gradients disagree.

A benchmark gives its cases (named tuples of numbers and words, a line of the table each), the names
of its contenders, and a function `measure(contender, case)` that runs in the contender's process,
imports what it needs there, and returns the figures of one turn and the gradients by name (or none,
if it computes none). It is called again in the same process for every turn.
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
Turn = Callable[[], Result]

TURNS = 5
WARM_UP_STEPS = 2
SECONDS = float(os.environ.get("CONTEST_SECONDS", 1))  # of timing, per turn
MIN_STEPS = 3  # per turn, however long they take
PAUSE = 0.2  # seconds after a turn, in which its threads stop spinning
FIGURE = 12345.67  # the widest that is expected
DIFFERENCE = "gradients differ by"
TOLERANCE = 1e-4  # of gradients, relative to the greatest of the same parameter


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
    "JAX": Library("jax", "jax", "pip install jax"),
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


@contextmanager
def worker(contender: str, case: int, threads: int, seconds: float) -> Iterator[Turn]:
    """A process with that many threads that measures one contender in one case, whenever asked."""
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(pools, str(threads))}
    environment["CONTEST_SECONDS"] = str(seconds)
    library = LIBRARIES.get(contender)
    if library is not None and library.folder is not None:
        environment["PYTHONPATH"] = str(library.folder)
    command = [sys.executable, sys.argv[0], "--worker", contender, str(case)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        requests, answers = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)

        def answer() -> Any:
            try:
                return pickle.load(answers)
            except EOFError:
                raise SystemExit(f"{contender} has failed, as said above") from None

        def turn() -> Result:
            requests.write(b"\n")
            requests.flush()
            result: Result = answer()
            sleep(PAUSE)
            return result

        answer()  # it is there, and idle: others can be measured
        yield turn


def serve(measure: Callable[[], Result]) -> None:
    """The worker's side. What libraries print goes to standard error."""
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        pickle.dump("ready", answers)
        answers.flush()
        for _ in sys.stdin.buffer:
            pickle.dump(measure(), answers)
            answers.flush()


def disagreement(gradients: Mapping[str, Mapping[str, Any]]) -> float:
    """By how much gradients differ from the first contender's at most, relative to the greatest of
    the same parameter. Those that compute none are no part of it.
    """
    firsts, *others = gradients.values()
    differences = [
        np.abs(other[key] - first).max() / np.abs(first).max()
        for other in filter(None, others)
        for key, first in firsts.items()
    ]
    return float(np.max(differences, initial=0.0))


def compare(
    workers: Callable[[str], AbstractContextManager[Turn]],
    contenders: Sequence[str],
    turns: int,
    afresh: bool,
) -> dict[str, float]:
    """The median figure of each contender, and what disagreement there is, if they are several.

    With `afresh`, each turn is a new process's.
    """
    medians: dict[str, list[float]] = {name: [] for name in contenders}
    gradients: dict[str, Any] = {}
    with ExitStack() as running:
        for k in range(turns):
            if afresh or not k:
                running.close()
                turn = {name: running.enter_context(workers(name)) for name in contenders}
            for name in contenders:
                figures, gradients[name] = turn[name]()
                medians[name].append(float(np.median(figures)))
            difference = disagreement(gradients)
            if not difference <= TOLERANCE:
                raise SystemExit(f"{DIFFERENCE} {difference:.1e}: {', '.join(contenders)}")
    row = {name: float(np.median(medians[name])) for name in contenders}
    return row | ({DIFFERENCE: difference} if len(contenders) > 1 else {})


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


class Column(NamedTuple):
    """A column beside the contenders' figures: its value in a row that has `needs`."""

    name: str
    needs: tuple[str, ...]
    value: Callable[[Mapping[str, Any]], float]


def ratio(above: str, below: str) -> Column:
    """One contender's figure divided by another's."""
    return Column(f"{above}/{below}", (above, below), lambda row: row[above] / row[below])


class Table:
    """Lines that are printed as they come. A name takes two, parted at a space or a stroke."""

    def __init__(self, cases: Sequence[Case], names: Sequence[str]) -> None:
        self.parts = {name: re.split(r"(?<=/)| ", name, maxsplit=1) for name in names}
        self.formats: dict[str, str] = {}
        for name, parts in self.parts.items():
            values = [case._asdict().get(name, FIGURE) for case in cases]
            width = max(len(str(shown)) for shown in (*parts, *values))
            self.formats[name] = f"{'<' if name in cases[0]._fields[:1] else '>'}{width}"

    def header(self) -> str:
        """The two lines above the table."""
        above = {name: parts[0] if parts[1:] else "" for name, parts in self.parts.items()}
        below = {name: parts[-1] for name, parts in self.parts.items()}
        return f"{self.line(above)}\n{self.line(below)}"

    def line(self, row: Mapping[str, Any]) -> str:
        """One line of the table."""
        shown = {name: f"{x:.2f}" if isinstance(x, float) else x for name, x in row.items()}
        if isinstance(difference := row.get(DIFFERENCE), float):
            shown[DIFFERENCE] = f"{difference:.1e}"
        return "  ".join(f"{shown.get(name, '-'):{form}}" for name, form in self.formats.items())


def run(
    title: str,
    unit: str,
    cases: Sequence[Case],
    contenders: Sequence[str],
    measure: Measure,
    draw: Callable[[list[dict[str, Any]], Path], None] | None = None,
    *,
    columns: Sequence[Column] = (ratio("ours", "PyTorch"),),
    enters: Callable[[str, Case], bool] = lambda contender, case: True,
    choices: Mapping[str, Callable[[Case], str]] | None = None,
    turns: int = TURNS,
    afresh: bool = False,
) -> None:
    """The command of a benchmark: compare all cases and print a line for each; in a contender's
    process, measure one whenever asked. `contenders` begins with "ours", where there are others';
    those not installed are left out, and in a case those that do not enter it. `draw(rows, file)`,
    where given, makes the picture of `--png`. `columns` are shown where their contenders are.
    `choices` names options that choose among the cases, by a word for each case. With `afresh`
    each turn is a new process's, for figures that what came before would change.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--threads", type=int, default=2, help="threads of each contender")
    parser.add_argument("--turns", type=int, default=turns, help="of each contender in each case")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of timing, per turn")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    if draw:
        parser.add_argument("--png", type=Path, metavar="FILE", help="draw the figures there")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    words = {name: [*dict.fromkeys(map(word, cases))] for name, word in (choices or {}).items()}
    for name, all_words in words.items():
        listed = ",".join(all_words)
        parser.add_argument(f"--{name}", default=listed, help=f"some of {listed}", metavar="LIST")
    options = parser.parse_args()
    if options.worker:
        contender, case = options.worker
        serve(lambda: measure(contender, cases[int(case)]))
        return

    chosen = list(range(len(cases)))
    for name, word in (choices or {}).items():
        wanted = getattr(options, name).split(",")
        if unknown := set(wanted) - set(words[name]):
            parser.error(f"--{name} {','.join(unknown)}: choose from {','.join(words[name])}")
        chosen = [i for i in chosen if word(cases[i]) in wanted]

    versions = {name: LIBRARIES[name].version() for name in contenders if name in LIBRARIES}
    about = {**machine(options.threads), **versions}
    print(", ".join(f"{name} {value}" for name, value in about.items() if value is not None))
    for name, version in versions.items():
        if version is None:
            print(f"{name} is not installed; to see it beside ours: {LIBRARIES[name].install}")
    contenders = [name for name in contenders if versions.get(name, name) is not None]
    columns = [column for column in columns if {*column.needs} <= {*contenders}]
    names = [*cases[0]._fields, *contenders, *(column.name for column in columns)]
    table = Table(cases, names + [DIFFERENCE] * (len(contenders) > 1))
    print(f"{unit}, median of {options.turns} turns each")
    print(table.header(), flush=True)
    rows = []
    for i in chosen:
        entered = [name for name in contenders if enters(name, cases[i])]
        workers = partial(worker, case=i, threads=options.threads, seconds=options.seconds)
        row = {**cases[i]._asdict(), **compare(workers, entered, options.turns, afresh)}
        row |= {column.name: column.value(row) for column in columns if {*column.needs} <= {*row}}
        rows.append(row)
        print(table.line(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": about, "rows": rows}, indent=2) + "\n")
    if draw and options.png:
        draw(rows, options.png)
