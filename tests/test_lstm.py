"""The LSTM: its equations, PyTorch's numbers, finite differences, traps of recurrent layers.

Tests speak of time-major batches, inputs (T, B, I) and states (layers * directions, B, H); `run`
brings them into the order that the layer wants, and back.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest
from helpers import with_rule
from hypothesis import example, given
from hypothesis import strategies as st
from reference.make_reference import Record, lstm_record, recorded

import autograd as ag
from autograd.testing import check_gradients
from tinygrad_rnn import nn


class Case(NamedTuple):
    """A layer with random weights, and what it is run on."""

    lstm: nn.LSTM
    x: ag.Tensor  # (T, B, I)
    hx: tuple[ag.Tensor, ag.Tensor] | None  # each (layers * directions, B, H)
    lengths: list[int] | None
    unbatched: bool


def make_case(
    T: int = 4,
    B: int = 3,
    I: int = 2,
    H: int = 2,
    *,
    lengths: list[int] | None = None,
    states: bool = True,
    unbatched: bool = False,
    seed: int = 0,
    **options: Any,
) -> Case:
    ag.manual_seed(seed)
    lstm = nn.LSTM(I, H, dtype="float64", **options)
    rng = np.random.default_rng(seed)
    x, h, c = (
        ag.tensor(rng.normal(size=size))
        for size in ((T, B, I), *2 * [(lstm.num_layers * lstm.directions, B, H)])
    )
    return Case(lstm, x, (h, c) if states else None, lengths, unbatched)


@st.composite
def cases(draw: st.DrawFn, most: int = 5, ragged: bool = False) -> Case:
    """Layers of all kinds, no size above `most`; with `ragged` all have lengths."""
    T, B, I, H = (draw(st.integers(1, most)) for _ in range(4))
    unbatched = not ragged and draw(st.booleans())
    B = 1 if unbatched else B
    lengths = st.lists(st.integers(0, T), min_size=B, max_size=B)
    return make_case(
        T,
        B,
        I,
        H,
        lengths=None if unbatched else draw(lengths if ragged else st.none() | lengths),
        states=draw(st.booleans()),
        unbatched=unbatched,
        seed=draw(st.integers(0, 2**32 - 1)),
        num_layers=draw(st.integers(1, 3)),
        bias=draw(st.booleans()),
        batch_first=draw(st.booleans()),
        bidirectional=draw(st.booleans()),
    )


def run(case: Case) -> tuple[Any, tuple[Any, Any]]:
    """The outputs (T, B, directions * H) and the last states."""
    lstm, x, hx, lengths, unbatched = case
    if unbatched:
        y, (h, c) = lstm(x[:, 0], hx and (hx[0][:, 0], hx[1][:, 0]))
        return y[:, None], (h[:, None], c[:, None])
    if lstm.batch_first:
        y, state = lstm(x.swapaxes(0, 1), hx, lengths)
        return y.swapaxes(0, 1), state
    return lstm(x, hx, lengths)  # type: ignore[no-any-return]


def sum_of_squares(*tensors: Any) -> Any:
    return sum((tensor * tensor).sum() for tensor in tensors)


def assert_close(ours: Any, theirs: Any, tolerance: float = 1e-10) -> None:
    """|a - b| <= tolerance (1 + max|b|), everywhere."""
    ours, theirs = (
        np.asarray(t.numpy() if isinstance(t, ag.Tensor) else t) for t in (ours, theirs)
    )
    assert ours.shape == theirs.shape
    limit = tolerance * (1 + np.abs(theirs).max(initial=0))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=limit)


# The equations, one step after another, in NumPy


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def one_sequence(
    lstm: nn.LSTM, x: np.ndarray, h_0: np.ndarray, c_0: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From x (n, I) and states (layers * directions, H) to y (n, directions * H), h_n, c_n."""
    weights, suffixes = lstm.state_dict(), ("", "_reverse")[: lstm.directions]
    h_n, c_n = h_0.copy(), c_0.copy()
    for layer in range(lstm.num_layers):
        columns = []
        for direction, suffix in enumerate(suffixes):
            W_i, W_h = (weights[f"weight_{of}_l{layer}{suffix}"] for of in ("ih", "hh"))
            b_i, b_h = (weights.get(f"bias_{of}_l{layer}{suffix}", 0) for of in ("ih", "hh"))
            k = layer * lstm.directions + direction
            h, c = h_0[k], c_0[k]
            y = np.zeros((len(x), lstm.hidden_size))
            for t in reversed(range(len(x))) if direction else range(len(x)):
                i, f, g, o = np.split(W_i @ x[t] + b_i + W_h @ h + b_h, 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                y[t] = h = sigmoid(o) * np.tanh(c)
            h_n[k], c_n[k] = h, c
            columns.append(y)
        x = np.concatenate(columns, axis=1)
    return x, h_n, c_n


@given(cases())
@example(make_case(T=1, B=1, I=1, H=1))
@example(make_case(lengths=[0, 0, 0], bidirectional=True))
def test_outputs_and_states_follow_the_equations(case: Case) -> None:
    """Each sequence on its own and cut to its length, perhaps 0."""
    y, state = run(case)
    T, B, _ = case.x.shape
    x, outputs = case.x.numpy(), np.zeros(y.shape)
    start = case.hx or (ag.zeros_like(state[0]), ag.zeros_like(state[1]))
    h, c = (leaf.numpy() for leaf in start)
    for b, n in enumerate(case.lengths or [T] * B):
        outputs[:n, b], h[:, b], c[:, b] = one_sequence(case.lstm, x[:n, b], h[:, b], c[:, b])
    assert_close(y, outputs)
    assert_close(state[0], h)
    assert_close(state[1], c)


# PyTorch's numbers


def assert_equals_pytorch(record: Record, dtype: str, tolerance: float) -> None:
    config, arrays = record
    lstm = nn.LSTM(**config, dtype=dtype)
    lstm.load_state_dict(
        {name.removeprefix("weight/"): a for name, a in arrays.items() if "weight/" in name}
    )
    leaves = {
        name: ag.tensor(arrays[name], requires_grad=True, dtype=dtype)
        for name in ("input", "h_0", "c_0")
        if name in arrays
    }
    hx = (leaves["h_0"], leaves["c_0"]) if "h_0" in leaves else None
    output, (h_n, c_n) = lstm(leaves["input"], hx, lengths=arrays.get("lengths"))
    sum_of_squares(output, h_n, c_n).backward()

    results = {"output": output, "h_n": h_n, "c_n": c_n}
    results |= {
        f"grad/{name}": leaf.grad for name, leaf in (leaves | dict(lstm.named_parameters())).items()
    }
    given = {"input", "lengths", "h_0", "c_0"} | {name for name in arrays if "weight/" in name}
    assert set(results) == set(arrays) - given
    for name, result in results.items():
        assert result.dtype == dtype
        assert_close(result, arrays[name], tolerance)


precisions = pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)]
)


@precisions
@pytest.mark.parametrize("record", recorded("lstm"))
def test_equals_what_pytorch_computed(record: Record, dtype: str, tolerance: float) -> None:
    assert_equals_pytorch(record, dtype, tolerance)


@precisions
@given(seed=st.integers(100, 2**32 - 1))
def test_equals_what_pytorch_computes(seed: int, dtype: str, tolerance: float) -> None:
    pytest.importorskip("torch").set_num_threads(1)
    assert_equals_pytorch(lstm_record(seed), dtype, tolerance)


def test_parameters_have_pytorchs_names_and_order() -> None:
    lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    shapes = {name: value.shape for name, value in lstm.named_parameters()}
    assert list(shapes.items()) == [
        (f"{kind}_l{layer}{suffix}", shape)
        for layer, width in ((0, 3), (1, 8))
        for suffix in ("", "_reverse")
        for kind, shape in (
            ("weight_ih", (16, width)),
            ("weight_hh", (16, 4)),
            ("bias_ih", (16,)),
            ("bias_hh", (16,)),
        )
    ]


# Finite differences


def set_weights(lstm: nn.LSTM, tensors: Any) -> None:
    """Any tensors in the places of the parameters, in their order."""
    left = iter(tensors)
    for cell in lstm.cells:
        for name, value in list(vars(cell).items()):
            if isinstance(value, ag.Tensor):
                setattr(cell, name, next(left))


def check_layer(case: Case) -> None:
    """First and second derivatives by input, states and weights, to 1e-6."""
    states = case.hx or ()

    def f(x: Any, *others: Any) -> Any:
        hx, weights = others[: len(states)] or None, others[len(states) :]
        set_weights(case.lstm, weights)
        return run(case._replace(x=x, hx=hx))

    check_gradients(f, case.x, *states, *case.lstm.parameters(), order=2, rtol=1e-6, atol=1e-6)


@given(cases(most=3))
def test_gradients_equal_finite_differences(case: Case) -> None:
    check_layer(case)


def constant(x: Any) -> Any:
    return x.detach() if isinstance(x, ag.Tensor) else x


BROKEN_RULES = {
    "tanh, sign": (ag.tanh, 0, lambda g, y: -g * (1 - y * y)),
    "tanh, forgotten square": (ag.tanh, 0, lambda g, y: g * (1 - y)),
    "tanh, first order only": (ag.tanh, 0, lambda g, y: g * (1 - constant(y) ** 2)),
    "sigmoid, factor": (ag.sigmoid, 0, lambda g, y: 2 * g * (y * (1 - y))),
    "multiply, forgotten factor": (ag.multiply, 0, lambda g, b: g),
    "linear, last row only": (ag.linear, 1, lambda g, x: g[-1, ..., None] * x[-1, ..., None, :]),
}


@pytest.mark.parametrize("broken", BROKEN_RULES.values(), ids=BROKEN_RULES)
def test_the_check_fails_on_a_broken_rule(
    broken: tuple[Any, int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    operation, argument, rule = broken
    check_layer(make_case(T=2, B=1))
    name = operation.primitive.arguments[argument]
    monkeypatch.setattr(operation.primitive, "pull", with_rule(operation, name, rule))
    with pytest.raises(AssertionError, match=r"order [12]"):
        check_layer(make_case(T=2, B=1))


# Ragged batches


def results_and_gradients(case: Case) -> list[Any]:
    """Outputs and last states; the gradients of their sum of squares by input and weights."""
    x = case.x.detach().requires_grad_()
    y, state = run(case._replace(x=x))
    inputs = [x, *case.lstm.parameters()]
    return [y, *state, *ag.gradients(sum_of_squares(y, *state), inputs)]


def padding(case: Case) -> np.ndarray:
    """Where x has no meaning: (T, B) booleans."""
    return np.arange(len(case.x))[:, None] >= np.array(case.lengths)


@given(cases(ragged=True), st.sampled_from([1e300, np.inf, np.nan]))
def test_padding_never_changes_a_result_or_a_gradient(case: Case, junk: float) -> None:
    x = np.where(padding(case)[..., None], junk, case.x.numpy())
    before, after = (
        results_and_gradients(case),
        results_and_gradients(case._replace(x=ag.tensor(x))),
    )
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(b.numpy(), a.numpy())


@given(cases(ragged=True))
def test_padding_has_no_output_and_no_gradient(case: Case) -> None:
    y, _, _, x_gradient, *_ = results_and_gradients(case)
    assert not y.numpy()[padding(case)].any()
    assert not x_gradient.numpy()[padding(case)].any()


@given(cases(ragged=True))
def test_last_states_are_those_after_each_sequences_own_last_step(case: Case) -> None:
    y, (h_n, _) = run(case)
    H, D = case.lstm.hidden_size, case.lstm.directions
    for b, n in enumerate(case.lengths or []):
        if n:
            np.testing.assert_array_equal(h_n.numpy()[-D, b], y.numpy()[n - 1, b, :H])
        if n and D == 2:
            np.testing.assert_array_equal(h_n.numpy()[-1, b], y.numpy()[0, b, H:])


def test_lengths_may_come_in_any_form() -> None:
    case = make_case(lengths=[2, 0, 4])
    expected, _ = run(case)
    for lengths in (np.array([2, 0, 4]), np.array([2, 0, 4], "int32"), ag.tensor([2, 0, 4])):
        y, _ = run(case._replace(lengths=lengths))
        np.testing.assert_array_equal(y.numpy(), expected.numpy())
