"""30 steps of PyTorch's optimizers in a bowl of two parameters, with random options.

The configuration has the `optimiser`, its `options`, and the further ones of the second parameter's
`group` (LBFGS has but one group). Arrays: for parameter i its start/i, curvature/i and centre/i,
which make the loss

    sum over i of sum(curvature / 2 (p - centre)^2) + (sum(p_0) + sum(p_1))^2 / 20

and its trajectory/i (30, ...).

Line searches are looked at more closely: from `start`, along a sum of waves, sum_k height_k cos(k p
+ phase_k) + p^2 / 20, a call of LBFGS leads to `place` by so many `calls` of the loss.
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
    dtype = str(rng.choice(["float32", "float64"]))
    if optimiser == "LBFGS" and dtype == "float32":  # closer to the centre, rounding leads the way
        options["tolerance_grad"] = 0.01
    arrays = {}
    for i, shape in enumerate(SHAPES):
        arrays[f"start/{i}"] = rng.normal(size=shape).astype(dtype)
        arrays[f"curvature/{i}"] = rng.uniform(0.5, 2, shape).astype(dtype)
        arrays[f"centre/{i}"] = rng.normal(size=shape).astype(dtype)
    config = {"optimiser": optimiser, "options": options, "group": group}
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
        "lr": float(rng.uniform(0.3, 1)),
        "max_iter": int(rng.integers(1, 4)),
        **({"max_eval": int(rng.integers(1, 8))} if rng.random() < 0.5 else {}),
        "history_size": int(rng.integers(1, 5)),
        "tolerance_grad": float(rng.choice([1e-7, 0.1])),
        "tolerance_change": float(rng.choice([1e-9, 0.1])),
        "line_search_fn": "strong_wolfe" if flag else None,
    }


def loss(parameters: Any, arrays: dict[str, Any]) -> Any:
    """The same for PyTorch's tensors and ours."""
    total = sum(p.sum() for p in parameters) ** 2 / 20
    for i, p in enumerate(parameters):
        total = total + (arrays[f"curvature/{i}"] / 2 * (p - arrays[f"centre/{i}"]) ** 2).sum()
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
        value = loss(params, arrays)
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


def search_record(seed: int) -> Record:
    """A step or four in waves drawn from `seed`; the configuration is the options of LBFGS."""
    import torch

    rng = np.random.default_rng(seed)
    iterations = int(rng.choice([1, 4]))
    config = {
        "lr": float(10 ** rng.uniform(-1.5, 1.5 if iterations == 1 else 0)),
        "max_iter": iterations,
        "max_eval": int(rng.integers(2, 30)),
        "tolerance_grad": float(rng.choice([1e-7, 0.5])),
        "tolerance_change": float(rng.choice([1e-9, 0.1])),
    }
    heights, phases, k = rng.normal(size=4), rng.uniform(0, 6, 4), np.arange(1, 5)
    places = rng.normal(size=(9, 1))  # the steepest: where it is flat, rounding leads the way
    slopes = places[:, 0] / 10 - (heights * k * np.sin(k * places + phases)).sum(1)
    start = places[np.argmax(abs(slopes))]
    arrays: dict[str, Any] = {"start": start, "heights": heights, "phases": phases}
    p = torch.tensor(start, requires_grad=True)
    calls = search(torch.optim, p, torch.cos, arrays, config)
    found = arrays | {"place": p.detach().numpy(), "calls": calls}
    return config, {name: np.array(value) for name, value in found.items()}


def search(optim: Any, p: Any, cos: Any, arrays: dict[str, Any], config: dict[str, Any]) -> int:
    """One call under `optim`, PyTorch's or ours; how often the loss was computed."""
    optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe", **config)
    calls = 0

    def closure() -> Any:
        nonlocal calls
        calls += 1
        optimizer.zero_grad()
        value = p**2 / 20
        waves = zip(arrays["heights"].tolist(), arrays["phases"].tolist(), strict=True)
        for k, (height, phase) in enumerate(waves, start=1):
            value = value + height * cos(k * p + phase)
        value.backward()
        return value

    optimizer.step(closure)
    return calls


if __name__ == "__main__":
    records = {f"{seed}": record(seed) for seed in range(4 * len(OPTIMISERS))}
    seeds = [*range(50), 98, 147, 271, 794]  # the last go ways that are seldom gone
    searches = {f"search {seed}": search_record(seed) for seed in seeds}
    save("optimizers", records | searches, "torch")
