"""Options of recurrent layers: locked and recurrent dropout, zoneout, learned initial states,
truncated back-propagation; and cells of one's own.
"""

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
    """The outputs."""
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
def test_randomness_follows_the_seed_and_ends_with_training(
    options: dict[str, Any], kind: str
) -> None:
    case = make_case(kind, T=6, **options)
    assert np.array_equal(results(case), results(case))
    assert not np.array_equal(results(case), results(case, seed=1))
    assert np.array_equal(results(case, False), results(case, False, seed=1))
    if "zoneout" not in options:
        plain = make_case(kind, T=6, num_layers=options.get("num_layers", 1))
        assert np.array_equal(results(case, False), results(plain))


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"minGRU"}))
@pytest.mark.parametrize(
    "options", [{"recurrent_dropout": 0.0}, {"zoneout": 0.0}, {"num_layers": 2, "dropout": 0.0}]
)
def test_a_probability_of_0_changes_nothing(kind: str, options: dict[str, Any]) -> None:
    plain = make_case(kind, num_layers=options.get("num_layers", 1))
    assert np.array_equal(results(make_case(kind, **options)), results(plain))


# Locked dropout


def test_locked_dropout_keeps_its_mask_over_time() -> None:
    """Where a unit of the first layer is dropped, the second layer never sees it."""
    for variational in (True, False):
        case = make_case(
            T=20, B=2, H=8, num_layers=2, dropout=0.5, variational=variational, bidirectional=True
        )
        case.layer.train()
        seen = []
        cell = case.layer.cells[2]
        precompute = cell.precompute
        cell.precompute = lambda xs, p=precompute, seen=seen: seen.append(xs.numpy()) or p(xs)
        run(case)
        dropped = seen[0] == 0
        assert 0.2 < dropped.mean() < 0.8
        assert (dropped == dropped[0]).all() == variational
        assert not (dropped[:, 0] == dropped[:, 1]).all()  # each sequence has its own


def test_locked_dropout_of_everything() -> None:
    case = make_case(num_layers=2, dropout=1.0, variational=True, states=False)
    last = nn.Recurrent(case.layer.cells[1])
    x = ag.zeros((4, 3, 2), dtype="float64")
    assert_close(results(case), last(x)[0])


# Recurrent dropout


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"minGRU"}))
def test_recurrent_dropout_of_everything_cuts_the_gates_from_the_last_output(kind: str) -> None:
    """weight_hh has no gradient then; the memory that does not pass through it stays."""
    case = make_case(kind, recurrent_dropout=1.0)
    cut = make_case(kind)
    cut.layer.load_state_dict(
        {n: v * (n != "weight_hh_l0") for n, v in cut.layer.state_dict().items()}
    )
    if kind != "layer norm":  # there 0 / sqrt(0 + eps) is 0 too
        assert_close(results(case), results(cut))
    y, _ = run(case._replace(layer=case.layer.train()))
    sum_of_squares(y).backward()
    assert not case.layer.weight_hh_l0.grad.numpy().any()


def test_recurrent_dropout_keeps_one_mask_for_all_steps() -> None:
    """Each sequence, direction and layer has its own."""
    masks: list[np.ndarray] = []

    class Spy(nn.RNNCell):
        def seen(self, h: Any) -> Any:
            if self.recurrent_mask is not None and len(h) == 4:
                masks.append(self.recurrent_mask.numpy())
            return super().seen(h)

    layer = nn.Recurrent(Spy(2, 8), num_layers=2, bidirectional=True, recurrent_dropout=0.25)
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
def test_zoneout_keeps_or_replaces_each_entry_of_the_state(
    seed: int, kind: str, bidirectional: bool
) -> None:
    """In training; the next step starts from what came of it."""
    case = make_case(kind, T=1, B=4, zoneout=0.5, seed=seed, bidirectional=bidirectional)
    y, state = run(case._replace(layer=case.layer.train()))
    case.layer.zoneout = (0.0,) * 2
    _, new = run(case)
    kept = 0.0
    for old, fresh, got in zip(*map(ag.flatten, (case.hx, new, state)), strict=True):
        is_old, is_new = got.numpy() == old.numpy(), got.numpy() == fresh.numpy()
        assert (is_old | is_new).all()
        kept += is_old.mean()
    R = case.layer.cells[0].output_size
    assert_close(y[0, :, :R], ag.flatten(state)[0][0])
    assert_close(y[-1, :, -R:], ag.flatten(state)[0][-1])


def test_zoneout_is_drawn_anew_for_every_step_and_sequence() -> None:
    case = make_case("minGRU", T=1000, B=3, H=3, zoneout=0.3)
    y = results(case)
    stays = (y[1:] == y[:-1]).mean((0, 2))
    assert stays == pytest.approx([0.3] * 3, abs=0.05)
    assert len(set(stays)) == 3


def test_zoneout_outside_training_is_the_expected_state() -> None:
    case = make_case(T=1, zoneout=(0.25, 0.5))
    plain = make_case(T=1)
    (h, c), (old_h, old_c) = run(plain)[1], case.hx
    y, (mixed_h, mixed_c) = run(case._replace(layer=case.layer.eval()))
    assert_close(mixed_h, 0.25 * old_h + 0.75 * h)
    assert_close(mixed_c, 0.5 * old_c + 0.5 * c)
    assert_close(y, mixed_h)


@pytest.mark.parametrize("training", [True, False])
def test_zoneout_of_everything_leaves_the_initial_state(training: bool) -> None:
    case = make_case(zoneout=1.0, lengths=[4, 0, 2])
    y, state = run(case._replace(layer=case.layer.train(training)))
    ag.tree_map(assert_close, state, case.hx)
    assert_close(y[:2, 2], np.stack([case.hx[0][0, 2].numpy()] * 2))


# Learned initial states


@pytest.mark.parametrize("kind", KINDS)
def test_a_learned_initial_state_is_a_parameter(kind: str) -> None:
    """One for each part of the state, layer and direction, 0 at first; a given state goes first."""
    options: dict[str, Any] = {"num_layers": 2, "bidirectional": True}
    case = make_case(kind, learn_initial_state=True, **options)
    plain = make_case(kind, **options)._replace(x=case.x, hx=case.hx)
    start = [name for name, _ in case.layer.named_parameters() if name.startswith("initial")]
    assert start == [f"initial_{i}" for i in range(len(ag.flatten(case.hx)))]
    state = case.layer.state_dict()
    plain.layer.load_state_dict({n: v for n, v in state.items() if n not in start})
    assert_close(results(case), results(plain))

    leaves = [ag.tensor(np.stack([state[name]] * 3, axis=1)) for name in start]
    hx = tuple(leaves) if len(leaves) == 2 else leaves[0]
    y, last = run(case._replace(hx=None))
    z, end = run(plain._replace(hx=hx))
    assert_close(y, z)
    ag.tree_map(assert_close, last, end)
    sum_of_squares(y).backward()
    assert all(getattr(case.layer, name).grad.numpy().any() for name in start)

    fresh = nn.Recurrent(case.layer.cells[0], learn_initial_state=True)
    assert not any(getattr(fresh, name).numpy().any() for name in start)


# Truncated back-propagation


@given(seeds, st.sampled_from(["GRU", "LSTM"]), st.integers(1, 6))
def test_detach_every_is_chunks_with_a_detached_state(seed: int, kind: str, every: int) -> None:
    case = make_case(kind, T=5, seed=seed, detach_every=every)
    y, _ = run(case)
    sum_of_squares(y).backward()
    ours = [p.grad for p in case.layer.parameters()]
    plain = make_case(kind, T=5, seed=seed)
    state = plain.hx
    for t in range(0, 5, every):
        z, state = run(plain._replace(x=plain.x[t : t + every], hx=state))
        sum_of_squares(z).backward()
        state = ag.tree_map(lambda leaf: leaf.detach(), state)
    for mine, theirs in zip(ours, plain.layer.parameters(), strict=True):
        assert_close(mine, theirs.grad)


# Less memory for more time


savings = pytest.mark.parametrize(
    "saving", [{"checkpoint": 2}, {"checkpoint": "sqrt"}, {"memory_budget": 40_000}], ids=str
)


def evaluated(case: Any, dtype: str = "float64", order: int = 1) -> tuple[list[Any], int]:
    """Outputs, states, the gradients of their sum of squares (order 2: and of those gradients), the
    state of the random stream; and how many steps were evaluated for it."""
    layer, calls = case.layer.to(dtype), []
    x, hx = ag.tree_map(lambda leaf: leaf.astype(dtype).requires_grad_(), (case.x, case.hx))
    kind, leaves = type(layer.cells[0]), [x, *ag.flatten(hx), *layer.parameters()]
    plain = kind.step

    def step(*args: Any) -> Any:
        calls.append(None)
        return plain(*args)

    ag.manual_seed(0)
    with mock.patch.object(kind, "step", step):
        found = [*ag.flatten(run(case._replace(x=x, hx=hx)))]
        slopes = found
        for _ in range(order):
            total = sum_of_squares(*slopes)
            slopes = [*ag.gradients(total, leaves, create_graph=order == 2, allow_unused=True)]
            slopes = [slope for slope in slopes if slope is not None]
            found = [*found, *slopes]
    assert {value.dtype for value in found} == {np.dtype(dtype)}
    return [*found, np.array(ag.random.get_state()["block"])], len(calls)


def check_saving(kind: str, saving: dict[str, Any], options: Any, *how: Any) -> None:
    T, cells = 9, options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
    common: dict[str, Any] = {"T": T, "lengths": [9, 0, 4], "states": "learn_" not in str(options)}
    expected, calls = evaluated(make_case(kind, **common, **options), *how)
    assert calls == T * cells
    ours, calls = evaluated(make_case(kind, **common, **options, **saving), *how)
    assert calls > (T + 3) * cells  # beside those that only see how much a step keeps
    for one, other in zip(ours, expected, strict=True):
        assert_close(one, other, 1e-5 if "float32" in how else 1e-10)


@savings
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_evaluating_again_changes_no_number_of_any_cell(
    kind: str, saving: dict[str, Any], dtype: str
) -> None:
    unfit = {"recurrent_dropout"} if kind == "minGRU" else set()
    options = {name: value for name, value in EVERYTHING.items() if name not in unfit}
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
def test_evaluating_again_changes_no_number_under_any_option(
    options: dict[str, Any], saving: dict[str, Any]
) -> None:
    check_saving("LSTM", saving, options)


@savings
def test_evaluating_again_changes_no_second_derivative(saving: dict[str, Any]) -> None:
    check_saving("LSTM", saving, EVERYTHING, "float64", 2)


# Cells of one's own


class Leaky(nn.Cell):
    """h' = (1 - a) h + a tanh(W x + U h), with a module inside and no weight_hh of its own."""

    def __init__(self, input_size: int, units: int, rate: float = 0.5) -> None:
        self.input_size, self.output_size, self.rate = input_size, units, rate
        self.read, self.recur = nn.Linear(input_size, units), nn.Linear(units, units, bias=False)

    def initial_state(self, batch: int) -> Any:
        return {"h": ag.zeros((batch, self.output_size))}

    def precompute(self, xs: Any) -> Any:
        return self.read(xs)

    def step(self, state: Any, x: Any) -> Any:
        h, a = state["h"], self.rate
        h = (1 - a) * h + a * ag.tanh(x + self.recur(self.seen(h)))
        return {"h": h}, h


def test_a_cell_of_ones_own_has_everything() -> None:
    layer = nn.Recurrent(
        Leaky(3, 2, rate=0.25),
        num_layers=2,
        bidirectional=True,
        dropout=0.5,
        recurrent_dropout=0.5,
        zoneout=0.1,
        learn_initial_state=True,
    )
    x = ag.tensor(np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32))
    y, state = layer(x, lengths=[2, 4])
    assert y.shape == (4, 2, 4)
    assert state["h"].shape == (4, 2, 2)
    assert [name for name, _ in layer.named_parameters()][:4] == [
        "read.weight_l0",
        "read.bias_l0",
        "recur.weight_l0",
        "read.weight_l0_reverse",
    ]
    assert layer.cells[3].rate == 0.25
    assert layer.cells[3].read.weight.shape == (2, 4)
    sum_of_squares(y).backward()
    assert all(p.grad is not None for p in layer.parameters())
    layer.eval()
    assert not any(module.training for module in layer.modules())
    assert isinstance(layer.cells[0].read, nn.Linear)
    copy = nn.Recurrent(Leaky(3, 2), num_layers=2, bidirectional=True, learn_initial_state=True)
    copy.load_state_dict(layer.state_dict())
    assert repr(nn.Recurrent(Leaky(3, 2), 2, zoneout=0.1, detach_every=5)).endswith(
        "), num_layers=2, zoneout=(0.1,), detach_every=5)"
    )


class Counted(Leaky):
    """With a buffer that is saved, and one that is not."""

    def __init__(self, input_size: int, units: int) -> None:
        super().__init__(input_size, units)
        self.register_buffer("scale", ag.full(units, 2.0))
        self.register_buffer("scratch", ag.ones(1), persistent=False)

    def precompute(self, xs: Any) -> Any:
        return self.scale * super().precompute(xs)


def test_the_buffers_of_cells_are_the_layers() -> None:
    layer = nn.Recurrent(Counted(3, 2), num_layers=2)
    names = ["scale_l0", "scratch_l0", "scale_l1", "scratch_l1"]
    assert [name for name, _ in layer.named_buffers()] == names
    assert [name for name in layer.state_dict() if name in names] == ["scale_l0", "scale_l1"]
    assert "0.scale_l0" in dict(nn.Sequential(layer).named_buffers())
    layer.to("float64")
    assert layer.cells[1].scale.dtype == layer.scratch_l1.dtype == np.float64
    layer.scale_l1 = ag.zeros(2, dtype="float64")
    assert not layer.cells[1].scale.numpy().any()
    state = layer.state_dict() | {"scale_l0": np.full(2, 5.0)}
    copy = nn.Recurrent(Counted(3, 2), num_layers=2)
    copy.load_state_dict(state)
    assert copy.cells[0].scale.tolist() == [5, 5]
    assert copy.scale_l1.tolist() == [0, 0]


def test_apply_and_modules_reach_the_cells_and_what_is_in_them() -> None:
    layer = nn.Sequential(nn.Recurrent(Leaky(3, 2), num_layers=2))

    def initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.constant_(module.weight, 7)

    layer.apply(initialise)
    weights = {n: v for n, v in layer.state_dict().items() if "weight" in n}
    assert len(weights) == 4
    assert all((value == 7).all() for value in weights.values())
    seen: list[nn.Module] = []
    nn.LSTM(2, 3, bidirectional=True).apply(seen.append)
    kinds = [nn.LSTMCell, nn.LSTMCell, nn.ModuleList, nn.LSTM]
    assert [type(module) for module in seen] == kinds
    assert "cells.1" in dict(nn.LSTM(2, 3, bidirectional=True).named_modules())


class NoInputSize(Leaky):
    def __init__(self) -> None:
        super().__init__(3, 2)


# What does not fit


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.Recurrent(nn.Linear(2, 2)), TypeError, "made of an nn.Cell, not of Linear"),
        (lambda: nn.Recurrent(NoInputSize(), 2), TypeError, "no argument input_size"),
        (
            lambda: nn.Recurrent(nn.MinGRUCell(2, 2), recurrent_dropout=0.5),
            ValueError,
            "MinGRUCell.step does not pass its state through self.recurrent",
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
        (lambda: nn.LSTM(2, 2)(ag.zeros((4, 2)), lengths=[4]), ValueError, "input has none"),
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
            r"an LSTM's is a pair \(h, c\)\): nested structures differ: \(\*, \*\) and \*",
        ),
        (
            lambda: nn.GRUCell(2, 3)(ag.zeros(2), (ag.zeros(3), ag.zeros(3))),
            ValueError,
            r"not of this cell's form .* \* and \(\*, \*\)",
        ),
        (lambda: nn.LSTMCell(2, 3)(ag.zeros((1, 4, 2))), ValueError, "1 dimension"),
        (lambda: nn.Cell(2, 3)(ag.zeros((4, 2))), NotImplementedError, "Cell has no step"),
        (lambda: nn.LSTM(2, 2, zonout=0.1), TypeError, "zonout"),
    ],
)
def test_what_does_not_fit_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
