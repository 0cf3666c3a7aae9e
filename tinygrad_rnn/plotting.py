"""Figures in one style: legible at half their size, drawn without a screen.

The colours are those of Okabe & Ito (2008, "Color universal design"), which people who see red and
green alike can tell apart.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import autograd as ag

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
    """A context within which matplotlib draws in this style. It asks for it when a line or a legend
    is made, so a figure's axes are not enough."""
    import matplotlib
    from cycler import cycler

    return matplotlib.rc_context(STYLE | {"axes.prop_cycle": cycler(color=COLORS)})


def subplots(
    rows: int = 1, columns: int = 1, width: float = 8.0, height: float = 4.5, **options: Any
) -> tuple[Any, Any]:
    """A new figure of so many inches, and its axes, as of `matplotlib.pyplot.subplots`, whose other
    options these are; but no window belongs to it, and nobody else holds it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        return figure, figure.subplots(rows, columns, **options)


def to_png(figure: Any) -> bytes:
    """The figure as a PNG file's content."""
    picture = io.BytesIO()
    with style():
        figure.savefig(picture, format="png")
    return picture.getvalue()


def safe_label(text: str) -> str:
    """The text, with the numbers of those characters that the figures' font does not have: it has
    no Chinese ones, and would show boxes. What stands between dollars is no formula.
    """
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    shown = (c if font.get_char_index(ord(c)) else f"U+{ord(c):04X}" for c in text)
    return "".join(shown).replace("$", r"\$")


# --- what axes show -------------------------------------------------------------------------------


def draw_bars(
    axes: Any, heights: Mapping[str, Sequence[float]], names: Sequence[str], rotation: float = 0
) -> None:
    """Draw groups of bars (N), in each group one for every key of `heights`, which the legend
    tells apart; the N names are below, turned by so many degrees. Where a height is nan there is
    no bar."""
    width = 0.8 / len(heights)
    for k, (label, values) in enumerate(heights.items()):
        places = [n + (k - (len(heights) - 1) / 2) * width for n in range(len(names))]
        axes.bar(places, values, 0.9 * width, label=label)
    turned = {"rotation": rotation, "ha": "right"} if rotation else {}
    axes.set_xticks(range(len(names)), names, **turned)
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
    """Draw a table (R, C) in colours, dark for 0 and light for 1; `label` says beside a scale what
    the numbers are. Its rows, from above, and columns may have names. Other scales and places are
    `options` of matplotlib's `imshow`."""
    image = axes.imshow(table, **{"vmin": 0, "vmax": 1} | options)
    axes.grid(visible=False)
    if label:
        axes.figure.colorbar(image, ax=axes, label=label)
    if rows:
        axes.set_yticks(range(len(rows)), rows)
    if columns:
        axes.set_xticks(range(len(columns)), columns)


def draw_image(axes: Any, picture: Any, title: str = "", **options: Any) -> None:
    """Show a picture, (H, W) or (H, W, 3), of values from 0 to 1, and nothing else but a title;
    `options` are those of matplotlib's `imshow`."""
    axes.imshow(picture, **{"vmin": 0, "vmax": 1, "aspect": "equal"} | options)
    axes.set_axis_off()
    axes.set_title(title)


# --- networks, as their graphs have them ----------------------------------------------------------


def find_links(results: Any, names: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Which named tensors are made of which others, directly, as pairs (from, to): the recorded
    graph below `results` leads from the one to the other, and past no other named one."""
    drawing = ag.draw(results, dict(names), fold=False)
    titles = [box.lines[0].partition(" = ")[0] for box in drawing.boxes]
    sources: list[set[str]] = [set() for _ in titles]  # the named tensors that each is made of
    for source, target, *_ in sorted(drawing.links, key=lambda link: link.target):
        sources[target] |= {titles[source]} if titles[source] in names else sources[source]
    return [
        (source, title)
        for title, made_of in zip(titles, sources, strict=True)
        if title in names
        for source in names
        if source in made_of
    ]


def draw_network(
    axes: Any, rows: Sequence[Sequence[str | None]], links: Iterable[tuple[str, str]]
) -> None:
    """Draw a network: boxes in `rows`, from below, None where there is none; a colour for each row;
    and an arrow for each pair of names, as `arrows` finds them."""
    places = {
        name: (column, row)
        for row, names in enumerate(rows)
        for column, name in enumerate(names)
        if name is not None
    }
    for source, target in links:
        style = {"arrowstyle": "-|>", "color": "#444444", "shrinkA": 20, "shrinkB": 20, "lw": 1.8}
        axes.annotate("", places[target], places[source], arrowprops=style)
    for name, (column, row) in places.items():
        box = {"boxstyle": "round,pad=0.45", "facecolor": COLORS[row], "edgecolor": "none"}
        symbol, number = re.fullmatch(r"(.*?)(\d*)", name).groups()  # type: ignore[union-attr]
        text = f"${symbol}_{{{number}}}$"
        axes.text(column, row, text, ha="center", va="center", color="white", fontsize=15, bbox=box)
    axes.set(xlim=(-0.6, max(map(len, rows)) - 0.4), ylim=(-0.4, len(rows) - 0.6))
    axes.axis("off")
