"""Random programs, whose values are used several times."""

from typing import Any

import numpy as np
from helpers import on_device, on_host
from hypothesis import given

import autograd as ag
from autograd.testing import check_gradients
from autograd.testing.strategies import programs


@given(programs())
def test_derivatives_equal_finite_differences(program_and_arrays: Any) -> None:
    program, arrays = program_and_arrays
    check_gradients(program, *arrays)


@given(programs())
def test_all_transforms_agree_on_the_gradient(program_and_arrays: Any) -> None:
    program, arrays = program_and_arrays
    arrays = [on_device(x) for x in arrays]

    def total(*xs: Any) -> Any:
        return sum((y * y).sum() for y in program(*xs))

    argnums = tuple(range(len(arrays)))
    leaves = [ag.tensor(x, requires_grad=True) for x in arrays]
    total(*leaves).backward(retain_graph=True)
    expected = [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in leaves]
    for computed in (
        ag.grad(total, argnums)(*arrays),
        ag.grad(ag.checkpoint(total), argnums)(*arrays),
        ag.vjp(total, *arrays)[1](1.0),
        ag.jacobian(total, argnums)(*arrays),
    ):
        for gradient, reference in zip(computed, expected, strict=True):
            np.testing.assert_allclose(on_host(gradient), reference, rtol=1e-10, atol=1e-12)


@given(programs())
def test_programs_of_plain_arrays_give_the_same_values(program_and_arrays: Any) -> None:
    program, arrays = program_and_arrays
    arrays = [on_device(x) for x in arrays]
    for plain, y in zip(program(*arrays), program(*map(ag.Tensor, arrays)), strict=True):
        assert not isinstance(plain, ag.Tensor)
        np.testing.assert_array_equal(on_host(plain), y.numpy())
