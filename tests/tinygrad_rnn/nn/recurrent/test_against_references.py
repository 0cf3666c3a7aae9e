"""Recurrent layers and cells against PyTorch and ONNX Runtime."""

import warnings
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recurrences import assert_close, sum_of_squares
from reference import recurrent as reference
from reference.recurrent import CELLS, LAYERS, VARIANTS, Record

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.nn.recurrent.packing import pack_padded_sequence, pad_packed_sequence

precisions = pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)]
)
choices = st.randoms(use_true_random=False)


# PyTorch


def check_pytorch(kind: str, record: Record, dtype: str, tolerance: float, packed: bool) -> None:
    """Compare outputs, last states and all gradients; with `packed` through a PackedSequence."""
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
def test_recorded_pytorch_results(kind: str, record: Record, dtype: str, tolerance: float) -> None:
    check_pytorch(kind, record, dtype, tolerance, packed=False)


@pytest.mark.parametrize(("kind", "record"), reference.recorded(*LAYERS))
def test_recorded_pytorch_results_packed(kind: str, record: Record) -> None:
    if "lengths" in record[1]:
        check_pytorch(kind, record, "float64", 1e-10, packed=True)


@precisions
@pytest.mark.parametrize("kind", LAYERS + CELLS)
@given(random=choices, packed=st.booleans())
def test_against_pytorch(
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
def test_parameter_names_and_order_equal_pytorch(
    layer: nn.Recurrent, gates: int, more: dict[str, tuple[int, ...]]
) -> None:
    """The order is layer, direction, kind; weight_hr_l0 of a projection is the last kind."""
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


# ONNX Runtime: cells that PyTorch does not have


def reorder_gates(array: np.ndarray, order: list[int], gates: int) -> np.ndarray:
    """Return the blocks of rows of the given gates, in this order."""
    blocks = np.split(array, gates)
    return np.concatenate([blocks[k] for k in order])


# The cell, the index of each of its gates in the order of ONNX, and the number of ONNX gates.
ONNX: dict[str, tuple[Any, list[int], int]] = {
    "RNN": (nn.RNNCell, [0], 1),
    "LSTM": (nn.LSTMCell, [0, 2, 3, 1], 4),  # i, o, f, c
    "peephole": (nn.PeepholeLSTMCell, [0, 2, 3, 1], 4),
    "coupled": (nn.CoupledLSTMCell, [0, 3, 1], 4),
    "reset before": (nn.GRUCell, [1, 0, 2], 3),  # z, r, h
}


def onnx_layer(kind: str, arrays: dict[str, np.ndarray]) -> nn.Recurrent:
    """Return a layer with the weights of an ONNX node; without B the biases are 0."""
    make, order, gates = ONNX[kind]
    D, _, H = arrays["R"].shape
    options = {"reset_after": False} if kind == "reset before" else {}
    layer = nn.Recurrent(make(arrays["W"].shape[2], H, **options), bidirectional=D == 2)
    for d, cell in enumerate(layer.cells):
        bias_ih, bias_hh = np.split(arrays.get("B", np.zeros((D, 2 * gates * H)))[d], 2)
        state = {
            "weight_ih": reorder_gates(arrays["W"][d], order, gates),
            "weight_hh": reorder_gates(arrays["R"][d], order, gates),
            "bias_ih": reorder_gates(bias_ih, order, gates),
            "bias_hh": reorder_gates(bias_hh, order, gates),
        }
        if kind == "peephole":
            state["weight_ch"] = reorder_gates(arrays["P"][d], [0, 2, 1], 3)  # i, o, f
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
    nonempty = (
        arrays.get("sequence_lens", np.ones(B)) > 0
    )  # ONNX Runtime returns 0 for empty sequences
    for name in results.keys() & arrays.keys():
        batch = (slice(None),) * (results[name].ndim - 2) + (nonempty,)
        assert_close(results[name][batch], arrays[name][batch], 1e-5)


@pytest.mark.parametrize(("kind", "record"), reference.recorded(*VARIANTS))
def test_recorded_onnxruntime_results(kind: str, record: Record) -> None:
    check_onnx(kind, record)


@pytest.mark.parametrize("kind", VARIANTS)
@given(random=choices)
def test_against_onnxruntime(kind: str, random: Random) -> None:
    pytest.importorskip("onnxruntime")
    check_onnx(kind, reference.make(kind, random))


# Test cases of the onnx package


@pytest.fixture(scope="session")
def onnx_cases() -> list[Any]:
    nodes = pytest.importorskip("onnx.backend.test.case.node")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(nodes.collect_testcases(None))


def onnx_record(case: Any) -> tuple[str, Record]:
    """Return the kind and the arrays of a test case, time-major and in forward direction."""
    node = case.model.graph.node[0]
    (inputs, outputs) = case.data_sets[0]
    names = [name for name in node.input if name], [name for name in node.output if name]
    arrays = dict(zip(names[0] + names[1], [*inputs, *outputs], strict=True))
    options = {a.name: a.s.decode() if a.s else a.i for a in node.attribute}
    if options.get("layout"):
        time_first = {"X": (1, 0, 2), "Y": (1, 2, 0, 3), "Y_h": (1, 0, 2)}
        arrays |= {n: arrays[n].transpose(axes) for n, axes in time_first.items() if n in arrays}
    if options.get("direction") == "reverse":
        arrays |= {name: arrays[name][::-1] for name in ("X", "Y") if name in arrays}
    kind = "reset before" if node.op_type == "GRU" else node.op_type
    return "peephole" if "P" in arrays else kind, ({"directions": len(arrays["R"])}, arrays)


@pytest.mark.parametrize("operator", ["RNN", "LSTM", "GRU"])
def test_cases_of_the_onnx_package(operator: str, onnx_cases: list[Any]) -> None:
    cases = [case for case in onnx_cases if case.model.graph.node[0].op_type == operator]
    assert len(cases) >= 6
    for case in cases:
        check_onnx(*onnx_record(case))
