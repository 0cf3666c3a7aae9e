"""Pictures of what `insight` measures. Figures are matplotlib's: show them in a notebook, or call
`figure.savefig("flow.png")`.

Colours can be told apart by people who do not see all of them: lines differ in their dashes too,
values between 0 and 1 go from dark to light, values of both signs from violet over white to orange.
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
    """Draw curves over time on a logarithmic scale, such as norms of gradients.

    Values of exactly 0 have no place on this scale. They are left out of the line and marked with a
    cross on the lower edge. Values that are not finite are marked on the upper edge.

    Parameters
    ----------
    curves
        One curve (T), one for each sequence (T, B), or a dictionary of curves (T) by name.
    xlabel, ylabel, title
        Labels. Over lags, `xlabel` is "lag (steps)".
    axes
        Where to draw (None: in a new figure).

    Returns
    -------
    Figure
        The figure of the axes.
    """
    axes = subplots(width=7, height=4)[1] if axes is None else axes
    styles = zip(cycle(COLORS), cycle(DASHES), strict=False)
    for (name, values), (colour, dash) in zip(_named(curves).items(), styles, strict=False):
        y = _numbers(values, name)
        shown = np.where(np.isfinite(y) & (y > 0), y, np.nan)
        axes.plot(np.arange(len(y)), shown, dash, color=colour, linewidth=2, label=name)
        for off, edge, what in ((y == 0, 0, "exactly 0"), (~np.isfinite(y), 1, "not finite")):
            if off.any():
                axes.plot(
                    np.flatnonzero(off),
                    np.full(off.sum(), edge),
                    "x",
                    color=colour,
                    label=f"{name}: {what}" if name else what,
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
    """A heat map of what units do over a text: values (T, H), with the T symbols of the text under
    it. `label` says what the values are: "forget gate f".

    Values from [0, 1] are shown on that scale, others on one that is symmetric about 0. The map is
    drawn into `axes`, or into a new figure, as wide as the text is long; its figure is returned.
    """
    table = _array(values)
    if table.ndim != 2:
        raise ValueError(f"values are (time, units), not of shape {table.shape}: pick one sequence")
    _check_length(table, text, "values")
    T = len(table)
    width = min(max(7.0, 2 + 0.16 * T), 40.0)
    axes = subplots(width=width, height=4)[1] if axes is None else axes
    finite = table[np.isfinite(table)]
    low, high = finite.min(initial=0), finite.max(initial=0)
    is_share = low >= 0 and high <= 1
    reach = 1 if is_share else max(-low, high)
    image = axes.imshow(
        table.T,
        cmap="cividis" if is_share else "PuOr_r",
        vmin=0 if is_share else -reach,
        vmax=reach,
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


# --- text in colour -------------------------------------------------------------------------------

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
    """A page of HTML, complete in itself, with the text in the colours of values (T), one for each
    symbol: an activation, a gate, a saliency.

    `rows` are such values by name, of which one is chosen above the text. White is 0, orange the
    largest size in the row, violet the same with a minus sign. The pointer on a symbol shows its
    value.
    """
    buttons, texts, rules = [], [], []
    for n, (name, values) in enumerate(rows.items()):
        numbers = _numbers(values, name)
        _check_length(numbers, text, name)
        reach = float(np.abs(numbers[np.isfinite(numbers)]).max(initial=0)) or 1.0
        spans = [_span(text[t], v, v / reach, t) for t, v in enumerate(numbers.tolist())]
        checked = "" if n else " checked"
        buttons.append(
            f'<input type="radio" name="row" id="row{n}"{checked}>'
            f'<label for="row{n}">{escape(name)}</label>\n'
        )
        scale = f"<i>violet: {-reach:.3g} &nbsp; white: 0 &nbsp; orange: {reach:.3g}</i>\n"
        texts.append(f'<pre class="row{n}">{scale}{"".join(spans)}</pre>\n')
        rules.append(f"#row{n}:checked ~ pre.row{n} {{ display: block }}\n")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{''.join(rules)}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{''.join(buttons)}{''.join(texts)}</body>\n</html>\n"
    )


def _span(symbol: str, value: float, share: float, t: int) -> str:
    """A symbol in its colour; a line feed is seen, and still ends the line."""
    end = "\n" if symbol == "\n" else ""
    title = f"{_visible(symbol)} at {t}: {value:.4g}"
    return (
        f'<span style="background:{_colour(share)}" title="{escape(title)}">'
        f"{escape(_visible(symbol) if end else symbol)}</span>{end}"
    )


def _colour(share: float) -> str:
    """White at 0, orange at 1, violet at -1; grey for what is not finite."""
    if not np.isfinite(share):
        return "#bbbbbb"
    full = ORANGE if share > 0 else VIOLET
    mixed = [round(255 + abs(share) * (part - 255)) for part in full]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _visible(symbol: str) -> str:
    """A symbol as a mark, white space too."""
    return {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"}.get(symbol, symbol)


def _array(values: Any) -> np.ndarray:
    """Values of any kind as an array on the host."""
    return np.asarray(values.numpy() if hasattr(values, "numpy") else values, np.float64)


def _named(curves: Any) -> Mapping[str, Any]:
    """Return curves by name. The columns of an array (T, B) are named after their sequences."""
    if isinstance(curves, Mapping):
        return curves
    array = _array(curves)
    if array.ndim == 2:
        return {f"sequence {b}": column for b, column in enumerate(array.T)}
    return {"": array}


def _numbers(values: Any, name: str) -> np.ndarray:
    """One number for each time."""
    array = _array(values)
    if array.ndim != 1:
        raise ValueError(f"{name!r} is one number for each time, not of shape {array.shape}")
    return array


def _check_length(values: np.ndarray, text: Sequence[str], name: str) -> None:
    if len(values) != len(text):
        raise ValueError(f"{name!r} has {len(values)} times, but the text {len(text)} symbols")
