"""30 steps of PyTorch's optimizers on a quadratic of two parameters, with random options.

The configuration contains the `optimizer`, its `options`, and the options of the second parameter's
`group` (LBFGS has only one group). The arrays of parameter i are start/i, curvature/i and center/i,
which define the loss

    sum over i of sum(curvature / 2 (p - center)^2) + (sum(p_0) + sum(p_1))^2 / 20

and trajectory/i (30, ...).

Line searches have separate records: on a sum of waves, sum_k height_k cos(k p + phase_k) + p^2 / 20
as the loss, a call of LBFGS leads from `start` to `end` with `calls` evaluations.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .records import Record, save

OPTIMIZERS = ["SGD", "RMSprop", "Adagrad", "Adam", "AdamW", "LBFGS"]
SHAPES = [(2, 2), (2,)]
STEPS = 30


def record(seed: int) -> Record:
    """Return a problem and options drawn from `seed`; seeds alternate between the optimizers."""
    rng = np.random.default_rng(seed)
    optimizer = OPTIMIZERS[seed % len(OPTIMIZERS)]
    options, group = _options(rng, optimizer), {"lr": 0.01, "weight_decay": 0.1}
    dtype = str(rng.choice(["float32", "float64"]))
    if optimizer == "LBFGS" and dtype == "float32":  # near the center, rounding decides
        options["tolerance_grad"] = 0.01
    arrays = {}
    for i, shape in enumerate(SHAPES):
        arrays[f"start/{i}"] = rng.normal(size=shape).astype(dtype)
        arrays[f"curvature/{i}"] = rng.uniform(0.5, 2, shape).astype(dtype)
        arrays[f"center/{i}"] = rng.normal(size=shape).astype(dtype)
    config = {"optimizer": optimizer, "options": options, "group": group}
    return config, arrays | _trajectories(config, arrays)


def _options(rng: Any, optimizer: str) -> dict[str, Any]:
    def maybe(value: Any) -> Any:
        return value if rng.random() < 0.5 else 0.0

    rate, decay, flag = float(10 ** rng.uniform(-3, -1.5)), maybe(0.2), bool(rng.random() < 0.5)
    shared = {"lr": rate, "weight_decay": decay, "maximize": bool(rng.random() < 0.2)}
    betas = [float(rng.uniform(0.5, 0.95)), float(rng.uniform(0.95, 0.999))]
    eps = float(rng.choice([1e-8, 1e-3]))
    if optimizer == "SGD":
        momentum = maybe(0.9)
        nesterov = flag and momentum > 0
        dampening = 0.0 if nesterov else maybe(0.4)
        return shared | {"momentum": momentum, "dampening": dampening, "nesterov": nesterov}
    if optimizer == "RMSprop":
        alpha = float(rng.uniform(0.95, 0.99))
        return shared | {"alpha": alpha, "eps": eps, "momentum": maybe(0.8), "centered": flag}
    if optimizer == "Adagrad":
        return shared | {
            "lr_decay": maybe(0.1),
            "initial_accumulator_value": maybe(0.5),
            "eps": eps,
        }
    if optimizer in ("Adam", "AdamW"):
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
    """Return the loss of PyTorch's tensors or of this library's."""
    total = sum(p.sum() for p in parameters) ** 2 / 20
    for i, p in enumerate(parameters):
        total = total + (arrays[f"curvature/{i}"] / 2 * (p - arrays[f"center/{i}"]) ** 2).sum()
    return total


def follow(optim: Any, params: list[Any], arrays: dict[str, Any], config: Any) -> Iterator[None]:
    """Yield after each step of an optimizer of `optim`, PyTorch's module or this library's."""
    first, second = params
    groups = [{"params": [first]}, {"params": [second], **config["group"]}]
    optimizer = getattr(optim, config["optimizer"])(
        params if config["optimizer"] == "LBFGS" else groups, **config["options"]
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
    trajectories: list[list[np.ndarray]] = [[] for _ in params]
    for _ in follow(torch.optim, params, tensors, config):
        for p, trajectory in zip(params, trajectories, strict=True):
            trajectory.append(p.detach().numpy().copy())
    return {f"trajectory/{i}": np.array(points) for i, points in enumerate(trajectories)}


def search_record(seed: int) -> Record:
    """Return one or four steps on waves drawn from `seed`; the configuration is LBFGS's options."""
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
    # The steepest of several starts: where the loss is flat, rounding decides.
    starts = rng.normal(size=(9, 1))
    gradients = starts[:, 0] / 10 - (heights * k * np.sin(k * starts + phases)).sum(1)
    start = starts[np.argmax(abs(gradients))]
    arrays: dict[str, Any] = {"start": start, "heights": heights, "phases": phases}
    p = torch.tensor(start, requires_grad=True)
    calls = search(torch.optim, p, torch.cos, arrays, config)
    results = arrays | {"end": p.detach().numpy(), "calls": calls}
    return config, {name: np.array(value) for name, value in results.items()}


def search(optim: Any, p: Any, cos: Any, arrays: dict[str, Any], config: dict[str, Any]) -> int:
    """Call LBFGS of `optim` once and return how often the loss was computed."""
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
    records = {f"{seed}": record(seed) for seed in range(4 * len(OPTIMIZERS))}
    seeds = [*range(50), 98, 147, 271, 794]  # the last four take rare branches
    searches = {f"search {seed}": search_record(seed) for seed in seeds}
    save("optimizers", records | searches, "torch")
