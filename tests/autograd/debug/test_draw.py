"""Drawings of recorded graphs: contents, layout, files, and no effect on the graph."""

import gc
import re
import threading
import weakref
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import executed, growth
from hypothesis import given
from hypothesis import strategies as st
from svg import SVG, elman, folds, leaf, operations, parse, programs

import autograd as ag
from tinygrad_rnn import nn

# --- contents -------------------------------------------------------------------------------------


def test_an_expression_is_a_box_for_each_operation_and_leaf() -> None:
    w, x = leaf(3, 4), leaf(4)
    parsed = parse(ag.draw(ag.tanh(w * x).sum(), {"w": w}))
    assert [lines[0] for lines in parsed.lines] == ["w", "leaf", "multiply", "tanh", "sum"]
    assert parsed.roles == ["leaf", "leaf", "operation", "operation", "operation"]
    assert parsed.box("w") == ["w", "(3, 4) float32"]
    assert parsed.box("leaf") == ["leaf", "(4,) float32"]
    assert parsed.box("sum") == ["sum", "() float32"]
    assert set(parsed.links) == {
        ("w", "multiply"),
        ("leaf", "multiply"),
        ("multiply", "tanh"),
        ("tanh", "sum"),
    }
    assert parsed.bold == ["sum"]


def test_inputs_without_a_gradient_are_not_drawn() -> None:
    x = leaf(2)
    assert parse(ag.draw(x * ag.tensor([1.0, 2.0]))).titles == ["leaf", "multiply"]


def test_a_leaf_can_be_drawn() -> None:
    assert parse(ag.draw(leaf(2))).lines == [["leaf", "(2,) float32"]]


def test_several_tensors_share_one_drawing() -> None:
    x = leaf(2)
    y = ag.exp(x)
    parsed = parse(ag.draw({"a": ag.sin(y), "b": [ag.cos(y), x * 1.0, ag.tensor(1.0)]}))
    assert parsed.titles == ["cos", "exp", "leaf", "multiply", "sin"]
    assert sorted(parsed.bold) == ["cos", "multiply", "sin"]


def test_a_value_used_twice_is_marked() -> None:
    x = leaf(2)
    assert parse(ag.draw(x * x)).links == {("leaf", "multiply"): "×2"}


def test_links_name_the_result_of_several() -> None:
    a, b, c = ag.split(leaf(6), 3)
    parsed = parse(ag.draw(ag.exp(c) + ag.sin(a) * b))
    assert parsed.box("split") == ["split", "3 × (2,) float32"]
    assert parsed.links["split", "exp"] == "2"
    assert parsed.links["split", "sin"] == "0"
    assert parsed.links["split", "multiply"] == "1"


def test_one_of_several_results_has_a_box_if_it_is_drawn_or_named() -> None:
    a, b, _ = ag.split(leaf(6), (2, 3))
    parsed = parse(ag.draw([a, ag.exp(b)], {"b": b}))
    assert parsed.box("split")[1] == "(2,) float32, (1,) float32, (3,) float32"
    assert parsed.links == {
        ("leaf", "split"): "",
        ("split", "result 0 of split"): "0",
        ("split", "b = result 1 of split"): "1",
        ("b = result 1 of split", "exp"): "",
    }


def test_a_module_names_its_parameters() -> None:
    layer = nn.Linear(3, 2)
    parsed = parse(ag.draw(layer(leaf(4, 3)), layer))
    assert {"weight", "bias", "leaf"} <= set(parsed.titles)


def test_results_and_shared_tensors_are_named() -> None:
    x = leaf(2)
    y = ag.exp(x)
    parsed = parse(ag.draw(ag.sin(y), {"x": x, "also": x, "y": y, "elsewhere": leaf(3)}))
    assert parsed.titles == ["sin", "x, also", "y = exp"]


def test_gradients_are_drawn_along_every_link_with_their_shapes() -> None:
    w, x = leaf(3, 4), leaf(4)
    parsed = parse(ag.draw((w * x).sum(), {"w": w, "x": x}, gradients=True))
    assert {(b, a) for a, b in parsed.gradients} == set(parsed.links)
    assert parsed.gradients["multiply", "w"] == "(3, 4)"
    assert parsed.gradients["multiply", "x"] == "(4,)"
    assert parsed.gradients["sum", "multiply"] == "(3, 4)"
    assert not parse(ag.draw((w * x).sum())).gradients


def test_the_gradient_of_one_of_several_results_has_its_shape() -> None:
    _, b = ag.split(leaf(6), (2,))
    assert parse(ag.draw(b.sum(), gradients=True)).gradients["sum", "split"] == "(4,)"


def test_small_values_are_shown_where_they_are_known() -> None:
    w, x = ag.tensor([1.5, -2.0], requires_grad=True), leaf(100)
    y = ag.tanh(w)
    z = y.sum() + x.sum()
    z.backward(retain_graph=True)
    parsed = parse(ag.draw(z, values=True, names={"w": w, "x": x}))
    gradient = ", ".join(f"{1 - np.tanh(v) ** 2:.4g}" for v in (1.5, -2.0))
    assert parsed.box("w") == ["w", "(2,) float32", "= [1.5, -2]", f"grad [{gradient}]"]
    assert parsed.box("x") == ["x", "(100,) float32", "grad (100,)"]
    assert parsed.box("tanh") == ["tanh", "(2,) float32", "= [0.9051, -0.964]", "residuals y (2,)"]
    assert parsed.box("add") == ["add", "() float32", f"= {z.item():.4g}"]


def test_values_come_from_the_residuals_of_users() -> None:
    a, b = ag.tensor([2.0], requires_grad=True), ag.tensor([3.0], requires_grad=True)
    parsed = parse(ag.draw((a + b) * b, values=True))
    assert parsed.box("add") == ["add", "(1,) float32", "= [5]"]
    assert parsed.box("multiply") == [
        "multiply",
        "(1,) float32",
        "= [15]",
        "residuals b (1,), a (1,)",
    ]


# --- layout ---------------------------------------------------------------------------------------


@given(programs(), st.booleans(), st.booleans())
def test_boxes_do_not_overlap_and_links_lead_down(
    tensors: list[ag.Tensor], values: bool, gradients: bool
) -> None:
    drawing = ag.draw(tensors, values=values, gradients=gradients, fold=False)
    root, frames = ET.fromstring(drawing.svg), parse(drawing).frames
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    for i, (x, y, w, h) in enumerate(frames):
        assert 0 < x < x + w < width
        assert 0 < y < y + h < height
        for x2, y2, w2, h2 in frames[:i]:
            assert x2 + w2 < x or x + w < x2 or y2 + h2 < y or y + h < y2
    for path in root.findall(f"{SVG}path"):
        source, target = int(path.get("data-from", "")), int(path.get("data-to", ""))
        numbers = [float(number) for number in re.findall(r"[\d.]+", path.get("d", ""))]
        is_backward = "dasharray" in ET.tostring(path, "unicode")
        upper, lower = (target, source) if is_backward else (source, target)
        ends = (numbers[1], numbers[-1])[:: -1 if is_backward else 1]
        assert ends[0] == pytest.approx(frames[upper][1] + frames[upper][3], abs=0.2)
        assert ends[1] == pytest.approx(frames[lower][1], abs=0.2)
        assert ends[0] < ends[1]


def test_boxes_are_as_wide_as_their_text() -> None:
    x = leaf(2)
    for name in ("x", "a long name " * 10, "記" * 30):
        ((_, _, width, _), _) = parse(ag.draw(ag.exp(x), {name: x})).frames
        assert width > 7 * (2 * len(name) if name[0] == "記" else len(name))


def test_a_drawing_has_a_background() -> None:
    background = ET.fromstring(ag.draw(leaf(2)).svg).find(f"{SVG}rect")
    assert background is not None
    assert background.get("width") == background.get("height") == "100%"
    assert background.get("fill") != "none"


def test_the_same_program_gives_the_same_drawing() -> None:
    def make() -> Any:
        last, names = elman(9)
        return ag.draw([last, ag.split(last, 3, axis=1)[1]], names, values=True, gradients=True)

    assert make() == make()


@pytest.mark.host
@pytest.mark.parametrize("fold", [True, False])
def test_the_work_of_drawing_grows_linearly(fold: bool) -> None:
    def work(steps: int) -> int:
        last, _ = elman(steps)
        return executed(lambda: ag.draw(last, fold=fold).svg)

    assert growth(work, 6) < 1.4


@pytest.mark.host
@pytest.mark.parametrize("fold", [True, False])
def test_the_work_does_not_grow_with_the_number_of_paths(fold: bool) -> None:
    """The number of paths is 2^depth."""

    def work(depth: int) -> int:
        y = leaf(1)
        for _ in range(depth):
            y = y * ag.sin(y)
        return executed(lambda: ag.draw(y, fold=fold).svg)

    assert growth(work, 10) < 1.4


@pytest.mark.host
def test_large_graphs_are_drawn_and_too_large_ones_raise() -> None:
    last, _ = elman(600)
    parsed = parse(ag.draw(last, fold=False))
    assert operations(parsed)["tanh"] == 600
    last, _ = elman(1500)
    with pytest.raises(ValueError, match=r"at most 4000 boxes, got 6002: .* fold them"):
        ag.draw(last, fold=False)
    assert len(parse(ag.draw(last)).lines) < 15


@pytest.mark.host
def test_deep_graphs_do_not_need_a_deep_stack() -> None:
    y = leaf(1)
    for _ in range(20_000):
        y = ag.tanh(y)
    drawings: list[Any] = []
    size = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=lambda: drawings.append(parse(ag.draw(y))))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(size)
    assert folds(drawings[0]) == [(19_998, ["tanh"])]


# --- text and files -------------------------------------------------------------------------------


def test_text_is_escaped() -> None:
    x, y = leaf(2), leaf(2)
    names = {'<b>&"x"\\': x, "two\nlines\x00\u202e": y}
    parsed = parse(ag.draw(x * y, names))
    assert parsed.titles == ['<b>&"x"\\', "multiply", "two�lines��"]


def test_the_ending_of_the_path_selects_the_format(tmp_path: Path) -> None:
    drawing = ag.draw(leaf(2))
    drawing.save(tmp_path / "g.svg")
    drawing.save(str(tmp_path / "g.DOT"))
    assert (tmp_path / "g.svg").read_text("utf-8") == drawing.svg == drawing._repr_svg_()
    assert (tmp_path / "g.DOT").read_text("utf-8") == drawing.dot
    for name in ("g.png", "svg"):
        with pytest.raises(ValueError, match=rf"must end in \.svg or \.dot, got '{name}'"):
            drawing.save(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.DOT", "g.svg"]


# --- no effect on the graph -----------------------------------------------------------------------


def test_drawing_does_not_change_gradients() -> None:
    def gradient(draw: bool) -> list[Any]:
        last, names = elman(8)
        loss = last.sum()
        if draw:
            ag.draw(loss, names, values=True, gradients=True)
        loss.backward()
        assert names["W"].grad is not None
        return names["W"].grad.tolist()  # type: ignore[no-any-return]

    assert gradient(True) == gradient(False)


def test_a_drawing_does_not_keep_the_graph_alive() -> None:
    gc.disable()
    try:
        x = leaf(3)
        y = ag.exp(x * 2.0)
        data = weakref.ref(y.data)
        drawing = ag.draw(y, {"y": y}, values=True, gradients=True)
        del x, y
        assert data() is None
        assert "exp" in drawing.svg
    finally:
        gc.enable()


def test_freed_graphs_raise_and_freed_parts_are_marked() -> None:
    y = ag.exp(leaf(2))
    loss, other = y.sum(), ag.sin(y)
    loss.backward()
    with pytest.raises(
        RuntimeError, match=r"result of sum was freed by backward\(\); draw it before"
    ):
        ag.draw(loss)
    parsed = parse(ag.draw(other))
    assert parsed.lines == [["exp", "(2,) float32", "freed by backward"], ["sin", "(2,) float32"]]
    part = ag.split(leaf(4), 2)[0]
    part.sum().backward()
    with pytest.raises(RuntimeError, match="result of split was freed"):
        ag.draw(part)


def test_invalid_arguments_raise() -> None:
    with pytest.raises(
        RuntimeError, match=r"nothing to draw: .* does not depend on a tensor that requires"
    ):
        ag.draw(ag.ones(2) * 2)
    with pytest.raises(RuntimeError, match="nothing to draw"):
        ag.draw([])
    with pytest.raises(TypeError, match="needs Tensors, got ndarray"):
        ag.draw([leaf(2), np.ones(2)])
    with pytest.raises(TypeError, match=r"names\['x'\] must be a Tensor, got float"):
        ag.draw(leaf(2), {"x": 1.0})
    with pytest.raises(TypeError, match="must be a dict of Tensors or a module, got list"):
        ag.draw(leaf(2), [leaf(2)])


# --- every kind of node ---------------------------------------------------------------------------


@ag.primitive(lambda g, arrays, weights: [g * weights[0], g * weights[0]])
def weighted_sum(xp: Any, *arrays: Any, weights: Any) -> Any:
    return (arrays[0] + arrays[1]) * weights[0]


@ag.primitive(x=lambda g, y, options: next(part for part in g if part is not None))
def with_copy(xp: Any, x: Any, *, options: Any = None) -> Any:
    return x * 1, x * 1


def step(h: Any, x: Any) -> Any:
    return ag.tanh(h * x), h


def repeat(f: Any, x: Any, times: int = 8) -> Any:
    for _ in range(times):
        x = f(x)
    return x


def scan_steps(x: Any, **options: Any) -> Any:
    return ag.scan(step, x, ag.ones((8, 3)), **options)


NODES: dict[str, tuple[Any, str]] = {
    "a checkpoint": (lambda x: ag.checkpoint(ag.tanh)(x), "checkpoint"),
    "results of a checkpoint": (
        lambda x: ag.checkpoint(lambda x: {"a": x * 2, "b": [x * 3]})(x),
        "result 1 of checkpoint",
    ),
    "checkpoints in a row": (lambda x: repeat(ag.checkpoint(ag.tanh), x), "checkpoint"),
    "a checkpoint in a checkpoint": (
        lambda x: ag.checkpoint(lambda x: ag.checkpoint(ag.tanh)(x) * 2)(x),
        "checkpoint",
    ),
    "a gradient through a checkpoint": (
        lambda x: ag.gradients(ag.checkpoint(lambda x: (x * x * x).sum())(x), x, create_graph=True),
        "multiply",
    ),
    "a compiled scan": (scan_steps, "tanh"),
    "an eager scan": (lambda x: scan_steps(x, compile=False), "tanh"),
    "a checkpointed scan": (lambda x: scan_steps(x, checkpoint=2), "checkpoint"),
    "a scan within a budget": (
        lambda x: ag.scan(step, x, ag.ones((60, 3)), memory_budget=20_000, compile=False),
        "checkpoint",
    ),
    "a scan of checkpoints": (
        lambda x: ag.scan(
            lambda h, t: (ag.checkpoint(step)(h, t)[0], None), x, ag.ones((8, 3)), compile=False
        )[0],
        "result 0 of checkpoint",
    ),
    "a checkpointed layer": (
        lambda x: nn.LSTM(3, 2, checkpoint="sqrt")(ag.ones((8, 1, 3)) * x)[0],
        "checkpoint",
    ),
    "an operation of any number of arguments": (
        lambda x: repeat(lambda x: weighted_sum(x, 2.0 * x, weights=[2.0]), x),
        "weighted_sum",
    ),
    "an operation of several results": (
        lambda x: repeat(lambda x: with_copy(x, options={"a": [1, {2}]})[1], x),
        "result 1 of with_copy",
    ),
}


@pytest.mark.parametrize("options", [{}, {"fold": False}, {"values": True, "gradients": True}])
@pytest.mark.parametrize("name", NODES)
def test_every_kind_of_node_is_drawn(name: str, options: dict[str, Any]) -> None:
    make, title = NODES[name]
    x = leaf(3)
    results = make(x)
    parsed = parse(ag.draw(results, {"x": x}, **options))
    assert any(title == line or title in line for lines in parsed.lines for line in lines)
    assert "x" in parsed.titles
    ag.flatten(results)[0].sum().backward(retain_graph=True)  # the graph is as it was
    parse(ag.draw(results, {"x": x}, **options))
    assert x.grad is not None
