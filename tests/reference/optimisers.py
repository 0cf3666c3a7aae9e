"""30 steps of PyTorch's optimisers in a bowl of two parameters, with random options.

The configuration has the `optimiser`, its `options`, the further ones of the second parameter's
`group` (LBFGS has but one group), and the height h of `bumps`, which a line search gets. Arrays:
for parameter i its start/i, curvature/i and centre/i, which make the loss

    sum over i of sum(curvature / 2 d^2 + h / (1 + (2 d - 1)^2)) + (sum(p_0) + sum(p_1))^2 / 20

for d = p - centre, and its trajectory/i (30, ...).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .records import Record, save

OPTIMISERS = ["SGD", "RMSprop", "Adagrad", "Adam", "AdamW", "LBFGS"]
SHAPES = [(2, 2), (2,)]
STEPS = 30


def record(seed: int) -> Record:
    """An optimiser with a problem and options drawn from `seed`; all in turn."""
    rng = np.random.default_rng(seed)
    optimiser = OPTIMISERS[seed % len(OPTIMISERS)]
    options, group = _options(rng, optimiser), {"lr": 0.01, "weight_decay": 0.1}
    bumps = 0.5 if options.get("line_search_fn") else 0.0
    dtype = "float64" if bumps else str(rng.choice(["float32", "float64"]))
    if optimiser == "LBFGS" and dtype == "float32":  # closer to the centre, rounding leads the way
        options["tolerance_grad"] = 0.01
    arrays = {}
    for i, shape in enumerate(SHAPES):
        arrays[f"start/{i}"] = rng.normal(size=shape).astype(dtype)
        arrays[f"curvature/{i}"] = rng.uniform(0.5, 2, shape).astype(dtype)
        arrays[f"centre/{i}"] = rng.normal(size=shape).astype(dtype)
    config = {"optimiser": optimiser, "options": options, "group": group, "bumps": bumps}
    return config, arrays | _trajectories(config, arrays)


def _options(rng: Any, optimiser: str) -> dict[str, Any]:
    def maybe(value: Any) -> Any:
        return value if rng.random() < 0.5 else 0.0

    rate, decay, flag = float(10 ** rng.uniform(-3, -1.5)), maybe(0.2), bool(rng.random() < 0.5)
    shared = {"lr": rate, "weight_decay": decay, "maximize": bool(rng.random() < 0.2)}
    betas = [float(rng.uniform(0.5, 0.95)), float(rng.uniform(0.95, 0.999))]
    eps = float(rng.choice([1e-8, 1e-3]))
    if optimiser == "SGD":
        momentum = maybe(0.9)
        nesterov = flag and momentum > 0
        dampening = 0.0 if nesterov else maybe(0.4)
        return shared | {"momentum": momentum, "dampening": dampening, "nesterov": nesterov}
    if optimiser == "RMSprop":
        alpha = float(rng.uniform(0.95, 0.99))
        return shared | {"alpha": alpha, "eps": eps, "momentum": maybe(0.8), "centered": flag}
    if optimiser == "Adagrad":
        return shared | {
            "lr_decay": maybe(0.1),
            "initial_accumulator_value": maybe(0.5),
            "eps": eps,
        }
    if optimiser in ("Adam", "AdamW"):
        return shared | {"betas": betas, "eps": eps, "amsgrad": flag}
    return {
        "lr": float(rng.uniform(0.3, 5 if flag else 1)),
        "max_iter": int(rng.integers(1, 4)),
        **({"max_eval": int(rng.integers(1, 8))} if rng.random() < 0.5 else {}),
        "history_size": int(rng.integers(1, 5)),
        "tolerance_grad": float(rng.choice([1e-7, 0.1])),
        "tolerance_change": float(rng.choice([1e-9, 0.1])),
        "line_search_fn": "strong_wolfe" if flag else None,
    }


def loss(parameters: Any, arrays: dict[str, Any], bumps: float) -> Any:
    """The same for PyTorch's tensors and ours."""
    total = sum(p.sum() for p in parameters) ** 2 / 20
    for i, p in enumerate(parameters):
        d = p - arrays[f"centre/{i}"]
        total = total + (arrays[f"curvature/{i}"] / 2 * d**2).sum()
        if bumps:
            total = total + (bumps / (1 + (2 * d - 1) ** 2)).sum()
    return total


def follow(optim: Any, params: list[Any], arrays: dict[str, Any], config: Any) -> Iterator[None]:
    """Step after step under `optim`, PyTorch's or ours."""
    first, second = params
    parts = [{"params": [first]}, {"params": [second], **config["group"]}]
    optimizer = getattr(optim, config["optimiser"])(
        params if config["optimiser"] == "LBFGS" else parts, **config["options"]
    )

    def closure() -> Any:
        optimizer.zero_grad()
        value = loss(params, arrays, config["bumps"])
        value.backward()
        return value

    for _ in range(STEPS):
        optimizer.step(closure)
        yield


def _trajectories(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    import torch

    tensors = {name: torch.tensor(array) for name, array in arrays.items()}
    params = [tensors[f"start/{i}"].requires_grad_() for i in range(len(SHAPES))]
    places: list[list[np.ndarray]] = [[] for _ in params]
    for _ in follow(torch.optim, params, tensors, config):
        for p, place in zip(params, places, strict=True):
            place.append(p.detach().numpy().copy())
    return {f"trajectory/{i}": np.array(place) for i, place in enumerate(places)}


if __name__ == "__main__":
    kinds = len(OPTIMISERS)
    seeds = [*range(4 * kinds), *range(5 * kinds - 1, 18 * kinds, kinds)]  # of LBFGS some more
    save("optimisers", {f"{seed}": record(seed) for seed in seeds})
