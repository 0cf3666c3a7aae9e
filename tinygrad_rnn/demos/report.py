"""The page of results that `tinygrad-rnn demo --all --report` writes: docs/results.md."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from ..errors import InputError
from ..training.environment import versions
from ..training.files import write_file
from ..training.progress import format_duration
from .runner import Measurement, format_value, read_results
from .scripts import find_scripts


def has_fraction_targets(rows: Sequence[Measurement]) -> bool:
    """Return True if a fraction has a target. Such a demo is run with several seeds."""
    return any(row.unit == "%" and row.passed is not None for row in rows)


def write_report(page: Path, folder: Path) -> None:
    """Write the results of the runs in a folder as Markdown, with copies of their figures.

    Parameters
    ----------
    page
        The file to write. The figures go to the folder `figures` beside it.
    folder
        The folder with one subfolder `NAME` or `NAME-seedN` for each run.

    Raises
    ------
    InputError
        If results are damaged, if the runs of a demo have different rows, or if a figure is a
        symbolic link.
    """
    figures = page.parent / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    sections = []
    for name in find_scripts():
        folders = [folder / name, *sorted(folder.glob(f"{name}-seed*"))]
        if runs := [results for results in map(read_results, folders) if results is not None]:
            sections.append(_section(name, folder / name, runs, figures))
    environment = versions()
    head = [
        "# Results",
        "`tinygrad-rnn demo --all --report` writes this page. Demos with a target in percent run "
        "with several seeds, and their tables show the median and the range. Environment: "
        f"tinygrad-rnn {environment['tinygrad-rnn']}, Python {environment['python']}, NumPy "
        f"{environment['numpy']}, {os.cpu_count()} cores, {environment['machine']}.",
    ]
    text = "\n\n".join([*head, *sections]) + "\n"
    write_file(page, text.encode("utf-8", "backslashreplace"))


def _section(name: str, folder: Path, runs: list[dict[str, Any]], figures: Path) -> str:
    """Return the title, claim, table and figures of one demo."""
    first = runs[0]
    seeds = ", ".join(str(run["seed"]) for run in runs)
    duration = format_duration(median(run["seconds"] for run in runs)) + " each" * (len(runs) > 1)
    lines = [
        f"## {name}: {first['title']}",
        first["claim"],
        "\n".join(["| | measured | target | |", "|---|---|---|---|", *_table(name, runs)]),
        f"Seed{'s' * (len(runs) > 1)} {seeds}; {duration}.",
    ]
    for file, caption in first["files"].items():
        if file.endswith((".png", ".gif")):
            if (folder / file).is_symlink():
                raise InputError(f"{folder / file} is a symbolic link, which is not copied")
            write_file(figures / f"{name}-{file}", (folder / file).read_bytes())
            lines.append(f"![{caption}](figures/{name}-{file})")
    return "\n\n".join(lines)


def _table(name: str, runs: list[dict[str, Any]]) -> list[str]:
    """Return one line for each measurement: the median over the runs, and the range."""
    if len({tuple((row.name, row.unit) for row in run["rows"]) for run in runs}) > 1:
        raise InputError(f"the runs of {name} have different measurements: run them again")
    lines = []
    for row, *others in zip(*(run["rows"] for run in runs), strict=True):
        values = sorted([row.value, *(other.value for other in others)])
        middle = Measurement(row.name, median(values), row.unit, row.at_least, row.at_most)
        measured = middle.formatted
        if values[0] != values[-1]:
            unit = "%" if row.unit == "%" else ""
            measured += f" ({format_value(values[0], unit)} to {format_value(values[-1], unit)})"
        label = row.name.replace("|", "\\|")
        lines.append(f"| {label} | {measured} | {row.target} | {middle.verdict} |")
    return lines
