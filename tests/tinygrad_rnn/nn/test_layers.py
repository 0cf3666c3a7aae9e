"""The layers without time, what is done to gradients."""

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from autograd.testing import check_gradients
from autograd.testing.strategies import arrays, shapes
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F

# Linear, Embedding, Dropout


@given(shapes(max_dims=3), st.integers(0, 3), st.integers(1, 3), st.booleans(), st.data())
def test_linear_is_a_product_and_a_sum(
    leading: tuple[int, ...], I: int, O: int, bias: bool, data: st.DataObject
) -> None:
    layer = nn.Linear(I, O, bias=bias, dtype="float64")
    x = data.draw(arrays((*leading, I)))
    expected = x @ layer.weight.numpy().T + (layer.bias.numpy() if layer.bias is not None else 0)
    np.testing.assert_allclose(layer(ag.tensor(x)).numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 2), (3,), ()])
def test_linear_names_what_does_not_fit(shape: tuple[int, ...]) -> None:
    message = rf"input to Linear\(4, 3\) must be 4, but its shape is {re.escape(str(shape))}"
    with pytest.raises(ValueError, match=message):
        nn.Linear(4, 3)(ag.zeros(shape))
    assert nn.Linear(2, 3)([1.0, 2.0]).shape == (3,)
    with pytest.raises(TypeError, match="one array, not a tuple: a recurrent layer returns two"):
        nn.Sequential(nn.GRU(2, 4), nn.Linear(4, 3))(ag.zeros((5, 1, 2)))


@given(shapes(max_dims=2), st.integers(0, 2), st.data())
def test_linear_has_the_gradients_of_finite_differences(
    leading: tuple[int, ...], I: int, data: st.DataObject
) -> None:
    layer = nn.Linear(I, 2, dtype="float64")

    def f(x: Any, weight: Any, bias: Any) -> Any:
        layer.weight, layer.bias = weight, bias
        return layer(x)

    check_gradients(f, *(data.draw(arrays(shape)) for shape in ((*leading, I), (2, I), (2,))))


indices = st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2), max_size=4)


@given(indices.map(lambda rows: np.array(rows).reshape(-1, 2)), st.sampled_from(["int32", "int64"]))
def test_embedding_takes_rows_and_repeated_ones_add_up(where: np.ndarray, dtype: str) -> None:
    layer = nn.Embedding(4, 3, dtype="float64")
    rows = layer.weight.numpy()
    y = layer(ag.tensor(where.astype(dtype)))
    np.testing.assert_array_equal(y.numpy(), rows[where.astype(int)])

    upstream = np.random.default_rng(0).normal(size=y.shape)
    y.backward(upstream)
    expected = np.zeros((4, 3))
    for place in np.ndindex(where.shape):
        expected[int(where[place])] += upstream[place]
    assert layer.weight.grad is not None
    np.testing.assert_allclose(layer.weight.grad.numpy(), expected, rtol=1e-12, atol=1e-12)


@given(indices.filter(len), arrays((4, 2)))
def test_embedding_has_the_gradients_of_finite_differences(
    where: list[list[int]], weight: np.ndarray
) -> None:
    layer = nn.Embedding(4, 2)

    def f(weight: Any) -> Any:
        layer.weight = weight
        return ag.tanh(layer(np.array(where)))

    check_gradients(f, weight)


@given(indices, st.integers(-4, 3), arrays((4, 2)))
def test_the_row_for_padding_has_no_gradient(
    where: list[list[int]], padding: int, weight: np.ndarray
) -> None:
    layer = nn.Embedding(4, 2, padding_idx=padding, dtype="float64")
    assert layer.weight.tolist()[padding] == [0, 0]
    assert repr(layer) == f"Embedding(4, 2, padding_idx={padding % 4})"
    layer.load_state_dict({"weight": weight})
    places = np.array(where, int).reshape(-1, 2)
    y = layer(places)
    np.testing.assert_array_equal(y.numpy(), weight[places])
    ag.sum(y).backward()
    expected = np.bincount(places.ravel(), minlength=4)
    expected[padding] = 0
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == np.stack([expected, expected], 1).tolist()


@pytest.mark.parametrize("padding_idx", [-5, 4])
def test_the_row_for_padding_is_one_of_the_rows(padding_idx: int) -> None:
    with pytest.raises(ValueError, match=f"within num_embeddings: {padding_idx} is none of 4"):
        nn.Embedding(4, 2, padding_idx)


def test_an_embedding_can_be_of_given_rows() -> None:
    rows = np.arange(6.0).reshape(3, 2)
    for table in (rows, ag.tensor(rows), rows.tolist()):
        layer = nn.Embedding.from_pretrained(table, padding_idx=-1)
        assert (layer.num_embeddings, layer.embedding_dim, layer.padding_idx) == (3, 2, 2)
        assert not layer.weight.requires_grad
        np.testing.assert_array_equal(layer(np.array([2, 0])).numpy(), rows[[2, 0]])
    table = ag.tensor(rows)
    learned = nn.Embedding.from_pretrained(table, freeze=False, padding_idx=0)
    learned(np.array([0, 1])).sum().backward()
    np.testing.assert_array_equal(learned.weight.grad.numpy(), [[0, 0], [1, 1], [0, 0]])
    with ag.no_grad():
        learned.weight[1] = 9
    assert table[1].tolist() == [2, 3]  # of which that was a copy
    with pytest.raises(ValueError, match=r"of shape \(N, E\), not \(3,\)"):
        nn.Embedding.from_pretrained(rows[:, 0])
    with pytest.raises(ValueError, match="3 is none of 3"):
        nn.Embedding.from_pretrained(rows, padding_idx=3)


@pytest.mark.parametrize("index", [-1, 4])
def test_an_embedding_knows_its_rows_only(index: int) -> None:
    with pytest.raises(IndexError, match=f"index {index} is none of the 4 embeddings"):
        nn.Embedding(4, 2)(np.array([0, index]))
    with pytest.raises(TypeError, match="looked up by integers, not by bool"):
        nn.Embedding(4, 2)(np.array([True, False]))
    assert nn.Embedding(4, 2)([]).shape == (0, 2)


@given(st.floats(0.05, 0.95))
def test_dropout_keeps_elements_at_random_and_scales_them(p: float) -> None:
    n = 10_000
    x = ag.tensor(np.full(n, 3.0), requires_grad=True)
    y = nn.Dropout(p)(x)
    kept = y.numpy() != 0
    np.testing.assert_allclose(y.numpy()[kept], 3 / (1 - p), rtol=1e-12)
    assert abs(kept.sum() - n * (1 - p)) < 6 * math.sqrt(n * p * (1 - p))
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), kept / (1 - p), rtol=1e-12)


def test_dropout_of_all_is_zero_and_of_none_is_nothing() -> None:
    x = ag.tensor([1.0, -2.0, 3.0], requires_grad=True)
    y = nn.Dropout(1.0)(x)
    assert y.tolist() == [0, 0, 0]
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 0]
    assert nn.Dropout(0.0)(x).tolist() == x.tolist()
    assert nn.Dropout(1.0).eval()(x).tolist() == x.tolist()


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_dropout_needs_a_probability(p: float) -> None:
    for call in (lambda: nn.Dropout(p), lambda: F.dropout(ag.tensor([1.0]), p)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            call()


# Nonlinearities, LayerNorm


def test_functions_as_modules() -> None:
    x = ag.tensor([-1.0, 0.5])
    for layer, function in (
        (nn.Tanh(), ag.tanh),
        (nn.ReLU(), ag.relu),
        (nn.Sigmoid(), ag.sigmoid),
        (nn.Softmax(dim=0), ag.softmax),
        (nn.LogSoftmax(0), ag.log_softmax),
        (nn.Identity(7, anything="goes"), lambda x: x),
    ):
        assert layer(x).tolist() == function(x).tolist()
    assert repr(nn.LogSoftmax(dim=-1)) == "LogSoftmax(dim=-1)"


def test_functions_are_called_as_pytorch_calls_them() -> None:
    x = np.array([[0.0, math.log(3)], [math.log(7), 0.0]])
    for softmax in (F.softmax, lambda x, dim: ag.exp(F.log_softmax(x, dim=dim))):
        np.testing.assert_allclose(softmax(x, dim=0), [[1 / 8, 3 / 4], [7 / 8, 1 / 4]])
        np.testing.assert_allclose(softmax(x, dim=-1), [[1 / 4, 3 / 4], [7 / 8, 1 / 8]])
    assert F.relu(x - 1).tolist() == np.maximum(x - 1, 0).tolist()
    assert F.tanh(x).tolist() == ag.tanh(x).tolist()
    assert F.sigmoid(x).tolist() == ag.sigmoid(x).tolist()


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (nn.Linear(2, 3), {"input": ag.ones((4, 2))}),
        (nn.Embedding(3, 2), {"input": np.array([0, 2])}),
        (nn.LayerNorm(2), {"input": ag.ones((4, 2))}),
        (nn.Dropout(0.0), {"input": ag.ones(3)}),
        (F.dropout, {"input": ag.ones(3), "p": 0.0, "training": True}),
        (nn.GRUCell(2, 3), {"input": ag.ones((4, 2)), "hx": ag.ones((4, 3))}),
        (nn.GRU(2, 3), {"input": ag.ones((5, 4, 2)), "hx": ag.ones((1, 4, 3))}),
        (nn.MSELoss(), {"input": ag.ones(3), "target": ag.zeros(3)}),
        (nn.CrossEntropyLoss(), {"input": ag.ones((4, 3)), "target": [0, 1, 2, 0]}),
    ],
)
def test_arguments_have_pytorchs_names(call: Any, arguments: dict[str, Any]) -> None:
    named, placed = ag.flatten(call(**arguments)), ag.flatten(call(*arguments.values()))
    assert [leaf.tolist() for leaf in named] == [leaf.tolist() for leaf in placed]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda size: nn.Linear(size, 1), "in_features"),
        (lambda size: nn.Linear(1, size), "out_features"),
        (lambda size: nn.Embedding(size, 1), "num_embeddings"),
        (lambda size: nn.Embedding(1, size), "embedding_dim"),
        (lambda size: nn.LayerNorm(size), "normalized_shape"),
        (lambda size: nn.LayerNorm([2, size]), "normalized_shape"),
        (lambda size: nn.GRU(size, 4), "input_size"),
        (lambda size: nn.LSTM(4, size), "hidden_size"),
        (lambda size: nn.RNNCell(4, size), "hidden_size"),
        (lambda size: nn.JordanRNN(4, 4, output_size=size), "output_size"),
        (lambda size: nn.GRU(4, 4, size), "num_layers"),
        (lambda size: nn.AdditiveAttention(size, 4), "query_size"),
        (lambda size: nn.GeneralAttention(4, size), "memory_size"),
    ],
)
def test_sizes_are_integers_and_not_negative(make: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must not be negative: -6"):
        make(-6)
    for wrong in (2.0, "4", True):
        with pytest.raises(TypeError, match=f"{name} must be an integer, not {wrong!r}"):
            make(wrong)
    make(np.int64(4))


@given(shapes(max_dims=2), shapes(min_dims=1, max_dims=2, min_side=1), st.data())
def test_layer_norm_makes_mean_0_and_variance_1(
    leading: tuple[int, ...], last: tuple[int, ...], data: st.DataObject
) -> None:
    x = data.draw(arrays((*leading, *last)))
    layer = nn.LayerNorm(last, eps=0.01, dtype="float64")
    assert (layer.weight.numpy() == 1).all()
    assert (layer.bias.numpy() == 0).all()
    weight, bias = data.draw(arrays(last)), data.draw(arrays(last))
    layer.load_state_dict({"weight": weight, "bias": bias})
    axes = tuple(range(-len(last), 0))
    spread = np.sqrt(x.var(axes, keepdims=True) + 0.01)
    expected = (x - x.mean(axes, keepdims=True)) / spread * weight + bias
    np.testing.assert_allclose(layer(ag.tensor(x)).numpy(), expected, rtol=1e-9, atol=1e-9)


@given(arrays((2, 3), distinct=True), arrays((3,)), arrays((3,)))
def test_layer_norm_has_the_gradients_of_finite_differences(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray
) -> None:
    check_gradients(lambda *args: F.layer_norm(args[0], 3, *args[1:], eps=0.1), x, weight, bias)


def test_layer_norm_has_as_many_parameters_as_it_is_told() -> None:
    assert [*nn.LayerNorm((2, 3)).state_dict()] == ["weight", "bias"]
    assert [*nn.LayerNorm(2, bias=False).state_dict()] == ["weight"]
    assert not nn.LayerNorm(2, elementwise_affine=False).state_dict()
    assert nn.LayerNorm(3, dtype="float16")(ag.ones((2, 3), "float16")).dtype == np.float16
    assert repr(nn.LayerNorm(3)) == "LayerNorm((3,), eps=1e-05, affine=True)"


@pytest.mark.parametrize("shape", [(3, 2), (3,), ()])
def test_layer_norm_names_what_does_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"normalized_shape=\[2, 3\], expected input with shape"):
        nn.LayerNorm((2, 3))(ag.zeros(shape))


# Clipping, vectors


def with_gradients(*gradients: Any) -> list[nn.Parameter]:
    """Parameters that have these gradients (None: none)."""
    found = []
    for gradient in gradients:
        parameter = nn.Parameter(np.zeros(np.shape(gradient)))
        parameter.grad = None if gradient is None else np.asarray(gradient, float)
        found.append(parameter)
    return found


@given(
    st.lists(arrays(shapes()), max_size=4),
    st.floats(0.01, 10),
    st.sampled_from([1, 2, 2.5, math.inf]),
)
def test_gradients_are_scaled_together_to_the_norm(
    gradients: list[np.ndarray], max_norm: float, norm_type: float
) -> None:
    parameters = with_gradients(*gradients, None)
    everything = np.concatenate([np.zeros(1), *(gradient.ravel() for gradient in gradients)])
    norm = np.linalg.norm(everything, norm_type)
    clipped = nn.utils.clip_grad_norm_(iter(parameters), max_norm, norm_type)
    assert clipped == pytest.approx(norm, rel=1e-12)
    factor = min(1, max_norm / (norm + 1e-6))
    for parameter, gradient in zip(parameters, gradients, strict=False):
        assert parameter.grad is not None
        np.testing.assert_allclose(parameter.grad.numpy(), gradient * factor, rtol=1e-12)
    assert parameters[-1].grad is None


def test_gradients_that_share_an_array_are_scaled_once() -> None:
    a, b = nn.Parameter(np.zeros(2)), nn.Parameter(np.zeros(2))
    upstream = np.array([3.0, 4.0])
    (a + b).backward(upstream)
    assert nn.utils.clip_grad_norm_([a, b], 1.0) == pytest.approx(math.sqrt(50))
    a.grad = b.grad
    assert nn.utils.clip_grad_norm_([a, b], 0.5) == pytest.approx(1)
    for parameter in (a, b):
        assert parameter.grad is not None
        np.testing.assert_allclose(parameter.grad.numpy(), upstream / 5 / math.sqrt(8), rtol=1e-5)
    assert upstream.tolist() == [3, 4]


def test_one_parameter_can_be_clipped() -> None:
    (parameter,) = with_gradients([3.0, 4.0])
    assert nn.utils.clip_grad_norm_(parameter, 1.0) == 5
    assert parameter.grad is not None
    np.testing.assert_allclose(parameter.grad.numpy(), [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("wrong", [math.inf, -math.inf, math.nan])
def test_a_norm_that_is_not_finite_makes_all_gradients_nan(wrong: float) -> None:
    parameters = with_gradients([wrong, 1.0], [2.0])
    assert not math.isfinite(nn.utils.clip_grad_norm_(parameters, 1.0))
    for parameter in parameters:
        assert parameter.grad is not None
        assert np.isnan(parameter.grad.numpy()).all()


@pytest.mark.parametrize("norm_type", [2, math.inf])
@pytest.mark.parametrize("wrong", [math.inf, math.nan])
def test_a_norm_that_is_not_finite_can_be_an_error(norm_type: float, wrong: float) -> None:
    parameters = with_gradients([2.0], [1.0, wrong])
    with pytest.raises(RuntimeError, match=f"norm of order {norm_type} .* is non-finite"):
        nn.utils.clip_grad_norm_(parameters, 1.0, norm_type, error_if_nonfinite=True)
    assert parameters[0].grad is not None
    assert parameters[0].grad.tolist() == [2]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("norm_type", [1, 2, 3, math.inf, 0.5])
@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        *(("float16", size) for size in (6e4, 1e-7)),
        *(("float32", size) for size in (3e38, 1e30, 1e-21, 1e-25, 1e-44)),
        *(("float64", size) for size in (1e200, 1e305, 1e-200, 1e-310)),
    ],
)
def test_the_norm_of_finite_gradients_neither_overflows_nor_underflows(
    dtype: str, size: float, norm_type: float
) -> None:
    gradients = [np.full((5, 4), size, dtype), np.array([-size, 0], dtype), np.array(0, dtype)]
    parameters = [nn.Parameter(np.zeros_like(gradient)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = ag.tensor(gradient)
    unit = float(gradients[0][0, 0])
    norm = unit * 21 ** (1 / norm_type)
    for max_norm in (math.inf, unit / 8):
        clipped = nn.utils.clip_grad_norm_(parameters, max_norm, norm_type, True)
        assert clipped == pytest.approx(norm, rel=1e-6, abs=0)
        factor = min(1, max_norm / unit / (norm / unit + 1e-6 / unit))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            assert parameter.grad is not None
            assert parameter.grad.dtype == dtype
            expected = (gradient.astype(float) / unit * factor * unit).astype(dtype)
            spacing = np.finfo(dtype).smallest_subnormal
            np.testing.assert_allclose(
                parameter.grad.numpy(), expected, 4 * np.finfo(dtype).eps, spacing
            )


def test_finite_gradients_whose_norm_no_number_holds_are_scaled() -> None:
    parameters = with_gradients(np.full(100, 1.7e308), -1.7e308)
    assert nn.utils.clip_grad_norm_(parameters, 1.0) == math.inf
    for parameter, sign in zip(parameters, (1, -1), strict=True):
        assert parameter.grad is not None
        np.testing.assert_allclose(parameter.grad.numpy(), sign / math.sqrt(101))


def test_the_norm_of_gradients_of_several_precisions() -> None:
    """A small number of one precision is 0 in the other, and a large one infinite."""
    parameters = [nn.Parameter(np.zeros(2, dtype)) for dtype in ("float16", "float32", "float64")]
    for sizes in ([0, 0, 1e-50], [6e4, 3e38, 1e300], [1e-7, 1e-40, 0]):
        for parameter, size in zip(parameters, sizes, strict=True):
            parameter.grad = np.full(2, size, parameter.dtype)
        values = [float(p.grad.numpy()[0]) for p in parameters if p.grad is not None]
        expected = math.hypot(*values) * math.sqrt(2)
        assert nn.utils.clip_grad_norm_(parameters, math.inf) == pytest.approx(expected, 1e-12, 0)


def test_the_norm_in_half_precision_does_not_overflow() -> None:
    parameter = nn.Parameter(np.zeros(2, "float16"))
    parameter.grad = np.array([3000, 4000], "float16")
    assert nn.utils.clip_grad_norm_(parameter, 5.0) == 5000
    assert parameter.grad is not None
    assert parameter.grad.dtype == np.float16
    np.testing.assert_allclose(parameter.grad.numpy(), [3, 4], rtol=1e-3)


@given(arrays(shapes()), st.floats(0, 2))
def test_gradients_are_clipped_one_by_one(gradient: np.ndarray, limit: float) -> None:
    parameter, bare = with_gradients(gradient, None)
    nn.utils.clip_grad_value_(iter([parameter, bare]), limit)
    assert parameter.grad is not None
    np.testing.assert_array_equal(parameter.grad.numpy(), np.clip(gradient, -limit, limit))
    assert bare.grad is None


def test_clipping_needs_a_limit_and_a_norm() -> None:
    for limit in (-1.0, math.nan):
        with pytest.raises(ValueError, match=f"clip_value must not be negative: {limit}"):
            nn.utils.clip_grad_value_([], limit)
        with pytest.raises(ValueError, match=f"norm_type must be positive, not {limit}"):
            nn.utils.clip_grad_norm_([], 1.0, limit)


@given(st.lists(arrays(shapes()), min_size=1, max_size=4))
def test_parameters_become_a_vector_and_come_back(values: list[np.ndarray]) -> None:
    parameters = [nn.Parameter(value) for value in values]
    vector = nn.utils.parameters_to_vector(iter(parameters))
    assert vector.tolist() == [number for value in values for number in value.ravel().tolist()]
    vector.backward(np.arange(vector.size, dtype=float))
    found = [parameter.grad for parameter in parameters]
    nn.utils.vector_to_parameters(vector.detach() * 2, iter(parameters))
    for parameter, value in zip(parameters, values, strict=True):
        assert parameter.tolist() == (2 * value).tolist()
    slopes = nn.utils.parameters_to_vector([slope for slope in found if slope is not None])
    assert slopes.tolist() == list(range(vector.size))


def test_a_vector_of_another_size_is_refused() -> None:
    parameters = [nn.Parameter(np.zeros(2)), nn.Parameter(np.zeros(()))]
    for shape in ((2,), (4,), (3, 1)):
        with pytest.raises(ValueError, match=r"have 3 elements in all, the vector has shape \("):
            nn.utils.vector_to_parameters(ag.ones(shape), parameters)
    assert parameters[0].tolist() == [0, 0]


@pytest.mark.parametrize("max_norm", [0, -1.0, math.nan])
def test_the_norm_to_clip_to_is_positive(max_norm: float) -> None:
    with pytest.raises(ValueError, match="max_norm must be positive, not"):
        nn.utils.clip_grad_norm_([], max_norm)


@pytest.mark.parametrize("norm_type", [1, 2, math.inf])
def test_gradients_at_the_limit_are_scaled_as_in_pytorch(norm_type: float) -> None:
    """By max_norm / (norm + 1e-6), which is below 1 for a norm that is the limit itself."""
    for norm, max_norm in ((5.0, 5.0), (5.0, 5.0 + 5e-7), (5.0, 5.0 + 2e-6)):
        (parameter,) = with_gradients([-norm, 0.0])
        assert nn.utils.clip_grad_norm_(parameter, max_norm, norm_type) == norm
        assert parameter.grad is not None
        expected = -norm * min(1.0, max_norm / (norm + 1e-6))
        assert parameter.grad.numpy()[0] == pytest.approx(expected, rel=1e-12, abs=0)
