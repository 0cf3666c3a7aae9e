"""Gradient flow and memory, compared with closed formulas and manual loops."""

from typing import Any

import numpy as np
import pytest
from helpers import on_host
from insights import B, H, I, T, capture_traces, close, last_output, values

import autograd as ag
from tinygrad_rnn import insight, nn


class LinearCell(nn.Cell):
    """Linear cell h' = W h + x."""

    def precompute(self, xs: Any) -> Any:
        return xs

    def step(self, h: Any, x: Any) -> Any:
        h = self.recurrent(h) + x
        return h, h


class ConstantGatesCell(nn.LSTMCell):
    """LSTM cell with gates that are constants in the backward pass."""

    def step(self, state: Any, x: Any) -> Any:
        h, c = state
        gates = ag.split(x + self.recurrent(h), 4, axis=-1)
        i, f, g, o = (ag.sigmoid(gate).detach() for gate in gates)
        c = f * c + i * g
        h = o * ag.tanh(c)
        return (h, c), h


def test_gradient_flow_of_a_linear_network_equals_matrix_powers() -> None:
    """For E = v h_T, dE/dh_t is (W^T)^(T - t) v."""
    layer = nn.Recurrent(LinearCell(H, H, dtype="float64"))
    W, v = on_host(layer.weight_hh_l0), values(H)

    def loss(returned: Any) -> Any:
        return (returned[0][-1] * ag.tensor(v)).sum()

    flow = insight.gradient_flow(layer, values(T, B, H), loss=loss)["l0"]
    expected = [np.linalg.matrix_power(W.T, T - 1 - t) @ v for t in range(T)]
    close(flow.gradients["h"], np.repeat(np.array(expected)[:, None], B, 1))
    norms = np.linalg.norm(expected, axis=1)
    close(flow.per_sequence(), np.repeat(norms[:, None], B, 1))
    close(flow.norms(), norms * np.sqrt(B))
    (trace,) = capture_traces(layer, values(T, B, H))
    powers = [np.linalg.matrix_power(W, lag) for lag in range(T + 1)]
    close(insight.jacobian(trace), np.repeat(np.array(powers)[:, None], B, 1))


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e-30, 1e160, 1e300])
def test_norms_of_vanishing_and_exploding_gradients_are_exact(size: float) -> None:
    flow = insight.Flow({"h": np.full((2, 3, 4), size), "c": np.full((2, 3, 5), -size)})
    np.testing.assert_allclose(flow.per_sequence(), np.full((2, 3), 3 * size))
    np.testing.assert_allclose(flow.norms("h"), np.full(2, np.sqrt(12) * size))
    assert not insight.Flow({"h": np.zeros((1, 2, 3))}).norms().any()
    assert np.isinf(insight.Flow({"h": np.full((1, 1, 1), np.inf)}).norms()).all()


@pytest.mark.parametrize("rho", [0.5, 1.0, 1.5])
def test_gradients_of_an_orthogonal_network_grow_by_a_constant_factor(rho: float) -> None:
    """The factor is rho over 200 steps, to rounding."""
    layer = nn.Recurrent(LinearCell(H, H, dtype="float64"))
    nn.init.orthogonal_(layer.weight_hh_l0, gain=rho)
    flow = insight.gradient_flow(layer, values(200, 1, H), loss=last_output)["l0"]
    close(np.diff(np.log(flow.norms()[::-1])), np.full(199, np.log(rho)))
    (trace,) = capture_traces(layer, values(20, 1, H))
    close(np.log(insight.memory(trace)[:, 0]), np.log(rho) * np.arange(21))


def test_squares_of_small_gradients_do_not_underflow() -> None:
    layer = nn.Recurrent(LinearCell(1, 1, dtype="float32"))
    nn.init.constant_(layer.weight_hh_l0, 1e-3)
    x = values(12, 1, 1).astype(np.float32)
    flow = insight.gradient_flow(layer, x, loss=last_output)["l0"]
    close(flow.norms() * 10.0 ** np.arange(33, -1, -3), np.ones(12), 1e-5)


@pytest.mark.parametrize("cell", [nn.LSTMCell, ConstantGatesCell])
def test_the_jacobian_of_c_with_constant_gates_is_the_product_of_forget_gates(cell: Any) -> None:
    layer = nn.Recurrent(cell(I, H, dtype="float64"))
    if cell is nn.LSTMCell:  # the gates depend on the input only
        nn.init.zeros_(layer.weight_hh_l0)
    (trace,) = capture_traces(layer, values(T, B, I))
    f = on_host(trace["f"])
    jacobian = insight.jacobian(trace, "c", "c")
    assert jacobian.shape == (T + 1, B, H, H)
    for lag in range(T + 1):
        product = f[T - lag :].prod(axis=0)
        close(jacobian[lag], product[:, :, None] * np.eye(H), 1e-10)
        close(insight.memory(trace, "c", "c")[lag], product.max(-1), 1e-10)


def run_cell(cell: Any, x: np.ndarray) -> tuple[list[Any], list[Any]]:
    """Return the h and c of an LSTM cell at each step."""
    state, hs, cs = cell.initial_state(B), [], []
    for x_t in ag.tensor(x):
        state = cell(x_t, state)
        hs.append(state[0])
        cs.append(state[1])
    return hs, cs


def test_gradient_flow_equals_gradients_of_a_manual_loop() -> None:
    layer, x = nn.LSTM(I, H, dtype="float64"), values(T, B, I)
    hs, cs = run_cell(layer.cells[0], x)
    error = sum((h**2).sum() for h in hs) + cs[-1].sum()
    expected = [on_host(g) for g in ag.gradients(error, [*hs, *cs])]

    def loss(returned: Any) -> Any:
        return (returned[0] ** 2).sum() + returned[1][1].sum()

    flow = insight.gradient_flow(layer, x, loss=loss)["l0"]
    close(flow.gradients["h"], np.stack(expected[:T]))
    close(flow.gradients["c"], np.stack(expected[T:]))
    norms = np.array([np.linalg.norm(gradient) for gradient in expected])
    close(flow.norms(), np.hypot(norms[:T], norms[T:]))
    close(flow.norms("c"), norms[T:])
    with insight.capture(layer) as traces:
        error = loss(layer(x))
    close(traces[0].gradient(error, "c"), np.stack(expected[T:]))
    first, *_ = ag.gradients(error, traces[0].per_step("h"), retain_graph=True)
    close(first, expected[0])
    error.backward()  # the graph was kept
    assert all(p.grad is not None for p in layer.parameters())


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU, nn.PeepholeLSTM])
def test_memory_equals_the_jacobian_with_respect_to_the_initial_state(make: Any) -> None:
    layer, x = make(I, H, dtype="float64"), values(T, 1, I)
    (trace,) = capture_traces(layer, x)
    start = [ag.zeros((H,), dtype="float64")] * len(trace.state_names)

    def last(*parts: Any) -> Any:
        hx = tuple(part.reshape(1, 1, H) for part in parts)
        leaves = ag.flatten(layer(x, hx if len(hx) > 1 else hx[0])[1])
        return ag.concatenate([leaf.reshape(-1) for leaf in leaves])

    blocks = ag.jacobian(last, argnums=tuple(range(len(start))))(*start)
    expected = np.concatenate([on_host(block) for block in blocks], axis=-1)
    jacobian = insight.jacobian(trace)
    close(jacobian[T, 0], expected)
    close(jacobian[0, 0], np.eye(len(start) * H))
    close(insight.memory(trace)[T, 0], np.linalg.svd(expected)[1][0])


def test_detach_every_and_checkpointing() -> None:
    x = values(T, B, I)
    detached, full = nn.GRU(I, H, detach_every=3, dtype="float64"), nn.GRU(I, H, dtype="float64")
    detached.load_state_dict(full.state_dict())
    norms, expected = (
        insight.gradient_flow(g, x, loss=last_output)["l0"].norms() for g in (detached, full)
    )
    close(norms[6], expected[6])
    assert not norms[:6].any()
    assert expected.all()
    for option in ({"checkpoint": 2}, {"checkpoint": "sqrt"}, {"memory_budget": 2000}):
        checkpointed = nn.GRU(I, H, dtype="float64", **option)
        checkpointed.load_state_dict(full.state_dict())
        close(insight.gradient_flow(checkpointed, x, loss=last_output)["l0"].norms(), expected)


class RecomputingModel(nn.Module):
    """Model that calls a layer inside checkpointed functions and steps."""

    def __init__(self) -> None:
        self.layer = nn.GRU(I, H, dtype="float64")

    def forward(self, x: Any) -> Any:
        def step(h: Any, _: Any) -> Any:
            return self.layer(x, h)[1], h

        h = ag.checkpoint(lambda x: self.layer(x)[1])(x)
        return ag.scan(step, h, None, length=3, checkpoint=1)[0]


def test_checkpointing_is_disabled_while_capturing() -> None:
    model, x = RecomputingModel(), values(T, B, I)
    repeated = np.concatenate([x] * 4)
    expected = insight.gradient_flow(model.layer, repeated, loss=last_output)["l0"].norms()
    flows = insight.gradient_flow(model, x, loss=lambda h: h.sum())
    close(np.concatenate([flow.norms() for flow in flows.values()]), expected)
    with insight.capture(model) as traces:
        model(ag.tensor(x, requires_grad=True)).sum().backward()
    assert len(traces) == 4
