"""Outputs of a ragged batch keep their dtype and must have a batch axis."""

from typing import Any

import numpy as np
import pytest

import autograd as ag

T, B, N = 4, 3, 2
LENGTHS = [[4, 4, 4], [4, 1, 0], [0, 0, 0]]
OPTIONS: list[dict[str, Any]] = [{}, {"reverse": True}, {"compile": False}, {"checkpoint": 2}]


@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "int64", "float16", "float64"])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_outputs_keep_their_dtype(options: dict[str, Any], lengths: list[int], dtype: str) -> None:
    def step(carry: Any, x: Any) -> Any:
        return carry + x, {"y": (x > 0).astype(dtype)}

    xs = ag.ones((T, B, N))
    last, ys = ag.scan(step, ag.zeros((B, N)), xs, lengths=lengths, **options)
    assert (ys["y"].dtype, last.dtype) == (dtype, np.float32)
    running = np.arange(T)[:, None] < np.array(lengths)
    np.testing.assert_array_equal(ys["y"].numpy()[:, :, 0], running.astype(dtype))


def total(h: Any) -> Any:
    return h.sum()


def features(h: Any) -> Any:
    return h[0]


def constant(h: Any) -> Any:
    return 1.0


@pytest.mark.parametrize("output", [total, features, constant])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.filterwarnings("error")
def test_outputs_without_a_batch_axis_are_errors(
    options: dict[str, Any], lengths: list[int], output: Any
) -> None:
    def step(carry: Any, x: Any) -> Any:
        return carry + x, (carry, output(carry))

    with pytest.raises(ValueError, match="each output of the step must be the batch axis of size"):
        ag.scan(step, ag.zeros((B, N)), ag.ones((T, B, N)), lengths=lengths, **options)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_inputs_without_a_batch_axis_are_shared(options: dict[str, Any]) -> None:
    xs = (ag.ones((T, B, N)), ag.arange(float(T)))
    last, _ = ag.scan(
        lambda c, x: (c + x[0] * x[1], c), ag.zeros((B, N)), xs, lengths=[4, 2, 0], **options
    )
    assert last[:, 0].tolist() == [6, 1, 0]
