"""100 steps of PyTorch's learning-rate schedules, with random options, on two parameter groups.

The configuration contains the `schedule`, its `options`, the `optimizer` and the two initial
`rates`. Arrays: rates (101, 2), before the first step and after each step; with cycle_momentum also
momenta (101, 2); for ReduceLROnPlateau the metrics (100,). The options of LambdaLR contain the
names of functions in `FUNCTIONS`.
"""

from typing import Any

import numpy as np

from .records import Record, save

FUNCTIONS = {"falling": lambda n: 0.95**n, "hyperbola": lambda n: 1 / (1 + n)}
STEPS = 100


def record(seed: int) -> Record:
    """Return options drawn from `seed`; seeds alternate between the schedules."""
    rng = np.random.default_rng(seed)
    options = _options(rng)
    schedule = list(options)[seed % len(options)]
    config = {
        "schedule": schedule,
        "options": options[schedule],
        "optimizer": str(rng.choice(["Adam", "SGD"])),
        "rates": rng.uniform(0.1, 1, 2).tolist(),
    }
    arrays = {}
    if schedule == "ReduceLROnPlateau":
        arrays["metrics"] = np.exp(-np.arange(STEPS) / 20) + 0.1 * rng.normal(size=STEPS)
    return config, arrays | _rates(config, arrays)


def _options(rng: Any) -> dict[str, dict[str, Any]]:
    count, factor = int(rng.integers(1, 30)), float(rng.uniform(0.1, 0.99))
    flags = [bool(flag) for flag in rng.random(3) < 0.5]
    max_rates = rng.uniform(0.1, 1, 2).tolist()
    return {
        "StepLR": {"step_size": count, "gamma": factor},
        "MultiStepLR": {"milestones": rng.integers(1, 90, 4).tolist(), "gamma": factor},
        "ExponentialLR": {"gamma": factor},
        "CosineAnnealingLR": {"T_max": count, "eta_min": float(rng.uniform(0, 0.05))},
        "LambdaLR": {"lr_lambda": [str(name) for name in rng.choice(list(FUNCTIONS), 2)]},
        "OneCycleLR": {
            "max_lr": max_rates if flags[0] else max_rates[0],
            **({"total_steps": STEPS} if count % 2 else {"epochs": 20, "steps_per_epoch": 6}),
            "pct_start": float(rng.uniform(0.05, 0.45)),
            "anneal_strategy": "linear" if flags[1] else "cos",
            "cycle_momentum": bool(count % 3),
            "base_momentum": 0.7,
            "div_factor": float(rng.uniform(2, 50)),
            "final_div_factor": float(rng.uniform(2, 1e4)),
            "three_phase": flags[2],
        },
        "ReduceLROnPlateau": {
            "mode": "min" if flags[0] else "max",
            "factor": factor,
            "patience": count % 5,
            "threshold": float(rng.choice([1e-4, 0.1])),
            "threshold_mode": "rel" if flags[1] else "abs",
            "cooldown": count % 4,
            "min_lr": [0.001, 0.01] if flags[2] else 1e-7,
        },
    }


def follow(
    optim: Any, params: list[Any], config: dict[str, Any], metrics: Any
) -> dict[str, np.ndarray]:
    """Return the rates and momenta of a schedule of `optim`, PyTorch's module or this library's."""
    groups = [{"params": [p], "lr": lr} for p, lr in zip(params, config["rates"], strict=True)]
    optimizer = getattr(optim, config["optimizer"])(groups)
    options = dict(config["options"])
    if config["schedule"] == "LambdaLR":
        options["lr_lambda"] = [FUNCTIONS[name] for name in options["lr_lambda"]]
    schedule = getattr(optim.lr_scheduler, config["schedule"])(optimizer, **options)
    rates, momenta = [], []
    for t in range(STEPS + 1):
        groups = optimizer.param_groups
        rates.append([group["lr"] for group in groups])
        momenta.append([g["betas"][0] if "betas" in g else g["momentum"] for g in groups])
        optimizer.step()  # no parameter has a gradient; PyTorch's schedules warn without this call
        if t < STEPS:
            schedule.step(*([] if metrics is None else [metrics[t]]))
        assert list(schedule.get_last_lr()) == [group["lr"] for group in groups]
    results = {"rates": np.array(rates)}
    cycles = options.get("cycle_momentum", False)
    return results | {"momenta": np.array(momenta)} if cycles else results


def _rates(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    import torch

    params = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    return follow(torch.optim, params, config, arrays.get("metrics"))


if __name__ == "__main__":
    save("schedules", {f"{seed}": record(seed) for seed in range(3 * 7)}, "torch")
