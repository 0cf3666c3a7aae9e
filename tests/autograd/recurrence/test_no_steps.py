"""A scan of no steps returns its carry, and ys with a first axis of length 0."""

from typing import Any

import numpy as np
import pytest

import autograd as ag
from tinygrad_rnn.nn.functional import dropout

B, N = 3, 2
OPTIONS: list[dict[str, Any]] = [
    {},
    {"reverse": True},
    {"lengths": [0] * B},
    {"checkpoint": 2},
    {"checkpoint": "sqrt", "reverse": True},
    {"memory_budget": 10_000},
    {"detach_every": 2},
    {"compile": False},
]


def step(carry: Any, x: Any) -> Any:
    h = ag.tanh(carry["h"] + 1 / x)
    return {"h": h}, (h, {"positive": h > 0, "wide": h[:, :1].astype("float64")}, None)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.filterwarnings("error")
def test_outputs_have_a_first_axis_of_length_0(options: dict[str, Any]) -> None:
    carry = {"h": ag.ones((B, N), requires_grad=True)}
    last, (h, y, nothing) = ag.scan(step, carry, ag.zeros((0, B, N)), **options)
    assert last["h"] is carry["h"]
    assert (h.shape, h.dtype) == ((0, B, N), np.float32)
    assert (y["positive"].shape, y["positive"].dtype) == ((0, B, N), bool)
    assert (y["wide"].shape, y["wide"].dtype) == ((0, B, 1), np.float64)
    assert nothing is None
    assert not h.requires_grad
    last["h"].sum().backward()
    assert carry["h"].grad.tolist() == np.ones((B, N)).tolist()  # type: ignore[union-attr]


def test_length_0_without_xs() -> None:
    carry = ag.ones(N)
    last, ys = ag.scan(lambda c, x: (c * 2, [c, x]), carry, None, length=0)
    assert last is carry
    assert ys[0].shape == (0, N)
    assert ys[1] is None


@pytest.mark.parametrize("reverse", [False, True])
def test_precompute_determines_the_input_of_the_step(reverse: bool) -> None:
    weight = ag.ones((N, 5))

    def project(xs: Any) -> Any:
        return {"z": xs[0] @ weight, "n": xs[1]}

    def add(c: Any, x: Any) -> Any:
        return c + x["z"] * x["n"], x["z"]

    xs = ag.zeros((0, B, N)), ag.zeros(0, dtype="int64")
    _, ys = ag.scan(add, ag.zeros((B, 5)), xs, precompute=project, reverse=reverse)
    assert ys.shape == (0, B, 5)


def test_outputs_that_are_numbers_or_integers() -> None:
    xs = np.zeros((0, B), np.int32)
    _, (count, index) = ag.scan(lambda c, x: (c, (1.5, x + 1)), ag.zeros(()), xs)
    assert count.shape == (0,)
    assert (index.shape, index.dtype) == ((0, B), np.int32)


@pytest.mark.parametrize(
    "draw", [lambda x: dropout(x, 0.5), lambda x: x + ag.random.default_generator.normal(N)]
)
def test_no_random_numbers_are_drawn(draw: Any) -> None:
    before = ag.random.get_state()
    ag.scan(lambda c, x: (draw(c), c), ag.ones(N), ag.zeros((0, N)))
    assert ag.random.get_state() == before


def test_an_outer_scan_may_contain_a_scan_of_no_steps() -> None:
    def outer(c: Any, x: Any) -> Any:
        c, ys = ag.scan(lambda c, x: (c * x, c + x), c, x[:0])
        return ag.tanh(c + x.sum(0)), ys

    c, ys = ag.scan(outer, ag.zeros(N), ag.ones((4, 3, N)))
    assert c.shape == (N,)
    assert ys.shape == (4, 0, N)


def test_the_form_of_the_result_is_checked() -> None:
    with pytest.raises(TypeError, match=r"must return a pair \(carry, y\), got \*"):
        ag.scan(lambda c, x: c, ag.ones(N), ag.zeros((0, N)))
    with pytest.raises(ValueError, match="nesting of its carry"):
        ag.scan(lambda c, x: ((c, c), x), ag.ones(N), ag.zeros((0, N)))
    with pytest.raises(ValueError, match="must be the batch axis of size 3, got"):
        ag.scan(lambda c, x: (c, c[0]), ag.ones((B, N)), ag.zeros((0, B)), lengths=[0] * B)
