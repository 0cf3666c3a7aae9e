"""Recurrent layers and cells against PyTorch, ONNX Runtime and Keras' equations."""

import warnings
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recurrences import assert_close, sigmoid, sum_of_squares
from reference import recurrent as reference
from reference.recurrent import CELLS, LAYERS, VARIANTS, Record

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.nn import keras_weights
from tinygrad_rnn.nn.recurrent.packing import pack_padded_sequence, pad_packed_sequence

precisions = pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)]
)
choices = st.randoms(use_true_random=False)


# PyTorch


def check_pytorch(kind: str, record: Record, dtype: str, tolerance: float, packed: bool) -> None:
    """Outputs, last states and the gradients of everything; `packed`: through a PackedSequence."""
    config, arrays = record
    module = getattr(nn, kind)(**config, dtype=dtype)
    weights = {name: array for name, array in arrays.items() if name.startswith("weight/")}
    module.load_state_dict({name.removeprefix("weight/"): a for name, a in weights.items()})
    leaves = {
        name: ag.tensor(array, requires_grad=True, dtype=dtype)
        for name, array in arrays.items()
        if name == "input" or name.startswith("hidden/")
    }
    hidden = [leaf for name, leaf in leaves.items() if name != "input"]
    hx = tuple(hidden) if len(hidden) == 2 else (hidden or [None])[0]
    if kind in CELLS:
        results, last = {}, module(leaves["input"], hx)
    elif packed and "lengths" in arrays:
        first, steps = module.batch_first, arrays["input"].shape[module.batch_first]
        sequence = pack_padded_sequence(leaves["input"], arrays["lengths"], first, False)
        ys, last = module(sequence, hx)
        results = {"output": pad_packed_sequence(ys, first, total_length=steps)[0]}
    else:
        output, last = module(leaves["input"], hx, lengths=arrays.get("lengths"))
        results = {"output": output}
    results |= {f"last/{i}": state for i, state in enumerate(ag.flatten(last))}
    sum_of_squares(list(results.values())).backward()
    parameters = dict(module.named_parameters())
    results |= {f"grad/{name}": leaf.grad for name, leaf in (leaves | parameters).items()}

    assert set(results) == set(arrays) - set(leaves) - set(weights) - {"lengths"}
    for name, result in results.items():
        assert result.dtype == dtype
        assert_close(result, arrays[name], tolerance)


@precisions
@pytest.mark.parametrize(("kind", "record"), reference.recorded(*LAYERS, *CELLS))
def test_equals_what_pytorch_computed(
    kind: str, record: Record, dtype: str, tolerance: float
) -> None:
    check_pytorch(kind, record, dtype, tolerance, packed=False)


@pytest.mark.parametrize(("kind", "record"), reference.recorded(*LAYERS))
def test_packed_sequences_equal_what_pytorch_computed(kind: str, record: Record) -> None:
    if "lengths" in record[1]:
        check_pytorch(kind, record, "float64", 1e-10, packed=True)


@precisions
@pytest.mark.parametrize("kind", LAYERS + CELLS)
@given(random=choices, packed=st.booleans())
def test_equals_what_pytorch_computes(
    kind: str, random: Random, packed: bool, dtype: str, tolerance: float
) -> None:
    pytest.importorskip("torch").set_num_threads(1)
    check_pytorch(kind, reference.make(kind, random), dtype, tolerance, packed)


@pytest.mark.parametrize(
    ("layer", "gates", "more"),
    [
        (nn.RNN(3, 4, 2, bidirectional=True), 1, {}),
        (nn.GRU(3, 4, 2, bidirectional=True), 3, {}),
        (nn.LSTM(3, 4, 2, bidirectional=True), 4, {}),
        (nn.PeepholeLSTM(3, 4, 2, bidirectional=True), 4, {"weight_ch": (12,)}),
    ],
)
def test_parameters_have_pytorchs_names_and_order(
    layer: nn.Recurrent, gates: int, more: dict[str, tuple[int, ...]]
) -> None:
    """Layer, then direction, then kind; weight_hr_l0 of a projection is the last kind."""
    rows = gates * 4
    assert [(name, value.shape) for name, value in layer.named_parameters()] == [
        (f"{kind}_l{level}{suffix}", shape)
        for level, width in ((0, 3), (1, 8))
        for suffix in ("", "_reverse")
        for kind, shape in {
            "weight_ih": (rows, width),
            "weight_hh": (rows, 4),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
            **more,
        }.items()
    ]
    names = [name for name, _ in nn.LSTM(3, 4, proj_size=2).named_parameters()]
    assert names[-1] == "weight_hr_l0"


# ONNX Runtime: what PyTorch has not


def blocks(array: np.ndarray, order: list[int], of: int) -> np.ndarray:
    """Some of `of` blocks of rows, in this order."""
    parts = np.split(array, of)
    return np.concatenate([parts[k] for k in order])


# The cell; where our gates are in the order of ONNX, of so many.
ONNX: dict[str, tuple[Any, list[int], int]] = {
    "RNN": (nn.RNNCell, [0], 1),
    "LSTM": (nn.LSTMCell, [0, 2, 3, 1], 4),  # i, o, f, c
    "peephole": (nn.PeepholeLSTMCell, [0, 2, 3, 1], 4),
    "coupled": (nn.CoupledLSTMCell, [0, 3, 1], 4),
    "reset before": (nn.GRUCell, [1, 0, 2], 3),  # z, r, h
}


def onnx_layer(kind: str, arrays: dict[str, np.ndarray]) -> nn.Recurrent:
    """A layer with the weights of an ONNX node; without B its biases are 0."""
    make, order, gates = ONNX[kind]
    D, _, H = arrays["R"].shape
    options = {"reset_after": False} if kind == "reset before" else {}
    layer = nn.Recurrent(make(arrays["W"].shape[2], H, **options), bidirectional=D == 2)
    for d, cell in enumerate(layer.cells):
        bias_ih, bias_hh = np.split(arrays.get("B", np.zeros((D, 2 * gates * H)))[d], 2)
        state = {
            "weight_ih": blocks(arrays["W"][d], order, gates),
            "weight_hh": blocks(arrays["R"][d], order, gates),
            "bias_ih": blocks(bias_ih, order, gates),
            "bias_hh": blocks(bias_hh, order, gates),
        }
        if kind == "peephole":
            state["weight_ch"] = blocks(arrays["P"][d], [0, 2, 1], 3)  # i, o, f
        cell.load_state_dict(state)
    return layer


def check_onnx(kind: str, record: Record) -> None:
    config, arrays = record
    layer, D, (T, B, _) = onnx_layer(kind, arrays), config["directions"], arrays["X"].shape
    hidden = [
        ag.tensor(arrays[name].astype(np.float32))
        for name in ("initial_h", "initial_c")
        if name in arrays
    ]
    x = ag.tensor(arrays["X"].astype(np.float32))
    hx = tuple(hidden) if len(hidden) == 2 else (hidden or [None])[0]
    y, state = layer(x, hx, lengths=arrays.get("sequence_lens"))
    results = {"Y": y.reshape(T, B, D, -1).swapaxes(1, 2)}
    results |= dict(zip(("Y_h", "Y_c"), ag.flatten(state), strict=False))
    ended = arrays.get("sequence_lens", np.ones(B)) > 0  # ONNX Runtime has 0 for empty ones
    for name in results.keys() & arrays.keys():
        batch = (slice(None),) * (results[name].ndim - 2) + (ended,)
        assert_close(results[name][batch], arrays[name][batch], 1e-5)


@pytest.mark.parametrize(("kind", "record"), reference.recorded(*VARIANTS))
def test_equals_what_onnxruntime_computed(kind: str, record: Record) -> None:
    check_onnx(kind, record)


@pytest.mark.parametrize("kind", VARIANTS)
@given(random=choices)
def test_equals_what_onnxruntime_computes(kind: str, random: Random) -> None:
    pytest.importorskip("onnxruntime")
    check_onnx(kind, reference.make(kind, random))


# The test cases that the onnx package ships, for implementations of its operators


@pytest.fixture(scope="session")
def onnx_cases() -> list[Any]:
    nodes = pytest.importorskip("onnx.backend.test.case.node")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(nodes.collect_testcases(None))


def onnx_record(case: Any) -> tuple[str, Record]:
    """The kind and the arrays of a test case, with time first and steps in the order of time."""
    node = case.model.graph.node[0]
    (given, results) = case.data_sets[0]
    names = [name for name in node.input if name], [name for name in node.output if name]
    arrays = dict(zip(names[0] + names[1], [*given, *results], strict=True))
    options = {a.name: a.s.decode() if a.s else a.i for a in node.attribute}
    if options.get("layout"):
        time_first = {"X": (1, 0, 2), "Y": (1, 2, 0, 3), "Y_h": (1, 0, 2)}
        arrays |= {n: arrays[n].transpose(axes) for n, axes in time_first.items() if n in arrays}
    if options.get("direction") == "reverse":
        arrays |= {name: arrays[name][::-1] for name in ("X", "Y") if name in arrays}
    kind = "reset before" if node.op_type == "GRU" else node.op_type
    return "peephole" if "P" in arrays else kind, ({"directions": len(arrays["R"])}, arrays)


@pytest.mark.parametrize("operator", ["RNN", "LSTM", "GRU"])
def test_passes_the_cases_that_onnx_ships(operator: str, onnx_cases: list[Any]) -> None:
    cases = [case for case in onnx_cases if case.model.graph.node[0].op_type == operator]
    assert len(cases) >= 6
    for case in cases:
        check_onnx(*onnx_record(case))


# Keras, as its documentation has the equations


def keras_simple_rnn(x: np.ndarray, K: Any, R: Any, b: Any) -> np.ndarray:
    h = np.zeros(len(R))
    for t in range(len(x)):
        h = np.tanh(x[t] @ K + b + h @ R)
    return h


def keras_lstm(x: np.ndarray, K: Any, R: Any, b: Any) -> np.ndarray:
    h = c = np.zeros(len(R))
    for t in range(len(x)):
        i, f, new, o = np.split(x[t] @ K + h @ R + b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(new)
        h = sigmoid(o) * np.tanh(c)
    return h


def keras_gru_reset_after(x: np.ndarray, K: Any, R: Any, b: Any) -> np.ndarray:
    h = np.zeros(len(R))
    for t in range(len(x)):
        x_z, x_r, x_h = np.split(x[t] @ K + b[0], 3)
        h_z, h_r, h_h = np.split(h @ R + b[1], 3)
        z = sigmoid(x_z + h_z)
        h = z * h + (1 - z) * np.tanh(x_h + sigmoid(x_r + h_r) * h_h)
    return h


def keras_gru_reset_before(x: np.ndarray, K: Any, R: Any, b: Any) -> np.ndarray:
    h, U = np.zeros(len(R)), len(R)
    for t in range(len(x)):
        x_z, x_r, x_h = np.split(x[t] @ K + b, 3)
        z = sigmoid(x_z + h @ R[:, :U])
        r = sigmoid(x_r + h @ R[:, U : 2 * U])
        h = z * h + (1 - z) * np.tanh(x_h + (r * h) @ R[:, 2 * U :])
    return h


@pytest.mark.parametrize(
    ("make", "equations", "gates", "biases"),
    [
        (nn.RNN, keras_simple_rnn, 1, ()),
        (nn.LSTM, keras_lstm, 4, ()),
        (nn.GRU, keras_gru_reset_after, 3, (2,)),
        (lambda *a, **o: nn.GRU(*a, **o, reset_after=False), keras_gru_reset_before, 3, ()),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_weights_of_keras(
    make: Any, equations: Any, gates: int, biases: tuple[int, ...], bias: bool
) -> None:
    rng = np.random.default_rng(0)
    x, K, R, b = (
        rng.normal(size=shape)
        for shape in ((5, 2), (2, 3 * gates), (3, 3 * gates), (*biases, 3 * gates))
    )
    layer = make(2, 3, bias=bias, dtype="float64")
    keras_weights.from_keras(layer, K, R, *([b] if bias else []))
    y, _ = layer(ag.tensor(x))
    assert_close(y[-1], equations(x, K, R, b if bias else np.zeros_like(b)))


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (nn.LSTM(2, 3, 2), [(2, 12), (3, 12), (12,)], "a layer of 2 cells"),
        (nn.GRU(2, 3), [(2, 9), (3, 9), (9,)], "reset_after"),
        (nn.GRU(2, 3, reset_after=False), [(2, 9), (3, 9), (2, 9)], "reset_after"),
        (nn.LSTM(2, 3), [(2, 12), (3, 12), (2, 12)], "bias of shape"),
        (nn.LSTM(2, 3), [(2, 9), (3, 9), (9,)], "does not divide into 4 gates"),
        (nn.LSTM(2, 3), [(4, 12), (3, 12), (12,)], "weight_ih: expected shape"),
        (nn.LSTM(2, 3), [(2, 12), (3, 12)], "missing: bias_ih"),
        (nn.PeepholeLSTM(2, 3), [(2, 12), (3, 12), (12,)], "no counterpart of PeepholeLSTMCell"),
    ],
)
def test_weights_of_keras_that_do_not_fit(
    layer: nn.Recurrent, shapes: list[tuple[int, ...]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        keras_weights.from_keras(layer, *map(np.zeros, shapes))
