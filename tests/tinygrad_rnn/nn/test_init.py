"""Initialization: moments, orthogonality, views of parameters, errors."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from tinygrad_rnn import nn


def assert_moments(sample: np.ndarray, mean: float, variance: float, kurtosis: float) -> None:
    """Check that mean and variance are within six standard errors of their expectations."""
    n = sample.size
    assert abs(sample.mean() - mean) < 6 * math.sqrt(variance / n)
    assert abs(sample.var() - variance) < 6 * variance * math.sqrt((kurtosis - 1) / n)


@given(st.floats(-2, 2), st.floats(0.1, 3), st.sampled_from(["float32", "float64"]))
def test_uniform(low: float, width: float, dtype: str) -> None:
    target = ag.zeros((100, 100), dtype=dtype)
    assert nn.init.uniform_(target, low, low + width) is target
    values = target.numpy()
    assert values.dtype == dtype
    assert values.min() >= np.dtype(dtype).type(low)
    assert values.max() <= np.dtype(dtype).type(low + width)
    assert_moments(values.astype(float), low + width / 2, width**2 / 12, 9 / 5)


@given(st.floats(-2, 2), st.floats(0.1, 3))
def test_normal(mean: float, std: float) -> None:
    target = ag.zeros((100, 100), dtype="float64")
    assert nn.init.normal_(target, mean, std) is target
    values = target.numpy()
    assert_moments(values, mean, std**2, 3)
    within = (abs(values - mean) < std).mean()
    assert abs(within - 0.6827) < 6 * math.sqrt(0.6827 * 0.3173 / values.size)


def test_constants() -> None:
    parameter = nn.Parameter(np.zeros((2, 3)))
    for fill, value in ((nn.init.ones_, 1), (nn.init.zeros_, 0)):
        assert fill(parameter) is parameter
        assert (parameter.numpy() == value).all()
    assert (nn.init.constant_(parameter, 7).numpy() == 7).all()


def test_linear_is_initialized_uniformly() -> None:
    for parameter in nn.Linear(64, 100).parameters():
        assert abs(parameter.numpy()).max() <= 1 / math.sqrt(64)
        assert_moments(parameter.numpy().astype(float), 0, 1 / 64 / 3, 9 / 5)


def test_embedding_is_initialized_standard_normal() -> None:
    assert_moments(nn.Embedding(100, 100).weight.numpy().astype(float), 0, 1, 3)


def test_the_seed_determines_all_initial_values() -> None:
    def weights(seed: int) -> list[Any]:
        ag.manual_seed(seed)
        return [parameter.tolist() for parameter in nn.LSTM(2, 3).parameters()]

    assert weights(1) == weights(1)
    assert weights(1) != weights(2)


# Fan-in 2 * 50 = 100 and fan-out 80 * 50 = 4000 differ, so that confusing them fails.
FANS = {
    "xavier_uniform_": (lambda t: nn.init.xavier_uniform_(t, gain=3.0), 9 * 2 / 4100, True),
    "xavier_normal_": (lambda t: nn.init.xavier_normal_(t, gain=3.0), 9 * 2 / 4100, False),
    "kaiming_uniform_": (nn.init.kaiming_uniform_, 2 / 100, True),
    "kaiming_uniform_, negative slope": (
        lambda t: nn.init.kaiming_uniform_(t, a=2.0),
        0.4 / 100,
        True,
    ),
    "kaiming_normal_": (
        lambda t: nn.init.kaiming_normal_(t, mode="fan_out", nonlinearity="tanh"),
        (5 / 3) ** 2 / 4000,
        False,
    ),
}


@pytest.mark.parametrize(("fill", "variance", "bounded"), FANS.values(), ids=FANS)
def test_xavier_and_kaiming_variances(fill: Any, variance: float, bounded: bool) -> None:
    target = ag.zeros((80, 2, 5, 10), dtype="float64")
    assert fill(target) is target
    values = target.numpy()
    assert_moments(values, 0, variance, 9 / 5 if bounded else 3)
    assert (abs(values).max() <= math.sqrt(3 * variance)) == bounded


@given(st.integers(1, 5), st.integers(1, 5), st.floats(0.5, 2), st.integers(0, 2**32 - 1))
def test_orthogonal(rows: int, columns: int, gain: float, seed: int) -> None:
    ag.manual_seed(seed)
    target = ag.zeros((rows, columns, 1), dtype="float64")
    assert nn.init.orthogonal_(target, gain) is target
    matrix = target.numpy()[:, :, 0]
    product = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    np.testing.assert_allclose(product, gain**2 * np.eye(min(rows, columns)), atol=1e-12)


def test_orthogonal_is_uniformly_distributed() -> None:
    samples = np.array([nn.init.orthogonal_(ag.zeros((2, 2))).numpy() for _ in range(500)])
    assert abs(samples.mean(0)).max() < 6 * math.sqrt(0.5 / 500)  # each entry: variance 1 / n
    assert samples.dtype == np.float32


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 3, 0)])
@pytest.mark.parametrize("fill", [fill for fill, *_ in FANS.values()], ids=FANS)
def test_empty_tensors(fill: Any, shape: tuple[int, ...]) -> None:
    assert fill(ag.zeros(shape)).shape == nn.init.orthogonal_(ag.zeros(shape)).shape == shape


def test_eye() -> None:
    assert nn.init.eye_(nn.Parameter(np.ones((2, 3)))).tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("arguments", "gain"),
    [
        (("linear",), 1),
        (("sigmoid",), 1),
        (("tanh",), 5 / 3),
        (("relu",), math.sqrt(2)),
        (("leaky_relu",), math.sqrt(2 / 1.0001)),
        (("leaky_relu", 1.0), 1),
        (("selu",), 3 / 4),
    ],
)
def test_calculate_gain(arguments: Any, gain: float) -> None:
    assert nn.init.calculate_gain(*arguments) == pytest.approx(gain)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.init.eye_(ag.zeros(3)), r"2 dimensions are supported, got shape \(3,\)"),
        (
            lambda: nn.init.xavier_uniform_(ag.zeros(3)),
            r"fewer than 2 dimensions, got shape \(3,\)",
        ),
        (lambda: nn.init.orthogonal_(ag.zeros(3)), "fewer than 2 dimensions"),
        (lambda: nn.init.kaiming_uniform_(ag.zeros((2, 2)), mode="fan"), "Mode fan not supported"),
        (lambda: nn.init.calculate_gain("swish"), "Unsupported nonlinearity swish: expected lin"),
    ],
)
def test_errors(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.host
def test_chrono() -> None:
    """The time constant 1 + exp(b_f) is uniform from 2 to `longest`."""
    units, longest = 5000, 1000
    lstm = nn.LSTM(1, units)
    assert nn.init.chrono_(lstm.bias_ih_l0, longest) is lstm.bias_ih_l0
    b_i, b_f, *others = np.split(lstm.bias_ih_l0.numpy().astype(float), 4)
    times = 1 + np.exp(b_f)
    assert times.min() >= 2 - 1e-3
    assert times.max() <= longest + 1
    assert_moments(times, (2 + longest) / 2, (longest - 2) ** 2 / 12, 9 / 5)
    np.testing.assert_array_equal(b_i, -b_f)
    assert not np.any(others)


@pytest.mark.parametrize(("shape", "longest"), [((6,), 10), ((4, 2), 10), ((4,), 2)])
def test_chrono_errors(shape: tuple[int, ...], longest: float) -> None:
    with pytest.raises(ValueError, match=r"four gates|more than 2"):
        nn.init.chrono_(ag.zeros(shape), longest)


# --- views of parameters --------------------------------------------------------------------------

VIEWS: dict[str, Any] = {
    "a slice": lambda p: p[4:8],
    "rows and columns": lambda p: p[2:6, 1:],
    "the last rows, backwards": lambda p: p[:-5:-1],
    "a slice of a slice": lambda p: p[4:12][:4],
    "transposed": lambda p: p.T,
    "reshaped": lambda p: p.reshape(4, 4, 4),
    "split": lambda p: ag.split(p, 4)[2],
    "unstacked": lambda p: ag.unstack(p.reshape(4, 4, 4))[1],
}
FILLS: dict[str, Any] = {
    "uniform_": nn.init.uniform_,
    "normal_": nn.init.normal_,
    "constant_": lambda t: nn.init.constant_(t, 7.0),
    "zeros_": nn.init.zeros_,
    "ones_": nn.init.ones_,
    "xavier_uniform_": nn.init.xavier_uniform_,
    "xavier_normal_": nn.init.xavier_normal_,
    "kaiming_uniform_": nn.init.kaiming_uniform_,
    "kaiming_normal_": nn.init.kaiming_normal_,
    "orthogonal_": nn.init.orthogonal_,
}


@pytest.mark.parametrize("view_name", VIEWS)
@pytest.mark.parametrize("fill", FILLS)
def test_views_of_parameters_are_filled_outside_no_grad(fill: str, view_name: str) -> None:
    parameter, reference = nn.Parameter(np.full((16, 4), -5.0)), ag.tensor(np.full((16, 4), -5.0))
    view = VIEWS[view_name](parameter)
    assert FILLS[fill](view) is view
    ag.manual_seed(0)
    FILLS[fill](VIEWS[view_name](reference))
    np.testing.assert_array_equal(parameter.numpy(), reference.numpy())
    np.testing.assert_array_equal(view.numpy(), VIEWS[view_name](parameter.detach()).numpy())
    assert (parameter.numpy() == -5).any() == (view.size < parameter.size)


def test_gates_of_a_bias_can_be_initialized() -> None:
    lstm = nn.LSTM(3, 4)
    nn.init.ones_(lstm.bias_hh_l0[4:8])
    nn.init.eye_(lstm.weight_hh_l0[8:12])
    nn.init.chrono_(lstm.bias_ih_l0.reshape(-1), 10.0)
    assert lstm.bias_hh_l0.tolist()[4:8] == [1.0] * 4
    np.testing.assert_array_equal(lstm.weight_hh_l0.numpy()[8:12], np.eye(4))
    assert lstm.bias_ih_l0.tolist()[8:] == [0.0] * 8


@pytest.mark.parametrize(
    "graph",
    [
        lambda p: (p * p).sum(),
        lambda p: ag.checkpoint(lambda: (p * p).sum())(),
        lambda p: (p[1:3] * p[1:3]).sum(),
        lambda p: ag.scan(lambda h, _: (h * p, None), p, None, length=2)[0].sum(),
    ],
)
@pytest.mark.parametrize("view_name", ["a slice", "transposed", "split"])
def test_filling_a_view_invalidates_recorded_graphs(graph: Any, view_name: str) -> None:
    parameter = nn.Parameter(np.ones((16, 4)))
    loss = graph(parameter)
    nn.init.zeros_(VIEWS[view_name](parameter))
    with pytest.raises(RuntimeError, match="written in place"):
        loss.backward()


@pytest.mark.parametrize(
    "copy",
    [
        lambda p: p[[0, 1]],
        lambda p: p * 1,
        lambda p: p.T.reshape(-1),
        lambda p: ag.concatenate([p, p]),
        lambda p: p[1:3].astype("float32"),
    ],
)
def test_copies_are_not_views(copy: Any) -> None:
    with pytest.raises(TypeError, match="assigning in a recorded graph"):
        nn.init.zeros_(copy(nn.Parameter(np.ones((16, 4)))))


def test_a_view_of_replaced_data_is_not_a_view() -> None:
    parameter = nn.Parameter(np.ones(4))
    view = parameter[1:3]
    parameter.data = parameter.data.copy()
    with pytest.raises(TypeError, match="assigning in a recorded graph"):
        nn.init.zeros_(view)
    nn.init.zeros_(parameter[1:3])
    assert parameter.tolist() == [1.0, 0.0, 0.0, 1.0]
