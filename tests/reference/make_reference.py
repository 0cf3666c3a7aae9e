"""What PyTorch computes, recorded, so that the tests can compare with it where it is not installed.

    python tests/reference/make_reference.py        (needs torch; rewrites pytorch.safetensors)

Each record has a name ("lstm0"), a configuration (JSON, in the file's metadata) and arrays
("lstm0/input", ...).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

FILE = Path(__file__).with_name("pytorch.safetensors")

Record = tuple[dict[str, Any], dict[str, np.ndarray]]


def lstm_record(seed: int) -> Record:
    """`torch.nn.LSTM` in float64 on random data; the configuration is its keyword arguments.

    Arrays: input; perhaps lengths (of packed sequences), h_0, c_0; output, h_n, c_n; weight/NAME;
    and grad/NAME, grad/input, ...: the gradients of the sum of squares of all results.
    """
    import torch
    from torch.nn.utils import rnn

    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    T, B, I, H, layers = (int(rng.integers(1, most + 1)) for most in (6, 5, 5, 5, 3))
    bias, batch_first, bidirectional, packed, states = (rng.random(5) < 0.7).tolist()
    unbatched = rng.random() < 0.2
    config = {
        "input_size": I,
        "hidden_size": H,
        "num_layers": layers,
        "bias": bias,
        "batch_first": batch_first,
        "bidirectional": bidirectional,
    }
    lstm = torch.nn.LSTM(**config, dtype=torch.float64)
    batch = () if unbatched else (B,)
    shape = (*batch, T, I) if batch_first else (T, *batch, I)
    given = {"input": torch.randn(shape, dtype=torch.float64, requires_grad=True)}
    hx = None
    if states:
        for name in ("h_0", "c_0"):
            size = (layers * (1 + bidirectional), *batch, H)
            given[name] = torch.randn(size, dtype=torch.float64, requires_grad=True)
        hx = given["h_0"], given["c_0"]

    record: dict[str, Any] = {}
    if packed and not unbatched:
        record["lengths"] = lengths = torch.tensor(rng.integers(1, T + 1, B))  # 0 is not allowed
        sequences = rnn.pack_padded_sequence(given["input"], lengths, batch_first, False)
        out, (h_n, c_n) = lstm(sequences, hx)
        output, _ = rnn.pad_packed_sequence(out, batch_first, total_length=T)
    else:
        output, (h_n, c_n) = lstm(given["input"], hx)
    sum(result.square().sum() for result in (output, h_n, c_n)).backward()

    weights = dict(lstm.named_parameters())
    record |= given | {"output": output, "h_n": h_n, "c_n": c_n}
    record |= {f"weight/{name}": value for name, value in weights.items()}
    record |= {f"grad/{name}": value.grad for name, value in (given | weights).items()}
    return config, {name: value.detach().numpy() for name, value in record.items()}


def adam_record(seed: int) -> Record:
    """30 steps of `torch.optim.Adam` under ExponentialLR, on given gradients, in float64.

    The configuration has the options of the `groups` (one parameter each) and `gamma`. Arrays: of
    parameter i start/i, gradients/i and trajectory/i (30, ...); and rates (30, groups).
    """
    import torch

    rng = np.random.default_rng(seed)
    shapes = [(2, 3), (4,), ()]
    groups: list[dict[str, Any]] = [
        {"lr": 0.1},
        {"lr": 0.01, "weight_decay": 0.3},
        {"lr": 1.0, "betas": [0.5, 0.7], "eps": 0.1},
    ]
    gamma = 0.9
    start = [rng.normal(size=shape) for shape in shapes]
    gradients = [rng.normal(size=(30, *shape)) for shape in shapes]

    params = [torch.tensor(array, requires_grad=True) for array in start]
    optimizer = torch.optim.Adam(
        [{"params": [p], **group} for p, group in zip(params, groups, strict=True)]
    )
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma)
    trajectories: list[list[np.ndarray]] = [[] for _ in params]
    rates = []
    for t in range(30):
        rates.append(schedule.get_last_lr())
        for p, g in zip(params, gradients, strict=True):
            p.grad = torch.tensor(g[t])
        optimizer.step()
        schedule.step()
        for p, trajectory in zip(params, trajectories, strict=True):
            trajectory.append(p.detach().numpy().copy())

    arrays = {"rates": np.array(rates)}
    for i in range(len(params)):
        arrays[f"start/{i}"] = start[i]
        arrays[f"gradients/{i}"] = gradients[i]
        arrays[f"trajectory/{i}"] = np.array(trajectories[i])
    return {"groups": groups, "gamma": gamma}, arrays


def recorded(kind: str) -> list[Record]:
    """All records whose name starts with `kind`."""
    with safe_open(FILE, "numpy") as file:
        return [
            (
                json.loads(config),
                {
                    key.removeprefix(f"{name}/"): file.get_tensor(key)
                    for key in file.keys()  # noqa: SIM118 (it is no dict)
                    if key.startswith(f"{name}/")
                },
            )
            for name, config in sorted(file.metadata().items())
            if name.startswith(kind)
        ]


def main() -> None:
    import torch

    records = {f"lstm{seed}": lstm_record(seed) for seed in range(16)} | {"adam": adam_record(0)}
    arrays = {
        f"{name}/{key}": np.array(array, order="C")
        for name, (_, arrays) in records.items()
        for key, array in arrays.items()
    }
    metadata = {name: json.dumps(config) for name, (config, _) in records.items()}
    save_file(arrays, FILE, metadata | {"torch": str(torch.__version__)})
    print(f"{FILE}: {len(records)} records, {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
