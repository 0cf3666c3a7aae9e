"""`tinygrad-rnn demo`: demos of recurrent networks that check their own claims."""

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
from ..demos.saved_model import CONFIG, MODEL, RESULTS
from ..demos.scripts import Script, find_scripts, read_script
from ..errors import InputError, TrainingDiverged
from ..tasks.language_modeling.options import COUNT, DEVICE, SEED
from ..tasks.language_modeling.run_folder import RUNS_FOLDER
from ..training.files import lock_folder
from ..training.progress import format_duration
from .argparsing import PROGRAM, Parser, print_table, suggest, typed_program
from .options import add_option, check_device, parse_options

BACKUP = ".earlier"
"""Subfolder that holds the previous results until they are replaced."""

RULES = {"seed": SEED, "device": DEVICE, "seeds": COUNT, "jobs": COUNT}

DESCRIPTION = """\
Run a demo of recurrent networks: train models, draw plots, and check the claim
of the demo by comparing measurements with their targets. The exit code is 1 if
a measurement misses its target.

NAME is a demo of --list, or the path of your own script in the same form.
Demos marked + in the list can be trained on your data with --data. The trained
model is written to --out, and `tinygrad-rnn predict` applies it to new input."""

EXAMPLES = """\
examples:
  tinygrad-rnn demo --list
  tinygrad-rnn demo elman
  tinygrad-rnn demo sentiment --data reviews --out runs/reviews
  tinygrad-rnn predict runs/reviews 'not bad at all'
  tinygrad-rnn demo --all --quick"""


def main(argv: list[str]) -> int:
    parser = _parser()
    arguments = parser.parse(argv)
    defaults = {"seed": 0, "device": "cpu", "seeds": 1, "jobs": _cpu_count()}
    options = defaults | parse_options(arguments, RULES)
    if sum((arguments.name is not None, arguments.list, arguments.all)) != 1:
        raise InputError(f"expected one of NAME, --list and --all (see {parser.prog} --help)")
    if arguments.all:
        if arguments.data is not None:
            raise InputError("--data needs the NAME of one demo and cannot be used with --all")
        return _run_all(arguments, options)
    if {"report", "seeds", "jobs"} & set(vars(arguments)):
        raise InputError("--report, --seeds and --jobs need --all")
    return _list_demos() if arguments.list else _run_one(arguments, options)


def _parser() -> Parser:
    parser = Parser(prog=f"{PROGRAM} demo", description=DESCRIPTION, epilog=EXAMPLES)
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of the demo")
    parser.add_argument("--list", action="store_true", help="list all demos")
    parser.add_argument(
        "--all", action="store_true", help="run all demos, each in a separate process"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="run shorter versions, which take seconds and have lower targets",
    )
    add_option(parser, "seed", 0, SEED, "random seed")
    add_option(parser, "device", "cpu", DEVICE, "device")
    parser.add_argument("--data", type=Path, metavar="PATH", help="your training data (see --list)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="RUN",
        help=f"output folder (default: {RUNS_FOLDER}/demo/NAME)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the results in --out")
    add_option(parser, "jobs", _cpu_count(), COUNT, "with --all: number of parallel processes")
    add_option(
        parser,
        "seeds",
        1,
        COUNT,
        "with --all: number of seeds of demos with a target in %%",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE.md",
        default=argparse.SUPPRESS,
        help="with --all: write a report of all results in Markdown",
    )
    return parser


def _find_script(name: str) -> Script:
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"{name}: file not found")
        script = read_script(path)
        if script is None:
            raise InputError(f"{name} is not a demo: it does not define CLAIM and main(demo)")
        return script
    scripts = find_scripts()
    if name not in scripts:
        raise InputError(
            f"unknown demo {name!r}{suggest(name, scripts)} (see {PROGRAM} demo --list)"
        )
    return scripts[name]


def _check_data(script: Script, data: Path, out: Path | None) -> None:
    """Raise InputError if a demo cannot be trained on the given data."""
    if script.data is None:
        names = ", ".join(name for name, other in find_scripts().items() if other.data)
        raise InputError(f"{script.name} does not accept --data; these demos do: {names}")
    if not data.exists():
        raise InputError(f"--data {data}: file or folder not found")
    if out is None:
        raise InputError("--data needs --out RUN, the folder for the trained model")
    data, out = data.resolve(), out.resolve()
    if data in (out, *out.parents) or out in data.parents:
        raise InputError(f"--out {out} and --data {data} must not contain each other")


def _run_one(arguments: argparse.Namespace, options: dict[str, Any]) -> int:
    script = _find_script(arguments.name)
    if arguments.data is not None:
        _check_data(script, arguments.data, arguments.out)
    check_device(options["device"])
    folder = arguments.out or RUNS_FOLDER / "demo" / script.name
    demo = Demo(
        script.name, folder, arguments.quick, options["seed"], options["device"], arguments.data
    )
    with _result_folder(folder, arguments.overwrite or arguments.out is None):
        print(f"{script.description}\n", flush=True)
        run(script, demo)
    _print_results(script, demo)
    return 0 if demo.passed else 1


@contextmanager
def _result_folder(folder: Path, overwrite: bool) -> Iterator[None]:
    """Create or clear the folder of a run; raise InputError if other files would be lost.

    Previous results are moved to a backup, which is restored if the run fails.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder):
        backup = folder / BACKUP
        _restore_backup(folder, backup)  # of a run that was killed
        if any(folder.iterdir()):
            if not overwrite:
                raise InputError(
                    f"{folder} is not empty; replace its results with --overwrite or choose "
                    "another --out"
                )
            if not is_demo_folder(folder):
                raise InputError(
                    f"{folder} is not empty and was not written by a demo; choose another --out"
                )
            previous = read_results(folder) or {"files": ()}
            backup.mkdir()
            for path in (folder / name for name in [RESULTS, CONFIG, MODEL, *previous["files"]]):
                if path.is_symlink() or path.is_file():
                    path.rename(backup / path.name)  # moves a symbolic link, not its target
        try:
            yield
        except BaseException as error:
            expected = isinstance(error, (InputError, TrainingDiverged))
            if expected and {*folder.iterdir()} <= {folder / RESULTS}:
                (folder / RESULTS).unlink(missing_ok=True)  # the next run needs no --overwrite
                if is_new:
                    folder.rmdir()
            _restore_backup(folder, backup)
            raise
        shutil.rmtree(backup, ignore_errors=True)


def _restore_backup(folder: Path, backup: Path) -> None:
    if backup.is_symlink() or (backup.exists() and not backup.is_dir()):
        raise InputError(f"{backup} is not a backup of an interrupted run; remove it")
    if backup.is_dir():
        for path in backup.iterdir():
            path.replace(folder / path.name)
        backup.rmdir()


def _print_results(script: Script, demo: Demo) -> None:
    """Print the claim, the measurements and the files."""
    print(f"\nClaim: {script.claim}\n")
    print_table(
        ["", "measured", "target", ""],
        [[row.name, row.formatted, row.target, row.verdict] for row in demo.rows],
        highlighted=-1,
    )
    for name, description in demo.files.items():
        print(f"{demo.folder / name}: {description}")
    if (demo.folder / CONFIG).is_file():
        print(f"\nNext:\n  {typed_program()} predict {shlex.quote(str(demo.folder))} INPUT")


def _list_demos() -> int:
    scripts = find_scripts()
    width = max(map(len, scripts))
    for name, script in scripts.items():
        print(f"{name:{width}} {'+' if script.data else ' '} {script.title}")
    print("\n+ can be trained on your data (--data PATH --out RUN):")
    for name, script in scripts.items():
        if script.data:
            print(f"{name:{width}}   {script.data}")
    return 0


def _cpu_count() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run_all(arguments: argparse.Namespace, options: dict[str, Any]) -> int:
    """Run every demo in a separate process, and print a summary when each ends."""
    parent, start, failed = arguments.out or RUNS_FOLDER / "demo", time.monotonic(), 0
    parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(options["jobs"]) as pool:
        tasks = [
            pool.submit(_run_in_processes, script, parent, arguments.quick, options)
            for script in find_scripts().values()
        ]
        for task in as_completed(tasks):
            for folder, code in task.result():
                failed += code != 0
                print(_summary(folder, code), flush=True)
    duration = format_duration(time.monotonic() - start)
    print(f"\nTotal time {duration}; outputs and plots are in {parent}")
    if "report" in arguments:
        write_report(arguments.report, parent)
        print(f"Report: {arguments.report}")
    return 1 if failed else 0


def _run_in_processes(
    script: Script, parent: Path, quick: bool, options: dict[str, Any]
) -> list[tuple[Path, int]]:
    """Run a demo, with several seeds if a target is a fraction; return folders and exit codes."""
    runs: list[tuple[Path, int]] = []
    for seed in range(options["seed"], options["seed"] + options["seeds"]):
        folder = parent / (script.name if not runs else f"{script.name}-seed{seed}")
        argv = ["demo", str(script.path), "--out", str(folder), "--overwrite", "--seed", str(seed)]
        argv += ["--device", options["device"], *["--quick"] * quick]
        log = Path(f"{folder}.txt")
        log.unlink(missing_ok=True)  # opening would follow a symbolic link
        with open(log, "wb") as output:
            process = subprocess.run(
                [sys.executable, "-m", "tinygrad_rnn", *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        runs.append((folder, process.returncode))
        results = _results_of(folder, process.returncode)
        if results is None or not has_fraction_targets(results["rows"]):
            break
    return runs


def _results_of(folder: Path, code: int) -> dict[str, Any] | None:
    """Return the results of a run with this exit code; None if it failed."""
    return read_results(folder) if code in (0, 1) else None


def _summary(folder: Path, code: int) -> str:
    """Return the number of targets that pass, and the measurements that fail."""
    results = _results_of(folder, code)
    if results is None:
        log = Path(f"{folder}.txt").read_text(encoding="utf-8", errors="replace")
        return f"{folder.name:18} failed:\n{log[-2000:]}"
    targets = [row for row in results["rows"] if row.passed is not None]
    failures = [row for row in targets if not row.passed]
    return "\n".join(
        [
            f"{folder.name:18} {len(targets) - len(failures)} of {len(targets)} pass"
            f"  {format_duration(results['seconds'])}",
            *(f"    fail: {row.name}: {row.formatted}, target {row.target}" for row in failures),
        ]
    )
