"""Whole random programs, in which values are shared and fan out."""

from typing import Any

import numpy as np
from helpers import on_device, on_host
from hypothesis import given

import autograd as ag
from autograd.testing import check_gradients
from autograd.testing.strategies import programs


@given(programs())
def test_derivatives_are_those_of_finite_differences(made: Any) -> None:
    program, arrays = made
    check_gradients(program, *arrays)


@given(programs())
def test_the_ways_to_a_gradient_agree(made: Any) -> None:
    program, arrays = made
    arrays = [on_device(x) for x in arrays]

    def total(*xs: Any) -> Any:
        return sum((y * y).sum() for y in program(*xs))

    everything = tuple(range(len(arrays)))
    leaves = [ag.tensor(x, requires_grad=True) for x in arrays]
    total(*leaves).backward(retain_graph=True)
    expected = [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in leaves]
    for slopes in (
        ag.grad(total, everything)(*arrays),
        ag.grad(ag.checkpoint(total), everything)(*arrays),
        ag.vjp(total, *arrays)[1](1.0),
        ag.jacobian(total, everything)(*arrays),
    ):
        for slope, one in zip(slopes, expected, strict=True):
            np.testing.assert_allclose(on_host(slope), one, rtol=1e-10, atol=1e-12)


@given(programs())
def test_plain_arrays_run_them_too(made: Any) -> None:
    program, arrays = made
    arrays = [on_device(x) for x in arrays]
    for plain, y in zip(program(*arrays), program(*map(ag.Tensor, arrays)), strict=True):
        assert not isinstance(plain, ag.Tensor)
        np.testing.assert_array_equal(on_host(plain), y.numpy())
