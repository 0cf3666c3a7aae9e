"""`tinygrad-rnn demo` and `predict`: claims about recurrent networks, shown and measured."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..demos.report import has_fraction_targets, write_report
from ..demos.runner import Demo, is_demo_folder, read_results, run
from ..demos.saved_model import CONFIG, MODEL, RESULTS, SavedModel
from ..demos.scripts import Script, find_scripts, read_script
from ..errors import InputError
from ..tasks.language_modeling.options import COUNT, DEVICE, SEED
from ..tasks.language_modeling.run_folder import HOME
from ..training.files import lock_folder
from ..training.progress import format_duration
from .argparsing import (
    PROGRAM,
    Parser,
    check_device,
    did_you_mean,
    given,
    print_table,
    typed_program,
)

ASIDE = ".earlier"
"""Where an earlier run's results wait within its folder until they are replaced."""

RULES = {"seed": SEED, "device": DEVICE, "seeds": COUNT, "jobs": COUNT}

DESCRIPTION = """\
Show a claim about recurrent networks: train what it takes, draw it, and measure whether it holds.
The exit code is 1 if a figure misses what it must reach.

NAME is one of --list, or the path of a script of one's own of the same form. Those marked + in the
list learn from one's own data too: --data says where it is, --out where the trained model goes,
which `tinygrad-rnn predict` then uses."""

EXAMPLES = """\
examples:
  tinygrad-rnn demo --list
  tinygrad-rnn demo elman
  tinygrad-rnn demo sentiment --data reviews --out runs/reviews
  tinygrad-rnn predict runs/reviews 'not bad at all'
  tinygrad-rnn demo --all --quick"""


def demo(words: list[str]) -> int:
    parser = _parser()
    arguments = parser.parse(words)
    options = {"seed": 0, "device": "cpu", "seeds": 1, "jobs": _cores()} | given(arguments, RULES)
    if sum((arguments.name is not None, arguments.list, arguments.all)) != 1:
        raise InputError(f"one of NAME, --list and --all (see {parser.prog} --help)")
    if arguments.all:
        if arguments.data is not None:
            raise InputError("--data is for one demonstration, not for --all")
        return _run_all(arguments, options)
    if {"report", "seeds", "jobs"} & set(vars(arguments)):
        raise InputError("--report, --seeds and --jobs go with --all")
    return _list() if arguments.list else _run_one(arguments, options)


def _parser() -> Parser:
    parser = Parser(prog=f"{PROGRAM} demo", description=DESCRIPTION, epilog=EXAMPLES)
    parser.add_argument("name", nargs="?", metavar="NAME", help="the demonstration")
    parser.add_argument("--list", action="store_true", help="which there are")
    parser.add_argument("--all", action="store_true", help="run all, each in its own process")
    parser.add_argument(
        "--quick", action="store_true", help="a smaller version, in seconds, that must reach less"
    )
    parser.add_option("seed", 0, SEED, "seed of everything random")
    parser.add_option("device", "cpu", DEVICE, "where to compute")
    parser.add_argument("--data", type=Path, metavar="PATH", help="one's own data (see --list)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="RUN",
        help=f"folder of what comes out (default: {HOME}/demo/NAME)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what --out holds")
    parser.add_option("jobs", _cores(), COUNT, "with --all: so many at the same time")
    parser.add_option(
        "seeds", 1, COUNT, "with --all: so many seeds where fractions (%%) must reach something"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE.md",
        default=argparse.SUPPRESS,
        help="with --all: write a page of all results",
    )
    return parser


def predict(words: list[str]) -> int:
    parser = Parser(
        prog=f"{PROGRAM} predict",
        description="Apply what a demonstration has learned to new input: a text, or a file of the "
        "kind\nthat it learned from.",
        epilog="example:\n  tinygrad-rnn predict runs/demo/sentiment 'not bad at all'",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder (--out) of a demo")
    parser.add_argument(
        "input", metavar="INPUT", help="text, the name of a file, or - (standard input)"
    )
    arguments = parser.parse(words)
    saved = SavedModel.open(arguments.run)
    script = find_scripts().get(saved.demo)
    if script is None:
        raise InputError(f"{arguments.run} is of a demonstration {saved.demo!r}, which is not here")
    module = script.load_module()
    if not hasattr(module, "predict"):
        raise InputError(
            f"{arguments.run}: the demonstration {saved.demo} has no predict(run, input)"
        )
    try:
        module.predict(saved, arguments.input)
    except (InputError, OSError):
        raise
    except Exception as error:
        if saved.verified:  # a defect of the script
            raise
        raise InputError(
            f"{saved.folder / CONFIG} is damaged or of another version: {error!r}"
        ) from error
    return 0


# --- one ------------------------------------------------------------------------------------------


def _find(name: str) -> Script:
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"{name}: there is no such file")
        script = read_script(path)
        if script is None:
            raise InputError(f"{name} is no demonstration: it has no CLAIM and main(demo)")
        return script
    known = find_scripts()
    if name not in known:
        raise InputError(
            f"there is no demonstration {name!r}{did_you_mean(name, known)} "
            f"(see {PROGRAM} demo --list)"
        )
    return known[name]


def _run_one(arguments: argparse.Namespace, options: dict[str, Any]) -> int:
    script = _find(arguments.name)
    if arguments.data is not None:
        if script.data is None:
            own = ", ".join(name for name, other in find_scripts().items() if other.data)
            raise InputError(f"{script.name} takes no data of one's own; these do: {own}")
        if not arguments.data.exists():
            raise InputError(f"--data {arguments.data}: there is no such file or folder")
        if arguments.out is None:
            raise InputError("--data needs --out RUN: where is the trained model to go?")
        data, out = arguments.data.resolve(), arguments.out.resolve()
        if data in (out, *out.parents) or out in data.parents:
            raise InputError(f"--out {out} and --data {data} are within one another: part them")
    check_device(options["device"])
    folder = arguments.out or HOME / "demo" / script.name
    demo = Demo(
        script.name, folder, arguments.quick, options["seed"], options["device"], arguments.data
    )
    with _folder(folder, arguments.overwrite or arguments.out is None):
        print(f"{script.description}\n", flush=True)
        run(script, demo)
    _conclude(script, demo)
    return 0 if demo.passed else 1


@contextmanager
def _folder(folder: Path, overwrite: bool) -> Iterator[None]:
    """A folder for this run's results alone; InputError where something else would be lost.

    An earlier run's are put aside, and come back if this one does not reach its end.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder):
        aside = folder / ASIDE
        _bring_back(folder, aside)  # what a run that was killed had put there
        if any(folder.iterdir()):
            if not overwrite:
                raise InputError(f"{folder} is not empty: name another --out, or --overwrite it")
            if not is_demo_folder(folder):
                raise InputError(f"{folder} is not empty, and not of a demonstration: name another")
            earlier = read_results(folder) or {"files": ()}
            aside.mkdir()
            for path in (folder / name for name in [RESULTS, CONFIG, MODEL, *earlier["files"]]):
                if path.is_symlink() or path.is_file():
                    path.rename(aside / path.name)  # of a symbolic link, the link itself
        try:
            yield
        except BaseException as error:
            if isinstance(error, InputError) and {*folder.iterdir()} <= {folder / RESULTS}:
                (folder / RESULTS).unlink(missing_ok=True)  # nothing that one would --overwrite
                if new:
                    folder.rmdir()
            _bring_back(folder, aside)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _bring_back(folder: Path, aside: Path) -> None:
    if aside.is_symlink() or (aside.exists() and not aside.is_dir()):
        raise InputError(f"{aside} is not the folder of an interrupted run: remove it")
    if aside.is_dir():
        for path in aside.iterdir():
            path.replace(folder / path.name)
        aside.rmdir()


def _conclude(script: Script, demo: Demo) -> None:
    """The claim, the table, and what there is to look at."""
    print(f"\nThe claim: {script.claim}\n")
    print_table(
        ["", "measured", "target", ""],
        [[row.name, row.formatted, row.target, row.verdict] for row in demo.rows],
        highlighted=-1,
    )
    for name, shows in demo.files.items():
        print(f"{demo.folder / name}: {shows}")
    if (demo.folder / CONFIG).is_file():
        print(f"\nNext:\n  {typed_program()} predict {shlex.quote(str(demo.folder))} INPUT")


def _list() -> int:
    known = find_scripts()
    width = max(map(len, known))
    for name, script in known.items():
        print(f"{name:{width}} {'+' if script.data else ' '} {script.title}")
    print("\n+ learns from one's own data too (--data PATH --out RUN):")
    for name, script in known.items():
        if script.data:
            print(f"{name:{width}}   {script.data}")
    return 0


# --- all ------------------------------------------------------------------------------------------


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run_all(arguments: argparse.Namespace, options: dict[str, Any]) -> int:
    """Every demonstration in a process of its own; lines for each that ends."""
    home, begin, failed = arguments.out or HOME / "demo", time.monotonic(), 0
    home.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(options["jobs"]) as pool:
        tasks = [
            pool.submit(_run_apart, script, home, arguments.quick, options)
            for script in find_scripts().values()
        ]
        for task in as_completed(tasks):
            for folder, code in task.result():
                failed += code != 0
                print(_told(folder, code), flush=True)
    print(
        f"\n{format_duration(time.monotonic() - begin)} in all; "
        f"what each printed and drew is in {home}"
    )
    if "report" in arguments:
        write_report(arguments.report, home)
        print(f"{arguments.report} shows it.")
    return 1 if failed else 0


def _run_apart(
    script: Script, home: Path, quick: bool, options: dict[str, Any]
) -> list[tuple[Path, int]]:
    """Run one with each seed, the others only where fractions must reach something. Returns folders
    and exit codes."""
    done: list[tuple[Path, int]] = []
    for seed in range(options["seed"], options["seed"] + options["seeds"]):
        folder = home / (script.name if not done else f"{script.name}-seed{seed}")
        words = ["demo", str(script.path), "--out", str(folder), "--overwrite", "--seed", str(seed)]
        words += ["--device", options["device"], *["--quick"] * quick]
        printed = Path(f"{folder}.txt")
        printed.unlink(missing_ok=True)  # a symbolic link would be followed
        with open(printed, "wb") as output:
            process = subprocess.run(
                [sys.executable, "-m", "tinygrad_rnn", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        done.append((folder, process.returncode))
        results = _results_of(folder, process.returncode)
        if results is None or not has_fraction_targets(results["rows"]):
            break
    return done


def _results_of(folder: Path, code: int) -> dict[str, Any] | None:
    """Return the results of a run that ended with this exit code; None if it failed."""
    return read_results(folder) if code in (0, 1) else None


def _told(folder: Path, code: int) -> str:
    """How one run has ended, and what it has missed."""
    results = _results_of(folder, code)
    if results is None:
        printed = Path(f"{folder}.txt").read_text(encoding="utf-8", errors="replace")
        return f"{folder.name:18} failed:\n{printed[-2000:]}"
    targets = [row for row in results["rows"] if row.passed is not None]
    failures = [row for row in targets if not row.passed]
    return "\n".join(
        [
            f"{folder.name:18} {len(targets) - len(failures)} of {len(targets)} pass"
            f"  {format_duration(results['seconds'])}",
            *(f"    fail: {row.name}: {row.formatted}, target {row.target}" for row in failures),
        ]
    )
