"""Watched recurrences are what they are unwatched, are seen by the names of their equations, and
nothing is left behind."""

import copy
import cProfile
import pstats
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import at_once, on_host
from insights import B, H, I, T, close, last_output, values, watched

import autograd as ag
from autograd.compile import eager_execution
from tinygrad_rnn import insight, models, nn
from tinygrad_rnn.nn.recurrent.layer import scan_interceptor

LENGTHS = [5, 0, 7]


# --- what is seen ---------------------------------------------------------------------------------

NAMES = {
    nn.RNNCell: "h",
    nn.IRNNCell: "h",
    nn.JordanRNNCell: "h y",
    nn.LSTMCell: "h c i f g o",
    nn.PeepholeLSTMCell: "h c i f g o",
    nn.CoupledLSTMCell: "h c i g o",
    nn.LayerNormLSTMCell: "h c i f g o",
    nn.GRUCell: "h r z n",
    nn.MGUCell: "h f n",
    nn.MinGRUCell: "h z n",
}


@pytest.mark.parametrize("cell", NAMES, ids=lambda cell: cell.__name__)
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_outputs_are_those_of_the_compiled_layer(cell: Any, lengths: Any) -> None:
    options = {"num_layers": 2, "bidirectional": True, "batch_first": True}
    layer = nn.Recurrent(cell(I, H, dtype="float64"), **options)
    x = values(B, T, I)
    with insight.capture(layer) as runs:
        output, state = layer(x, lengths=lengths)
    expected, expected_state = layer(x, lengths=lengths)
    close(output, expected)
    for leaf, other in zip(ag.flatten(state), ag.flatten(expected_state), strict=True):
        close(leaf, other)
    assert [run.name for run in runs] == ["l0", "l0_reverse", "l1", "l1_reverse"]
    for k, run in enumerate(runs):
        assert set(NAMES[cell].split()) <= set(run.names)
        for name in NAMES[cell].split():
            assert run[name].shape == (T, B, H)
        close(run[run.state_names[0]], run.outputs)
        for part, whole in zip(run.final_state, ag.flatten(state), strict=True):
            close(part, whole[k])
    joined = ag.concatenate([runs[2].outputs, runs[3].outputs], axis=-1)
    close(joined.swapaxes(0, 1), expected)
    close(runs[2].inputs, ag.concatenate([runs[0].outputs, runs[1].outputs], axis=-1))


def test_gates_hold_their_equations() -> None:
    (run,) = watched(nn.PeepholeLSTM(I, H, dtype="float64"), values(T, B, I))
    i, f, g, o, c, h = (on_host(run[name]) for name in "ifgoch")
    assert all(0 < gate.min() < gate.max() < 1 for gate in (i, f, o))
    before = np.concatenate([np.zeros((1, B, H)), c[:-1]])
    close(c, f * before + i * g)
    close(h, o * np.tanh(c))
    (run,) = watched(nn.GRU(I, H, dtype="float64"), values(T, B, I))
    z, n, h = (on_host(run[name]) for name in "znh")
    close(h[1:], (1 - z[1:]) * n[1:] + z[1:] * h[:-1])


class Outer(nn.Cell):
    """A cell that runs another one inside, and one that it is derived from."""

    def more_parameters(self, bias: bool) -> None:
        self.inside = nn.GRUCell(self.hidden_size, self.hidden_size)

    def step(self, state: Any, x: Any) -> Any:
        gain = ag.sigmoid(x)
        inner, _ = self.inside.step(state, self.inside.precompute(gain * x))
        return inner + 1, inner * 2


class Tuned(nn.LSTMCell):
    def step(self, state: Any, x: Any) -> Any:
        warmth = ag.exp(-x[:, : self.hidden_size])
        (h, c), _ = super().step(state, x)
        h = h * warmth
        return (h, c), h


def test_cells_of_ones_own_have_the_names_that_they_give() -> None:
    (run,) = watched(nn.Recurrent(Outer(I, H)), values(T, B, I))
    names = {"gain", "inner", "_", "state", "inside.r", "inside.z", "inside.n", "inside.h"}
    assert names <= set(run.names)
    assert run.state_names == ("state",)
    close(run["state"], run["inner"] + 1)
    close(run["inside.h"], run["inner"])
    assert not {"self", "x", "W_rz"} & set(run.names)

    (run,) = watched(nn.Recurrent(Tuned(I, H)), values(T, B, I))
    assert {"warmth", "h", "c", "i", "f", "g", "o"} <= set(run.names)
    assert run.state_names == ("h", "c")
    close(run["h"], run["o"] * ag.tanh(run["c"]) * run["warmth"], 1e-6)


def test_what_is_not_there_is_named() -> None:
    (run,) = watched(nn.GRU(I, H), values(T, B, I))
    with pytest.raises(KeyError, match=r"l0 has no 'f' at every step; it has .*'r', 'z', 'n'"):
        run["f"]
    with pytest.raises(ValueError, match="the state of l0 has no part 'c'"):
        insight.memory(run, "c")
    with pytest.raises(ValueError, match="Linear has no recurrent layer to watch"):
        insight.gradient_flow(nn.Linear(2, 3), ag.zeros((3, 2)), loss=ag.sum)
    aside = nn.Sequential(nn.Linear(2, 3), nn.LSTM(3, 3))
    aside.forward = lambda x: aside[0](x)
    with pytest.raises(ValueError, match="Sequential has run none of its recurrent layers"):
        insight.gradient_flow(aside, ag.zeros((3, 2)), loss=ag.sum)


@pytest.mark.parametrize("zoneout", [(0.5, 0.25), 0.0])
@pytest.mark.parametrize("training", [True, False])
def test_the_state_is_what_is_handed_on(zoneout: Any, training: bool) -> None:
    layer = nn.LSTM(I, H, recurrent_dropout=0.5, zoneout=zoneout, dtype="float64").train(training)
    (run,) = watched(layer, values(T, B, I))
    close(run["h"], run.outputs)
    i, f, g, c = (on_host(run[name]) for name in "ifgc")
    raw = f[1:] * c[:-1] + i[1:] * g[1:]
    assert np.allclose(raw, c[1:]) == (zoneout == 0.0)


def test_sequences_of_a_ragged_batch_are_seen_as_each_alone() -> None:
    layer = nn.LSTM(I, H, num_layers=2, bidirectional=True, dtype="float64")
    x = values(T, B, I)
    together = watched(layer, x, lengths=LENGTHS)
    flows = insight.gradient_flow(layer, x, lengths=LENGTHS, loss=lambda out: out[0].sum())
    for b, length in enumerate(LENGTHS):
        for run in together:
            assert not on_host(run["f"])[length:, b].any()
            assert not flows[run.name].per_sequence()[length:, b].any()
        if length:
            own = slice(b, b + 1)
            alone = watched(layer, x[:length, own])
            flow = insight.gradient_flow(layer, x[:length, own], loss=lambda out: out[0].sum())
            for run, one in zip(together, alone, strict=True):
                close(run["f"][:length, own], one["f"])
                for part in ("h", "c"):
                    close(
                        flows[run.name].gradients[part][:length, own],
                        flow[run.name].gradients[part],
                    )
                remembered = insight.memory(run)[:, own]
                close(remembered[: length + 1], insight.memory(one))
                assert not remembered[length + 1 :].any()


# --- models ---------------------------------------------------------------------------------------


def test_a_language_model() -> None:
    model = models.LanguageModel(5, embed=3, hidden=H, layers=2, dropout=0.5).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)  # what is frozen is seen as well
    tokens = ag.tensor(np.array([[0, 1], [2, 3], [4, 0]]))

    def of(returned: Any) -> Any:
        return returned[0][-1, :, 2]

    flows = insight.gradient_flow(model, tokens, loss=lambda out: of(out).sum())
    assert list(flows) == ["recurrent.l0", "recurrent.l1"]
    assert (flows["recurrent.l0"].norms("c") > 0).all()
    embedded = model.embedding(tokens).detach().requires_grad_()
    score = of((model.readout(model.recurrent(embedded)[0]), None)).sum()
    slope = on_host(ag.gradients(score, [embedded])[0])
    close(insight.saliency(model, tokens, score=of), np.linalg.norm(slope, axis=-1), 1e-5)
    products = (slope * on_host(embedded)).sum(-1)
    close(insight.saliency(model, tokens, score=of, times_input=True), products, 1e-5)
    assert np.allclose(insight.saliency(model, tokens, score=lambda out: out[0][0, :, 1])[1:], 0)


class Scanning(nn.Module):
    """A model that runs a layer by itself, step by step, and another one beside it."""

    def __init__(self) -> None:
        self.layer = nn.GRU(I, H, dtype="float64")
        self.front = nn.GRU(I, I, bidirectional=True, dtype="float64")

    def forward(self, x: Any) -> Any:
        x = ag.add(*ag.split(self.front(x)[0], 2, axis=-1))

        def step(h: Any, x: Any) -> Any:
            h = self.layer(ag.expand_dims(x, 0), h)[1]
            return h, h[0]

        return ag.scan(step, ag.zeros((1, B, H), dtype="float64"), x)[1]


def test_a_model_of_ones_own() -> None:
    model, x = Scanning(), values(T, B, I)
    with insight.capture(model) as runs:
        output = model(x)
    names = ["front.l0", "front.l0_reverse", "layer.l0", *(f"layer.l0 ({n})" for n in range(2, 8))]
    assert [run.name for run in runs] == names
    close(output, model(x))
    flows = insight.gradient_flow(model, x, loss=lambda ys: ys[-1].sum())
    norms = np.concatenate([flows[name].norms() for name in names[2:]])
    (alone,) = watched(model.layer, on_host(runs[2].inputs))
    assert alone.names == runs[2].names
    whole = ag.concatenate([run.inputs for run in runs[2:]]).detach()
    close(norms, insight.gradient_flow(model.layer, whole, loss=last_output)["l0"].norms())
    leaf = ag.tensor(x, requires_grad=True)
    (slope,) = ag.gradients(model(leaf)[-1].sum(), [leaf])
    seen = insight.saliency(model, x, score=lambda ys: ys[-1])
    close(seen, np.linalg.norm(on_host(slope), axis=-1))  # that of both directions together
    with insight.capture(model.front) as runs:
        model(x)
    assert [run.name for run in runs] == ["l0", "l0_reverse"]


def test_without_a_record_values_are_there() -> None:
    with ag.no_grad(), insight.capture(layer := nn.LSTM(I, H)) as runs:
        layer(values(T, I))
    assert runs[0]["f"].shape == (T, 1, H)
    assert not runs[0]["f"].requires_grad


# --- nothing is left behind -----------------------------------------------------------------------


class Failing(nn.Cell):
    def step(self, h: Any, x: Any) -> Any:
        h = ag.tanh(x + self.recurrent(h))
        if self.after == 0:
            raise KeyError("of one's own")
        self.after -= 1
        return h, h


def everything(model: nn.Module) -> list[Any]:
    attributes = [
        (id(m), {k: copy.copy(v) if isinstance(v, dict) else v for k, v in vars(m).items()})
        for m in model.modules()
    ]
    parameters = [(id(p), id(p.data), p.grad, p.requires_grad) for p in model.parameters()]
    state = ag.random.default_generator.state
    return [
        attributes,
        parameters,
        state,
        scan_interceptor.get(),
        eager_execution.get(),
        sys.getprofile(),
    ]


def loss_fails(returned: Any) -> Any:
    raise KeyError("of one's own")


def test_nothing_is_left_behind() -> None:
    model = models.LanguageModel(5, embed=3, hidden=H, layers=2, dropout=0.5)
    tokens = ag.tensor(np.array([[0, 1], [2, 3], [4, 0]]))
    before = everything(model)
    assert before[3:] == [None, False, None]
    insight.gradient_flow(model, tokens, loss=last_output)
    assert everything(model) == before
    insight.saliency(model, tokens, score=last_output)
    assert everything(model) == before
    with pytest.raises(KeyError, match="own"):
        insight.gradient_flow(model, tokens, loss=loss_fails)
    assert everything(model) == before
    cell = Failing(I, H)
    cell.after = 3
    layer = nn.Recurrent(cell)
    before = everything(layer)
    with pytest.raises(KeyError, match="own"):
        insight.gradient_flow(layer, values(T, B, I), loss=last_output)
    cell.after = 3
    assert everything(layer) == before


def test_watching_draws_no_random_numbers() -> None:
    layer = nn.LSTM(I, H, num_layers=2, dropout=0.5, zoneout=0.1, recurrent_dropout=0.3)
    x = values(T, B, I).astype(np.float32)
    outputs, streams = [], []
    for watch in (True, False):
        ag.manual_seed(3)
        if watch:
            with insight.capture(layer) as runs:
                outputs.append(layer(x)[0])
            assert len(runs) == 2
        else:
            outputs.append(layer(x)[0])
        streams.append(ag.random.default_generator.state)
    close(*outputs, 1e-5)
    assert streams[0] == streams[1]


def test_who_profiles_goes_on() -> None:
    calls = []

    def hook(frame: Any, event: str, argument: Any) -> None:
        calls.append(frame.f_code.co_name)

    layer, x = nn.GRU(I, H), values(T, B, I)
    sys.setprofile(hook)
    try:
        watched(layer, x)
        assert sys.getprofile() is hook
    finally:
        sys.setprofile(None)
    assert "watched" in calls


def after_it() -> None:
    pass


def test_cprofile_goes_on() -> None:
    profile = cProfile.Profile()
    profile.enable()
    (run,) = watched(nn.GRU(I, H), values(T, B, I))
    after_it()
    profile.disable()
    assert "z" in run.names
    assert any(name == "after_it" for _, _, name in pstats.Stats(profile).stats)  # type: ignore[attr-defined]


def test_threads_do_not_see_each_other() -> None:
    layers = [nn.GRU(I, H, dtype="float64") for _ in range(4)]
    x = values(30, B, I)
    expected = [on_host(layer(x)[0]) for layer in layers]
    seen: dict[int, int] = {}

    def work(k: int) -> Callable[[], None]:
        def run() -> None:
            if k < 2:
                with insight.capture(layers[k]) as runs:
                    for _ in range(3):
                        close(layers[k](x)[0], expected[k])
                    close(runs[2]["h"], expected[k])
                    seen[k] = len(runs)
            else:
                for _ in range(30):
                    close(layers[k - 2](x)[0], expected[k - 2])
                seen[k] = 0 if scan_interceptor.get() is None else -1

        return run

    at_once([work(k) for k in range(4)])
    assert seen == {0: 3, 1: 3, 2: 0, 3: 0}


def test_earlier_names_work_and_warn() -> None:
    layer = nn.LSTM(I, H)
    with pytest.warns(DeprecationWarning, match="use tinygrad_rnn.insight.capture"):
        watch = insight.watch
    with watch(layer) as traces:
        layer(values(T, B, I))
    (trace,) = traces
    with pytest.warns(DeprecationWarning, match="LayerTrace.state is deprecated; use state_names"):
        assert trace.state == ("h", "c")
    with pytest.warns(DeprecationWarning, match=r"jacobian\(of=...\) is deprecated; use end="):
        close(insight.jacobian(trace, of="h"), insight.jacobian(trace, "h"))  # type: ignore[call-arg]
