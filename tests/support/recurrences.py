"""All recurrent cells with their equations in NumPy, and random layers of them.

A case has time-major inputs (T, B, I) and states (layers * directions, B, ...). `run` converts them
to the order of the layer and back.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import autograd as ag
from autograd.testing import check_gradients
from tinygrad_rnn import nn

EVERYTHING: dict[str, Any] = {
    "num_layers": 2,
    "bidirectional": True,
    "dropout": 0.5,
    "variational": True,
    "recurrent_dropout": 0.5,
    "zoneout": 0.5,
    "learn_initial_state": True,
}
"""All regularization options of a layer."""

# --- the equations, for one step of one sequence --------------------------------------------------

Weights = dict[str, Any]
States = tuple[np.ndarray, ...]


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def relu(a: np.ndarray) -> np.ndarray:
    return np.maximum(a, 0)


def from_input(w: Weights, x: np.ndarray) -> Any:
    return w["weight_ih"] @ x + w.get("bias_ih", 0)


def from_output(w: Weights, h: np.ndarray) -> Any:
    return w["weight_hh"] @ h + w.get("bias_hh", 0)


def projected(w: Weights, h: np.ndarray) -> np.ndarray:
    return w["weight_hr"] @ h if "weight_hr" in w else h


def rnn(phi: Callable[[Any], Any]) -> Any:
    def step(w: Weights, x: np.ndarray, h: np.ndarray) -> States:
        return (phi(from_input(w, x) + from_output(w, h)),)

    return step


def jordan(w: Weights, x: np.ndarray, y: np.ndarray) -> States:
    h = np.tanh(from_input(w, x) + from_output(w, y))
    return (w["weight_ho"] @ h + w.get("bias_ho", 0),)


def lstm(w: Weights, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> States:
    i, f, g, o = np.split(from_input(w, x) + from_output(w, h), 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return projected(w, sigmoid(o) * np.tanh(c)), c


def peephole(w: Weights, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> States:
    i, f, g, o = np.split(from_input(w, x) + from_output(w, h), 4)
    H = len(c)
    p = w["weight_ch"]
    new = sigmoid(f + p[H : 2 * H] * c) * c + sigmoid(i + p[:H] * c) * np.tanh(g)
    return projected(w, sigmoid(o + p[2 * H :] * new) * np.tanh(new)), new


def coupled(w: Weights, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> States:
    i, g, o = np.split(from_input(w, x) + from_output(w, h), 3)
    c = (1 - sigmoid(i)) * c + sigmoid(i) * np.tanh(g)
    return projected(w, sigmoid(o) * np.tanh(c)), c


def layer_norm_lstm(w: Weights, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> States:
    def norm(a: np.ndarray) -> np.ndarray:
        return (a - a.mean()) / np.sqrt(a.var() + 1e-5)

    gates = w["gain_ih"] * norm(w["weight_ih"] @ x) + w["gain_hh"] * norm(w["weight_hh"] @ h)
    i, f, g, o = np.split(gates + w.get("bias_ih", 0) + w.get("bias_hh", 0), 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    squashed = np.tanh(w["gain_ch"] * norm(c) + w.get("bias_ch", 0))
    return projected(w, sigmoid(o) * squashed), c


def gru(w: Weights, x: np.ndarray, h: np.ndarray) -> States:
    r, z, n = np.split(from_input(w, x), 3)
    hr, hz, hn = np.split(from_output(w, h), 3)
    z = sigmoid(z + hz)
    return ((1 - z) * np.tanh(n + sigmoid(r + hr) * hn) + z * h,)


def gru_reset_before(w: Weights, x: np.ndarray, h: np.ndarray) -> States:
    r, z, n = np.split(from_input(w, x), 3)
    hr, hz, _ = np.split(from_output(w, h), 3)
    _, _, hn = np.split(from_output(w, sigmoid(r + hr) * h), 3)
    z = sigmoid(z + hz)
    return ((1 - z) * np.tanh(n + hn) + z * h,)


def mgu(w: Weights, x: np.ndarray, h: np.ndarray) -> States:
    f, n = np.split(from_input(w, x), 2)
    f = sigmoid(f + np.split(from_output(w, h), 2)[0])
    return ((1 - f) * h + f * np.tanh(n + np.split(from_output(w, f * h), 2)[1]),)


def min_gru(w: Weights, x: np.ndarray, h: np.ndarray) -> States:
    z, n = np.split(from_input(w, x), 2)
    return ((1 - sigmoid(z)) * h + sigmoid(z) * n,)


class Kind(NamedTuple):
    """Constructor of a cell, equations of one step, and constructor options."""

    make: Callable[..., nn.Cell]
    step: Callable[..., States]
    options: dict[str, Any]


KINDS = {
    "tanh": Kind(nn.RNNCell, rnn(np.tanh), {}),
    "sigmoid": Kind(nn.RNNCell, rnn(sigmoid), {"nonlinearity": "sigmoid"}),
    "relu": Kind(nn.RNNCell, rnn(relu), {"nonlinearity": "relu"}),
    "IRNN": Kind(nn.IRNNCell, rnn(relu), {}),
    "Jordan": Kind(nn.JordanRNNCell, jordan, {"output_size": 3}),
    "LSTM": Kind(nn.LSTMCell, lstm, {}),
    "projected": Kind(nn.LSTMCell, lstm, {"proj_size": 1}),
    "peephole": Kind(nn.PeepholeLSTMCell, peephole, {}),
    "coupled": Kind(nn.CoupledLSTMCell, coupled, {}),
    "layer norm": Kind(nn.LayerNormLSTMCell, layer_norm_lstm, {}),
    "GRU": Kind(nn.GRUCell, gru, {}),
    "reset before": Kind(nn.GRUCell, gru_reset_before, {"reset_after": False}),
    "MGU": Kind(nn.MGUCell, mgu, {}),
    "minGRU": Kind(nn.MinGRUCell, min_gru, {}),
}
SMOOTH = sorted(KINDS.keys() - {"relu", "IRNN", "layer norm"})
"""Kinds suitable for finite differences: relu and normalization have large curvature."""


# --- random layers --------------------------------------------------------------------------------


class Case(NamedTuple):
    """Layer with random weights, and the arguments of its call."""

    kind: str
    layer: nn.Recurrent
    x: ag.Tensor  # (T, B, I)
    hx: Any  # None, or a state, each leaf (layers * directions, B, ...)
    lengths: list[int] | None
    unbatched: bool


def make_case(
    kind: str = "LSTM",
    T: int = 4,
    B: int = 3,
    I: int = 2,
    H: int = 2,
    *,
    lengths: list[int] | None = None,
    states: bool = True,
    unbatched: bool = False,
    bias: bool = True,
    seed: int = 0,
    **options: Any,
) -> Case:
    """Return a float64 case; all parameters are random, including gains."""
    make, _, more = KINDS[kind]
    if kind == "projected":
        H += 1
    rng = np.random.default_rng(seed)
    cell = make(I, H, bias=bias, dtype="float64", **more)
    layer = nn.Recurrent(cell, **options)
    layer.load_state_dict(
        {name: rng.uniform(-1, 1, value.shape) for name, value in layer.named_parameters()}
    )
    cells = layer.num_layers * layer.directions
    hx = ag.tree_map(
        lambda leaf: ag.tensor(rng.normal(size=(cells, *leaf.shape))), cell.initial_state(B)
    )
    x = ag.tensor(rng.normal(size=(T, B, I)))
    return Case(kind, layer, x, hx if states else None, lengths, unbatched)


@st.composite
def random_cases(
    draw: st.DrawFn,
    most: int = 4,
    layers: int = 2,
    ragged: bool = False,
    kinds: Any = tuple(KINDS),
    **options: Any,
) -> Case:
    """Draw layers of all kinds with sizes up to `most`; with `ragged` all have lengths."""
    T, B, I, H = (draw(st.integers(1, most)) for _ in range(4))
    unbatched = not ragged and draw(st.booleans())
    B = 1 if unbatched else B
    lengths = st.lists(st.integers(0, T), min_size=B, max_size=B)
    return make_case(
        draw(st.sampled_from(kinds)),
        T,
        B,
        I,
        H,
        lengths=None if unbatched else draw(lengths if ragged else st.none() | lengths),
        states=draw(st.booleans()),
        unbatched=unbatched,
        seed=draw(st.integers(0, 2**32 - 1)),
        num_layers=draw(st.integers(1, layers)),
        bias=draw(st.booleans()),
        batch_first=draw(st.booleans()),
        bidirectional=draw(st.booleans()),
        **options,
    )


def run(case: Case) -> tuple[Any, Any]:
    """Return the outputs (T, B, directions * H) and the last states."""
    _, layer, x, hx, lengths, unbatched = case
    if unbatched:
        y, state = layer(x[:, 0], ag.tree_map(lambda leaf: leaf[:, 0], hx))
        return y[:, None], ag.tree_map(lambda leaf: leaf[:, None], state)
    if layer.batch_first:
        y, state = layer(x.swapaxes(0, 1), hx, lengths)
        return y.swapaxes(0, 1), state
    return layer(x, hx, lengths)  # type: ignore[no-any-return]


def expected(case: Case) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the result of `run` by the equations, one sequence at a time."""
    T, B, _ = case.x.shape
    layer, x = case.layer, case.x.numpy()
    start = [cell.initial_state(B) for cell in layer.cells]
    given = [ag.flatten(state) for state in start]
    if case.hx is not None:
        given = [[leaf[k] for leaf in ag.flatten(case.hx)] for k in range(len(given))]
    states = [[leaf.numpy().copy() for leaf in leaves] for leaves in given]  # of each cell
    outputs = np.zeros((T, B, layer.output_size))
    for b, n in enumerate(case.lengths or [T] * B):
        rows = x[:n, b]
        for k in range(0, len(states), layer.directions):
            columns = []
            for backward in range(layer.directions):
                weights = layer.cells[k + backward].state_dict()
                state = tuple(leaf[b] for leaf in states[k + backward])
                ys = np.zeros((n, len(state[0])))
                for t in reversed(range(n)) if backward else range(n):
                    state = KINDS[case.kind].step(weights, rows[t], *state)
                    ys[t] = state[0]
                for leaf, value in zip(states[k + backward], state, strict=True):
                    leaf[b] = value
                columns.append(ys)
            rows = np.concatenate(columns, axis=1)
        outputs[:n, b] = rows
    return outputs, [np.stack(leaves) for leaves in zip(*states, strict=True)]


def parameter_slots(layer: nn.Recurrent) -> list[tuple[nn.Module, str]]:
    """Return the module and attribute of each parameter, in order, for assigning other tensors."""
    members = layer._cell_members(nn.Module._direct_parameters)
    slots = [(module, name) for _, module, name, _ in members]
    return slots + [(layer, name) for name in vars(layer) if name.startswith("initial_")]


def check_parameters(model: nn.Module, f: Callable[[], Any]) -> None:
    """Check derivatives of `f()` by all parameters of the model against finite differences."""
    slots = [
        (module, name)
        for module in model.modules()
        for name, value in vars(module).items()
        if isinstance(value, nn.Parameter)
    ]
    assert len(slots) == len(list(model.parameters()))

    def with_parameters(*values: Any) -> Any:
        for (module, name), value in zip(slots, values, strict=True):
            setattr(module, name, value)
        return f()

    check_gradients(with_parameters, *(getattr(module, name) for module, name in slots))


# --- comparisons ----------------------------------------------------------------------------------


def sum_of_squares(*tensors: Any) -> Any:
    return sum((tensor * tensor).sum() for tensor in ag.flatten(tensors))


def assert_close(actual: Any, expected: Any, tolerance: float = 1e-10) -> None:
    """Check that |actual - expected| <= tolerance (1 + max|expected|) everywhere."""
    actual, expected = (
        np.asarray(t.numpy() if isinstance(t, ag.Tensor) else t) for t in (actual, expected)
    )
    assert actual.shape == expected.shape
    limit = tolerance * (1 + np.abs(expected).max(initial=0))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=limit)
