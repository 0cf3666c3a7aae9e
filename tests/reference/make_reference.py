"""What PyTorch computes, recorded, so that the tests can compare with it where it is not installed.

    python tests/reference/make_reference.py        (needs torch; rewrites pytorch.safetensors)

Each record has a name ("adam"), a configuration (JSON, in the file's metadata) and arrays
("adam/rates", ...).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

FILE = Path(__file__).with_name("pytorch.safetensors")

Record = tuple[dict[str, Any], dict[str, np.ndarray]]


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

    records = {"adam": adam_record(0)}
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
