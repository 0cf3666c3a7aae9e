"""The losses: PyTorch's values and gradients, finite differences, closed formulas, errors."""

import math
import tracemalloc
from collections.abc import Callable
from itertools import groupby, product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from reference import losses, records

import autograd as ag
from autograd.testing import check_gradients
from autograd.testing.strategies import arrays, shapes
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


def parts(config: dict[str, Any], given: dict[str, np.ndarray]) -> tuple[Any, Any, Any]:
    """The positional arguments, the function and the module, both ready to be called with them."""
    args = [given[str(i)] for i in range(sum(name.isdigit() for name in given))]
    weights = {name: given[name] for name in ("weight", "pos_weight") if name in given}
    options = config["options"] | weights
    function = getattr(F, config["loss"])

    def of_scores(loss: Callable[..., Any]) -> Callable[..., Any]:
        if config["loss"] != "ctc_loss":
            return loss
        return lambda scores, *rest: loss(ag.log_softmax(scores), *rest)

    module = MODULES[config["loss"]](**options)
    return args, of_scores(lambda *xs: function(*xs, **options)), of_scores(module)


def assert_equals(record: records.Record) -> None:
    config, found = record
    args, *both = parts(config, found)
    for loss in both:
        tensors = [ag.tensor(arg) for arg in args]
        for i in config["gradient"]:
            tensors[i].requires_grad_()
        with np.errstate(divide="ignore", invalid="ignore"):  # the mean of nothing is nan
            value = loss(*tensors)
            records.assert_equal(value.numpy(), found["value"], "value")
            if config["gradient"]:
                value.backward(losses.weights(value.shape))
        for i in config["gradient"]:
            gradient = tensors[i].grad
            assert gradient is not None
            records.assert_equal(gradient.numpy(), found[f"grad/{i}"], f"gradient {i}")


@pytest.mark.parametrize("name", RECORDS)
def test_losses_equal_what_pytorch_recorded(name: str) -> None:
    assert_equals(RECORDS[name])


@given(seeds)
def test_losses_equal_pytorch(seed: int) -> None:
    pytest.importorskip("torch")
    assert_equals(losses.record(seed))


@given(seeds)
def test_losses_have_the_gradients_of_finite_differences_to_second_order(seed: int) -> None:
    config, found = losses.case(seed)
    found = {k: a.astype(float) if a.dtype.kind == "f" else a for k, a in found.items()}
    args, loss, _ = parts(config, found)
    assume(config["gradient"])
    if args[1].dtype.kind == "i" and config["loss"] in losses.CLASSES:  # the mean of nothing is nan
        assume((args[1] != config["options"].get("ignore_index", -100)).any())
    if config["loss"] in losses.NUMBERS:
        kink = config["options"].get("delta", config["options"].get("beta", 1.0))
        distance = abs(args[0] - args[1])
        assume(not ((distance < 0.01) | (abs(distance - kink) < 0.01)).any())
    if config["loss"] == "binary_cross_entropy":
        args[0] = 0.2 + 0.6 * args[0]

    def f(*changing: Any) -> Any:
        all_args = list(args)
        for i, arg in zip(config["gradient"], changing, strict=True):
            all_args[i] = arg
        return loss(*all_args)

    check_gradients(f, *(args[i] for i in config["gradient"]))


# --- of classes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_scores_have_finite_losses_and_gradients(dtype: str) -> None:
    x = ag.tensor([[1e30, 0.0], [0.0, 1e30], [-1e30, -1e30]], requires_grad=True, dtype=dtype)
    values = F.cross_entropy(x, np.array([0, 0, 0]), reduction="none")
    np.testing.assert_allclose(values.numpy(), np.array([0, 1e30, math.log(2)]), rtol=1e-6)
    values.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0], [-1, 1], [-0.5, 0.5]])
    assert values.dtype == x.grad.dtype == dtype


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


def test_the_mean_in_half_precision_does_not_overflow() -> None:
    x = ag.full((1000, 2), 100.0, dtype="float16")
    x[:, 0] = 0
    assert F.cross_entropy(x, np.zeros(1000, int)).item() == 100


def test_what_is_ignored_never_becomes_nan() -> None:
    x = ag.tensor([[-math.inf, 0.0], [0.0, 0.0]], requires_grad=True)
    loss = F.cross_entropy(x, np.array([-100, 1]), weight=[1.0, 2.0])
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 0], [0.5, -0.5]]


@pytest.mark.parametrize("target", [-1, 3])
def test_a_target_that_is_no_class_is_refused(target: int) -> None:
    scores = ag.tensor(np.zeros((2, 3)))
    for targets in (np.array([0, target]), ag.tensor([0, target])):
        with pytest.raises(ValueError, match=rf"Target {target} is out of bounds: .* from 0 to 2"):
            F.cross_entropy(scores, targets)


x23 = np.zeros((2, 3))
x234 = np.zeros((2, 3, 4))


@pytest.mark.parametrize(
    ("scores", "target", "options", "message"),
    [
        (x23, np.zeros(3, int), {}, r"scores of shape \(2, 3\) need targets \(2,\), .*got \(3,\)"),
        (x23, np.zeros(2), {}, r"integers, or probabilities of their own shape, got \(2,\) float"),
        (x234, np.zeros((2, 3), int), {}, r"classes are on axis 1: reshape scores to \(-1, C\)"),
        (np.zeros(()), np.zeros((), int), {}, "need an axis of classes"),
        (x23, np.zeros(2, int), {"reduction": "average"}, "average is not a valid value for redu"),
        (x23, np.zeros(2, int), {"weight": [1.0, 2.0]}, r"either for all 3 classes .* \(2,\)"),
        (x23, x23, {"weight": [1.0, 2.0]}, r"either for all 3 classes .* \(2,\)"),
        (x23, np.zeros(2, int), {"label_smoothing": 1.1}, "between 0.0 and 1.0. Got: 1.1"),
    ],
)
def test_cross_entropy_names_what_does_not_fit(
    scores: Any, target: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        F.cross_entropy(ag.tensor(scores), target, **options)


# --- of sequences ---------------------------------------------------------------------------------


def collapsed(path: tuple[int, ...], blank: int) -> list[int]:
    """Repetitions merged, blanks dropped."""
    return [symbol for symbol, _ in groupby(path) if symbol != blank]


@given(st.integers(0, 4), st.integers(1, 3), st.data())
def test_ctc_is_the_sum_over_all_alignments(T: int, C: int, data: st.DataObject) -> None:
    blank = data.draw(st.integers(0, C - 1))
    labels = st.sampled_from([c for c in range(C) if c != blank] or [blank])
    target = data.draw(st.lists(labels, max_size=3 if C > 1 else 0))
    log_p = np.log(np.random.default_rng(data.draw(seeds)).dirichlet(np.ones(C), T))
    total = sum(
        math.exp(sum(log_p[t, symbol] for t, symbol in enumerate(path)))
        for path in product(range(C), repeat=T)
        if collapsed(path, blank) == target
    )
    loss = F.ctc_loss(ag.tensor(log_p), np.array(target, int), T, len(target), blank, "sum")
    expected = -math.log(total) if total else math.inf
    assert loss.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_what_lies_beyond_a_sequence_has_no_part_in_ctc() -> None:
    scores = np.random.default_rng(0).normal(size=(5, 2, 3))
    x = ag.tensor(scores, requires_grad=True)
    targets = np.array([[1, 2, -7], [2, 99, 99]])  # padded with anything
    both = F.ctc_loss(ag.log_softmax(x), targets, [5, 3], ag.tensor([2, 1]), reduction="none")
    both.sum().backward()
    assert x.grad is not None
    assert not x.grad.numpy()[3:, 1].any()
    for n, (steps, labels) in enumerate(((5, [1, 2]), (3, [2]))):
        alone = F.ctc_loss(
            ag.log_softmax(ag.tensor(scores[:steps, n])),
            labels,
            steps,
            len(labels),
            reduction="sum",
        )
        assert alone.item() == pytest.approx(both[n].item(), rel=1e-12)


def test_the_mean_of_ctc_is_that_of_losses_per_label() -> None:
    log_p = ag.log_softmax(ag.tensor(np.random.default_rng(0).normal(size=(5, 3, 4))))
    arguments = np.array([[1, 2, 3], [1, 0, 0], [0, 0, 0]]), [5, 5, 5], [3, 1, 0]
    each = F.ctc_loss(log_p, *arguments, reduction="none").numpy()
    mean = F.ctc_loss(log_p, *arguments).item()
    assert mean == pytest.approx((each / [3, 1, 1]).mean(), rel=1e-12)


def test_a_target_too_long_for_its_input_is_infinitely_unlikely() -> None:
    x = ag.tensor(np.zeros((2, 2, 3)), requires_grad=True)
    arguments = np.array([[1, 1], [1, 2]]), [2, 2], [2, 2]  # a repetition needs a blank between
    assert F.ctc_loss(x, *arguments, reduction="none").tolist() == [math.inf, 0]
    F.ctc_loss(x, *arguments, reduction="sum", zero_infinity=True).backward()
    assert x.grad is not None
    assert not x.grad.numpy()[:, 0].any()
    assert x.grad.numpy()[:, 1].sum() == -2


log_probs = ag.tensor(np.zeros((4, 2, 3)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((log_probs[0, 0], [1], 1, 1), r"\(T, N, C\), or \(T, C\) without a batch, not \(3,\)"),
        (
            (log_probs, [[1], [2]], [4, 5], [1, 1]),
            "input_lengths to have value at most 4, but got 5",
        ),
        ((log_probs, [[1], [2]], [4, -1], [1, 1]), "input_lengths must not be negative: -1"),
        ((log_probs, [[1], [2]], [4], [1, 1]), r"input_lengths must be one integer .* 2 sequences"),
        ((log_probs, [[1], [2]], [4, 4], [1.0, 1.0]), "target_lengths must be one integer"),
        (
            (log_probs, [[1], [2]], [4, 4], [1, 2]),
            r"shape \(2, 1\) hold no 2 sequences of .*\[1, 2\]",
        ),
        ((log_probs, [1, 2, 1], [4, 4], [1, 1]), r"shape \(3,\) hold no 2 sequences"),
        ((log_probs, [[1], [3]], [4, 4], [1, 1]), "labels from 0 to 2 .*, not 3"),
        ((log_probs, [[1], [-1]], [4, 4], [1, 1]), "labels from 0 to 2 .*, not -1"),
        ((log_probs, [[1], [0]], [4, 4], [1, 1]), "must not contain the blank, 0"),
        (
            (log_probs, [[1], [2]], [4, 4], [1, 1], 3),
            "blank must be in label range: from 0 to 2, not 3",
        ),
    ],
)
def test_ctc_names_what_does_not_fit(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        F.ctc_loss(*arguments)


# --- of numbers -----------------------------------------------------------------------------------


@given(arrays(shapes(min_side=1)), st.sampled_from([1.0, 1000.0]), st.data())
def test_logits_and_probabilities_give_the_same_entropy(
    scores: np.ndarray, size: float, data: st.DataObject
) -> None:
    q = data.draw(arrays(scores.shape, 0, 1))
    x = ag.tensor(scores)
    np.testing.assert_allclose(
        F.binary_cross_entropy_with_logits(x, q).item(),
        F.binary_cross_entropy(ag.sigmoid(x), q).item(),
        rtol=1e-9,
    )
    large = F.binary_cross_entropy_with_logits(x * size, q, reduction="none").numpy()
    assert np.isfinite(large).all()


def test_certainty_costs_a_hundred_at_most_and_has_a_finite_slope() -> None:
    p = ag.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    values = F.binary_cross_entropy(p, [0.0, 1.0, 1.0, 0.0], reduction="none")
    values.sum().backward()
    assert values.tolist() == [0, 0, 100, 100]
    assert p.grad is not None
    np.testing.assert_allclose(p.grad.numpy(), [0, 0, -1e12, 1e12])


@pytest.mark.parametrize(
    "loss",
    [
        F.mse_loss,
        F.l1_loss,
        F.huber_loss,
        F.smooth_l1_loss,
        F.binary_cross_entropy,
        F.binary_cross_entropy_with_logits,
    ],
)
def test_targets_of_another_shape_are_not_broadcast(loss: Any) -> None:
    with pytest.raises(ValueError, match=r"target size \(\(2,\)\) .* input size \(\(2, 1\)\)"):
        loss(ag.full((2, 1), 0.5), np.ones(2))


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        (F.mse_loss, {"reduction": "average"}, 'average is not a valid value .* "none"'),
        (F.huber_loss, {"delta": 0}, "huber_loss does not support non-positive values .*: 0"),
        (F.huber_loss, {"delta": math.nan}, "non-positive values for delta: nan"),
        (F.smooth_l1_loss, {"beta": -1}, "smooth_l1_loss does not support negative .*: -1"),
    ],
)
def test_options_without_a_sense_are_refused(
    loss: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        loss(ag.ones(2), ag.ones(2), **options)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan])
def test_probabilities_lie_between_0_and_1(wrong: float) -> None:
    with pytest.raises(ValueError, match="input should be between 0 and 1; for scores there is"):
        F.binary_cross_entropy(ag.tensor([0.5, wrong]), [0.0, 1.0])


def test_the_weights_of_a_loss_are_buffers() -> None:
    loss = nn.CrossEntropyLoss([1.0, 2.0])
    assert {name: value.tolist() for name, value in loss.state_dict().items()} == {"weight": [1, 2]}
    loss.to("float64")
    assert loss.weight.dtype == np.float64
    assert not nn.CrossEntropyLoss().state_dict()
    assert [*nn.NLLLoss([1.0]).state_dict(), *nn.BCELoss([1.0]).state_dict()] == ["weight"] * 2
    both = nn.BCEWithLogitsLoss(ag.ones(1), pos_weight=np.ones(1))
    assert [*both.state_dict()] == ["weight", "pos_weight"]


@pytest.mark.host
@pytest.mark.parametrize("shape", [(400, 2000), (50, 2000, 8), (20, 500, 20)])
def test_cross_entropy_needs_two_arrays_as_large_as_the_scores(shape: tuple[int, ...]) -> None:
    """The probabilities in the forward pass, and the gradient in the backward pass."""
    scores = ag.zeros(shape, requires_grad=True)
    target = np.zeros((shape[0], *shape[2:]), np.int64)
    size = scores.data.nbytes
    tracemalloc.start()
    try:
        loss = F.cross_entropy(scores, target)
        forward = tracemalloc.get_traced_memory()[1]
        (g,) = ag.gradients(loss, scores)
        backward = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert g is not None
    copies = shape[1] != scores.size // shape[0]  # classes are moved to the last axis
    assert forward < (copies + 1.5) * size
    assert backward < (copies + 2.5) * size


@pytest.mark.parametrize("offset", [0.0, 1e4, -3e4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_is_accurate_for_scores_of_any_size(offset: float, dtype: str) -> None:
    scores = np.array([[0.5, -0.25, 2.0], [0.0, 8.0, -4.0]], dtype)
    x = ag.tensor(scores + offset, requires_grad=True)
    loss = F.cross_entropy(x, [2, 0], reduction="sum")
    loss.backward()
    wide = scores.astype("float64")
    p = np.exp(wide) / np.exp(wide).sum(1, keepdims=True)
    exact = -np.log(p[[0, 1], [2, 0]]).sum()
    tolerance = 1e-6 if dtype == "float32" else 1e-11
    assert abs(loss.item() - exact) <= tolerance * exact
    p[[0, 1], [2, 0]] -= 1
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), p, atol=tolerance)


def test_scores_of_ignored_positions_have_no_influence() -> None:
    """Neither on the loss nor on a gradient, even if they are not finite."""
    for bad in (np.nan, np.inf, -np.inf):
        x = ag.tensor([[1.0, 2.0], [bad, bad], [bad, 1.0]], requires_grad=True)
        loss = F.cross_entropy(x, [1, -100, -100])
        loss.backward()
        assert x.grad is not None
        assert loss.item() == pytest.approx(math.log1p(math.exp(-1)), rel=1e-6)
        assert np.isfinite(x.grad.numpy()).all()
        assert not x.grad.numpy()[1:].any()


@given(seeds, st.integers(1, 4), st.integers(1, 5))
def test_second_derivatives_of_cross_entropy(seed: int, rows: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, rows)
    check_gradients(lambda x: F.cross_entropy(x, target), rng.standard_normal((rows, classes)))
