"""Layered layout of boxes and links (Sugiyama, Tagawa & Toda 1981).

Every box is placed in a row below its inputs. The members of a row are ordered by the barycenters
of their neighbors. Then each member moves as close to its neighbors as the others allow (isotonic
regression). Lengths are in pixels.

References
----------
Sugiyama, Tagawa & Toda 1981, "Methods for visual understanding of hierarchical system structures".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

TITLE, DETAIL, SMALL = 13.0, 11.5, 10.5  # font sizes
CHARACTER = 0.61  # width of a character at font size 1
LINE = 16.0  # line height
PADDING = 7.0
SPACE = 22.0  # between the members of a row
MARGIN = 24.0
OFFSET = 9.0  # from a link to the link of its gradient

Points = list[tuple[float, float]]


class Box(NamedTuple):
    """Box with the role leaf, operation or fold; the first line is the title."""

    role: str
    lines: list[str]
    bold: bool = False

    @property
    def height(self) -> float:
        return LINE * len(self.lines) + 2 * PADDING


class Link(NamedTuple):
    """Link between two boxes, by their numbers.

    `label` describes the value, and `gradient` the gradient of the backward pass if it is drawn.
    """

    source: int
    target: int
    label: str = ""
    gradient: str | None = None


class Layout(NamedTuple):
    """Size of the drawing, centers (x, y) and widths of the boxes, and points of the links."""

    width: float
    height: float
    frames: list[tuple[float, float, float]]
    paths: list[Points]


def compute_layout(boxes: Sequence[Box], links: Sequence[Link]) -> Layout:
    """Return the positions of boxes and links; inputs come first in `boxes`."""
    ranks = _ranks(len(boxes), links)
    rows, routes = _rows(ranks, links)
    links_to: list[list[int]] = [[] for _ in boxes]
    for i, link in enumerate(links):
        links_to[link.target].append(i)
    has_gradients = any(link.gradient is not None for link in links)
    widths = [
        _width(box, [links[i] for i in numbers])
        for box, numbers in zip(boxes, links_to, strict=True)
    ]
    widths += [2 * OFFSET if has_gradients else 0.0] * (sum(map(len, rows)) - len(boxes))
    x = _columns(rows, routes, widths, len(boxes))

    gap = 64.0 if has_gradients else 40.0
    heights = [max([boxes[v].height for v in row if v < len(boxes)], default=LINE) for row in rows]
    tops = list(accumulate((height + gap for height in heights), initial=MARGIN))
    frames = [(x[i], tops[rank] + heights[rank] / 2, widths[i]) for i, rank in enumerate(ranks)]
    paths: list[Points] = [[] for _ in links]
    for target, numbers in enumerate(links_to):
        for k, i in enumerate(sorted(numbers, key=lambda i: x[routes[i][-2]])):
            source, *bends, _ = routes[i]
            port = x[target] + widths[target] * ((k + 0.5) / len(numbers) - 0.5)
            rank, y = ranks[source], frames[source][1]
            points = [(x[source], y + boxes[source].height / 2)]
            points.append((x[source], tops[rank] + heights[rank] + 2))
            for r, bend in enumerate(bends, rank + 1):
                points += [(x[bend], tops[r]), (x[bend], tops[r] + heights[r])]
            points.append((port, tops[ranks[target]] - 9))  # space for the arrowhead
            paths[i] = [*points, (port, frames[target][1] - boxes[target].height / 2)]
    right = max(center + width / 2 for center, width in zip(x, widths, strict=True))
    return Layout(right + MARGIN, tops[-1] - gap + MARGIN, frames, paths)


def _width(box: Box, incoming_links: list[Link]) -> float:
    """Return the width of a box: enough for its text and for the labels of its incoming links."""
    lines = [sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in s) for s in box.lines]
    label = max((len(link.label + (link.gradient or "")) for link in incoming_links), default=0)
    return max(
        TITLE * CHARACTER * max(lines) + 2 * LINE,
        min(len(incoming_links), 8) * (SMALL * CHARACTER * label + 3 * OFFSET),
    )


def _ranks(size: int, links: Sequence[Link]) -> list[int]:
    """Return the row of every box: the first row below all its inputs.

    A box with more outgoing than incoming links moves down, next to its first user. Links from
    leaves do not count, because leaves can move too.
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
    """Return the members of each row, and the route of each link.

    A route is a source, a bend in each row in between, and a target. Routes from one box share
    their bends, so that a value follows one line to all its users.
    """
    rows: list[list[int]] = [[] for _ in range(max(ranks) + 1)]
    for box, rank in enumerate(ranks):
        rows[rank].append(box)
    bends: dict[tuple[int, int], int] = {}
    routes = []
    longest = max(30, 20_000 // len(ranks))  # longer links are straight, below the boxes
    for source, target, *_ in links:
        rows_between = range(ranks[source] + 1, ranks[target])
        if len(rows_between) > longest:
            rows_between = range(0)
        for rank in rows_between:
            if (source, rank) not in bends:
                bends[source, rank] = len(ranks) + len(bends)
                rows[rank].append(bends[source, rank])
        routes.append([source, *(bends[source, rank] for rank in rows_between), target])
    return rows, routes


def _columns(
    rows: list[list[int]], routes: list[list[int]], widths: list[float], boxes: int
) -> list[float]:
    """Order every row, and return the center x of each member (boxes, then bends)."""
    row_of = {v: i for i, row in enumerate(rows) for v in row}
    above: list[list[int]] = [[] for _ in widths]
    below: list[list[int]] = [[] for _ in widths]
    for a, b in dict.fromkeys(chain.from_iterable(map(pairwise, routes))):
        if row_of[b] == row_of[a] + 1:
            above[b].append(a)
            below[a].append(b)

    position = dict.fromkeys(row_of, 0.0)
    for iteration in range(9):
        upwards = iteration % 2 == 1
        neighbors, ordered = (below, reversed(rows)) if upwards else (above, iter(rows))
        for row in ordered:
            barycenter = {v: _mean([position[u] for u in neighbors[v]], position[v]) for v in row}
            row.sort(key=barycenter.__getitem__)
            position.update(zip(row, range(len(row)), strict=True))

    x = [0.0] * len(widths)

    def arrange(row: list[int], targets: list[float], weights: Sequence[float]) -> None:
        centers = _without_overlap(targets, weights, [widths[v] for v in row])
        for v, center in zip(row, centers, strict=True):
            x[v] = center

    for iteration in range(max(20, min(100, 400_000 // len(widths)))):
        for row in rows if iteration % 2 else reversed(rows):
            targets = [_mean([x[u] for u in above[v] + below[v]], x[v]) for v in row]
            arrange(row, targets, [1] * len(row))
    for row in rows:  # align bends vertically where the boxes leave space
        targets = [x[v] if v < boxes else x[above[v][0]] for v in row]
        arrange(row, targets, [1e6 if v < boxes else 1 for v in row])
    left = min(center - width / 2 for center, width in zip(x, widths, strict=True))
    return [center - left + MARGIN for center in x]


def _mean(values: list[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _without_overlap(
    targets: list[float], weights: Sequence[float], widths: list[float]
) -> list[float]:
    """Return the centers nearest to the targets at which the members of a row do not overlap.

    Solves a weighted least squares problem with fixed order and minimum distances by the pool
    adjacent violators algorithm.
    """
    offsets = list(accumulate(((a + b) / 2 + SPACE for a, b in pairwise(widths)), initial=0.0))
    blocks: list[tuple[float, float, int]] = []  # position, weight, number of members
    for target, weight, offset in zip(targets, weights, offsets, strict=True):
        position, members = target - offset, 1
        while blocks and blocks[-1][0] > position:
            other_position, other_weight, count = blocks.pop()
            total = weight + other_weight
            position = (position * weight + other_position * other_weight) / total
            weight, members = total, members + count
        blocks.append((position, weight, members))
    positions = [position for position, _, members in blocks for _ in range(members)]
    return [position + offset for position, offset in zip(positions, offsets, strict=True)]
