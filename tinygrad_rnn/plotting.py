"""Figures in one style: readable at half their size, and drawn without a display.

The colors are from Okabe & Ito (2008, "Color universal design"); readers with a color vision
deficiency can distinguish them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import autograd as ag
from autograd.runtime.deprecation import renamed_parameters

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

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


def style() -> Any:
    """Return a context manager in which matplotlib uses this style.

    matplotlib reads the style when it creates a line or a legend, so it must be active while the
    figure is drawn, not only when the axes are created.
    """
    import matplotlib
    from cycler import cycler

    return matplotlib.rc_context(STYLE | {"axes.prop_cycle": cycler(color=COLORS)})


def subplots(
    rows: int = 1, columns: int = 1, width: float = 8.0, height: float = 4.5, **options: Any
) -> tuple[Any, Any]:
    """Create a figure without a window.

    `pyplot` does not keep a reference to the figure, so it does not have to be closed.

    Parameters
    ----------
    rows, columns
        The grid of axes.
    width, height
        Size of the figure in inches.
    options
        Other options of `matplotlib.pyplot.subplots`.

    Returns
    -------
    figure, axes
        As from `matplotlib.pyplot.subplots`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        return figure, figure.subplots(rows, columns, **options)


def to_png(figure: Any) -> bytes:
    """Return a figure as the content of a PNG file."""
    content = io.BytesIO()
    with style():
        figure.savefig(content, format="png")
    return content.getvalue()


def safe_label(text: str) -> str:
    """Return a text that matplotlib can show as a label.

    Characters that the font lacks, such as Chinese ones, become their code points ("U+4E66")
    instead of boxes. Dollar signs are escaped, so that they do not start a formula.
    """
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    characters = (c if font.get_char_index(ord(c)) else f"U+{ord(c):04X}" for c in text)
    return "".join(characters).replace("$", r"\$")


# --- charts and images ----------------------------------------------------------------------------


def draw_bars(
    axes: Any, heights: Mapping[str, Sequence[float]], names: Sequence[str], rotation: float = 0
) -> None:
    """Draw a grouped bar chart.

    Parameters
    ----------
    axes
        The matplotlib axes.
    heights
        For each label of the legend, the heights of N bars. A nan draws no bar.
    names
        The N names of the groups, below the axis.
    rotation
        Rotation of these names in degrees.
    """
    width = 0.8 / len(heights)
    for k, (label, values) in enumerate(heights.items()):
        positions = [n + (k - (len(heights) - 1) / 2) * width for n in range(len(names))]
        axes.bar(positions, values, 0.9 * width, label=label)
    rotated = {"rotation": rotation, "ha": "right"} if rotation else {}
    axes.set_xticks(range(len(names)), names, **rotated)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.legend(ncols=len(heights) + 1)


def draw_heat_map(
    axes: Any,
    table: Any,
    label: str = "",
    rows: Sequence[Any] = (),
    columns: Sequence[Any] = (),
    **options: Any,
) -> None:
    """Draw a table as a heat map.

    Parameters
    ----------
    axes
        The matplotlib axes.
    table
        Array of shape (R, C). Values from 0 (dark) to 1 (light) by default.
    label
        Label of the color bar. Without a label, no color bar is drawn.
    rows, columns
        Names of the rows, from the top, and of the columns.
    options
        Options of `matplotlib.axes.Axes.imshow`.
    """
    image = axes.imshow(table, **{"vmin": 0, "vmax": 1} | options)
    axes.grid(visible=False)
    if label:
        axes.figure.colorbar(image, ax=axes, label=label)
    if rows:
        axes.set_yticks(range(len(rows)), rows)
    if columns:
        axes.set_xticks(range(len(columns)), columns)


@renamed_parameters(picture="pixels")
def draw_image(axes: Any, pixels: Any, title: str = "", **options: Any) -> None:
    """Draw an image of shape (H, W) or (H, W, 3) with values from 0 to 1, without axes.

    `options` are options of `matplotlib.axes.Axes.imshow`.
    """
    axes.imshow(pixels, **{"vmin": 0, "vmax": 1, "aspect": "equal"} | options)
    axes.set_axis_off()
    axes.set_title(title)


# --- network diagrams from recorded graphs --------------------------------------------------------


def find_links(results: Any, names: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Find the direct dependencies between named tensors in a recorded graph.

    Parameters
    ----------
    results
        The tensors whose graph is searched.
    names
        Tensors by name.

    Returns
    -------
    list of (str, str)
        Pairs (source, target): the graph has a path from the source to the target that passes no
        other named tensor.
    """
    drawing = ag.draw(results, dict(names), fold=False)
    titles = [box.lines[0].partition(" = ")[0] for box in drawing.boxes]
    sources: list[set[str]] = [set() for _ in titles]  # the named tensors that each box depends on
    for source, target, *_ in sorted(drawing.links, key=lambda link: link.target):
        sources[target] |= {titles[source]} if titles[source] in names else sources[source]
    return [
        (source, title)
        for title, title_sources in zip(titles, sources, strict=True)
        if title in names
        for source in names
        if source in title_sources
    ]


def draw_network(
    axes: Any, rows: Sequence[Sequence[str | None]], links: Iterable[tuple[str, str]]
) -> None:
    """Draw a network as boxes and arrows.

    Parameters
    ----------
    axes
        The matplotlib axes.
    rows
        The names of the boxes in each row, from the bottom; None leaves a position empty. Each row
        has its own color.
    links
        Pairs of names that an arrow connects, as `find_links` returns them.
    """
    positions = {
        name: (column, row)
        for row, names in enumerate(rows)
        for column, name in enumerate(names)
        if name is not None
    }
    for source, target in links:
        arrow = {"arrowstyle": "-|>", "color": "#444444", "shrinkA": 20, "shrinkB": 20, "lw": 1.8}
        axes.annotate("", positions[target], positions[source], arrowprops=arrow)
    for name, (column, row) in positions.items():
        box = {"boxstyle": "round,pad=0.45", "facecolor": COLORS[row], "edgecolor": "none"}
        symbol, number = re.fullmatch(r"(.*?)(\d*)", name).groups()  # type: ignore[union-attr]
        text = f"${symbol}_{{{number}}}$"
        axes.text(column, row, text, ha="center", va="center", color="white", fontsize=15, bbox=box)
    axes.set(xlim=(-0.6, max(map(len, rows)) - 0.4), ylim=(-0.4, len(rows) - 0.6))
    axes.axis("off")
