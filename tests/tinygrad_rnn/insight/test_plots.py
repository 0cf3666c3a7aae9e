"""Plots and HTML pages of `insight`."""

import io
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from insights import H, I, capture_traces, last_output, values
from matplotlib.colors import to_rgb

import autograd as ag
from tinygrad_rnn import insight, nn, plotting

pytestmark = pytest.mark.host


def render(figure: Any) -> Any:
    """Render a figure, and return its axes."""
    figure.savefig(io.BytesIO(), format="png")
    return figure.axes[0]


def test_curves_are_plotted_over_time() -> None:
    layer = nn.LSTM(I, H)
    flow = insight.gradient_flow(layer, values(9, 2, I), loss=last_output)["l0"]
    curves = {"LSTM": flow.norms(), "LSTM, c": flow.norms("c"), "dead": [1.0, 0, 1e-30, 0, np.inf]}
    axes = render(insight.draw_over_time(curves, title="a & b"))
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines) == ["LSTM", "LSTM, c", "dead", "dead: exactly 0", "dead: not finite"]
    for name in ("LSTM", "LSTM, c"):
        assert lines[name].get_xdata().tolist() == list(range(9))
        np.testing.assert_array_equal(lines[name].get_ydata(), curves[name])
    np.testing.assert_array_equal(lines["dead"].get_ydata(), [1, np.nan, 1e-30, np.nan, np.nan])
    zeros = lines["dead: exactly 0"]
    assert zeros.get_xdata().tolist() == [1, 3]
    heights = zeros.get_transform().transform(zeros.get_xydata())[:, 1]
    np.testing.assert_allclose(heights, axes.bbox.y0)
    assert lines["dead: not finite"].get_xdata().tolist() == [4]
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[0] <= 1e-30
    assert (axes.get_xlabel(), axes.get_title()) == ("time step", "a & b")
    assert "gradient" in axes.get_ylabel()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(lines)
    styles = {(line.get_color(), line.get_linestyle()) for line in axes.get_lines()[:3]}
    assert len(styles) == 3
    assert len({color for color, _ in styles}) == len({dash for _, dash in styles}) == 3


def test_plots_can_share_a_figure() -> None:
    figure, (left, right) = plotting.subplots(1, 2)
    assert insight.draw_over_time({"a": [1.0, 2.0]}, axes=left) is figure
    assert insight.draw_over_text(np.ones((2, 3)), "ab", "f", axes=right) is figure
    render(figure)
    assert left.get_lines()[0].get_ydata().tolist() == [1, 2]
    assert right.get_images()[0].get_array().shape == (3, 2)


@pytest.mark.filterwarnings("error:No artists")
@pytest.mark.parametrize(
    ("curves", "expected"),
    [
        (np.array([1.0, 2.0, 0.0]), {"": [1, 2, np.nan]}),
        ([1, 2, 4], {"": [1, 2, 4]}),
        (ag.tensor([1.0, 2.0, 4.0]), {"": [1, 2, 4]}),
        (np.array([[1.0, 5.0], [2.0, 6.0]]), {"sequence 0": [1, 2], "sequence 1": [5, 6]}),
        (ag.tensor([[1.0], [2.0]]), {"sequence 0": [1, 2]}),
        (np.ones(0), {"": []}),
    ],
)
def test_arrays_are_plotted_without_names(curves: Any, expected: dict[str, Any]) -> None:
    axes = render(insight.draw_over_time(curves))
    lines = [line for line in axes.get_lines() if line.get_marker() != "x"]
    assert len(lines) == len(expected)
    for line, (name, shown) in zip(lines, expected.items(), strict=True):
        assert line.get_label() == name or (not name and line.get_label().startswith("_"))
        np.testing.assert_array_equal(line.get_ydata(), shown)
    crosses = [line.get_label() for line in axes.get_lines() if line not in lines]
    assert crosses == (["exactly 0"] if np.isnan([*lines[0].get_ydata()]).any() else [])
    named = [*filter(None, expected), *crosses]
    assert (axes.get_legend() is not None) == bool(named)


def test_results_of_memory_and_norms_can_be_plotted() -> None:
    layer = nn.LSTM(I, H)
    (trace,) = capture_traces(layer, values(5, 2, I).astype("float32"))
    assert len(render(insight.draw_over_time(insight.memory(trace))).get_lines()) == 2
    flow = insight.gradient_flow(layer, values(5, 2, I).astype("float32"), loss=last_output)["l0"]
    assert len(render(insight.draw_over_time(flow.norms())).get_lines()) == 1
    with pytest.raises(ValueError, match=r"must have the shape \(T,\)"):
        insight.draw_over_time(np.ones((2, 2, 2)))


def test_a_curve_of_zeros_can_be_plotted() -> None:
    axes = render(insight.draw_over_time({"z": np.zeros(4)}, xlabel="lag (steps)"))
    assert np.isnan(axes.get_lines()[0].get_ydata()).all()
    assert axes.get_xlabel() == "lag (steps)"


def test_gates_are_plotted_over_a_text() -> None:
    text = "a $b$\n_{x}\t\\"
    (trace,) = capture_traces(nn.LSTM(I, H), values(len(text), 1, I))
    for name, ends in (("f", (0, 1)), ("c", None)):
        figure = insight.draw_over_text(trace[name][:, 0], text, label=name)
        axes = render(figure)
        (image,) = axes.get_images()
        shown = trace[name].numpy()[:, 0]
        np.testing.assert_array_equal(image.get_array(), shown.T)
        limit = float(np.abs(shown).max())
        assert image.get_clim() == pytest.approx(ends or (-limit, limit))
        labels = [tick.get_text() for tick in axes.get_xticklabels()]
        assert labels == [*"a␣$b$↵_{x}⇥\\"]
        assert axes.get_xticks().tolist() == list(range(len(text)))
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("text", "unit")
        assert figure.axes[1].get_ylabel() == name
    words = render(insight.draw_over_text(np.zeros((2, 3)), ["the", r"$\no$"], "nothing"))
    assert [tick.get_text() for tick in words.get_xticklabels()] == ["the", r"$\no$"]


@pytest.mark.parametrize(("least", "scale"), [(0.5, (0, 1)), (-3, (-3, 3))])
def test_values_that_are_not_finite_do_not_affect_the_scale(
    least: float, scale: tuple[int, int]
) -> None:
    values = np.array([[np.nan, np.inf, least], [0.5, 1, 1]])
    figure = insight.draw_over_text(values, "ab", "f")
    assert figure.axes[0].images[0].get_clim() == scale


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: insight.draw_over_time({"f": np.ones((3, 2))}), r"'f' must .* got \(3, 2\)"),
        (lambda: insight.draw_over_text(np.ones((3, 1, 2)), "abc", "f"), r"got \(3, 1, 2\)"),
        (lambda: insight.draw_over_text(np.ones((3, 2)), "ab", "f"), "got 3 values for 2 symbols"),
        (
            lambda: insight.colored_text("ab", {"f": np.ones(3)}),
            "got 3 values for 2 symbols",
        ),
        (lambda: insight.colored_text("ab", {"f": np.ones((2, 2))}), r"got \(2, 2\)"),
    ],
)
def test_invalid_shapes_are_errors(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


class PageParser(HTMLParser):
    """Parser that checks the nesting of tags and collects the contents."""

    VOID = ("meta", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.rows: dict[str, list[tuple[str, str, str]]] = {}
        self.texts: dict[str, list[str]] = {}
        self.row = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "pre":
            self.row = dict(attributes)["class"]
            self.rows[self.row] = []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)
        if self.open[-1:] == ["span"]:
            attributes = self.tags[-1][1]
            self.rows[self.row].append((data, attributes["style"], attributes["title"]))


def test_colored_text_returns_a_complete_page() -> None:
    text = 'a<b> & "c"\n\'é</pre><script>'
    rows = {
        "up & <down>": np.linspace(-2, 2, len(text)),
        "zero": np.zeros(len(text)),
        "odd": [np.nan, np.inf, *np.ones(len(text) - 2)],
    }
    source = insight.colored_text(text, rows, title="<x> & y")
    page = PageParser(source)
    names = {tag for tag, _ in page.tags}
    assert names - {"html", "head", "meta", "title", "style", "body", "h1", "i"} == {
        *("input", "label", "pre", "span")
    }
    assert not any({"src", "href", "onclick"} & set(attributes) for _, attributes in page.tags)
    assert page.texts["h1"] == page.texts["title"] == ["<x> & y"]
    assert page.texts["label"] == list(rows)
    for n, row in enumerate(rows.values()):
        spans = page.rows[f"row{n}"]
        assert "".join(symbol for symbol, _, _ in spans) == text.replace("\n", "↵")
        for t, ((_, _, title), value) in enumerate(zip(spans, row, strict=True)):
            assert title.endswith(f" at {t}: {value:.4g}")
        assert f"#row{n}:checked ~ pre.row{n} {{ display: block }}" in source
    chosen = [attributes for tag, attributes in page.tags if tag == "input"]
    assert [("checked" in button, button["type"], button["name"]) for button in chosen] == [
        (n == 0, "radio", "row") for n in range(3)
    ]
    assert [button["id"] for button in chosen] == [
        attributes["for"] for tag, attributes in page.tags if tag == "label"
    ]


def test_words_are_escaped() -> None:
    words = ["<b>", "&lt;", "it's", "</span>"]
    spans = PageParser(insight.colored_text(words, {"f": np.ones(4)})).rows["row0"]
    assert [symbol for symbol, _, _ in spans] == words
    assert [title.rsplit(" at ", 1)[0] for _, _, title in spans] == words


def test_colors_encode_the_values() -> None:
    spans = PageParser(insight.colored_text("abcde", {"f": [-4, -2, 0, 2, 4]})).rows["row0"]
    colors = [to_rgb(style.removeprefix("background:")) for _, style, _ in spans]
    assert colors[2] == (1, 1, 1)
    luminance = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in colors]
    assert luminance[0] < luminance[1] < luminance[2] > luminance[3] > luminance[4]
    assert colors[0][2] > colors[0][0] > colors[0][1]  # violet
    assert colors[4][0] > colors[4][1] > colors[4][2]  # orange
    assert min(luminance) > 0.5  # black text is readable on it
    not_finite = PageParser(insight.colored_text("ab", {"f": [np.nan, 1]})).rows["row0"]
    assert "#bbbbbb" in not_finite[0][1]
    assert not_finite[1][1] != not_finite[0][1]
