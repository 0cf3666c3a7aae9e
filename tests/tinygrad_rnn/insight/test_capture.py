"""Traces of recurrent layers: values, names, and restored state."""

import copy
import cProfile
import pstats
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import at_once, on_host
from insights import B, H, I, T, capture_traces, close, last_output, values

import autograd as ag
from autograd.compile import eager_execution
from tinygrad_rnn import insight, models, nn
from tinygrad_rnn.nn.recurrent.layer import scan_interceptor

LENGTHS = [5, 0, 7]


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
def test_captured_outputs_equal_the_outputs_of_the_compiled_layer(cell: Any, lengths: Any) -> None:
    options = {"num_layers": 2, "bidirectional": True, "batch_first": True}
    layer = nn.Recurrent(cell(I, H, dtype="float64"), **options)
    x = values(B, T, I)
    with insight.capture(layer) as traces:
        output, state = layer(x, lengths=lengths)
    expected, expected_state = layer(x, lengths=lengths)
    close(output, expected)
    for leaf, other in zip(ag.flatten(state), ag.flatten(expected_state), strict=True):
        close(leaf, other)
    assert [trace.name for trace in traces] == ["l0", "l0_reverse", "l1", "l1_reverse"]
    for k, trace in enumerate(traces):
        assert set(NAMES[cell].split()) <= set(trace.names)
        for name in NAMES[cell].split():
            assert trace[name].shape == (T, B, H)
        close(trace[trace.state_names[0]], trace.outputs)
        for part, stacked in zip(trace.final_state, ag.flatten(state), strict=True):
            close(part, stacked[k])
    joined = ag.concatenate([traces[2].outputs, traces[3].outputs], axis=-1)
    close(joined.swapaxes(0, 1), expected)
    close(traces[2].inputs, ag.concatenate([traces[0].outputs, traces[1].outputs], axis=-1))


def test_captured_gates_satisfy_the_equations_of_the_cell() -> None:
    (trace,) = capture_traces(nn.PeepholeLSTM(I, H, dtype="float64"), values(T, B, I))
    i, f, g, o, c, h = (on_host(trace[name]) for name in "ifgoch")
    assert all(0 < gate.min() < gate.max() < 1 for gate in (i, f, o))
    previous_c = np.concatenate([np.zeros((1, B, H)), c[:-1]])
    close(c, f * previous_c + i * g)
    close(h, o * np.tanh(c))
    (trace,) = capture_traces(nn.GRU(I, H, dtype="float64"), values(T, B, I))
    z, n, h = (on_host(trace[name]) for name in "znh")
    close(h[1:], (1 - z[1:]) * n[1:] + z[1:] * h[:-1])


class OuterCell(nn.Cell):
    """Cell that calls a nested cell."""

    def more_parameters(self, bias: bool) -> None:
        self.nested = nn.GRUCell(self.hidden_size, self.hidden_size)

    def step(self, state: Any, x: Any) -> Any:
        gain = ag.sigmoid(x)
        inner, _ = self.nested.step(state, self.nested.precompute(gain * x))
        return inner + 1, inner * 2


class ScaledLSTMCell(nn.LSTMCell):
    """Cell whose step calls the step of its base class."""

    def step(self, state: Any, x: Any) -> Any:
        scale = ag.exp(-x[:, : self.hidden_size])
        (h, c), _ = super().step(state, x)
        h = h * scale
        return (h, c), h


def test_variables_of_custom_cells_have_the_names_in_their_step() -> None:
    (trace,) = capture_traces(nn.Recurrent(OuterCell(I, H)), values(T, B, I))
    names = {"gain", "inner", "_", "state", "nested.r", "nested.z", "nested.n", "nested.h"}
    assert names <= set(trace.names)
    assert trace.state_names == ("state",)
    close(trace["state"], trace["inner"] + 1)
    close(trace["nested.h"], trace["inner"])
    assert not {"self", "x", "W_rz"} & set(trace.names)

    (trace,) = capture_traces(nn.Recurrent(ScaledLSTMCell(I, H)), values(T, B, I))
    assert {"scale", "h", "c", "i", "f", "g", "o"} <= set(trace.names)
    assert trace.state_names == ("h", "c")
    close(trace["h"], trace["o"] * ag.tanh(trace["c"]) * trace["scale"], 1e-6)


def test_unknown_names_and_missing_layers_are_errors() -> None:
    (trace,) = capture_traces(nn.GRU(I, H), values(T, B, I))
    with pytest.raises(KeyError, match=r"l0 has no 'f' at every step; it has .*'r', 'z', 'n'"):
        trace["f"]
    with pytest.raises(ValueError, match="the state of l0 has no part 'c'"):
        insight.memory(trace, "c")
    with pytest.raises(ValueError, match=r"model must contain a recurrent layer .*, got Linear"):
        insight.gradient_flow(nn.Linear(2, 3), ag.zeros((3, 2)), loss=ag.sum)
    bypassed = nn.Sequential(nn.Linear(2, 3), nn.LSTM(3, 3))
    bypassed.forward = lambda x: bypassed[0](x)
    with pytest.raises(ValueError, match="Sequential did not run any of its recurrent layers"):
        insight.gradient_flow(bypassed, ag.zeros((3, 2)), loss=ag.sum)


@pytest.mark.parametrize("zoneout", [(0.5, 0.25), 0.0])
@pytest.mark.parametrize("training", [True, False])
def test_the_state_of_a_trace_is_the_carried_state(zoneout: Any, training: bool) -> None:
    layer = nn.LSTM(I, H, recurrent_dropout=0.5, zoneout=zoneout, dtype="float64").train(training)
    (trace,) = capture_traces(layer, values(T, B, I))
    close(trace["h"], trace.outputs)
    i, f, g, c = (on_host(trace[name]) for name in "ifgc")
    raw = f[1:] * c[:-1] + i[1:] * g[1:]
    assert np.allclose(raw, c[1:]) == (zoneout == 0.0)


def test_traces_of_a_ragged_batch_equal_traces_of_single_sequences() -> None:
    layer = nn.LSTM(I, H, num_layers=2, bidirectional=True, dtype="float64")
    x = values(T, B, I)
    batch_traces = capture_traces(layer, x, lengths=LENGTHS)
    flows = insight.gradient_flow(layer, x, lengths=LENGTHS, loss=lambda out: out[0].sum())
    for b, length in enumerate(LENGTHS):
        for trace in batch_traces:
            assert not on_host(trace["f"])[length:, b].any()
            assert not flows[trace.name].per_sequence()[length:, b].any()
        if length:
            sequence = slice(b, b + 1)
            single_traces = capture_traces(layer, x[:length, sequence])
            flow = insight.gradient_flow(layer, x[:length, sequence], loss=lambda out: out[0].sum())
            for trace, single in zip(batch_traces, single_traces, strict=True):
                close(trace["f"][:length, sequence], single["f"])
                for part in ("h", "c"):
                    close(
                        flows[trace.name].gradients[part][:length, sequence],
                        flow[trace.name].gradients[part],
                    )
                memory = insight.memory(trace)[:, sequence]
                close(memory[: length + 1], insight.memory(single))
                assert not memory[length + 1 :].any()


def test_gradient_flow_and_saliency_of_a_language_model() -> None:
    model = models.LanguageModel(5, embed=3, hidden=H, layers=2, dropout=0.5).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)  # frozen layers are captured as well
    tokens = ag.tensor(np.array([[0, 1], [2, 3], [4, 0]]))

    def class_score(returned: Any) -> Any:
        return returned[0][-1, :, 2]

    flows = insight.gradient_flow(model, tokens, loss=lambda out: class_score(out).sum())
    assert list(flows) == ["recurrent.l0", "recurrent.l1"]
    assert (flows["recurrent.l0"].norms("c") > 0).all()
    embedded = model.embedding(tokens).detach().requires_grad_()
    score = class_score((model.readout(model.recurrent(embedded)[0]), None)).sum()
    gradient = on_host(ag.gradients(score, [embedded])[0])
    close(
        insight.saliency(model, tokens, score=class_score), np.linalg.norm(gradient, axis=-1), 1e-5
    )
    products = (gradient * on_host(embedded)).sum(-1)
    close(insight.saliency(model, tokens, score=class_score, times_input=True), products, 1e-5)
    assert np.allclose(insight.saliency(model, tokens, score=lambda out: out[0][0, :, 1])[1:], 0)


class ScanModel(nn.Module):
    """Model that calls a layer once per step of its own scan."""

    def __init__(self) -> None:
        self.layer = nn.GRU(I, H, dtype="float64")
        self.front = nn.GRU(I, I, bidirectional=True, dtype="float64")

    def forward(self, x: Any) -> Any:
        x = ag.add(*ag.split(self.front(x)[0], 2, axis=-1))

        def step(h: Any, x: Any) -> Any:
            h = self.layer(ag.expand_dims(x, 0), h)[1]
            return h, h[0]

        return ag.scan(step, ag.zeros((1, B, H), dtype="float64"), x)[1]


def test_a_layer_that_is_called_in_a_scan_has_a_trace_per_call() -> None:
    model, x = ScanModel(), values(T, B, I)
    with insight.capture(model) as traces:
        output = model(x)
    names = ["front.l0", "front.l0_reverse", "layer.l0", *(f"layer.l0 ({n})" for n in range(2, 8))]
    assert [trace.name for trace in traces] == names
    close(output, model(x))
    flows = insight.gradient_flow(model, x, loss=lambda ys: ys[-1].sum())
    norms = np.concatenate([flows[name].norms() for name in names[2:]])
    (single,) = capture_traces(model.layer, on_host(traces[2].inputs))
    assert single.names == traces[2].names
    inputs = ag.concatenate([trace.inputs for trace in traces[2:]]).detach()
    close(norms, insight.gradient_flow(model.layer, inputs, loss=last_output)["l0"].norms())
    leaf = ag.tensor(x, requires_grad=True)
    (gradient,) = ag.gradients(model(leaf)[-1].sum(), [leaf])
    saliency = insight.saliency(model, x, score=lambda ys: ys[-1])
    close(saliency, np.linalg.norm(on_host(gradient), axis=-1))  # of both directions
    with insight.capture(model.front) as traces:
        model(x)
    assert [trace.name for trace in traces] == ["l0", "l0_reverse"]


def test_values_are_captured_under_no_grad() -> None:
    with ag.no_grad(), insight.capture(layer := nn.LSTM(I, H)) as traces:
        layer(values(T, I))
    assert traces[0]["f"].shape == (T, 1, H)
    assert not traces[0]["f"].requires_grad


class FailingCell(nn.Cell):
    def step(self, h: Any, x: Any) -> Any:
        h = ag.tanh(x + self.recurrent(h))
        if self.steps_left == 0:
            raise KeyError("custom")
        self.steps_left -= 1
        return h, h


def observable_state(model: nn.Module) -> list[Any]:
    """Return everything that capturing must not change."""
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


def failing_loss(returned: Any) -> Any:
    raise KeyError("custom")


def test_capturing_restores_all_state() -> None:
    model = models.LanguageModel(5, embed=3, hidden=H, layers=2, dropout=0.5)
    tokens = ag.tensor(np.array([[0, 1], [2, 3], [4, 0]]))
    snapshot = observable_state(model)
    assert snapshot[3:] == [None, False, None]
    insight.gradient_flow(model, tokens, loss=last_output)
    assert observable_state(model) == snapshot
    insight.saliency(model, tokens, score=last_output)
    assert observable_state(model) == snapshot
    with pytest.raises(KeyError, match="custom"):
        insight.gradient_flow(model, tokens, loss=failing_loss)
    assert observable_state(model) == snapshot
    cell = FailingCell(I, H)
    cell.steps_left = 3
    layer = nn.Recurrent(cell)
    snapshot = observable_state(layer)
    with pytest.raises(KeyError, match="custom"):
        insight.gradient_flow(layer, values(T, B, I), loss=last_output)
    cell.steps_left = 3
    assert observable_state(layer) == snapshot


def test_capturing_does_not_affect_random_numbers() -> None:
    layer = nn.LSTM(I, H, num_layers=2, dropout=0.5, zoneout=0.1, recurrent_dropout=0.3)
    x = values(T, B, I).astype(np.float32)
    outputs, streams = [], []
    for captured in (True, False):
        ag.manual_seed(3)
        if captured:
            with insight.capture(layer) as traces:
                outputs.append(layer(x)[0])
            assert len(traces) == 2
        else:
            outputs.append(layer(x)[0])
        streams.append(ag.random.default_generator.state)
    close(*outputs, 1e-5)
    assert streams[0] == streams[1]


def test_a_profiling_hook_is_restored() -> None:
    calls = []

    def hook(frame: Any, event: str, argument: Any) -> None:
        calls.append(frame.f_code.co_name)

    layer, x = nn.GRU(I, H), values(T, B, I)
    sys.setprofile(hook)
    try:
        capture_traces(layer, x)
        assert sys.getprofile() is hook
    finally:
        sys.setprofile(None)
    assert "capture_traces" in calls


def called_afterwards() -> None:
    pass


def test_cprofile_continues() -> None:
    profile = cProfile.Profile()
    profile.enable()
    (trace,) = capture_traces(nn.GRU(I, H), values(T, B, I))
    called_afterwards()
    profile.disable()
    assert "z" in trace.names
    assert any(name == "called_afterwards" for _, _, name in pstats.Stats(profile).stats)  # type: ignore[attr-defined]


def test_capturing_is_local_to_a_thread() -> None:
    layers = [nn.GRU(I, H, dtype="float64") for _ in range(4)]
    x = values(30, B, I)
    expected = [on_host(layer(x)[0]) for layer in layers]
    trace_counts: dict[int, int] = {}

    def work(k: int) -> Callable[[], None]:
        def run() -> None:
            if k < 2:
                with insight.capture(layers[k]) as traces:
                    for _ in range(3):
                        close(layers[k](x)[0], expected[k])
                    close(traces[2]["h"], expected[k])
                    trace_counts[k] = len(traces)
            else:
                for _ in range(30):
                    close(layers[k - 2](x)[0], expected[k - 2])
                trace_counts[k] = 0 if scan_interceptor.get() is None else -1

        return run

    at_once([work(k) for k in range(4)])
    assert trace_counts == {0: 3, 1: 3, 2: 0, 3: 0}


def test_old_names_work_and_warn() -> None:
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
