"""In-place operators: memory, overlapping operands, and dtypes."""

import tracemalloc

import numpy as np
import pytest

import autograd as ag


@pytest.mark.host
@pytest.mark.parametrize("operator", ["__iadd__", "__isub__", "__imul__", "__itruediv__"])
def test_in_place_operators_allocate_no_memory(operator: str) -> None:
    a, b = np.random.default_rng(0).uniform(1, 2, (2, 20_000))
    t, other = ag.tensor(a), ag.tensor(b)
    expected = getattr(a.copy(), operator)(b)
    tracemalloc.start()
    try:
        assert getattr(t, operator)(other) is t
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000
    np.testing.assert_array_equal(t.numpy(), expected)


def test_operands_of_in_place_operators_may_overlap_or_be_lists() -> None:
    t = ag.arange(5.0)
    t += t[::-1]
    assert t.tolist() == [4, 4, 4, 4, 4]
    t[1:] *= t[:-1]
    assert t.tolist() == [4, 16, 16, 16, 16]
    t -= [1, 2, 3, 4, 5]
    assert t.tolist() == [3, 14, 13, 12, 11]
    integers = ag.arange(3)
    with pytest.raises(TypeError):
        integers += 0.5
    assert integers.tolist() == [0, 1, 2]
