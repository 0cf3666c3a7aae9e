"""Figures in one style: legible at half their size, drawn without a screen.

The colours are those of Okabe & Ito (2008, "Color universal design"), which people who see red and
green alike can tell apart.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

STYLE: dict[str, Any] = {
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "image.cmap": "cividis",
    "image.aspect": "auto",
    "image.interpolation": "nearest",
}


def subplots(
    rows: int = 1, columns: int = 1, width: float = 8.0, height: float = 4.5, **options: Any
) -> tuple[Any, Any]:
    """A new figure of so many inches, and its axes, as of `matplotlib.pyplot.subplots`, whose other
    options these are; but no window belongs to it, and nobody else holds it."""
    import matplotlib
    from cycler import cycler
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE | {"axes.prop_cycle": cycler(color=COLOURS)}):
        figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        return figure, figure.subplots(rows, columns, **options)


def as_png(figure: Any) -> bytes:
    """The figure as a PNG file's content."""
    import matplotlib

    picture = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(picture, format="png")
    return picture.getvalue()


def save(figure: Any, path: str | Path) -> None:
    """Write the figure to a PNG file."""
    Path(path).write_bytes(as_png(figure))
