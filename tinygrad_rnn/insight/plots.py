"""Plots of traces and gradients as matplotlib figures and HTML pages.

The colors are distinguishable with color vision deficiencies: lines also differ in their dashes,
values from 0 to 1 range from dark to light, and signed values from violet over white to orange.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from ..plotting import COLORS, subplots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DASHES = "-", "--", "-.", ":"


def draw_over_time(
    curves: Any,
    xlabel: str = "time step",
    ylabel: str = "norm of the state's gradient",
    title: str = "",
    axes: Any = None,
) -> Figure:
    """Plot curves over time on a logarithmic scale, such as norms of gradients.

    Zeros are marked with crosses on the lower edge, and values that are not finite on the upper
    edge.

    Parameters
    ----------
    curves : dict, array or Tensor
        One curve (T,), one curve per sequence (T, B), or curves (T,) by name.
    xlabel : str, default "time step"
        Label of the horizontal axis, for example "lag (steps)" for curves over lags.
    ylabel : str, default "norm of the state's gradient"
        Label of the vertical axis.
    title : str, default ""
        Title.
    axes : matplotlib.axes.Axes, optional
        Axes to draw into. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure of the axes.

    Raises
    ------
    ValueError
        If a curve is not one-dimensional.
    """
    axes = subplots(width=7, height=4)[1] if axes is None else axes
    styles = zip(cycle(COLORS), cycle(DASHES), strict=False)
    for (name, values), (color, dash) in zip(_curves_by_name(curves).items(), styles, strict=False):
        y = _vector(values, name)
        positive = np.where(np.isfinite(y) & (y > 0), y, np.nan)
        axes.plot(np.arange(len(y)), positive, dash, color=color, linewidth=2, label=name)
        for mask, edge, label in ((y == 0, 0, "exactly 0"), (~np.isfinite(y), 1, "not finite")):
            if mask.any():
                axes.plot(
                    np.flatnonzero(mask),
                    np.full(mask.sum(), edge),
                    "x",
                    color=color,
                    label=f"{name}: {label}" if name else label,
                    transform=axes.get_xaxis_transform(),
                    clip_on=False,
                )
    axes.set_yscale("log")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(title)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
    figure: Figure = axes.figure
    return figure


def draw_over_text(
    values: Any, text: Sequence[str], label: str, title: str = "", axes: Any = None
) -> Figure:
    """Plot the values of units over a text as a heat map.

    Values between 0 and 1 are shown on this scale, other values on a scale that is symmetric
    about 0.

    Parameters
    ----------
    values : array or Tensor, shape (T, H)
        One value per symbol and unit.
    text : str or sequence of str
        The T symbols.
    label : str
        Label of the color scale, such as "forget gate f".
    title : str, default ""
        Title.
    axes : matplotlib.axes.Axes, optional
        Axes to draw into. Default: a new figure, whose width depends on the length of the text.

    Returns
    -------
    matplotlib.figure.Figure
        The figure of the axes.

    Raises
    ------
    ValueError
        If `values` is not two-dimensional, or has another length than the text.
    """
    table = _array(values)
    if table.ndim != 2:
        raise ValueError(
            f"values must have the shape (T, H), got {table.shape}; select one sequence"
        )
    _check_length(table, text, "values")
    T = len(table)
    width = min(max(7.0, 2 + 0.16 * T), 40.0)
    axes = subplots(width=width, height=4)[1] if axes is None else axes
    finite = table[np.isfinite(table)]
    low, high = finite.min(initial=0), finite.max(initial=0)
    is_fraction = low >= 0 and high <= 1
    limit = 1 if is_fraction else max(-low, high)
    image = axes.imshow(
        table.T,
        cmap="cividis" if is_fraction else "PuOr_r",
        vmin=0 if is_fraction else -limit,
        vmax=limit,
        aspect="auto",
        interpolation="nearest",
        origin="lower",
    )
    axes.set_xticks(np.arange(T), list(map(_visible, text)), parse_math=False)
    if max(map(len, text), default=1) > 1:
        axes.tick_params("x", rotation=90)
    axes.tick_params("x", length=0)
    axes.set_xlabel("text")
    axes.set_ylabel("unit")
    axes.set_title(title)
    axes.grid(False)
    axes.yaxis.get_major_locator().set_params(integer=True)
    figure: Figure = axes.figure
    figure.colorbar(image, ax=axes, label=label, pad=0.01)
    return figure


STYLE = """
body { font: 16px/1.6 sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em }
pre { font: 17px/1.7 monospace; white-space: pre-wrap; overflow-wrap: anywhere; display: none }
label { display: inline-block; padding: 0 .6em; border: 1px solid #888; border-radius: .3em }
input { position: absolute; opacity: 0 }
input:checked + label { background: #222; color: #fff }
input:focus-visible + label { outline: 3px solid #0072B2 }
i { font-style: normal; color: #999 }
"""

Rgb = tuple[int, int, int]
ORANGE: Rgb = (240, 140, 40)
VIOLET: Rgb = (150, 125, 215)


def colored_text(
    text: Sequence[str], rows: Mapping[str, Any], title: str = "What the network sees"
) -> str:
    """Return an HTML page that shows a text in the colors of values, such as gates or saliencies.

    White is 0, orange the largest absolute value of the row, and violet its negative. Pointing at a
    symbol shows its value. The page needs no other files.

    Parameters
    ----------
    text : str or sequence of str
        The T symbols.
    rows : dict of array or Tensor, shape (T,)
        One value per symbol, by name. The reader selects a row above the text.
    title : str, default "What the network sees"
        Title of the page.

    Returns
    -------
    str
        The page.

    Raises
    ------
    ValueError
        If a row is not one-dimensional, or has another length than the text.
    """
    buttons, texts, rules = [], [], []
    for n, (name, values) in enumerate(rows.items()):
        numbers = _vector(values, name)
        _check_length(numbers, text, name)
        limit = float(np.abs(numbers[np.isfinite(numbers)]).max(initial=0)) or 1.0
        spans = [_span(text[t], v, v / limit, t) for t, v in enumerate(numbers.tolist())]
        checked = "" if n else " checked"
        buttons.append(
            f'<input type="radio" name="row" id="row{n}"{checked}>'
            f'<label for="row{n}">{escape(name)}</label>\n'
        )
        scale = f"<i>violet: {-limit:.3g} &nbsp; white: 0 &nbsp; orange: {limit:.3g}</i>\n"
        texts.append(f'<pre class="row{n}">{scale}{"".join(spans)}</pre>\n')
        rules.append(f"#row{n}:checked ~ pre.row{n} {{ display: block }}\n")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{''.join(rules)}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{''.join(buttons)}{''.join(texts)}</body>\n</html>\n"
    )


def _span(symbol: str, value: float, fraction: float, t: int) -> str:
    """Return a symbol in its color. A line feed is visible and ends the line."""
    end = "\n" if symbol == "\n" else ""
    title = f"{_visible(symbol)} at {t}: {value:.4g}"
    return (
        f'<span style="background:{_color(fraction)}" title="{escape(title)}">'
        f"{escape(_visible(symbol) if end else symbol)}</span>{end}"
    )


def _color(fraction: float) -> str:
    """Return white at 0, orange at 1, violet at -1, and gray for values that are not finite."""
    if not np.isfinite(fraction):
        return "#bbbbbb"
    base = ORANGE if fraction > 0 else VIOLET
    mixed = [round(255 + abs(fraction) * (part - 255)) for part in base]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _visible(symbol: str) -> str:
    """Return a visible symbol for white space, and other symbols unchanged."""
    return {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"}.get(symbol, symbol)


def _array(values: Any) -> np.ndarray:
    """Return values as a float64 array on the host."""
    return np.asarray(values.numpy() if hasattr(values, "numpy") else values, np.float64)


def _curves_by_name(curves: Any) -> Mapping[str, Any]:
    """Return curves by name. The columns of an array (T, B) are named after their sequences."""
    if isinstance(curves, Mapping):
        return curves
    array = _array(curves)
    if array.ndim == 2:
        return {f"sequence {b}": column for b, column in enumerate(array.T)}
    return {"": array}


def _vector(values: Any, name: str) -> np.ndarray:
    """Return values as an array (T,)."""
    array = _array(values)
    if array.ndim != 1:
        raise ValueError(f"{name!r} must have the shape (T,), got {array.shape}")
    return array


def _check_length(values: np.ndarray, text: Sequence[str], name: str) -> None:
    if len(values) != len(text):
        raise ValueError(
            f"{name!r} must have one value per symbol, got {len(values)} values for {len(text)} "
            "symbols"
        )
