"""Explanations of compiled scans, and the warnings of scans that run eagerly."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from compiled import B, H, T, problem, values, weighted_problems
from helpers import in_thread

import autograd as ag
from autograd import compile as compiler
from autograd.compile import cache
from tinygrad_rnn import nn

rnn = weighted_problems(lambda W, h, x: (ag.tanh(h @ W + x), h))


@pytest.fixture(autouse=True)
def empty_caches() -> Iterator[None]:
    """Start without plans, and without warnings that were shown before."""
    with (
        mock.patch.object(cache, "plans", cache.Cache()),
        mock.patch.object(cache, "families", cache.Cache()),
        mock.patch.object(cache, "eager_codes", cache.Cache()),
        mock.patch.object(cache, "known_codes", cache.Cache()),
        mock.patch.object(compiler, "_warned", cache.Cache()),
    ):
        yield


def warnings_of(run: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    return [str(warning.message) for warning in caught]


def test_a_step_that_runs_eagerly_warns_once() -> None:
    def reads(W: Any, h: Any, x: Any) -> Any:
        return ag.tanh(h @ W) * h.max().item(), h

    make = weighted_problems(reads)
    with pytest.warns(UserWarning, match=r"runs .* eagerly: .*host.* compile=False") as caught:
        ag.scan(*make()[:3])
    assert caught[0].filename == __file__
    assert warnings_of(lambda: make().scan()) == []


def test_no_warning_if_eager_execution_is_requested_or_necessary() -> None:
    def reads(h: Any, x: Any) -> Any:
        return ag.tanh(h) * h.max().item(), h

    h, xs = values(B, H), values(T, B, H)
    assert warnings_of(lambda: ag.scan(reads, h, xs, compile=False)) == []
    assert warnings_of(lambda: ag.scan(reads, h, xs[:1])) == []
    assert warnings_of(lambda: ag.scan(lambda h, x: (h * x, h), h[:0], xs[:, :0])) == []
    with ag.detect_anomaly():
        assert warnings_of(lambda: ag.scan(reads, h, xs)) == []

    def inner(h: Any, x: Any) -> Any:
        return ag.scan(lambda c, r: (ag.tanh(c + r), c), h, ag.stack([x, x]))

    assert warnings_of(lambda: ag.scan(inner, h, xs)) == []

    def fails(h: Any, x: Any) -> Any:
        raise KeyError("custom")

    def failing() -> None:
        with pytest.raises(KeyError) as caught:
            ag.scan(fails, h, xs)
        assert caught.value.__context__ is None

    # In a new thread: tests that interrupt generators leave an exception in the context of this.
    assert warnings_of(lambda: in_thread(failing)) == []


def test_an_explanation_shows_the_sections_of_the_program() -> None:
    W = values(H, H)
    instance = problem(lambda h, x: (ag.tanh(h @ W + ag.sin(x @ W.T)), ag.cos(h)), W)
    text = str(instance.explain())
    before, rest = text.split("forward, at every step")
    stepwise, after = rest.split("forward, for all steps of a chunk at once, after its loop")
    assert "sin" in before
    assert "tanh" in stepwise
    assert "sin" not in stepwise
    assert "cos" in after
    assert "residuals: " in after
    assert "history" in after
    assert "backward, from the last step" in after
    with ag.no_grad():
        assert "backward, from the last step" not in str(instance.explain())


def test_an_explanation_leaves_the_random_stream_unchanged() -> None:
    instance = weighted_problems(lambda W, h, x: (nn.functional.dropout(h, 0.5) @ W + x, h))()
    before = ag.random.get_state()
    explanation = instance.explain()
    assert len(repr(explanation).splitlines()) == len(str(explanation).splitlines()) == 1
    assert ag.random.get_state() == before
