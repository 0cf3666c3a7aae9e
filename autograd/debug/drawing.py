"""Drawings of graphs as SVG, and as text for Graphviz."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

from .svg_layout import (
    DETAIL,
    LINE,
    OFFSET,
    PADDING,
    SMALL,
    TITLE,
    Box,
    Link,
    Points,
    compute_layout,
)

FILL = {"leaf": "#dcfce7", "operation": "#ffffff", "fold": "#fef3c7"}
STROKE = {"leaf": "#15803d", "operation": "#64748b", "fold": "#b45309"}
INK, PAPER, FORWARD, BACKWARD = "#0f172a", "#f8fafc", "#475569", "#c2410c"
FONT = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


@dataclass(frozen=True, repr=False)
class Drawing:
    """Drawing of a graph, which notebooks display.

    It does not refer to the graph.

    Parameters
    ----------
    boxes : sequence of Box
        Boxes, inputs first.
    links : sequence of Link
        Links between the boxes.
    """

    boxes: Sequence[Box]
    links: Sequence[Link]

    @cached_property
    def svg(self) -> str:
        """Text of an SVG file."""
        return _svg(self.boxes, self.links)

    @cached_property
    def dot(self) -> str:
        """Text of a Graphviz file."""
        return _dot(self.boxes, self.links)

    def save(self, path: str | Path) -> None:
        """Write the drawing to a file.

        Parameters
        ----------
        path : str or Path
            Path that ends in .svg or .dot.

        Raises
        ------
        ValueError
            If the path has another ending.
        """
        path = Path(path)
        text = {".svg": self.svg, ".dot": self.dot}.get(path.suffix.lower())
        if text is None:
            raise ValueError(f"path must end in .svg or .dot, got {path.name!r}")
        path.write_text(text, encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.svg


def _printable(text: str) -> str:
    """Replace control characters, which neither format may contain."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


# --- Graphviz -------------------------------------------------------------------------------------


def _dot(boxes: Sequence[Box], links: Sequence[Link]) -> str:
    """Return the text of a Graphviz file; box i is the node "n<i>"."""
    statements = [
        "digraph autograd {",
        f'  bgcolor="{PAPER}"',
        '  node [shape=box fontname="monospace" fontsize=11]',
        f'  edge [fontname="monospace" fontsize=10 color="{FORWARD}"]',
    ]
    for i, box in enumerate(boxes):
        style = {"leaf": "filled,rounded", "fold": "filled,dashed"}.get(box.role, "filled")
        statements.append(
            f'  n{i} [label={_quoted(box.lines)} style="{style}" fillcolor="{FILL[box.role]}" '
            f'color="{STROKE[box.role]}" penwidth={2 if box.bold else 1}]'
        )
    for link in links:
        statements.append(f"  n{link.source} -> n{link.target} [label={_quoted([link.label])}]")
        if link.gradient is not None:
            statements.append(
                f"  n{link.target} -> n{link.source} [label={_quoted([link.gradient])} "
                f'style=dashed color="{BACKWARD}" fontcolor="{BACKWARD}" constraint=false]'
            )
    return "\n".join([*statements, "}\n"])


def _quoted(lines: list[str]) -> str:
    escaped = [_printable(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines]
    return '"' + "\\n".join(escaped) + '"'


# --- SVG ------------------------------------------------------------------------------------------


def _svg(boxes: Sequence[Box], links: Sequence[Link]) -> str:
    """Return the text of an SVG file, with a background for light and dark pages.

    The attribute `data-box` is the number of a box; `data-from` and `data-to` are the numbers of
    the boxes that a line connects.
    """
    layout = compute_layout(boxes, links)
    size = f"{layout.width:.0f}", f"{layout.height:.0f}"
    lines, labels = [], []
    for link, points in zip(links, layout.paths, strict=True):
        (previous_x, _), (x, y) = points[-3], points[-1]
        lines.append(_line(link.source, link.target, points, "forward"))
        on_right = previous_x < x and link.gradient is None  # the line comes from the left
        labels.append(_text(x + (5 if on_right else -5), y - 9, link.label, 1 if on_right else -1))
        if link.gradient is not None:
            backward = [(x + OFFSET, y) for x, y in reversed(points)]
            lines.append(_line(link.target, link.source, backward, "backward"))
            labels.append(_text(x + OFFSET + 5, y - 9, link.gradient, 1, BACKWARD))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" '
            f'viewBox="0 0 {size[0]} {size[1]}" style="max-width: 100%; height: auto" '
            f'font-family="{FONT}">',
            _arrow("forward", FORWARD),
            _arrow("backward", BACKWARD),
            f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
            *lines,
            *filter(None, labels),
            *(_frame(i, box, *layout.frames[i]) for i, box in enumerate(boxes)),
            "</svg>\n",
        ]
    )


def _arrow(name: str, color: str) -> str:
    return (
        f'<marker id="autograd-{name}" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" '
        'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
        f'<path d="M0 0.5 8 4 0 7.5z" fill="{color}"/></marker>'
    )


def _line(source: int, target: int, points: Points, direction: str) -> str:
    """Return a path that is straight inside rows and curved between rows."""
    commands = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for i, ((x0, y0), (x1, y1)) in enumerate(pairwise(points)):
        middle = (y0 + y1) / 2
        curve = f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}"
        commands += curve if i % 2 else f"V{y1:.1f}"
    style = f'stroke="{FORWARD}"'
    if direction == "backward":
        style = f'stroke="{BACKWARD}" stroke-dasharray="5 3"'
    return (
        f'<path data-from="{source}" data-to="{target}" d="{commands}" fill="none" {style} '
        f'stroke-width="1.3" marker-end="url(#autograd-{direction})"/>'
    )


def _text(
    x: float, y: float, text: str, side: int, color: str = FORWARD, size: float = SMALL
) -> str:
    """Return a line of text to the right of x (`side` 1), to the left (-1) or centered (0)."""
    if not text:
        return ""
    style = f' paint-order="stroke" stroke="{PAPER}" stroke-width="3"' if side else ""
    style += ' font-weight="bold"' if size == TITLE else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{("middle", "start", "end")[side]}" '
        f'font-size="{size:g}" fill="{color}"{style}>{escape(_printable(text))}</text>'
    )


def _frame(number: int, box: Box, x: float, y: float, width: float) -> str:
    """Return a box around a center; folds have a second frame."""
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
