"""Gradient flow and memory are what they say: against closed formulas, and against loops written by
hand."""

from typing import Any

import numpy as np
import pytest
from helpers import on_host
from insights import B, H, I, T, close, last_output, values, watched

import autograd as ag
from tinygrad_rnn import insight, nn


class LinearCell(nn.Cell):
    """h' = W h + x"""

    def precompute(self, xs: Any) -> Any:
        return xs

    def step(self, h: Any, x: Any) -> Any:
        h = self.recurrent(h) + x
        return h, h


class HeldGatesCell(nn.LSTMCell):
    """An LSTM whose gates are numbers to gradients."""

    def step(self, state: Any, x: Any) -> Any:
        h, c = state
        gates = ag.split(x + self.recurrent(h), 4, axis=-1)
        i, f, g, o = (ag.sigmoid(gate).detach() for gate in gates)
        c = f * c + i * g
        h = o * ag.tanh(c)
        return (h, c), h


def test_the_flow_of_a_linear_network_is_that_of_powers() -> None:
    """E = v h_T: dE/dh_t = W'^(T - t) v."""
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
    (run,) = watched(layer, values(T, B, H))
    powers = [np.linalg.matrix_power(W, lag) for lag in range(T + 1)]
    close(insight.jacobian(run), np.repeat(np.array(powers)[:, None], B, 1))


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e-30, 1e160, 1e300])
def test_norms_of_vanishing_and_exploding_gradients_are_exact(size: float) -> None:
    flow = insight.Flow({"h": np.full((2, 3, 4), size), "c": np.full((2, 3, 5), -size)})
    np.testing.assert_allclose(flow.per_sequence(), np.full((2, 3), 3 * size))
    np.testing.assert_allclose(flow.norms("h"), np.full(2, np.sqrt(12) * size))
    assert not insight.Flow({"h": np.zeros((1, 2, 3))}).norms().any()
    assert np.isinf(insight.Flow({"h": np.full((1, 1, 1), np.inf)}).norms()).all()


@pytest.mark.parametrize("rho", [0.5, 1.0, 1.5])
def test_an_orthogonal_network_has_a_slope(rho: float) -> None:
    """On a logarithmic scale the slope is log rho, to the digits of the numbers, over 200 steps."""
    layer = nn.Recurrent(LinearCell(H, H, dtype="float64"))
    nn.init.orthogonal_(layer.weight_hh_l0, gain=rho)
    flow = insight.gradient_flow(layer, values(200, 1, H), loss=last_output)["l0"]
    close(np.diff(np.log(flow.norms()[::-1])), np.full(199, np.log(rho)))
    (run,) = watched(layer, values(20, 1, H))
    close(np.log(insight.memory(run)[:, 0]), np.log(rho) * np.arange(21))


def test_small_gradients_are_not_lost_in_their_squares() -> None:
    layer = nn.Recurrent(LinearCell(1, 1, dtype="float32"))
    nn.init.constant_(layer.weight_hh_l0, 1e-3)
    x = values(12, 1, 1).astype(np.float32)
    flow = insight.gradient_flow(layer, x, loss=last_output)["l0"]
    close(flow.norms() * 10.0 ** np.arange(33, -1, -3), np.ones(12), 1e-5)


@pytest.mark.parametrize("cell", [nn.LSTMCell, HeldGatesCell])
def test_an_lstm_with_held_gates_remembers_the_product_of_its_forget_gates(cell: Any) -> None:
    layer = nn.Recurrent(cell(I, H, dtype="float64"))
    if cell is nn.LSTMCell:  # its gates see the input only
        nn.init.zeros_(layer.weight_hh_l0)
    (run,) = watched(layer, values(T, B, I))
    f = on_host(run["f"])
    jacobian = insight.jacobian(run, "c", "c")
    assert jacobian.shape == (T + 1, B, H, H)
    for lag in range(T + 1):
        product = f[T - lag :].prod(axis=0)
        close(jacobian[lag], product[:, :, None] * np.eye(H), 1e-10)
        close(insight.memory(run, "c", "c")[lag], product.max(-1), 1e-10)


def by_hand(cell: Any, x: np.ndarray) -> tuple[list[Any], list[Any]]:
    """The h and c of an LSTM at each step, recorded."""
    state, hs, cs = cell.initial_state(B), [], []
    for x_t in ag.tensor(x):
        state = cell(x_t, state)
        hs.append(state[0])
        cs.append(state[1])
    return hs, cs


def test_flows_are_gradients_by_hand() -> None:
    layer, x = nn.LSTM(I, H, dtype="float64"), values(T, B, I)
    hs, cs = by_hand(layer.cells[0], x)
    error = sum((h**2).sum() for h in hs) + cs[-1].sum()
    slopes = [on_host(g) for g in ag.gradients(error, [*hs, *cs])]

    def loss(returned: Any) -> Any:
        return (returned[0] ** 2).sum() + returned[1][1].sum()

    flow = insight.gradient_flow(layer, x, loss=loss)["l0"]
    close(flow.gradients["h"], np.stack(slopes[:T]))
    close(flow.gradients["c"], np.stack(slopes[T:]))
    norms = np.array([np.linalg.norm(slope) for slope in slopes])
    close(flow.norms(), np.hypot(norms[:T], norms[T:]))
    close(flow.norms("c"), norms[T:])
    with insight.capture(layer) as runs:
        error = loss(layer(x))
    close(runs[0].gradient(error, "c"), np.stack(slopes[T:]))
    first, *_ = ag.gradients(error, runs[0].per_step("h"), retain_graph=True)
    close(first, slopes[0])
    error.backward()  # the graph is still there
    assert all(p.grad is not None for p in layer.parameters())


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU, nn.PeepholeLSTM])
def test_memory_is_the_derivative_by_the_initial_state(make: Any) -> None:
    layer, x = make(I, H, dtype="float64"), values(T, 1, I)
    (run,) = watched(layer, x)
    start = [ag.zeros((H,), dtype="float64")] * len(run.state_names)

    def last(*parts: Any) -> Any:
        hx = tuple(part.reshape(1, 1, H) for part in parts)
        leaves = ag.flatten(layer(x, hx if len(hx) > 1 else hx[0])[1])
        return ag.concatenate([leaf.reshape(-1) for leaf in leaves])

    blocks = ag.jacobian(last, argnums=tuple(range(len(start))))(*start)
    expected = np.concatenate([on_host(block) for block in blocks], axis=-1)
    jacobian = insight.jacobian(run)
    close(jacobian[T, 0], expected)
    close(jacobian[0, 0], np.eye(len(start) * H))
    close(insight.memory(run)[T, 0], np.linalg.svd(expected)[1][0])


def test_cuts_and_saved_memory() -> None:
    x = values(T, B, I)
    cut, whole = nn.GRU(I, H, detach_every=3, dtype="float64"), nn.GRU(I, H, dtype="float64")
    cut.load_state_dict(whole.state_dict())
    norms, wanted = (
        insight.gradient_flow(g, x, loss=last_output)["l0"].norms() for g in (cut, whole)
    )
    close(norms[6], wanted[6])
    assert not norms[:6].any()
    assert wanted.all()
    for option in ({"checkpoint": 2}, {"checkpoint": "sqrt"}, {"memory_budget": 2000}):
        saving = nn.GRU(I, H, dtype="float64", **option)
        saving.load_state_dict(whole.state_dict())
        close(insight.gradient_flow(saving, x, loss=last_output)["l0"].norms(), wanted)


class Forgetful(nn.Module):
    """A layer in a function, and in a step, that is executed again when backward arrives."""

    def __init__(self) -> None:
        self.layer = nn.GRU(I, H, dtype="float64")

    def forward(self, x: Any) -> Any:
        def step(h: Any, _: Any) -> Any:
            return self.layer(x, h)[1], h

        h = ag.checkpoint(lambda x: self.layer(x)[1])(x)
        return ag.scan(step, h, None, length=3, checkpoint=1)[0]


def test_what_a_model_forgets_is_kept_while_it_is_watched() -> None:
    model, x = Forgetful(), values(T, B, I)
    long = np.concatenate([x] * 4)
    expected = insight.gradient_flow(model.layer, long, loss=last_output)["l0"].norms()
    flows = insight.gradient_flow(model, x, loss=lambda h: h.sum())
    close(np.concatenate([flow.norms() for flow in flows.values()]), expected)
    with insight.capture(model) as runs:
        model(ag.tensor(x, requires_grad=True)).sum().backward()
    assert len(runs) == 4
