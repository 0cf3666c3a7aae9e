"""Demonstrations: scripts that show a claim about recurrent networks, and measure whether it holds.

A script is a Python file with a docstring, whose first line is its title, and

    CLAIM = "What textbooks say, in a sentence or two."

    def main(demo: Demo) -> None:       # train, measure, draw
        ...
        demo.record("words told apart", accuracy, unit="%", at_least=0.97, quick=0.8)
        demo.save_figure("words.png", figure, "What the picture shows.")

One that learns from its user's own data says in `DATA` which files it takes, reads `demo.data`,
saves what it has learned with `demo.save`, and has `predict(run: SavedModel, input: str)`.
"""

from __future__ import annotations

import ast
import hashlib
import math
import os
import re
import shlex
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

import autograd as ag

from .. import plotting
from ..data import GeneratedBatches, read_text
from ..errors import InputError, check_fields, check_file_name
from ..nn import Module
from ..optim import Adam
from ..optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR
from ..summary import summary_repr
from ..training import Trainer, TruncatedBPTT, load, save
from ..training.environment import limit_threads, versions
from ..training.progress import format_duration, format_metric
from ..training.serialization import as_json, read_json, write_file

RESULTS, CONFIG, MODEL = "results.json", "config.json", "model.safetensors"


@dataclass(frozen=True)
class Measurement:
    """One figure that a demonstration has measured, and what it must reach, if anything."""

    name: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def formatted(self) -> str:
        return format_value(self.value, self.unit)

    @property
    def target(self) -> str:
        """The bound in words, "" if there is none."""
        if self.at_least is not None:
            return f"at least {format_value(self.at_least, self.unit)}"
        return "" if self.at_most is None else f"at most {format_value(self.at_most, self.unit)}"

    @property
    def passed(self) -> bool | None:
        """Whether it holds (None: nothing was wanted); a nan reaches nothing."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most

    @property
    def verdict(self) -> str:
        return {None: "", True: "pass", False: "fail"}[self.passed]


def format_value(value: float, unit: str) -> str:
    """A figure in its unit; fractions are shown as percentages."""
    if unit == "%":
        return f"{100 * value:.1f}%"
    text = f"{value:,.0f}" if float(value).is_integer() else format_metric(value)
    return f"{text} {unit}".rstrip()


def measure_cost(work: Callable[[], Any], repeats: int = 1) -> tuple[float, float]:
    """What a call of `work` costs: milliseconds of the processor, the fewest of some repeats, and
    the most memory (MB) that it holds. The memory is that of a call before: then it compiles, and
    makes what it works in, which later calls find there."""
    tracemalloc.start()
    work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return 1000 * min(times), most / 1e6


@dataclass
class Demo:
    """One run of a demonstration: what it was asked for, and what it has shown so far."""

    name: str
    folder: Path
    quick: bool = False
    seed: int = 0
    device: str = "cpu"
    data: Path | None = None
    rows: list[Measurement] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    """What each file shows, by its name."""

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def choose(self, full: Any, quick: Any) -> Any:
        """The first, or the second in a quick run."""
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
        """Train as most demonstrations do, for so many updates, or in a quick run for `quick`: with
        Adam, the gradients clipped at norm 1, at a rate that is constant, falls along a cosine, or
        comes and goes in one cycle. What is frozen stays as it is. `batches` may be a function that
        makes one from a random generator. The model is ready for use afterwards; the rest, and what
        is returned, is as for `Trainer` and its `fit`."""
        if callable(batches):
            batches = GeneratedBatches(batches)
        learned = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer, total = Adam(learned, lr=rate), self.choose(steps, quick)
        schedule: LRScheduler | None = None
        if cosine:
            schedule = CosineAnnealingLR(optimizer, total)
        elif cycle:
            schedule = OneCycleLR(optimizer, rate, total)
        trainer = Trainer(
            model,
            optimizer,
            loss,
            batches,
            validation,
            schedule=schedule,
            schedule_per="step",
            clip=1,
            bptt=bptt,
        )
        records = self.fit(trainer, steps, quick, **options)
        model.eval()
        return records

    def fit(self, trainer: Trainer, steps: int, quick: int, **options: Any) -> list[dict[str, Any]]:
        """Train for so many updates, showing progress; `options` are those of `Trainer.fit`."""
        return trainer.fit(max_steps=self.choose(steps, quick), **options)

    def log(self, *words: Any) -> None:
        print(*words, flush=True)

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
        """Note a figure for the final table. `unit` "%" is for fractions of 1. In a quick run
        `quick` takes the bound's place, and without it nothing is wanted. On the user's own data
        nothing is wanted either."""
        if self.data is not None:
            at_least = at_most = None
        elif self.quick:
            at_least = quick if at_least is not None else None
            at_most = quick if at_most is not None else None
        self.rows.append(Measurement(name, float(value), unit, at_least, at_most))

    def path(self, name: str, shows: str) -> Path:
        """Return the path of a new file in the folder, and record what the file shows."""
        path = self.folder / check_file_name(name, self.name)
        if path.is_symlink():  # writing would follow it
            path.unlink()
        self.files[name] = shows
        return path

    def save_figure(self, name: str, figure: Any, shows: str) -> None:
        """Save a figure as PNG."""
        write_file(self.path(name, shows), plotting.to_png(figure))

    def save(self, model: Module, **config: Any) -> None:
        """Keep the model for `predict`, with what is needed to make it again (JSON values)."""
        content = {"demo": self.name, "config": config, "versions": versions()}
        content["sha256"] = _digest(config)
        save(self.folder / MODEL, model)
        write_file(self.folder / CONFIG, as_json(content))

    @property
    def passed(self) -> bool:
        return all(row.passed is not False for row in self.rows)


@dataclass(frozen=True)
class SavedModel:
    """What `Demo.save` has kept in a folder."""

    folder: Path
    demo: str
    config: dict[str, Any]
    verified: bool = True
    """False if the configuration has no checksum, as in folders of earlier versions."""

    __repr__ = summary_repr

    @classmethod
    def open(cls, folder: Path) -> SavedModel:
        """Read the configuration in a folder; InputError if it is missing or damaged."""
        path = folder / CONFIG
        if not path.is_file():
            kept = ": the demonstration did not save one" if (folder / RESULTS).is_file() else ""
            raise InputError(f"{folder} does not hold a trained model: {path} is missing{kept}")
        content = read_json(path)
        known = isinstance(content, dict) and isinstance(content.get("demo"), str)
        if not known or not isinstance(content.get("config"), dict):
            where = shlex.quote(str(folder))
            raise InputError(
                f"{folder} does not hold the model of a demonstration; for a run of tinygrad-rnn "
                f"train there are tinygrad-rnn sample {where} and tinygrad-rnn eval {where}"
            )
        digest = content.get("sha256")
        if digest not in (None, _digest(content["config"])):
            raise InputError(f"{path} is damaged: its checksum differs")
        return cls(folder, content["demo"], content["config"], digest is not None)

    def load(self, model: Module) -> Any:
        """The model with its weights, ready for use."""
        load(self.folder / MODEL, model)
        return model.eval()


def _digest(config: dict[str, Any]) -> str:
    return hashlib.sha256(as_json(config)).hexdigest()


_LIKE_A_PATH = re.compile(
    r"""\S*[/\\]\S*                                                 # a word with a separator
    |   (~|\.\.?|[A-Za-z]:)?[/\\].*                                # how a path begins
    |   \S*\.[A-Za-z]\w{0,4}                                       # a word with a suffix
    |   .*\.(txt|text|md|rst|html?|xml|log|csv|tsv|jsonl?|pdf|docx?|gz)""",
    re.VERBOSE | re.IGNORECASE,
)


def read_text_argument(argument: str) -> str:
    """Return the text that an argument of the command line means.

    Parameters
    ----------
    argument
        The name of a text file, `-` for standard input, or the text itself.

    Raises
    ------
    InputError
        If a file cannot be read, or if the argument looks like the name of a file that does not
        exist.
    """
    if argument == "-" or os.path.exists(argument):
        return read_text(argument)
    if _LIKE_A_PATH.fullmatch(argument):
        raise InputError(
            f"{argument}: there is no such file (a text that looks like the name of a file can be "
            "given on standard input, with - as INPUT)"
        )
    return argument


# --- scripts --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Script:
    """A demonstration's file, as it describes itself; nothing of it was executed."""

    path: Path
    description: str
    claim: str
    data: str | None

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def title(self) -> str:
        return self.description.partition("\n")[0].rstrip(".")

    def load_module(self) -> Any:
        """The script, imported."""
        spec = util.spec_from_file_location(f"tinygrad_rnn.examples.{self.name}", self.path)
        assert spec is not None
        assert spec.loader is not None
        module = util.module_from_spec(spec)
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
        except ImportError as error:
            raise InputError(
                f"the demonstration {self.name} needs {error.name}: "
                f"pip install 'tinygrad-rnn[examples]'"
            ) from error
        return module


def find_scripts() -> dict[str, Script]:
    """All demonstrations by name: those that are installed, or those of the source folder."""
    paths = sorted(Path(__file__).parent.glob("*/*.py"), key=lambda path: path.stem)
    found = (read_script(path) for path in paths if path.stem != "__init__")
    return {script.name: script for script in found if script is not None}


def read_script(path: Path) -> Script | None:
    """What a script says of itself; None if it is no demonstration."""
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise InputError(f"{path}, line {error.lineno or 1}: {error.msg}") from error
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in ("CLAIM", "DATA")
    }
    mains = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "main"]
    if "CLAIM" not in constants or not mains:
        return None
    try:
        words = {name: str(ast.literal_eval(value)) for name, value in constants.items()}
    except ValueError as error:
        raise InputError(f"{path}: CLAIM and DATA are to be strings, written out") from error
    text = ast.get_docstring(tree) or path.stem
    return Script(path, text, words["CLAIM"], words.get("DATA"))


def run(script: Script, demo: Demo) -> None:
    """Run a demonstration, and write what it has measured into its folder."""
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
    demo.log(f"It took {format_duration(seconds)}.")


def is_demo_folder(folder: Path) -> bool:
    """Whether a demonstration has written into a folder."""
    paths = [folder / name for name in (RESULTS, CONFIG)]
    contents = [read_json(path) for path in paths if path.is_file()]
    return any(isinstance(content, dict) and "demo" in content for content in contents)


_RESULTS = {"title": str, "claim": str, "seed": int, "seconds": float, "rows": list, "files": dict}
_ROW = {"name": str, "value": float, "unit": str, "at_least": float | None, "at_most": float | None}


def read_results(folder: Path) -> dict[str, Any] | None:
    """Return what `run` has written into a folder; None if it has not, or was interrupted.

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
    rows = enumerate(results["rows"], 1)
    results["rows"] = [
        Measurement(**check_fields(row, _ROW, f"{path}, row {n}")) for n, row in rows
    ]
    names = [check_file_name(name, path) for name in results["files"]]
    check_fields(results["files"], dict.fromkeys(names, str), path)
    if not math.isfinite(results["seconds"]):
        raise InputError(f"{path} is damaged: 'seconds' is {results['seconds']}")
    return results
