"""Results of recurrent networks in PyTorch and ONNX Runtime.

The functions take a source of random choices: `random.Random(seed)` for records, hypothesis' random
for tests that run PyTorch. Inputs are multiples of 1/64, which every precision represents.
"""

from random import Random
from typing import Any

import numpy as np

from .records import Record, load, save

LAYERS = ("RNN", "LSTM", "GRU")
CELLS = ("RNNCell", "LSTMCell", "GRUCell")
VARIANTS = ("peephole", "coupled", "reset before")


def random_numbers(random: Random, *shape: int) -> np.ndarray:
    """Return random multiples of 1/64 between -1 and 1."""
    rng = np.random.default_rng(random.randint(0, 2**32 - 1))
    return rng.integers(-64, 65, shape) / 64


# --- PyTorch --------------------------------------------------------------------------------------


def torch_layer(kind: str, random: Random, most: int) -> Record:
    """Return a record of `torch.nn.LSTM` (or GRU, RNN) in float64.

    The configuration has the keyword arguments of the layer. The arrays are input; optionally
    lengths (of a packed sequence), hidden/0 and hidden/1; output, last/0 and last/1; weight/NAME;
    and grad/NAME, grad/input, ...: the gradients of the sum of squares of all results.
    """
    import torch

    T, B, I, H = (random.randint(1, most) for _ in range(4))
    proj_size = (
        random.randint(1, H - 1) if kind == "LSTM" and H > 1 and random.random() < 0.3 else 0
    )
    config: dict[str, Any] = {
        "input_size": I,
        "hidden_size": H,
        "num_layers": random.randint(1, 2),
        "bias": random.random() < 0.7,
        "batch_first": random.random() < 0.5,
        "bidirectional": random.random() < 0.5,
    }
    if kind == "LSTM":
        config["proj_size"] = proj_size
    if kind == "RNN":
        config["nonlinearity"] = random.choice(["tanh", "relu"])
    unbatched = random.random() < 0.2
    layer = getattr(torch.nn, kind)(**config, dtype=torch.float64)

    batch = () if unbatched else (B,)
    arrays = {
        "input": random_numbers(
            random, *((*batch, T, I) if config["batch_first"] else (T, *batch, I))
        )
    }
    if random.random() < 0.7:
        cells = config["num_layers"] * (1 + config["bidirectional"])
        for i, width in enumerate([proj_size or H, H][: 1 + (kind == "LSTM")]):
            arrays[f"hidden/{i}"] = random_numbers(random, cells, *batch, width)
    if not unbatched and random.random() < 0.5:
        arrays["lengths"] = np.array([random.randint(1, T) for _ in range(B)])
    return config, with_results(layer, arrays, random)


def torch_cell(kind: str, random: Random, most: int) -> Record:
    """Return a record of `torch.nn.LSTMCell` (or GRUCell, RNNCell), without outputs.

    The last state is the new state.
    """
    import torch

    B, I, H = (random.randint(1, most) for _ in range(3))
    config: dict[str, Any] = {
        "input_size": I,
        "hidden_size": H,
        "bias": random.random() < 0.7,
    }
    if kind == "RNNCell":
        config["nonlinearity"] = random.choice(["tanh", "relu"])
    batch = () if random.random() < 0.2 else (B,)
    arrays = {"input": random_numbers(random, *batch, I)}
    if random.random() < 0.7:
        for i in range(1 + (kind == "LSTMCell")):
            arrays[f"hidden/{i}"] = random_numbers(random, *batch, H)
    cell = getattr(torch.nn, kind)(**config, dtype=torch.float64)
    return config, with_results(cell, arrays, random)


def with_results(module: Any, arrays: dict[str, np.ndarray], random: Random) -> Any:
    """Return the arrays with random weights, the results of the module and the gradients."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    weights = dict(module.named_parameters())
    for name, weight in weights.items():
        arrays[f"weight/{name}"] = random_numbers(random, *weight.shape)
    module.load_state_dict({name: torch.tensor(arrays[f"weight/{name}"]) for name in weights})
    lengths = arrays.get("lengths")
    leaves = {
        name: torch.tensor(array, requires_grad=True)
        for name, array in arrays.items()
        if name == "input" or name.startswith("hidden/")
    }
    hidden = [leaf for name, leaf in leaves.items() if name != "input"]
    hx = tuple(hidden) if len(hidden) == 2 else (hidden or [None])[0]
    if isinstance(module, torch.nn.RNNCellBase):
        results, last = {}, module(leaves["input"], hx)
    elif lengths is None:
        output, last = module(leaves["input"], hx)
        results = {"output": output}
    else:
        first, steps = module.batch_first, arrays["input"].shape[module.batch_first]
        packed = pack_padded_sequence(leaves["input"], torch.tensor(lengths), first, False)
        ys, last = module(packed, hx)
        results = {"output": pad_packed_sequence(ys, first, total_length=steps)[0]}
    states = last if isinstance(last, tuple) else (last,)
    results |= {f"last/{i}": state for i, state in enumerate(states)}
    sum(result.square().sum() for result in results.values()).backward()
    results |= {f"grad/{name}": leaf.grad for name, leaf in (leaves | weights).items()}
    return arrays | {name: result.detach().numpy() for name, result in results.items()}


# --- ONNX Runtime ---------------------------------------------------------------------------------


def onnx_variant(kind: str, random: Random, most: int) -> Record:
    """Return a record of an ONNX operator for a cell that PyTorch does not have.

    The kinds are LSTM with peepholes, LSTM with coupled gates (input_forget=1) and GRU with the
    reset gate before the product (linear_before_reset=0), in float32. The arrays are the inputs X,
    W, R, B, optionally sequence_lens, initial_h, initial_c, P, and the results Y, Y_h, Y_c.
    """
    import onnxruntime
    from onnx import TensorProto, helper

    T, batch, I, H = (random.randint(1, most) for _ in range(4))
    D = random.randint(1, 2)
    operator, gates = ("GRU", 3) if kind == "reset before" else ("LSTM", 4)
    arrays = {
        "X": random_numbers(random, T, batch, I),
        "W": random_numbers(random, D, gates * H, I),
        "R": random_numbers(random, D, gates * H, H),
        "B": random_numbers(random, D, 2 * gates * H),
        "initial_h": random_numbers(random, D, batch, H),
    }
    names = ["X", "W", "R", "B", "", "initial_h"]
    if random.random() < 0.5:
        arrays["sequence_lens"] = np.array([random.randint(0, T) for _ in range(batch)])
        names[4] = "sequence_lens"
    if operator == "LSTM":
        arrays["initial_c"] = random_numbers(random, D, batch, H)
        names.append("initial_c")
    if kind == "peephole":
        arrays["P"] = random_numbers(random, D, 3 * H)
        names.append("P")
    results = ["Y", "Y_h", "Y_c"][: len(names) - 4 if operator == "GRU" else 3]
    extra = {"input_forget": 1} if kind == "coupled" else {}
    extra |= {"linear_before_reset": 0} if operator == "GRU" else {}
    node = helper.make_node(
        operator,
        names,
        results,
        hidden_size=H,
        direction="bidirectional" if D == 2 else "forward",
        **extra,
    )
    dtypes = {"sequence_lens": (TensorProto.INT32, np.int32)}
    default = (TensorProto.FLOAT, np.float32)
    graph = helper.make_graph(
        [node],
        kind,
        [
            helper.make_tensor_value_info(name, dtypes.get(name, default)[0], array.shape)
            for name, array in arrays.items()
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {name: array.astype(dtypes.get(name, default)[1]) for name, array in arrays.items()}
    outputs = session.run(results, feed)
    return {"directions": D}, arrays | dict(zip(results, outputs, strict=True))


# --- recording ------------------------------------------------------------------------------------


def make(kind: str, random: Random, most: int = 4) -> Record:
    """Return a record of one of the kinds above."""
    makers = {**dict.fromkeys(LAYERS, torch_layer), **dict.fromkeys(CELLS, torch_cell)}
    return makers.get(kind, onnx_variant)(kind, random, most)


def recorded(*kinds: str) -> list[tuple[str, Record]]:
    """Return all recorded results of these kinds, as pairs (kind, record)."""
    named = [(name.rpartition(" ")[0], record) for name, record in load("recurrent").items()]
    return [(kind, record) for kind, record in named if kind in kinds]


if __name__ == "__main__":
    records = {
        f"{kind} {seed}": make(kind, Random(f"{kind} {seed}"), most=3)
        for kind in LAYERS + CELLS + VARIANTS
        for seed in range(3 if kind in CELLS else 8)
    }
    save("recurrent", records, "torch", "onnxruntime")
