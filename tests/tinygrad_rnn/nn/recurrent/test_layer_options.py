"""Options of recurrent layers: dropout, zoneout, initial states, truncation, checkpointing."""

from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recurrences import EVERYTHING, KINDS, assert_close, make_case, run, sum_of_squares

import autograd as ag
from tinygrad_rnn import nn

seeds = st.integers(0, 2**32 - 1)


def results(case: Any, training: bool = True, seed: int = 0) -> np.ndarray:
    """Return the outputs."""
    case.layer.train(training)
    ag.manual_seed(seed)
    y: np.ndarray = run(case)[0].numpy()
    return y


@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2, "dropout": 0.5},
        {"num_layers": 2, "dropout": 0.5, "variational": True},
        {"recurrent_dropout": 0.5},
        {"zoneout": 0.5},
        {"zoneout": (0.0, 0.5)},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["LSTM", "peephole"])
def test_regularization_follows_the_seed_and_ends_with_training(
    options: dict[str, Any], kind: str
) -> None:
    case = make_case(kind, T=6, **options)
    assert np.array_equal(results(case), results(case))
    assert not np.array_equal(results(case), results(case, seed=1))
    assert np.array_equal(results(case, False), results(case, False, seed=1))
    if "zoneout" not in options:
        reference_case = make_case(kind, T=6, num_layers=options.get("num_layers", 1))
        assert np.array_equal(results(case, False), results(reference_case))


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"minGRU"}))
@pytest.mark.parametrize(
    "options", [{"recurrent_dropout": 0.0}, {"zoneout": 0.0}, {"num_layers": 2, "dropout": 0.0}]
)
def test_a_probability_of_0_has_no_effect(kind: str, options: dict[str, Any]) -> None:
    reference_case = make_case(kind, num_layers=options.get("num_layers", 1))
    assert np.array_equal(results(make_case(kind, **options)), results(reference_case))


# Variational dropout


def test_variational_dropout_has_one_mask_for_all_steps() -> None:
    """The mask between two layers is constant over time."""
    for variational in (True, False):
        case = make_case(
            T=20, B=2, H=8, num_layers=2, dropout=0.5, variational=variational, bidirectional=True
        )
        case.layer.train()
        inputs = []
        cell = case.layer.cells[2]
        precompute = cell.precompute
        cell.precompute = lambda xs, p=precompute, inputs=inputs: inputs.append(xs.numpy()) or p(xs)
        run(case)
        dropped = inputs[0] == 0
        assert 0.2 < dropped.mean() < 0.8
        assert (dropped == dropped[0]).all() == variational
        assert not (dropped[:, 0] == dropped[:, 1]).all()  # each sequence has its own mask


def test_variational_dropout_with_probability_1() -> None:
    case = make_case(num_layers=2, dropout=1.0, variational=True, states=False)
    last = nn.Recurrent(case.layer.cells[1])
    x = ag.zeros((4, 3, 2), dtype="float64")
    assert_close(results(case), last(x)[0])


# Recurrent dropout


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"minGRU"}))
def test_recurrent_dropout_with_probability_1(kind: str) -> None:
    """weight_hh has no gradient; state that does not pass through it is unaffected."""
    case = make_case(kind, recurrent_dropout=1.0)
    without_weights = make_case(kind)
    without_weights.layer.load_state_dict(
        {n: v * (n != "weight_hh_l0") for n, v in without_weights.layer.state_dict().items()}
    )
    if kind != "layer norm":  # 0 / sqrt(0 + eps) is 0
        assert_close(results(case), results(without_weights))
    y, _ = run(case._replace(layer=case.layer.train()))
    sum_of_squares(y).backward()
    assert not case.layer.weight_hh_l0.grad.numpy().any()


def test_recurrent_dropout_has_one_mask_for_all_steps() -> None:
    """Each sequence, direction and layer has its own mask."""
    masks: list[np.ndarray] = []

    class Spy(nn.RNNCell):
        def apply_recurrent_dropout(self, h: Any) -> Any:
            if self.recurrent_mask is not None and len(h) == 4:
                masks.append(self.recurrent_mask.numpy())
            return super().apply_recurrent_dropout(h)

    layer = nn.Recurrent(Spy(2, 8), num_layers=2, bidirectional=True, recurrent_dropout=0.25)
    layer.scan_options["compile"] = False
    layer(np.zeros((3, 4, 2), np.float32))
    assert len(masks) == 3 * 4
    for k in range(0, 12, 3):
        assert np.array_equal(masks[k], masks[k + 1])
        assert np.array_equal(masks[k], masks[k + 2])
    assert len({masks[k].tobytes() for k in range(0, 12, 3)}) == 4
    assert len({row.tobytes() for row in masks[0]}) > 1
    assert set(np.unique(masks)) == {0, np.float32(1 / 0.75)}
    assert layer.cells[0].recurrent_mask is None


# Zoneout


@given(seeds, st.sampled_from(["GRU", "LSTM", "Jordan"]), st.booleans())
def test_zoneout_preserves_or_replaces_each_element(
    seed: int, kind: str, bidirectional: bool
) -> None:
    """In training, each element of the new state is the old or the new value."""
    case = make_case(kind, T=1, B=4, zoneout=0.5, seed=seed, bidirectional=bidirectional)
    y, state = run(case._replace(layer=case.layer.train()))
    case.layer.zoneout = (0.0,) * 2
    _, new_state = run(case)
    preserved_fraction = 0.0
    for old, new, actual in zip(*map(ag.flatten, (case.hx, new_state, state)), strict=True):
        is_old, is_new = actual.numpy() == old.numpy(), actual.numpy() == new.numpy()
        assert (is_old | is_new).all()
        preserved_fraction += is_old.mean()
    R = case.layer.cells[0].output_size
    assert_close(y[0, :, :R], ag.flatten(state)[0][0])
    assert_close(y[-1, :, -R:], ag.flatten(state)[0][-1])


def test_zoneout_differs_by_step_and_sequence() -> None:
    case = make_case("minGRU", T=1000, B=3, H=3, zoneout=0.3)
    y = results(case)
    preserved = (y[1:] == y[:-1]).mean((0, 2))
    assert preserved == pytest.approx([0.3] * 3, abs=0.05)
    assert len(set(preserved)) == 3


def test_zoneout_in_evaluation_is_the_expected_state() -> None:
    case = make_case(T=1, zoneout=(0.25, 0.5))
    reference_case = make_case(T=1)
    (h, c), (old_h, old_c) = run(reference_case)[1], case.hx
    y, (mixed_h, mixed_c) = run(case._replace(layer=case.layer.eval()))
    assert_close(mixed_h, 0.25 * old_h + 0.75 * h)
    assert_close(mixed_c, 0.5 * old_c + 0.5 * c)
    assert_close(y, mixed_h)


@pytest.mark.parametrize("training", [True, False])
def test_zoneout_with_probability_1(training: bool) -> None:
    case = make_case(zoneout=1.0, lengths=[4, 0, 2])
    y, state = run(case._replace(layer=case.layer.train(training)))
    ag.tree_map(assert_close, state, case.hx)
    assert_close(y[:2, 2], np.stack([case.hx[0][0, 2].numpy()] * 2))


# Learned initial states


@pytest.mark.parametrize("kind", KINDS)
def test_a_learned_initial_state_is_a_parameter(kind: str) -> None:
    """Each part of the state has a parameter, initially 0. The argument `hx` takes precedence."""
    options: dict[str, Any] = {"num_layers": 2, "bidirectional": True}
    case = make_case(kind, learn_initial_state=True, **options)
    reference_case = make_case(kind, **options)._replace(x=case.x, hx=case.hx)
    start = [name for name, _ in case.layer.named_parameters() if name.startswith("initial")]
    assert start == [f"initial_{i}" for i in range(len(ag.flatten(case.hx)))]
    state = case.layer.state_dict()
    reference_case.layer.load_state_dict({n: v for n, v in state.items() if n not in start})
    assert_close(results(case), results(reference_case))

    leaves = [ag.tensor(np.stack([state[name]] * 3, axis=1)) for name in start]
    hx = tuple(leaves) if len(leaves) == 2 else leaves[0]
    y, last = run(case._replace(hx=None))
    z, end = run(reference_case._replace(hx=hx))
    assert_close(y, z)
    ag.tree_map(assert_close, last, end)
    sum_of_squares(y).backward()
    assert all(getattr(case.layer, name).grad.numpy().any() for name in start)

    untrained = nn.Recurrent(case.layer.cells[0], learn_initial_state=True)
    assert not any(getattr(untrained, name).numpy().any() for name in start)


# Truncated backpropagation


@given(seeds, st.sampled_from(["GRU", "LSTM"]), st.integers(1, 6))
def test_detach_every_equals_chunks_with_a_detached_state(seed: int, kind: str, every: int) -> None:
    case = make_case(kind, T=5, seed=seed, detach_every=every)
    y, _ = run(case)
    sum_of_squares(y).backward()
    gradients = [p.grad for p in case.layer.parameters()]
    reference_case = make_case(kind, T=5, seed=seed)
    state = reference_case.hx
    for t in range(0, 5, every):
        z, state = run(reference_case._replace(x=reference_case.x[t : t + every], hx=state))
        sum_of_squares(z).backward()
        state = ag.tree_map(lambda leaf: leaf.detach(), state)
    for gradient, parameter in zip(gradients, reference_case.layer.parameters(), strict=True):
        assert_close(gradient, parameter.grad)


# Checkpointing


savings = pytest.mark.parametrize(
    "saving", [{"checkpoint": 2}, {"checkpoint": "sqrt"}, {"memory_budget": 40_000}], ids=str
)


def evaluated(case: Any, dtype: str = "float64", order: int = 1) -> tuple[list[Any], int]:
    """Return results and the number of evaluated steps.

    The results are outputs, states, the gradients of their sum of squares, with order 2 also the
    gradients of these gradients, and the state of the random generator.
    """
    layer, calls = case.layer.to(dtype), []
    x, hx = ag.tree_map(lambda leaf: leaf.astype(dtype).requires_grad_(), (case.x, case.hx))
    kind, leaves = type(layer.cells[0]), [x, *ag.flatten(hx), *layer.parameters()]
    reference_case = kind.step

    def step(*args: Any) -> Any:
        calls.append(None)
        return reference_case(*args)

    ag.manual_seed(0)
    with mock.patch.object(kind, "step", step):
        values = [*ag.flatten(run(case._replace(x=x, hx=hx)))]
        gradients = values
        for _ in range(order):
            total = sum_of_squares(*gradients)
            gradients = [*ag.gradients(total, leaves, create_graph=order == 2, allow_unused=True)]
            gradients = [g for g in gradients if g is not None]
            values = [*values, *gradients]
    assert {value.dtype for value in values} == {np.dtype(dtype)}
    return [*values, np.array(ag.random.get_state()["block"])], len(calls)


def check_saving(kind: str, saving: dict[str, Any], options: Any, *how: Any) -> None:
    T, cells = 9, options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
    common: dict[str, Any] = {"T": T, "lengths": [9, 0, 4], "states": "learn_" not in str(options)}
    common["compile"] = False  # compiled scans do not call the step at every step
    expected, calls = evaluated(make_case(kind, **common, **options), *how)
    assert calls == T * cells
    actual, calls = evaluated(make_case(kind, **common, **options, **saving), *how)
    assert calls > (T + 3) * cells  # more than the probes that measure a step's residuals
    for value, reference in zip(actual, expected, strict=True):
        assert_close(value, reference, 1e-5 if "float32" in how else 1e-10)


@savings
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_checkpointing_does_not_change_results_of_any_cell(
    kind: str, saving: dict[str, Any], dtype: str
) -> None:
    unsupported = {"recurrent_dropout"} if kind == "minGRU" else set()
    options = {name: value for name, value in EVERYTHING.items() if name not in unsupported}
    check_saving(kind, saving, options, dtype)


@savings
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_first": True, "num_layers": 2},
        {"num_layers": 3, "dropout": 0.5},
        {"num_layers": 2, "dropout": 0.5, "variational": True},
        {"bidirectional": True, "recurrent_dropout": 0.5},
        {"zoneout": (0.0, 0.5)},
        {"detach_every": 2},
        {"learn_initial_state": True},
    ],
    ids=str,
)
def test_checkpointing_does_not_change_results_of_any_option(
    options: dict[str, Any], saving: dict[str, Any]
) -> None:
    check_saving("LSTM", saving, options)


@savings
def test_checkpointing_does_not_change_second_derivatives(saving: dict[str, Any]) -> None:
    check_saving("LSTM", saving, EVERYTHING, "float64", 2)


# Errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.Recurrent(nn.Linear(2, 2)), TypeError, "cell must be an nn.Cell, got Linear"),
        (
            lambda: nn.Recurrent(nn.MinGRUCell(2, 2), recurrent_dropout=0.5),
            ValueError,
            "MinGRUCell.step must pass the last output through self.recurrent",
        ),
        (lambda: nn.LSTM(2, 2, recurrent_dropout=1.5), ValueError, "recurrent_dropout probability"),
        (lambda: nn.LSTM(2, 2, zoneout=-0.5), ValueError, "zoneout probability"),
        (lambda: nn.GRU(2, 2, zoneout=(0.1, 0.1)), ValueError, "one for each of the 1 parts"),
        (
            lambda: nn.LSTM(2, 2, detach_every=0)(ag.zeros((4, 1, 2))),
            ValueError,
            "detach_every must be a positive",
        ),
        (
            lambda: nn.LSTM(2, 2, checkpoint=0)(ag.zeros((4, 1, 2))),
            ValueError,
            "checkpoint must be a positive integer",
        ),
        (
            lambda: nn.LSTM(2, 2, memory_budget=1)(ag.zeros((4, 1, 2))),
            ValueError,
            "memory_budget=1 bytes is too little",
        ),
        (lambda: nn.LSTM(2, 2, proj_size=2), ValueError, "proj_size has to be smaller than hidden"),
        (lambda: nn.LSTM(2, 2, proj_size=-1), ValueError, "proj_size has to be smaller than hidd"),
        (lambda: nn.RNN(2, 2, nonlinearity="cos"), ValueError, "Unknown nonlinearity 'cos'. Selec"),
        (lambda: nn.JordanRNNCell(2, 2, nonlinearity="cos"), ValueError, "Unknown nonlinearity 'c"),
        (
            lambda: nn.LSTM(2, 2)(ag.zeros((4, 2)), lengths=[4]),
            ValueError,
            "lengths= requires a batch",
        ),
        (
            lambda: nn.GRU(2, 3)(ag.zeros((4, 1, 2)), ag.zeros((1, 2, 3))),
            ValueError,
            r"Expected hidden size \(1, 1, 3\), got \(1, 2, 3\)",
        ),
        (
            lambda: nn.GRUCell(2, 3)(ag.zeros((4, 2)), ag.zeros((1, 3))),
            ValueError,
            r"Expected hidden size \(4, 3\), got \(1, 3\)",
        ),
        (
            lambda: nn.LSTMCell(2, 3)(ag.zeros((4, 2)), (ag.zeros((4, 3)), ag.zeros((4, 2)))),
            ValueError,
            r"Expected hidden\[1\] size \(4, 3\), got \(4, 2\)",
        ),
        (
            lambda: nn.LSTMCell(2, 3)(ag.zeros(2), (ag.zeros((1, 3)), ag.zeros((1, 3)))),
            ValueError,
            r"Expected hidden\[0\] size \(3,\), got \(1, 3\)",
        ),
        (
            lambda: nn.LSTM(2, 3)(ag.zeros((4, 1, 2)), ag.zeros((1, 1, 3))),
            ValueError,
            r"an LSTM's state is a pair \(h, c\)\): nested structures differ: \(\*, \*\) and \*",
        ),
        (
            lambda: nn.GRUCell(2, 3)(ag.zeros(2), (ag.zeros(3), ag.zeros(3))),
            ValueError,
            r"the structure of the cell's state .* \* and \(\*, \*\)",
        ),
        (lambda: nn.LSTMCell(2, 3)(ag.zeros((1, 4, 2))), ValueError, "1 dimension"),
        (lambda: nn.Cell(2, 3)(ag.zeros((4, 2))), NotImplementedError, "Cell does not define step"),
        (lambda: nn.LSTM(2, 2, zonout=0.1), TypeError, "zonout"),
    ],
)
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
