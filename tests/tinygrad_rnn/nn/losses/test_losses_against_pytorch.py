"""Values and gradients of all losses against PyTorch and finite differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from reference import losses, records

import autograd as ag
from autograd.testing import check_gradients
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F

RECORDS = records.load("losses")
MODULES = {
    "cross_entropy": nn.CrossEntropyLoss,
    "nll_loss": nn.NLLLoss,
    "ctc_loss": nn.CTCLoss,
    "mse_loss": nn.MSELoss,
    "l1_loss": nn.L1Loss,
    "huber_loss": nn.HuberLoss,
    "smooth_l1_loss": nn.SmoothL1Loss,
    "binary_cross_entropy": nn.BCELoss,
    "binary_cross_entropy_with_logits": nn.BCEWithLogitsLoss,
}
seeds = st.integers(0, 2**32 - 1)


def arguments_and_losses(
    config: dict[str, Any], recorded: dict[str, np.ndarray]
) -> tuple[Any, Any, Any]:
    """Return the positional arguments, the loss function and the loss module with options."""
    args = [recorded[str(i)] for i in range(sum(name.isdigit() for name in recorded))]
    weights = {name: recorded[name] for name in ("weight", "pos_weight") if name in recorded}
    options = config["options"] | weights
    function = getattr(F, config["loss"])

    def with_log_softmax(loss: Callable[..., Any]) -> Callable[..., Any]:
        if config["loss"] != "ctc_loss":
            return loss
        return lambda scores, *rest: loss(ag.log_softmax(scores), *rest)

    module = MODULES[config["loss"]](**options)
    return args, with_log_softmax(lambda *xs: function(*xs, **options)), with_log_softmax(module)


def check_record(record: records.Record) -> None:
    config, recorded = record
    args, *both_losses = arguments_and_losses(config, recorded)
    for loss in both_losses:
        tensors = [ag.tensor(arg) for arg in args]
        for i in config["gradient"]:
            tensors[i].requires_grad_()
        with np.errstate(divide="ignore", invalid="ignore"):  # the mean of an empty array is nan
            value = loss(*tensors)
            records.assert_equal(value.numpy(), recorded["value"], "value")
            if config["gradient"]:
                value.backward(losses.weights(value.shape))
        for i in config["gradient"]:
            gradient = tensors[i].grad
            assert gradient is not None
            records.assert_equal(gradient.numpy(), recorded[f"grad/{i}"], f"gradient {i}")


@pytest.mark.parametrize("name", RECORDS)
def test_losses_equal_recorded_pytorch_results(name: str) -> None:
    check_record(RECORDS[name])


@given(seeds)
def test_losses_equal_pytorch(seed: int) -> None:
    pytest.importorskip("torch")
    check_record(losses.record(seed))


@given(seeds)
def test_gradients_equal_finite_differences_to_second_order(seed: int) -> None:
    config, recorded = losses.case(seed)
    recorded = {k: a.astype(float) if a.dtype.kind == "f" else a for k, a in recorded.items()}
    args, loss, _ = arguments_and_losses(config, recorded)
    assume(config["gradient"])
    if (
        args[1].dtype.kind == "i" and config["loss"] in losses.CLASSIFICATION
    ):  # the mean of an empty array is nan
        assume((args[1] != config["options"].get("ignore_index", -100)).any())
    if config["loss"] in losses.REGRESSION:
        kink = config["options"].get("delta", config["options"].get("beta", 1.0))
        distance = abs(args[0] - args[1])
        assume(not ((distance < 0.01) | (abs(distance - kink) < 0.01)).any())
    if config["loss"] == "binary_cross_entropy":
        args[0] = 0.2 + 0.6 * args[0]

    def f(*values: Any) -> Any:
        all_args = list(args)
        for i, arg in zip(config["gradient"], values, strict=True):
            all_args[i] = arg
        return loss(*all_args)

    check_gradients(f, *(args[i] for i in config["gradient"]))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_have_the_dtype_of_the_input(dtype: str, reduction: str) -> None:
    x = ag.full((2, 3), 0.5, dtype=dtype)
    classes, numbers = np.array([0, 1]), np.zeros((2, 3))
    for loss, target in (
        (F.cross_entropy, classes),
        (F.cross_entropy, numbers),
        (F.mse_loss, numbers),
        (F.mse_loss, numbers.astype(int).tolist()),
        (F.huber_loss, numbers),
        (F.binary_cross_entropy, numbers),
        (F.binary_cross_entropy_with_logits, numbers),
    ):
        assert loss(x, target, reduction=reduction).dtype == dtype  # type: ignore[operator]
