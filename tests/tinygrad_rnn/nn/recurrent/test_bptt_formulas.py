"""Backpropagation through time: closed formulas against autodiff.

For an Elman network (Elman 1990)

    s_t = tanh(U x_t + W s_{t-1})      y_t = softmax(V s_t)      E = sum_t E_t = -sum_t log y_t[d_t]

with targets d_t, the chain rule gives sums over all pairs of times k <= t (Werbos 1990; Pascanu,
Mikolov & Bengio 2013):

    dE/dV = sum_t (dE_t/dz_t)^T s_t^T                   z_t = V s_t
    dE/dW = sum_t sum_{k<=t} dE_t/ds_t (prod_{j=k+1..t} ds_j/ds_{j-1}) d+s_k/dW

and dE/dU likewise. Here dE_t/dz_t = y_t - onehot(d_t), dE_t/ds_t = dE_t/dz_t V, ds_j/ds_{j-1} =
diag(1 - s_j^2) W, and d+s_k/dW is the immediate derivative, in which s_{k-1} is constant.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from tinygrad_rnn.nn.functional import cross_entropy


class Elman(NamedTuple):
    """Weights of an Elman network, and a sequence with targets."""

    U: np.ndarray  # (H, I)
    W: np.ndarray  # (H, H)
    V: np.ndarray  # (C, H)
    start: np.ndarray  # (H,), s_0
    inputs: np.ndarray  # (T, I), x_1 to x_T
    targets: np.ndarray  # (T,), integers below C


@st.composite
def networks(draw: st.DrawFn) -> Elman:
    I, H, C, T = (draw(st.integers(1, largest)) for largest in (4, 5, 4, 10))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Elman(
        U=rng.normal(size=(H, I)),
        W=rng.normal(size=(H, H)),
        V=rng.normal(size=(C, H)),
        start=rng.normal(size=H),
        inputs=rng.normal(size=(T, I)),
        targets=rng.integers(0, C, T),
    )


# Closed formulas in NumPy


def states(net: Elman) -> np.ndarray:
    """Return s_0 to s_T, of shape (T + 1, H)."""
    s = [net.start]
    for x in net.inputs:
        s.append(np.tanh(net.U @ x + net.W @ s[-1]))
    return np.array(s)


def softmax(scores: np.ndarray) -> np.ndarray:
    return np.exp(scores) / np.exp(scores).sum()


def step_jacobian(net: Elman, s: np.ndarray) -> np.ndarray:
    """ds_j/ds_{j-1} = diag(1 - s_j^2) W, as (H, H)."""
    return np.diag(1 - s**2) @ net.W


def immediate(s: np.ndarray, v: np.ndarray) -> np.ndarray:
    """ds+/dM for s = tanh(M v + ...): ds[i]/dM[i, j] = (1 - s[i]^2) v[j], as (H, H, len(v))."""
    return np.einsum("ia,j->iaj", np.diag(1 - s**2), v)


def closed_gradients(net: Elman, first: Callable[[int], int] = lambda t: 1) -> tuple[Any, Any, Any]:
    """dE/dU, dE/dW, dE/dV as sums over t and k, with k from `first(t)` on."""
    s, x = states(net), [None, *net.inputs]
    dU, dW, dV = np.zeros_like(net.U), np.zeros_like(net.W), np.zeros_like(net.V)
    for t in range(1, len(s)):
        error = softmax(net.V @ s[t]) - np.eye(len(net.V))[net.targets[t - 1]]  # dE_t/dz_t
        dV += np.outer(error, s[t])
        for k in range(first(t), t + 1):
            jacobians = [step_jacobian(net, s[j]) for j in range(t, k, -1)]
            ds_t_ds_k = reduce(np.matmul, jacobians, np.eye(len(net.W)))
            dE_t_ds_k = error @ net.V @ ds_t_ds_k
            dW += np.tensordot(dE_t_ds_k, immediate(s[k], s[k - 1]), 1)
            dU += np.tensordot(dE_t_ds_k, immediate(s[k], x[k]), 1)
    return dU, dW, dV


# The network in the engine, as a loop and as a scan


def energy_by_loop(U: Any, W: Any, V: Any, net: Elman, detach_every: int | None = None) -> Any:
    s, energy = ag.tensor(net.start), 0.0
    for t, (x, target) in enumerate(zip(ag.tensor(net.inputs), net.targets, strict=True)):
        if detach_every and t % detach_every == 0:
            s = s.detach()
        s = ag.tanh(U @ x + W @ s)
        energy = energy - ag.log_softmax(V @ s)[target]
    return energy


def energy_by_scan(U: Any, W: Any, V: Any, net: Elman, detach_every: int | None = None) -> Any:
    def step(s: Any, x: Any) -> tuple[Any, Any]:
        s = ag.tanh(U @ x + W @ s)
        return s, V @ s

    _, scores = ag.scan(
        step, ag.tensor(net.start), ag.tensor(net.inputs), detach_every=detach_every
    )
    return cross_entropy(scores, net.targets, reduction="sum")


both_implementations = pytest.mark.parametrize("energy", [energy_by_loop, energy_by_scan])


def assert_equal(gradients: Any, closed: Any) -> None:
    for gradient, expected in zip(gradients, closed, strict=True):
        np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-10, atol=1e-10)


@both_implementations
@given(net=networks())
def test_gradients_are_the_sums_of_products_of_jacobians(
    energy: Callable[..., Any], net: Elman
) -> None:
    gradients = ag.grad(energy, argnums=(0, 1, 2))(*map(ag.tensor, (net.U, net.W, net.V)), net)
    assert_equal(gradients, closed_gradients(net))


@both_implementations
@given(net=networks(), window=st.integers(1, 12))
def test_detaching_truncates_the_sums(energy: Callable[..., Any], net: Elman, window: int) -> None:
    """The state is detached before steps 1, 1 + window, ...: only k in the window of t remain."""
    gradients = ag.grad(energy, argnums=(0, 1, 2))(
        *map(ag.tensor, (net.U, net.W, net.V)), net, window
    )
    assert_equal(gradients, closed_gradients(net, lambda t: (t - 1) // window * window + 1))


# A linear network s_t = W s_{t-1}, whose product of Jacobians is a power of W


def linear_run(W: np.ndarray, start: Any, steps: int) -> Any:
    W = ag.tensor(W)
    end, _ = ag.scan(lambda s, _: (W @ s, None), start, None, length=steps)
    return end


@given(net=networks(), steps=st.integers(1, 10))
def test_a_linear_networks_jacobian_is_a_power_of_its_matrix(net: Elman, steps: int) -> None:
    rows = [
        ag.grad(lambda s_0, i=i: linear_run(net.W, s_0, steps)[i])(ag.tensor(net.start)).numpy()
        for i in range(len(net.start))
    ]
    np.testing.assert_allclose(rows, np.linalg.matrix_power(net.W, steps), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_gradients_vanish_or_explode_as_a_power(scale: float) -> None:
    """With W = scale * rotation, 100 steps multiply the norm of a gradient by scale^100."""
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    weights = ag.tensor([1.0, -2.0, 3.0, -4.0], dtype=float)
    gradient = ag.grad(lambda s_0: (linear_run(scale * rotation, s_0, 100) * weights).sum())(
        ag.ones(4, float)
    )
    expected = scale**100 * np.linalg.norm(weights.numpy())
    assert np.linalg.norm(gradient.numpy()) == pytest.approx(expected, rel=1e-10)
