"""Helpers of the tests of `insight`."""

from typing import Any

import numpy as np
from helpers import on_host

from tinygrad_rnn import insight, nn

T, B, I, H = 7, 3, 2, 4


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape)


def close(actual: Any, expected: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(on_host(actual), on_host(expected), tolerance, tolerance)


def last_output(returned: Any) -> Any:
    return returned[0][-1].sum()


def capture_traces(layer: nn.Module, *args: Any, **options: Any) -> list[insight.LayerTrace]:
    with insight.capture(layer) as traces:
        layer(*args, **options)
    return traces
