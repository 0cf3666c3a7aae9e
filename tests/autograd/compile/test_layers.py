"""Compiled recurrent layers equal eager execution: outputs, states and all gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from compiled import (
    TOLERANCE,
    gradients_of,
    same,
)
from recurrences import EVERYTHING, KINDS, make_case, run

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.nn.recurrent import layer

dtypes = pytest.mark.parametrize("dtype", TOLERANCE)


all_kinds = pytest.mark.parametrize("kind", KINDS)


RAGGED_EVERYTHING = {**EVERYTHING, "lengths": [5, 0, 3]}


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "without biases": {"bias": False},
    "without states": {"states": False},
    "two layers": {"num_layers": 2},
    "both directions": {"bidirectional": True},
    "batch first": {"batch_first": True, "num_layers": 2},
    "without a batch": {"unbatched": True, "B": 1, "bidirectional": True},
    "lengths": {"lengths": [5, 0, 3], "bidirectional": True},
    "lengths, all equal": {"lengths": [4, 4, 4]},
    "dropout": {"num_layers": 3, "dropout": 0.5},
    "variational": {"num_layers": 2, "dropout": 0.5, "variational": True},
    "recurrent dropout": {"recurrent_dropout": 0.5},
    "zoneout": {"zoneout": 0.3, "lengths": [5, 0, 3]},
    "learned initial state": {"learn_initial_state": True, "states": False},
    "detach_every": {"detach_every": 2},
    "checkpoint": {"checkpoint": 2, "lengths": [5, 0, 3]},
    "checkpoint sqrt": {"checkpoint": "sqrt", "bidirectional": True},
    "memory budget": {"memory_budget": 40_000},
    "everything": RAGGED_EVERYTHING,
    "everything, checkpoint": RAGGED_EVERYTHING | {"checkpoint": 2},
    "everything, detach_every": RAGGED_EVERYTHING | {"detach_every": 2, "states": True},
}


Run = tuple[Any, list[Any], Any]


def evaluate(kind: str, dtype: str, training: bool = True, order: int = 1, **options: Any) -> Run:
    """Return the results of a layer, the gradients with respect to its input, states and weights,
    and the state of the random stream.
    """
    if kind == "minGRU":
        options.pop("recurrent_dropout", None)
    T = options.pop("T", 5)
    case = make_case(kind, T, **options)
    layer = case.layer.to(dtype).train(training)
    x, hx = ag.tree_map(lambda leaf: leaf.astype(dtype).requires_grad_(), (case.x, case.hx))
    ag.manual_seed(0)
    out = run(case._replace(x=x, hx=hx))
    stream = ag.random.get_state()
    return out, gradients_of(out, [x, *ag.flatten(hx), *layer.parameters()], order), stream


def check_layer(kind: str, dtype: str = "float64", **options: Any) -> None:
    actual, expected = (evaluate(kind, dtype, compile=c, **options) for c in (None, False))
    same(actual[:2], expected[:2], TOLERANCE[dtype])
    assert actual[2] == expected[2]


@dtypes
@all_kinds
@pytest.mark.parametrize("training", [True, False])
def test_every_layer_with_everything(kind: str, dtype: str, training: bool) -> None:
    check_layer(kind, dtype, training=training, **RAGGED_EVERYTHING)


@dtypes
@pytest.mark.parametrize("kind", ["GRU", "reset before", "peephole"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_option(kind: str, dtype: str, options: dict[str, Any]) -> None:
    check_layer(kind, dtype, **options)


@dtypes
@all_kinds
@pytest.mark.parametrize(("T", "B"), [(1, 1), (2, 3), (3, 0), (1, 0), (50, 2)])
def test_every_length_and_batch(kind: str, dtype: str, T: int, B: int) -> None:
    check_layer(kind, dtype, T=T, B=B, seed=4)  # with states that are not nearly constant


@dtypes
def test_a_long_sequence(dtype: str) -> None:
    check_layer("GRU", dtype, T=1000, B=2)


@all_kinds
def test_second_derivatives_of_layers(kind: str) -> None:
    check_layer(kind, order=2, T=3, lengths=[3, 0, 2])


def test_second_derivatives_with_everything() -> None:
    for more in ({}, {"checkpoint": 2}, {"detach_every": 2}):
        check_layer("LSTM", order=2, T=4, **RAGGED_EVERYTHING | {"lengths": [4, 0, 3]} | more)


@contextmanager
def explanations() -> Iterator[list[Any]]:
    """Collect the explanations of the scans that layers execute inside the block."""
    seen: list[Any] = []

    def spy(*arguments: Any, **options: Any) -> Any:
        seen.append(ag.explain(*arguments, **options))
        return ag.scan(*arguments, **options)

    with mock.patch.object(layer, "scan", spy):
        yield seen


@pytest.mark.host
@all_kinds
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_layer_and_option_compiles(kind: str, options: dict[str, Any]) -> None:
    with explanations() as seen:
        evaluate(kind, "float32", **options)
    cells = options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
    assert [plan.why for plan in seen] == [""] * cells
    assert all(plan.compiled and str(plan) for plan in seen)


def test_a_scan_does_not_change_the_attributes_of_cells() -> None:
    case = make_case("LSTM", recurrent_dropout=0.5, zoneout=0.1)
    before = [dict(vars(module)) for module in case.layer.modules()]
    run(case)
    after = [dict(vars(module)) for module in case.layer.modules()]
    assert [{n: id(v) for n, v in d.items()} for d in before] == [
        {n: id(v) for n, v in d.items()} for d in after
    ]


def test_representations_of_layers_contain_the_compile_option() -> None:
    assert "compile" not in repr(nn.LSTM(2, 3))
    assert "compile=False" in repr(nn.LSTM(2, 3, compile=False))
    assert "compile=True" in repr(nn.Recurrent(nn.GRUCell(2, 3), compile=True))
