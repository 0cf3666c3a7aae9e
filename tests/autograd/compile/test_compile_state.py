"""A compiled recurrence whose step keeps Python state, or is not the same at the next run: its
results, and the state that it keeps, equal eager execution.
"""

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from compiled import B, H, T, gradients_of, outcome, problem, records, same, values
from helpers import on_device, on_host
from recurrences import make_case, run

import autograd as ag
from tinygrad_rnn import nn, optim

Step = Callable[[Any, Any], Any]

# --- Python state ---------------------------------------------------------------------------------

STATEFUL: dict[str, Callable[[Any], Any]] = {}
"""Each a function of a square weight W that makes a step; what it keeps is in step's `kept`."""


def stateful(make: Callable[[Any, Any], Step]) -> None:
    def made(W: Any) -> Any:
        kept = SimpleNamespace()
        step = make(W, kept)

        def call(h: Any, x: Any) -> Any:
            return step(h, x)

        call.kept = kept  # type: ignore[attr-defined]
        return call

    STATEFUL[make.__name__.replace("_", " ")] = made


@stateful
def counts_its_of_steps(W: Any, kept: Any) -> Step:
    kept.count = 0

    def step(h: Any, x: Any) -> Any:
        kept.count += 1
        return ag.tanh(h @ W + x), h

    return step


@stateful
def remembers_its_last_state(W: Any, kept: Any) -> Step:
    def step(h: Any, x: Any) -> Any:
        kept.h = ag.tanh(h @ W + x)
        return kept.h, h

    return step


@stateful
def uses_what_it_remembers(W: Any, kept: Any) -> Step:
    kept.h = None

    def step(h: Any, x: Any) -> Any:
        before, kept.h = kept.h, ag.tanh(h @ W + x)
        return kept.h, kept.h if before is None else kept.h * before

    return step


@stateful
def uses_the_state_before_the_last(W: Any, kept: Any) -> Step:
    kept.old = [ag.ones((B, H), float)] * 2

    def step(h: Any, x: Any) -> Any:
        kept.old = [kept.old[1], h]
        return ag.tanh(h @ W + x + kept.old[0]), None

    return step


@stateful
def alternates(W: Any, kept: Any) -> Step:
    kept.odd = False

    def step(h: Any, x: Any) -> Any:
        kept.odd = not kept.odd
        return (ag.tanh if kept.odd else ag.sin)(h @ W + x), h

    return step


@stateful
def differs_at_the_fifth_step(W: Any, kept: Any) -> Step:
    kept.count = 0

    def step(h: Any, x: Any) -> Any:
        kept.count += 1
        return (ag.sin(h @ W) if kept.count == 5 else ag.tanh(h @ W + x)), h

    return step


@stateful
def differs_at_the_second_run(W: Any, kept: Any) -> Step:
    kept.count = 0

    def step(h: Any, x: Any) -> Any:
        kept.count += 1
        return ag.tanh(h @ W + (x if kept.count <= T else -x)), h

    return step


@stateful
def decays(W: Any, kept: Any) -> Step:
    kept.rate = 1.0

    def step(h: Any, x: Any) -> Any:
        kept.rate *= 0.7
        return ag.tanh(kept.rate * h @ W + x), h

    return step


@stateful
def decays_by_an_array(W: Any, kept: Any) -> Step:
    kept.rate = np.float64(1)

    def step(h: Any, x: Any) -> Any:
        kept.rate = kept.rate * 0.7
        return ag.tanh(h @ W + x * on_device(np.full(H, kept.rate))), h

    return step


@stateful
def takes_from_an_iterator(W: Any, kept: Any) -> Step:
    factors = itertools.cycle([0.5, -0.5, 0.9, 0.1])

    def step(h: Any, x: Any) -> Any:
        return ag.tanh(next(factors) * h @ W + x), h

    return step


@stateful
def has_a_weight_for_each_step(W: Any, kept: Any) -> Step:
    kept.count = 0

    def step(h: Any, x: Any) -> Any:
        kept.count += 1
        return ag.tanh(h @ (W, W.T, W * 2)[kept.count % 3] + x), h

    return step


@stateful
def looks_up_a_table_by_its_count(W: Any, kept: Any) -> Step:
    kept.count = -1

    def step(h: Any, x: Any) -> Any:
        kept.count += 1
        return ag.tanh(h @ W + x + W[kept.count % H]), h[:, kept.count % H]

    return step


@stateful
def keeps_a_running_mean(W: Any, kept: Any) -> Step:
    kept.mean = ag.zeros(H, dtype=float)

    def step(h: Any, x: Any) -> Any:
        with ag.no_grad():
            kept.mean *= 0.9
            kept.mean += 0.1 * h.detach().mean(0)
        return ag.tanh(h @ W + x - kept.mean), h

    return step


@stateful
def keeps_a_new_running_mean(W: Any, kept: Any) -> Step:
    kept.mean = ag.zeros(H, dtype=float)

    def step(h: Any, x: Any) -> Any:
        kept.mean = 0.9 * kept.mean + 0.1 * h.mean(0).detach()
        return ag.tanh(h @ W + x) - kept.mean, h

    return step


@stateful
def keeps_what_it_was_given(W: Any, kept: Any) -> Step:
    kept.xs = {}

    def step(h: Any, x: Any) -> Any:
        kept.xs[len(kept.xs)] = x
        return ag.tanh(h @ W + x), kept.xs[0]

    return step


@pytest.mark.parametrize("options", [{}, {"lengths": [6, 0, 3]}, {"reverse": True}], ids=str)
@pytest.mark.parametrize("make", STATEFUL.values(), ids=STATEFUL)
def test_python_state(make: Any, options: dict[str, Any]) -> None:
    """After two runs that continue the state: equal results, and equal state."""

    def results(compile: bool | None) -> Any:
        W = values(H, H)
        step = make(W)
        one, found = problem(step, W, **options), []
        for _ in range(2):
            out = one.scan(compile)
            kept = dict(vars(step.kept))
            tensors = [t for t in ag.flatten((out, kept)) if isinstance(t, ag.Tensor)]
            found.append((out, gradients_of(tensors, one.inputs), ag.tree_map(snapshot, kept)))
            for name, value in kept.items():
                setattr(step.kept, name, ag.tree_map(without_history, value))
        return found

    same(results(None), results(False))


def snapshot(value: Any) -> Any:
    return on_host(value).copy() if isinstance(value, ag.Tensor) else value


def without_history(value: Any) -> Any:
    return value.detach() if isinstance(value, ag.Tensor) else value


@pytest.mark.parametrize(
    "name", ["alternates", "differs at the fifth step", "decays", "takes from an iterator"]
)
def test_a_step_that_differs_is_recorded(name: str) -> None:
    W = values(H, H)
    records(problem(STATEFUL[name](W), W), "differ|same|change|state")


# --- what changes between two runs ----------------------------------------------------------------


class Flexible(nn.Cell):
    """A cell that asks its attributes what to do."""

    rate, phi, more = 0.5, staticmethod(ag.tanh), ()

    def step(self, state: Any, x: Any) -> Any:
        h = self.rate * state + self.phi(x + self.recurrent(state))
        for factor in self.more:
            h = h * factor
        return h, h * self.options["scale"] + self.constant_of_mine

    def more_parameters(self, bias: bool) -> None:
        self.options = {"scale": 0.3}
        self.constant_of_mine = on_device(np.ones(self.hidden_size))


def set_weight(layer: Any) -> None:
    layer.weight_hh_l0 = nn.Parameter(layer.weight_hh_l0.detach() * 0.5)


def run_optimizer(layer: Any) -> None:
    for parameter in layer.parameters():
        parameter.grad = ag.ones_like(parameter)
    optim.SGD(layer.parameters(), lr=0.1).step()


def write(layer: Any) -> None:
    layer.cells[0].constant_of_mine[0] = 7.0


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a number": lambda layer: setattr(layer.cells[0], "rate", 0.25),
    "a number of the class": lambda layer: setattr(type(layer.cells[0]), "rate", 0.75),
    "a function": lambda layer: setattr(layer.cells[0], "phi", ag.sin),
    "a list": lambda layer: setattr(layer.cells[0], "more", [0.5, 0.7]),
    "an entry of a dict": lambda layer: layer.cells[0].options.update(scale=-1),
    "an array": lambda layer: setattr(layer.cells[0], "constant_of_mine", on_device(np.zeros(2))),
    "an array, written into": write,
    "the step": lambda layer: setattr(layer.cells[0], "step", lambda s, x: (s * x, s)),
    "the mask": lambda layer: setattr(layer.cells[0], "recurrent_mask", ag.tensor([0.0, 2.0])),
    "a weight": set_weight,
    "all weights, in place": run_optimizer,
    "all weights, loaded": lambda layer: layer.load_state_dict(
        {name: value * 0.3 for name, value in layer.state_dict().items()}
    ),
    "what is trained": lambda layer: layer.weight_hh_l0.requires_grad_(False),
    "that anything is trained": lambda layer: (
        layer.requires_grad_(False)
        if hasattr(layer, "requires_grad_")
        else [p.requires_grad_(False) for p in layer.parameters()]
    ),
    "the options": lambda layer: layer.scan_options.update(detach_every=2),
    "zoneout": lambda layer: setattr(layer, "zoneout", (0.4,)),
    "training": lambda layer: layer.eval(),
    "dtype": lambda layer: layer.to("float32"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes_between_runs_are_noticed(change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def results(compile: bool | None) -> Any:
        monkeypatch.setattr(Flexible, "rate", 0.5)
        layer = nn.Recurrent(Flexible(3, H, dtype="float64"), compile=compile)
        with ag.no_grad():
            for i, parameter in enumerate(layer.parameters()):
                parameter += values(*parameter.shape, seed=i) - parameter
        found = []
        for n in range(2):
            ag.manual_seed(0)
            x = values(T, B, 3, seed=n).astype(layer.weight_hh_l0.dtype).detach()
            out = layer(x.requires_grad_())
            found.append((out, gradients_of(out, [x, *layer.parameters()])))
            if not n:
                change(layer)
        return found

    same(results(None), results(False), 1e-5 if change is CHANGES["dtype"] else 1e-11)


def test_another_nonlinearity_and_other_sizes() -> None:
    def results(compile: bool | None) -> Any:
        cell = nn.RNNCell(2, 2, dtype="float64")
        ag.tree_map(lambda p: nn.init.constant_(p, 0.3), list(cell.parameters()))
        layer, found = nn.Recurrent(cell, compile=compile), []
        for shape in ((4, 3, 2), (4, 1, 2), (7, 3, 2), (4, 3, 2), (5, 2)):
            for phi in ("tanh", "relu", "sigmoid"):
                cell.nonlinearity = phi
                x = values(*shape)
                out = layer(x)
                found.append((out, gradients_of(out, [x, *layer.parameters()])))
        return found

    same(results(None), results(False))


def test_what_a_step_closes_over_may_change() -> None:
    """A variable of its function, a constant Tensor, a mode."""

    def results(compile: bool | None) -> Any:
        W, factor, constant = values(H, H), 1.0, ag.tensor(np.ones(H))
        one = problem(lambda h, x: (ag.tanh(factor * h @ W + x * constant), h), W)
        found = [outcome(one, compile)]
        factor = 0.5
        found.append(outcome(one, compile))
        constant = ag.tensor(np.array([2.0, -1.0]))
        found.append(outcome(one, compile))
        constant += 1
        with ag.no_grad():
            found.append(one.scan(compile))
        W.requires_grad = False
        found.append(outcome(one._replace(inputs=one.inputs[:2]), compile))
        W = W.T
        return [*found, outcome(one._replace(inputs=one.inputs[:2]), compile)]

    same(results(None), results(False))


@pytest.mark.host  # on a device such a scalar is an array from elsewhere
def test_scalars_of_numpy_may_change() -> None:
    """Gradients go by the scalar of now, not by that with which the plan was made."""

    def results(compile: bool | None) -> Any:
        W, factor = values(H, H), np.float64(0.75)
        one = problem(lambda h, x: (factor * ag.tanh(h @ W + x), h), W)
        first = outcome(one, compile)
        factor = np.float64(-0.25)
        return first, outcome(one, compile)

    same(results(None), results(False))


def test_the_layers_of_the_library_leave_no_trace() -> None:
    """A cell has the same attributes after it was run as before."""
    case = make_case("LSTM", recurrent_dropout=0.5, zoneout=0.1)
    before = [dict(vars(module)) for module in case.layer.modules()]
    run(case)
    after = [dict(vars(module)) for module in case.layer.modules()]
    assert [{n: id(v) for n, v in d.items()} for d in before] == [
        {n: id(v) for n, v in d.items()} for d in after
    ]
