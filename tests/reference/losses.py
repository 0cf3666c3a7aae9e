"""Losses of PyTorch and their gradients, on random data with random options.

The configuration has the `loss` (a name in `nn.functional`), its `options`, and the indices of the
arguments with a `gradient`. The arrays are the positional arguments 0, 1, ...; options that are
arrays under their names; the result as value, and grad/0, ...: the gradients of the sum of the
result's elements times 1, 2, 3, ... (`weights`). Argument 0 of ctc_loss is scores, to which
log_softmax is applied first.
"""

from typing import Any

import numpy as np

from .records import Record, save

CLASSIFICATION = ["cross_entropy", "nll_loss"]
REGRESSION = ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"]
BINARY = ["binary_cross_entropy", "binary_cross_entropy_with_logits"]
LOSSES = [*CLASSIFICATION, "class_probabilities", *REGRESSION, *BINARY, "ctc_loss"]


def weights(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(1.0, np.prod(shape, dtype=int) + 1).reshape(shape)


def record(seed: int) -> Record:
    """Return the case of this seed with the results of PyTorch."""
    config, arrays = case(seed)
    return config, arrays | _results(config, arrays)


def case(seed: int) -> Record:
    """Return a loss with data and options drawn from `seed`; seeds cycle through all losses."""
    rng = np.random.default_rng(seed)
    loss = LOSSES[seed % len(LOSSES)]
    options: dict[str, Any] = {"reduction": str(rng.choice(["mean", "sum", "none"]))}
    gradient = [0]
    arrays: dict[str, np.ndarray]
    if loss == "ctc_loss":
        arrays = _ctc_case(rng, options)
        needed = arrays["3"] + [
            np.sum(labels[1:] == labels[:-1]) for labels in _split_targets(arrays)
        ]
        gradient = [0] if options["zero_infinity"] or (needed <= arrays["2"]).all() else []
    elif loss in CLASSIFICATION or loss == "class_probabilities":
        arrays = _classification_case(rng, options, loss)
        gradient = [0, 1] if loss == "class_probabilities" else [0]
        loss = loss.replace("class_probabilities", "cross_entropy")
    else:
        arrays = _elementwise_case(rng, options, loss)
        gradient = [0, 1]
    dtype = rng.choice(["float32", "float64"])
    if loss == "binary_cross_entropy" and not (arrays["0"] % 1).any():
        gradient, dtype = [0], "float32"  # the gradient of the target is infinite
    arrays = {k: a.astype(dtype) if a.dtype.kind == "f" else a for k, a in arrays.items()}
    config = {"loss": loss, "options": options, "gradient": gradient}
    return config, arrays


def _classification_case(rng: Any, options: dict[str, Any], loss: str) -> dict[str, np.ndarray]:
    C = int(rng.integers(1, 5))
    shape = tuple(rng.integers(1, 4, rng.integers(0, 4)))
    scores = rng.normal(size=(*shape[:1], C, *shape[1:])) * rng.choice([1, 30])
    arrays = {"0": scores}
    if rng.random() < 0.5:
        arrays["weight"] = rng.uniform(0.1, 2, C)
    if loss != "nll_loss" and rng.random() < 0.5:
        options["label_smoothing"] = float(rng.uniform(0, 1))
    if loss == "class_probabilities":
        return arrays | {"1": rng.uniform(0, 1, scores.shape)}
    target = rng.integers(0, C, shape)
    ignored = -100
    if rng.random() < 0.5:
        ignored = options["ignore_index"] = int(rng.integers(-1, C))
    return arrays | {"1": np.where(rng.random(shape) < 0.2, ignored, target)}


def _elementwise_case(rng: Any, options: dict[str, Any], loss: str) -> dict[str, np.ndarray]:
    shape = tuple(rng.integers(1, 4, rng.integers(0, 4)))
    numbers = {"0": 2 * rng.normal(size=shape), "1": 2 * rng.normal(size=shape)}
    if loss in REGRESSION:
        numbers["1"] = np.where(rng.random(shape) < 0.1, numbers["0"], numbers["1"])
        for option, loss_name in (("delta", "huber_loss"), ("beta", "smooth_l1_loss")):
            if loss == loss_name and rng.random() < 0.7:
                options[option] = float(rng.choice([0.1, 1.5, 3, 0 if option == "beta" else 2]))
        return numbers
    arrays = {"0": numbers["0"] * rng.choice([1, 50]), "1": rng.uniform(0, 1, shape)}
    if rng.random() < 0.5:
        arrays["weight"] = rng.uniform(0.1, 2, shape[rng.integers(0, len(shape) + 1) :])
    if loss == "binary_cross_entropy":
        arrays["0"] = rng.uniform(0.01, 0.99, shape)
        if rng.random() < 0.2:
            arrays["0"] = np.round(arrays["0"])
    elif rng.random() < 0.5:
        arrays["pos_weight"] = rng.uniform(0.1, 3, shape[-1:])
    return arrays


def _ctc_case(rng: Any, options: dict[str, Any]) -> dict[str, np.ndarray]:
    T, N, C, S = (int(rng.integers(*bounds)) for bounds in ((1, 7), (1, 4), (2, 5), (0, 4)))
    blank = options["blank"] = int(rng.integers(0, C))
    options["zero_infinity"] = bool(rng.random() < 0.5)
    labels = np.delete(np.arange(C), blank)
    targets, sizes = rng.choice(labels, (N, S)), rng.integers(0, S + 1, N)
    steps = rng.integers(1, T + 1, N)
    scores = 2 * rng.normal(size=(T, N, C))
    if rng.random() < 0.3:
        targets = np.concatenate([row[:n] for row, n in zip(targets, sizes, strict=True)])
    elif rng.random() < 0.3:
        return {"0": scores[:, 0], "1": targets[0][: sizes[0]], "2": steps[:1], "3": sizes[:1]}
    return {"0": scores, "1": targets, "2": steps, "3": sizes}


def _split_targets(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Return the targets of ctc_loss as a list."""
    targets, sizes = arrays["1"], arrays["3"]
    if targets.ndim == 1:
        return np.split(targets, np.cumsum(sizes)[:-1])
    return [row[:n] for row, n in zip(targets, sizes, strict=True)]


def _results(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    import torch

    tensors = {name: torch.tensor(array) for name, array in arrays.items()}
    args = [value for name, value in tensors.items() if name.isdigit()]
    args = [tensors[str(i)] for i in range(len(args))]
    for i in config["gradient"]:
        args[i].requires_grad_()
    inputs = [args[0].log_softmax(-1), *args[1:]] if config["loss"] == "ctc_loss" else args
    named = {name: value for name, value in tensors.items() if not name.isdigit()}
    function = getattr(torch.nn.functional, config["loss"])
    value = function(*inputs, **named, **config["options"])
    results = {"value": value.detach().numpy()}
    if config["gradient"]:
        (value * torch.tensor(weights(tuple(value.shape)), dtype=value.dtype)).sum().backward()
    return results | {f"grad/{i}": args[i].grad.numpy() for i in config["gradient"]}


if __name__ == "__main__":
    save("losses", {f"{seed}": record(seed) for seed in range(6 * len(LOSSES))}, "torch")
