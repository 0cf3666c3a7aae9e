"""Networks drawn from their graphs: the arrows are those of the code."""

import autograd as ag
from tinygrad_rnn.pictures import arrows, as_png, network, subplots


def test_arrows_lead_past_unnamed_results_and_stop_at_named_ones() -> None:
    a, b = (ag.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    h = ag.tanh(a * 2 + 1)
    y = (h + ag.exp(b)).sum()
    assert set(arrows(y, {"a": a, "b": b, "h": h, "y": y})) == {("a", "h"), ("h", "y"), ("b", "y")}
    assert set(arrows(y, {"a": a, "b": b, "y": y})) == {("a", "y"), ("b", "y")}


def test_arrows_of_an_unrolled_network_are_not_folded() -> None:
    states = [ag.tensor([1.0], requires_grad=True)]
    for _ in range(12):
        states.append(ag.tanh(states[-1]))
    named = {f"s{t}": state for t, state in enumerate(states)}
    assert set(arrows(states[-1], named)) == {(f"s{t}", f"s{t + 1}") for t in range(12)}


def test_what_is_detached_has_no_arrow() -> None:
    x = ag.tensor([1.0], requires_grad=True)
    h = ag.tanh(x)
    y = h.detach() * x
    assert arrows(y, {"x": x, "h": h, "y": y}) == [("x", "y")]


def test_a_network_is_drawn_with_a_box_for_each_name_and_a_line_for_each_arrow() -> None:
    figure, axes = subplots()
    network(axes, [["x1", "x2"], [None, "h2"]], [("x1", "h2"), ("x2", "h2")])
    texts = [text.get_text() for text in axes.texts]
    assert sorted(texts) == ["", "", "$h_{2}$", "$x_{1}$", "$x_{2}$"]
    assert as_png(figure).startswith(b"\x89PNG")
