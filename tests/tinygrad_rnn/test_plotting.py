"""Charts and images show the given values; network diagrams show the recorded graph."""

from itertools import pairwise

import numpy as np
import pytest

import autograd as ag
from tinygrad_rnn.plotting import (
    draw_bars,
    draw_heat_map,
    draw_image,
    draw_network,
    find_links,
    safe_label,
    style,
    subplots,
    to_png,
)


def test_links_skip_unnamed_results_and_stop_at_named_ones() -> None:
    a, b = (ag.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    h = ag.tanh(a * 2 + 1)
    y = (h + ag.exp(b)).sum()
    assert set(find_links(y, {"a": a, "b": b, "h": h, "y": y})) == {
        ("a", "h"),
        ("h", "y"),
        ("b", "y"),
    }
    assert set(find_links(y, {"a": a, "b": b, "y": y})) == {("a", "y"), ("b", "y")}


def test_links_of_an_unrolled_network_are_not_folded() -> None:
    states = [ag.tensor([1.0], requires_grad=True)]
    for _ in range(12):
        states.append(ag.tanh(states[-1]))
    named = {f"s{t}": state for t, state in enumerate(states)}
    assert set(find_links(states[-1], named)) == {(f"s{t}", f"s{t + 1}") for t in range(12)}


def test_detached_tensors_have_no_link() -> None:
    x = ag.tensor([1.0], requires_grad=True)
    h = ag.tanh(x)
    y = h.detach() * x
    assert find_links(y, {"x": x, "h": h, "y": y}) == [("x", "y")]


def test_draw_network_draws_a_box_for_each_name_and_an_arrow_for_each_link() -> None:
    figure, axes = subplots()
    draw_network(axes, [["x1", "x2"], [None, "h2"]], [("x1", "h2"), ("x2", "h2")])
    texts = [text.get_text() for text in axes.texts]
    assert sorted(texts) == ["", "", "$h_{2}$", "$x_{1}$", "$x_{2}$"]
    assert to_png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("rotation", [0, 45])
def test_bars_of_a_group_are_side_by_side_above_their_name(rotation: float) -> None:
    _, axes = subplots()
    draw_bars(axes, {"a": [1, 2], "b": [3, np.nan], "c": [5, 6]}, ["left", "right"], rotation)
    middles = [[bar.get_x() + bar.get_width() / 2 for bar in group] for group in axes.containers]
    assert np.mean(middles, axis=0) == pytest.approx(axes.get_xticks())
    edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches)
    assert all(end < begin for (_, end), (begin, _) in pairwise(edges))
    heights = [[bar.get_height() for bar in group] for group in axes.containers]
    np.testing.assert_equal(heights, [[1, 2], [3, np.nan], [5, 6]])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["left", "right"]
    assert {text.get_rotation() for text in axes.get_xticklabels()} == {rotation}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "c"]


def test_heat_map_has_a_color_bar_and_names_if_given() -> None:
    table = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    figure, (plain, named) = subplots(1, 2)
    draw_heat_map(plain, table, vmin=-1)
    assert plain.images[0].get_clim() == (-1, 1)
    assert len(figure.axes) == 2
    draw_heat_map(named, table, "fraction", rows=["r", "s"], columns=["x", "y", "z"])
    assert named.images[0].get_clim() == (0, 1)
    np.testing.assert_array_equal(named.images[0].get_array(), table)
    assert [text.get_text() for text in named.get_yticklabels()] == ["r", "s"]
    assert [text.get_text() for text in named.get_xticklabels()] == ["x", "y", "z"]
    assert figure.axes[2].get_ylabel() == "fraction"


def test_images_keep_their_aspect_ratio_and_have_no_axes() -> None:
    figure, axes = subplots()
    with style():
        draw_image(axes, np.full((2, 3), 0.5), "gray")
    assert axes.get_aspect() == 1
    assert not axes.axison
    assert axes.images[0].get_clim() == (0, 1)
    assert axes.get_title() == "gray"
    assert to_png(figure).startswith(b"\x89PNG")


def test_safe_labels_replace_characters_that_the_font_lacks() -> None:
    assert safe_label("shū, été") == "shū, été"
    assert safe_label("a书") == "aU+4E66"


def test_safe_labels_are_not_formulas() -> None:
    figure, axes = subplots()
    for label in ("$a_{$", r"$\frac$", r"\$", "100 $"):
        title = axes.set_title(safe_label(label))
        assert title._preprocess_math(title.get_text()) == (label, False)
    assert to_png(figure)
