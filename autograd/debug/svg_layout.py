"""Boxes and links as a picture: SVG laid out here, or text for Graphviz.

The layout is in layers (Sugiyama, Tagawa & Toda 1981): every box stands below its inputs, as high
as that allows; the boxes of a row are ordered by the barycentre of their neighbours; then each
moves as close to its neighbours as the others allow (isotonic regression). Lengths are in pixels.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

FILL = {"leaf": "#dcfce7", "operation": "#ffffff", "fold": "#fef3c7"}
STROKE = {"leaf": "#15803d", "operation": "#64748b", "fold": "#b45309"}
INK, PAPER, FORWARD, BACK = "#0f172a", "#f8fafc", "#475569", "#c2410c"
FONT = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
TITLE, DETAIL, SMALL = 13.0, 11.5, 10.5  # sizes of text
CHARACTER = 0.61  # its width, for size 1
LINE = 16.0  # from line to line
PADDING = 7.0
SPACE = 22.0  # between the members of a row
MARGIN = 24.0
BESIDE = 9.0  # from a link to its way back


class Box(NamedTuple):
    """A leaf, an operation, or a fold of many (`role`); the first line is its title."""

    role: str
    lines: list[str]
    bold: bool = False

    @property
    def height(self) -> float:
        return LINE * len(self.lines) + 2 * PADDING


class Link(NamedTuple):
    """What flows from one box to another, by their places in a list where inputs come first;
    `gradient` says what flows back, if that is to be drawn.
    """

    source: int
    target: int
    label: str = ""
    gradient: str | None = None


@dataclass(frozen=True, repr=False)
class Drawing:
    """A picture of a graph: `boxes`, inputs first, and the `links` between them; `svg` and `dot`
    (Graphviz) are its text, and a notebook shows it by itself.

    It holds nothing of the graph that it shows.
    """

    boxes: Sequence[Box]
    links: Sequence[Link]

    @cached_property
    def svg(self) -> str:
        return _svg(self.boxes, self.links)

    @cached_property
    def dot(self) -> str:
        return _dot(self.boxes, self.links)

    def save(self, path: str | Path) -> None:
        """Write the picture to a file that ends in .svg or .dot; raises ValueError for others."""
        path = Path(path)
        text = {".svg": self.svg, ".dot": self.dot}.get(path.suffix.lower())
        if text is None:
            raise ValueError(f"a drawing is saved as .svg or .dot, not as {path.name!r}")
        path.write_text(text, encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.svg


def _printable(text: str) -> str:
    """With a sign in place of every control character, which neither text may contain."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


# --- for Graphviz ---------------------------------------------------------------------------------


def _dot(boxes: Sequence[Box], links: Sequence[Link]) -> str:
    """The text of a Graphviz file; box i is the node "n<i>"."""
    out = [
        "digraph autograd {",
        f'  bgcolor="{PAPER}"',
        '  node [shape=box fontname="monospace" fontsize=11]',
        f'  edge [fontname="monospace" fontsize=10 color="{FORWARD}"]',
    ]
    for i, box in enumerate(boxes):
        style = {"leaf": "filled,rounded", "fold": "filled,dashed"}.get(box.role, "filled")
        out.append(
            f'  n{i} [label={_quoted(box.lines)} style="{style}" fillcolor="{FILL[box.role]}" '
            f'color="{STROKE[box.role]}" penwidth={2 if box.bold else 1}]'
        )
    for link in links:
        out.append(f"  n{link.source} -> n{link.target} [label={_quoted([link.label])}]")
        if link.gradient is not None:
            out.append(
                f"  n{link.target} -> n{link.source} [label={_quoted([link.gradient])} "
                f'style=dashed color="{BACK}" fontcolor="{BACK}" constraint=false]'
            )
    return "\n".join([*out, "}\n"])


def _quoted(lines: list[str]) -> str:
    escaped = [_printable(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines]
    return '"' + "\\n".join(escaped) + '"'


# --- SVG ------------------------------------------------------------------------------------------


Points = list[tuple[float, float]]


def _svg(boxes: Sequence[Box], links: Sequence[Link]) -> str:
    """The text of an SVG file, with a background of its own, for light and dark pages.

    `data-box` is the number of a box, `data-from` and `data-to` are those that a line joins.
    """
    layout = _layout(boxes, links)
    size = f"{layout.width:.0f}", f"{layout.height:.0f}"
    lines, labels = [], []
    for link, points in zip(links, layout.ways, strict=True):
        (before, _), (x, y) = points[-3], points[-1]
        lines.append(_line(link.source, link.target, points, "forward"))
        right = before < x and link.gradient is None  # the side that it does not come from
        labels.append(_text(x + (5 if right else -5), y - 9, link.label, 1 if right else -1))
        if link.gradient is not None:
            back = [(x + BESIDE, y) for x, y in reversed(points)]
            lines.append(_line(link.target, link.source, back, "back"))
            labels.append(_text(x + BESIDE + 5, y - 9, link.gradient, 1, BACK))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" '
            f'viewBox="0 0 {size[0]} {size[1]}" style="max-width: 100%; height: auto" '
            f'font-family="{FONT}">',
            _arrow("forward", FORWARD),
            _arrow("back", BACK),
            f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
            *lines,
            *filter(None, labels),
            *(_frame(i, box, *layout.places[i]) for i, box in enumerate(boxes)),
            "</svg>\n",
        ]
    )


def _arrow(name: str, colour: str) -> str:
    return (
        f'<marker id="autograd-{name}" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" '
        'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
        f'<path d="M0 0.5 8 4 0 7.5z" fill="{colour}"/></marker>'
    )


def _line(source: int, target: int, points: Points, way: str) -> str:
    """Straight through the rows and curved between them, in turn."""
    drawn = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for i, ((x0, y0), (x1, y1)) in enumerate(pairwise(points)):
        middle = (y0 + y1) / 2
        curve = f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}"
        drawn += curve if i % 2 else f"V{y1:.1f}"
    style = f'stroke="{FORWARD}"' if way == "forward" else f'stroke="{BACK}" stroke-dasharray="5 3"'
    return (
        f'<path data-from="{source}" data-to="{target}" d="{drawn}" fill="none" {style} '
        f'stroke-width="1.3" marker-end="url(#autograd-{way})"/>'
    )


def _text(
    x: float, y: float, text: str, side: int, colour: str = FORWARD, size: float = SMALL
) -> str:
    """A line of text that begins at x (`side` 1), ends there (-1) or has its middle there (0)."""
    if not text:
        return ""
    style = f' paint-order="stroke" stroke="{PAPER}" stroke-width="3"' if side else ""
    style += ' font-weight="bold"' if size == TITLE else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{("middle", "start", "end")[side]}" '
        f'font-size="{size:g}" fill="{colour}"{style}>{escape(_printable(text))}</text>'
    )


def _frame(number: int, box: Box, x: float, y: float, width: float) -> str:
    """A box around its centre; that of many steps looks like several behind each other."""
    left, top = x - width / 2, y - box.height / 2
    corner = 6 if box.role == "operation" else min(18, box.height / 2)
    frames = [
        f'<rect x="{left + shift:.1f}" y="{top + shift:.1f}" width="{width:.1f}" '
        f'height="{box.height:.1f}" rx="{corner:g}" fill="{FILL[box.role]}" '
        f'stroke="{STROKE[box.role]}" stroke-width="{3 if box.bold else 1.3:g}"/>'
        for shift in ((5, 0) if box.role == "fold" else (0,))
    ]
    lines = [
        _text(x, top + PADDING + LINE * (i + 0.74), line, 0, INK, DETAIL if i else TITLE)
        for i, line in enumerate(box.lines)
    ]
    head = f'<g data-box="{number}" data-role="{box.role}">'
    return "\n".join([head, *frames, *lines, "</g>"])


# --- layout ---------------------------------------------------------------------------------------


class _Layout(NamedTuple):
    """The size of the picture, the centre and width of every box, and the points of every link."""

    width: float
    height: float
    places: list[tuple[float, float, float]]
    ways: list[Points]


def _layout(boxes: Sequence[Box], links: Sequence[Link]) -> _Layout:
    ranks = _ranks(len(boxes), links)
    rows, ways = _rows(ranks, links)
    entering: list[list[int]] = [[] for _ in boxes]
    for i, link in enumerate(links):
        entering[link.target].append(i)
    back = any(link.gradient is not None for link in links)
    widths = [
        _width(box, [links[i] for i in into]) for box, into in zip(boxes, entering, strict=True)
    ]
    widths += [2 * BESIDE if back else 0.0] * (sum(map(len, rows)) - len(boxes))
    x = _columns(rows, ways, widths, len(boxes))

    gap = 64.0 if back else 40.0
    heights = [max([boxes[v].height for v in row if v < len(boxes)], default=LINE) for row in rows]
    tops = list(accumulate((height + gap for height in heights), initial=MARGIN))
    places = [(x[i], tops[rank] + heights[rank] / 2, widths[i]) for i, rank in enumerate(ranks)]
    drawn: list[Points] = [[] for _ in links]
    for target, into in enumerate(entering):
        for k, i in enumerate(sorted(into, key=lambda i: x[ways[i][-2]])):
            source, *bends, _ = ways[i]
            port = x[target] + widths[target] * ((k + 0.5) / len(into) - 0.5)
            rank, y = ranks[source], places[source][1]
            points = [(x[source], y + boxes[source].height / 2)]
            points.append((x[source], tops[rank] + heights[rank] + 2))
            for r, bend in enumerate(bends, rank + 1):
                points += [(x[bend], tops[r]), (x[bend], tops[r] + heights[r])]
            points.append((port, tops[ranks[target]] - 9))  # room for the head of the arrow
            drawn[i] = [*points, (port, places[target][1] - boxes[target].height / 2)]
    right = max(centre + width / 2 for centre, width in zip(x, widths, strict=True))
    return _Layout(right + MARGIN, tops[-1] - gap + MARGIN, places, drawn)


def _width(box: Box, entering: list[Link]) -> float:
    """Room for the text, and for the links that enter, with their labels."""
    lines = [sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in s) for s in box.lines]
    label = max((len(link.label + (link.gradient or "")) for link in entering), default=0)
    return max(
        TITLE * CHARACTER * max(lines) + 2 * LINE,
        min(len(entering), 8) * (SMALL * CHARACTER * label + 3 * BESIDE),
    )


def _ranks(size: int, links: Sequence[Link]) -> list[int]:
    """The row of every box: below its lowest input. Where more links leave than enter (those of
    leaves, which can follow, do not count) it moves down to its first user.
    """
    above: list[list[int]] = [[] for _ in range(size)]
    below: list[list[int]] = [[] for _ in range(size)]
    for link in links:
        above[link.target].append(link.source)
        below[link.source].append(link.target)
    ranks: list[int] = []
    for inputs in above:
        ranks.append(max((ranks[source] + 1 for source in inputs), default=0))
    for box in reversed(range(size)):
        if sum(bool(above[source]) for source in above[box]) < len(below[box]):
            ranks[box] = min(ranks[user] for user in below[box]) - 1
    return ranks


def _rows(ranks: list[int], links: Sequence[Link]) -> tuple[list[list[int]], list[list[int]]]:
    """The boxes in rows, and for every link its way: a bend in each row between. The ways from one
    box share their bends, so that a value runs down one line to all its users.
    """
    rows: list[list[int]] = [[] for _ in range(max(ranks) + 1)]
    for box, rank in enumerate(ranks):
        rows[rank].append(box)
    bends: dict[tuple[int, int], int] = {}
    ways = []
    longest = max(30, 20_000 // len(ranks))  # longer links run straight, behind the boxes
    for source, target, *_ in links:
        between = range(ranks[source] + 1, ranks[target])
        if len(between) > longest:
            between = range(0)
        for rank in between:
            if (source, rank) not in bends:
                bends[source, rank] = len(ranks) + len(bends)
                rows[rank].append(bends[source, rank])
        ways.append([source, *(bends[source, rank] for rank in between), target])
    return rows, ways


def _columns(
    rows: list[list[int]], ways: list[list[int]], widths: list[float], boxes: int
) -> list[float]:
    """Put every row in order, and give each of its members (boxes, then bends) a centre x."""
    row_of = {v: i for i, row in enumerate(rows) for v in row}
    above: list[list[int]] = [[] for _ in widths]
    below: list[list[int]] = [[] for _ in widths]
    for a, b in dict.fromkeys(chain.from_iterable(map(pairwise, ways))):
        if row_of[b] == row_of[a] + 1:
            above[b].append(a)
            below[a].append(b)

    place = dict.fromkeys(row_of, 0.0)
    for sweep in range(9):
        near, ordered = (below, reversed(rows)) if sweep % 2 else (above, iter(rows))
        for row in ordered:
            centre = {v: _mean([place[u] for u in near[v]], place[v]) for v in row}
            row.sort(key=centre.__getitem__)
            place.update(zip(row, range(len(row)), strict=True))

    x = [0.0] * len(widths)

    def settle(row: list[int], wishes: list[float], weights: Sequence[float]) -> None:
        for v, settled in zip(row, _settle(wishes, weights, [widths[v] for v in row]), strict=True):
            x[v] = settled

    for sweep in range(max(20, min(100, 400_000 // len(widths)))):
        for row in rows if sweep % 2 else reversed(rows):
            wishes = [_mean([x[u] for u in above[v] + below[v]], x[v]) for v in row]
            settle(row, wishes, [1] * len(row))
    for row in rows:  # bends straight below each other, as far as the boxes leave room
        straight = [x[v] if v < boxes else x[above[v][0]] for v in row]
        settle(row, straight, [1e6 if v < boxes else 1 for v in row])
    left = min(centre - width / 2 for centre, width in zip(x, widths, strict=True))
    return [centre - left + MARGIN for centre in x]


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _settle(wishes: list[float], weights: Sequence[float], widths: list[float]) -> list[float]:
    """The centres nearest to the wishes (weighted least squares) at which the members of a row
    keep their order and their distance: those that would overlap are pooled into blocks.
    """
    offsets = list(accumulate(((a + b) / 2 + SPACE for a, b in pairwise(widths)), initial=0.0))
    blocks: list[tuple[float, float, int]] = []  # where, with what weight, how many members
    for wish, weight, offset in zip(wishes, weights, offsets, strict=True):
        at, members = wish - offset, 1
        while blocks and blocks[-1][0] > at:
            other, more, count = blocks.pop()
            at = (at * weight + other * more) / (weight + more)
            weight, members = weight + more, members + count
        blocks.append((at, weight, members))
    settled = [at for at, _, members in blocks for _ in range(members)]
    return [at + offset for at, offset in zip(settled, offsets, strict=True)]
