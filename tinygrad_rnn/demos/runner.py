'''Run demos: scripts that measure a claim about recurrent networks and compare it with targets.

A demo is a Python file of this form. The first line of its docstring is its title.

    """Title of the demo."""

    CLAIM = "The claim, in a sentence or two."

    def main(demo: Demo) -> None:       # train, measure, plot
        ...
        demo.record("accuracy", accuracy, unit="%", at_least=0.97, quick=0.8)
        demo.save_figure("words.png", figure, "Caption of the figure.")

A demo that can also train on the user's data describes the accepted files in the constant `DATA`,
reads the path `demo.data`, saves its model with `demo.save`, and defines
`predict(run: SavedModel, input: str)`, which `tinygrad-rnn predict` calls.
'''

from __future__ import annotations

import math
import time
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import autograd as ag
from autograd.runtime.deprecation import RenamedAttribute, renamed_parameters

from .. import plotting
from ..data import GeneratedBatches
from ..errors import InputError, check_fields, check_file_name
from ..nn import Module
from ..optim import Adam
from ..optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR
from ..training import Trainer, TruncatedBPTT, save
from ..training.environment import limit_threads, versions
from ..training.files import as_json, read_json, write_file
from ..training.progress import format_duration, format_metric
from .saved_model import CONFIG, MODEL, RESULTS, config_digest
from .scripts import Script

_RENAMED = {
    "measured": "record",
    "picture": "save_figure",
    "learn": "train",
    "say": "log",
    "reached": "passed",
}
"""Attributes of `Demo` in scripts that users wrote for earlier versions."""


@dataclass(frozen=True)
class Measurement:
    """A measured value, and its target, if there is one."""

    name: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    what = RenamedAttribute("name")
    shown = RenamedAttribute("formatted")
    wanted = RenamedAttribute("target")
    reached = RenamedAttribute("passed")

    @property
    def formatted(self) -> str:
        """The value with its unit."""
        return format_value(self.value, self.unit)

    @property
    def target(self) -> str:
        """The bound as text, "" without a target."""
        if self.at_least is not None:
            return f"at least {format_value(self.at_least, self.unit)}"
        return "" if self.at_most is None else f"at most {format_value(self.at_most, self.unit)}"

    @property
    def passed(self) -> bool | None:
        """True if the value meets its target, None without a target. A nan meets no target."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most

    @property
    def verdict(self) -> str:
        """The text "pass" or "fail", or "" without a target."""
        return {None: "", True: "pass", False: "fail"}[self.passed]


def format_value(value: float, unit: str) -> str:
    """Format a value with its unit; the unit "%" formats a fraction as a percentage."""
    if unit == "%":
        return f"{100 * value:.1f}%"
    text = f"{value:,.0f}" if float(value).is_integer() else format_metric(value)
    return f"{text} {unit}".rstrip()


def measure_cost(work: Callable[[], Any], repeats: int = 1) -> tuple[float, float]:
    """Measure the time and the memory of a call.

    Parameters
    ----------
    work
        A function without arguments.
    repeats
        Number of timed calls.

    Returns
    -------
    milliseconds : float
        The shortest processor time of the timed calls.
    megabytes : float
        The peak of allocated memory during a first, untimed call, which also compiles and allocates
        workspaces.
    """
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return 1000 * min(times), peak / 1e6


@dataclass
class Demo:
    """One run of a demo: its options, measurements and files."""

    name: str
    folder: Path
    quick: bool = False
    seed: int = 0
    device: str = "cpu"
    data: Path | None = None
    rows: list[Measurement] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    """The caption of each file, by file name."""

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    if not TYPE_CHECKING:  # type checkers know the current names only

        def __getattr__(self, name: str) -> Any:
            if name not in _RENAMED:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            new = _RENAMED[name]
            warnings.warn(f"Demo.{name} is now Demo.{new}", DeprecationWarning, stacklevel=2)
            return getattr(self, new)

    def choose(self, full: Any, quick: Any) -> Any:
        """Return `quick` in a quick run, else `full`."""
        return quick if self.quick else full

    def train(
        self,
        model: Module,
        loss: Callable[..., Any],
        batches: Any,
        steps: int,
        quick: int,
        *,
        rate: float,
        cosine: bool = False,
        cycle: bool = False,
        validation: Any = None,
        bptt: TruncatedBPTT | None = None,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """Train a model with Adam and gradients clipped at norm 1.

        The model is in evaluation mode afterwards. Frozen parameters do not change.

        Parameters
        ----------
        model, loss, validation, bptt
            As for `Trainer`.
        batches
            Batches as for `Trainer`, or a function that generates one from a random generator.
        steps, quick
            Number of optimizer steps, and the number in a quick run.
        rate
            Learning rate. It is constant by default.
        cosine, cycle
            Use cosine annealing, or a one-cycle schedule.
        options
            As for `Trainer.fit`.

        Returns
        -------
        list of dict
            The records of `Trainer.fit`.
        """
        if callable(batches):
            batches = GeneratedBatches(batches)
        trainable = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer, total = Adam(trainable, lr=rate), self.choose(steps, quick)
        schedule: LRScheduler | None = None
        if cosine:
            schedule = CosineAnnealingLR(optimizer, total)
        elif cycle:
            schedule = OneCycleLR(optimizer, rate, total)
        settings: dict[str, Any] = {"schedule": schedule, "schedule_per": "step"}
        settings |= {"clip": 1, "bptt": bptt}
        trainer = Trainer(model, optimizer, loss, batches, validation, **settings)
        records = self.fit(trainer, steps, quick, **options)
        model.eval()
        return records

    def fit(self, trainer: Trainer, steps: int, quick: int, **options: Any) -> list[dict[str, Any]]:
        """Run `trainer.fit` for `steps` optimizer steps, or `quick` steps in a quick run."""
        return trainer.fit(max_steps=self.choose(steps, quick), **options)

    def log(self, *values: Any) -> None:
        """Print a line."""
        print(*values, flush=True)

    @renamed_parameters(what="name")
    def record(
        self,
        name: str,
        value: float,
        unit: str = "",
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        quick: float | None = None,
    ) -> None:
        """Add a measurement to the table of results.

        Targets do not apply to the user's data.

        Parameters
        ----------
        name, value, unit
            The row of the table. The unit "%" is for fractions between 0 and 1.
        at_least, at_most
            The target of a full run: a lower or an upper bound.
        quick
            The bound in a quick run. Without it, a quick run has no target.
        """
        if self.data is not None:
            at_least = at_most = None
        elif self.quick:
            at_least = quick if at_least is not None else None
            at_most = quick if at_most is not None else None
        self.rows.append(Measurement(name, float(value), unit, at_least, at_most))

    @renamed_parameters(shows="caption")
    def path(self, name: str, caption: str) -> Path:
        """Return the path of a new file in the folder, and record its caption."""
        path = self.folder / check_file_name(name, self.name)
        if path.is_symlink():  # writing would follow the link
            path.unlink()
        self.files[name] = caption
        return path

    @renamed_parameters(shows="caption")
    def save_figure(self, name: str, figure: Any, caption: str) -> None:
        """Save a matplotlib figure as PNG."""
        write_file(self.path(name, caption), plotting.to_png(figure))

    def save(self, model: Module, **config: Any) -> None:
        """Save the model for `predict`; `config` are JSON values from which it is rebuilt."""
        content = {"demo": self.name, "config": config, "versions": versions()}
        content["sha256"] = config_digest(config)
        save(self.folder / MODEL, model)
        write_file(self.folder / CONFIG, as_json(content))

    @property
    def passed(self) -> bool:
        """True if no measurement fails its target."""
        return all(row.passed is not False for row in self.rows)


def run(script: Script, demo: Demo) -> None:
    """Run a demo and write its results into its folder."""
    module = script.load_module()
    results = {
        "demo": script.name,
        "title": script.title,
        "claim": script.claim,
        "quick": demo.quick,
        "seed": demo.seed,
        "device": demo.device,
        "versions": versions(),
    }
    write_file(demo.folder / RESULTS, as_json(results))
    begin = time.monotonic()
    ag.manual_seed(demo.seed)
    with ag.default_device(demo.device), limit_threads(1), plotting.style():
        module.main(demo)
    seconds = time.monotonic() - begin
    rows = [asdict(row) for row in demo.rows]
    results |= {"seconds": round(seconds, 1), "rows": rows, "files": demo.files}
    write_file(demo.folder / RESULTS, as_json(results))
    demo.log(f"Time: {format_duration(seconds)}")


def is_demo_folder(folder: Path) -> bool:
    """Return True if a demo has written into this folder."""
    paths = [folder / name for name in (RESULTS, CONFIG)]
    contents = [read_json(path) for path in paths if path.is_file()]
    return any(isinstance(content, dict) and "demo" in content for content in contents)


_RESULTS = {"title": str, "claim": str, "seed": int, "seconds": float, "rows": list, "files": dict}
_ROW = {"name": str, "value": float, "unit": str, "at_least": float | None, "at_most": float | None}


def read_results(folder: Path) -> dict[str, Any] | None:
    """Return the results that `run` has written into a folder.

    Returns
    -------
    dict or None
        The fields of the file, with the rows as `Measurement`; None if the run was interrupted or
        the folder has no results.

    Raises
    ------
    InputError
        If the file is damaged, or names files that are not in the folder.
    """
    path = folder / RESULTS
    content = read_json(path) if path.is_file() else {}
    if not isinstance(content, dict) or "rows" not in content:
        return None
    results = check_fields(content, _RESULTS, path)
    results["rows"] = [
        _read_row(row, f"{path}, row {n}") for n, row in enumerate(results["rows"], 1)
    ]
    names = [check_file_name(name, path) for name in results["files"]]
    check_fields(results["files"], dict.fromkeys(names, str), path)
    if not math.isfinite(results["seconds"]):
        raise InputError(f"{path} is damaged: 'seconds' is {results['seconds']}")
    return results


def _read_row(row: Any, source: str) -> Measurement:
    if isinstance(row, dict) and "what" in row:  # the name's key in files of earlier versions
        row = {"name": row["what"], **row}
    return Measurement(**check_fields(row, _ROW, source))
