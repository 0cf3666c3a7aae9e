"""Graphs for the tests of drawings, and a parser of drawings."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from typing import Any, NamedTuple

from hypothesis import strategies as st

import autograd as ag

SVG = "{http://www.w3.org/2000/svg}"


def leaf(*shape: int) -> ag.Tensor:
    return ag.ones(shape).requires_grad_()


class ParsedDrawing(NamedTuple):
    """The lines, role and frame of each box of a drawing, and the labels of its links."""

    lines: list[list[str]]
    roles: list[str]
    frames: list[tuple[float, float, float, float]]
    bold: list[str]
    links: dict[tuple[str, str], str]
    gradients: dict[tuple[str, str], str]

    @property
    def titles(self) -> list[str]:
        return sorted(lines[0] for lines in self.lines)

    def box(self, title: str) -> list[str]:
        (lines,) = [lines for lines in self.lines if lines[0] == title]
        return lines


def parse(drawing: Any) -> ParsedDrawing:
    """Parse the SVG and Graphviz texts, which must agree."""
    root = ET.fromstring(drawing.svg)
    groups = root.findall(f"{SVG}g")
    assert [g.get("data-box") for g in groups] == [str(i) for i in range(len(groups))]
    lines = [[text.text or "" for text in g.findall(f"{SVG}text")] for g in groups]
    rects = [g.findall(f"{SVG}rect")[-1] for g in groups]
    frames = [tuple(float(r.get(key, "")) for key in ("x", "y", "width", "height")) for r in rects]
    bold = [text[0] for text, r in zip(lines, rects, strict=True) if r.get("stroke-width") == "3"]

    nodes = re.findall(r'^  n(\d+) \[label="((?:[^"\\]|\\.)*)"', drawing.dot, re.MULTILINE)
    edges = re.findall(r'^  n(\d+) -> n(\d+) \[label="(.*?)"(.*)\]$', drawing.dot, re.MULTILINE)
    unquoted = [re.sub(r'\\(["\\])', r"\1", text) for _, text in nodes]
    assert unquoted == ["\\n".join(text) for text in lines]
    paths = Counter((p.get("data-from"), p.get("data-to")) for p in root.findall(f"{SVG}path"))
    assert paths == Counter((a, b) for a, b, _, _ in edges)

    def labels(dashed: bool) -> dict[tuple[str, str], str]:
        return {
            (lines[int(a)][0], lines[int(b)][0]): label
            for a, b, label, style in edges
            if ("dashed" in style) == dashed
        }

    roles = [g.get("data-role", "") for g in groups]
    return ParsedDrawing(lines, roles, frames, bold, labels(False), labels(True))  # type: ignore[arg-type]


def elman(steps: int, exception: int | None = None) -> tuple[ag.Tensor, dict[str, ag.Tensor]]:
    """Return s = tanh(U x + W s) after a loop, with another function at the step `exception`."""
    w, u, s = leaf(3, 3), leaf(3, 2), ag.zeros((1, 3))
    for t in range(steps):
        function = ag.sin if t == exception else ag.tanh
        s = function(ag.linear(ag.ones((1, 2)), u) + ag.linear(s, w))
    return s, {"W": w, "U": u}


def folds(parsed: ParsedDrawing) -> list[tuple[int, list[str]]]:
    """Return the number of steps of each fold, and the operations of one step."""
    result = []
    for lines, role in zip(parsed.lines, parsed.roles, strict=True):
        if role == "fold":
            match = re.fullmatch(r"… (\d+) equal steps …", lines[0])
            assert match is not None
            result.append((int(match[1]), " ".join(lines[1:]).removeprefix("each: ").split(", ")))
    return result


def operations(parsed: ParsedDrawing) -> Counter[str]:
    """Return the number of operations of each name, including folded ones."""
    counts: Counter[str] = Counter()
    for lines, role in zip(parsed.lines, parsed.roles, strict=True):
        counts[lines[0]] += role == "operation"
    for steps, names in folds(parsed):
        counts.update({name: steps * count for name, count in Counter(names).items()})
    return +counts


@st.composite
def programs(draw: Any) -> list[ag.Tensor]:
    """Draw results of random operations on earlier results, with many repetitions."""
    values = [leaf(2, 2), leaf(2, 2)]
    for _ in range(draw(st.integers(1, 3))):
        body = draw(
            st.lists(
                st.tuples(
                    st.sampled_from([ag.add, ag.maximum, ag.tanh, ag.sin, ag.split]),
                    st.integers(1, 5),
                    st.integers(1, 5),
                ),
                min_size=1,
                max_size=4,
            )
        )
        for _ in range(draw(st.integers(1, 9))):
            for operation, i, j in body:
                a, b = (values[-min(k, len(values))] for k in (i, j))
                if operation is ag.split:
                    values.append(ag.concatenate(ag.split(a, 2)[:: 1 if i < j else -1]))
                else:
                    values.append(
                        operation(a, b) if operation in (ag.add, ag.maximum) else operation(a)
                    )
    return values[-3:]
