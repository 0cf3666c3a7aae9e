"""The page of all results, `demo --all --report`: figures and pictures of that very run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from ..errors import InputError
from ..training.environment import versions
from ..training.progress import format_duration
from ..training.serialization import write_file
from .runner import Measurement, find_scripts, format_value, read_results


def has_fraction_targets(rows: Sequence[Measurement]) -> bool:
    """Whether some share must reach something: then one seed says little."""
    return any(row.unit == "%" and row.passed is not None for row in rows)


def write_report(page: Path, home: Path) -> None:
    """Write the page of what the runs in the folder `home` have come to; pictures are copied beside
    it, into a folder `figures`."""
    pictures = page.parent / "figures"
    pictures.mkdir(parents=True, exist_ok=True)
    sections = []
    for name in find_scripts():
        folders = [home / name, *sorted(home.glob(f"{name}-seed*"))]
        if runs := [results for results in map(read_results, folders) if results is not None]:
            sections.append(_section(name, home / name, runs, pictures))
    made = versions()
    words = f"tinygrad-rnn {made['tinygrad-rnn']}, Python {made['python']}, NumPy {made['numpy']}"
    head = [
        "# Results",
        f"Written by `tinygrad-rnn demo --all --report`. {words}, {os.cpu_count()} cores, "
        f"{made['machine']}. Where a share (%) must reach something, the figure is the median over "
        "the seeds, with its range.",
    ]
    text = "\n\n".join([*head, *sections]) + "\n"
    write_file(page, text.encode("utf-8", "backslashreplace"))


def _section(name: str, folder: Path, runs: list[dict[str, Any]], pictures: Path) -> str:
    """Title, claim, table and pictures of one demonstration."""
    first = runs[0]
    seeds = ", ".join(str(run["seed"]) for run in runs)
    took = format_duration(median(run["seconds"] for run in runs)) + " each" * (len(runs) > 1)
    lines = [
        f"## {name}: {first['title']}",
        first["claim"],
        "\n".join(["| | measured | target | |", "|---|---|---|---|", *_table(name, runs)]),
        f"Seed{'s' * (len(runs) > 1)} {seeds}; {took}.",
    ]
    for file, shows in first["files"].items():
        if file.endswith((".png", ".gif")):
            if (folder / file).is_symlink():
                raise InputError(f"{folder / file} is a symbolic link, which is not copied")
            write_file(pictures / f"{name}-{file}", (folder / file).read_bytes())
            lines.append(f"![{shows}](figures/{name}-{file})")
    return "\n\n".join(lines)


def _table(name: str, runs: list[dict[str, Any]]) -> list[str]:
    lines = []
    if len({tuple((row.name, row.unit) for row in run["rows"]) for run in runs}) > 1:
        raise InputError(f"the runs of {name} differ in what they measured: run them again")
    for row, *others in zip(*(run["rows"] for run in runs), strict=True):
        values = sorted([row.value, *(other.value for other in others)])
        middle = Measurement(row.name, median(values), row.unit, row.at_least, row.at_most)
        shown = middle.formatted
        if values[0] != values[-1]:
            share = "%" if row.unit == "%" else ""
            shown += f" ({format_value(values[0], share)} to {format_value(values[-1], share)})"
        what = row.name.replace("|", "\\|")
        lines.append(f"| {what} | {shown} | {row.target} | {middle.verdict} |")
    return lines
