"""Linear, Embedding, Dropout, LayerNorm and elementwise layers."""

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
def test_linear_computes_an_affine_map(
    leading: tuple[int, ...], I: int, O: int, bias: bool, data: st.DataObject
) -> None:
    layer = nn.Linear(I, O, bias=bias, dtype="float64")
    x = data.draw(arrays((*leading, I)))
    expected = x @ layer.weight.numpy().T + (layer.bias.numpy() if layer.bias is not None else 0)
    np.testing.assert_allclose(layer(ag.tensor(x)).numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 2), (3,), ()])
def test_linear_rejects_other_shapes_and_tuples(shape: tuple[int, ...]) -> None:
    message = rf"input of Linear\(4, 3\) must have 4 elements, got shape {re.escape(str(shape))}"
    with pytest.raises(ValueError, match=message):
        nn.Linear(4, 3)(ag.zeros(shape))
    assert nn.Linear(2, 3)([1.0, 2.0]).shape == (3,)
    with pytest.raises(TypeError, match="one array, got a tuple; a recurrent layer returns"):
        nn.Sequential(nn.GRU(2, 4), nn.Linear(4, 3))(ag.zeros((5, 1, 2)))


@given(shapes(max_dims=2), st.integers(0, 2), st.data())
def test_gradients_of_linear_equal_finite_differences(
    leading: tuple[int, ...], I: int, data: st.DataObject
) -> None:
    layer = nn.Linear(I, 2, dtype="float64")

    def f(x: Any, weight: Any, bias: Any) -> Any:
        layer.weight, layer.bias = weight, bias
        return layer(x)

    check_gradients(f, *(data.draw(arrays(shape)) for shape in ((*leading, I), (2, I), (2,))))


indices = st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2), max_size=4)


@given(indices.map(lambda rows: np.array(rows).reshape(-1, 2)), st.sampled_from(["int32", "int64"]))
def test_embedding_selects_rows_and_adds_gradients_of_repeated_indices(
    index_array: np.ndarray, dtype: str
) -> None:
    layer = nn.Embedding(4, 3, dtype="float64")
    rows = layer.weight.numpy()
    y = layer(ag.tensor(index_array.astype(dtype)))
    np.testing.assert_array_equal(y.numpy(), rows[index_array.astype(int)])

    upstream = np.random.default_rng(0).normal(size=y.shape)
    y.backward(upstream)
    expected = np.zeros((4, 3))
    for position in np.ndindex(index_array.shape):
        expected[int(index_array[position])] += upstream[position]
    assert layer.weight.grad is not None
    np.testing.assert_allclose(layer.weight.grad.numpy(), expected, rtol=1e-12, atol=1e-12)


@given(indices.filter(len), arrays((4, 2)))
def test_gradients_of_embedding_equal_finite_differences(
    index_array: list[list[int]], weight: np.ndarray
) -> None:
    layer = nn.Embedding(4, 2)

    def f(weight: Any) -> Any:
        layer.weight = weight
        return ag.tanh(layer(np.array(index_array)))

    check_gradients(f, weight)


@given(indices, st.integers(-4, 3), arrays((4, 2)))
def test_the_padding_row_has_no_gradient(
    index_array: list[list[int]], padding: int, weight: np.ndarray
) -> None:
    layer = nn.Embedding(4, 2, padding_idx=padding, dtype="float64")
    assert layer.weight.tolist()[padding] == [0, 0]
    assert repr(layer) == f"Embedding(4, 2, padding_idx={padding % 4})"
    layer.load_state_dict({"weight": weight})
    positions = np.array(index_array, int).reshape(-1, 2)
    y = layer(positions)
    np.testing.assert_array_equal(y.numpy(), weight[positions])
    ag.sum(y).backward()
    expected = np.bincount(positions.ravel(), minlength=4)
    expected[padding] = 0
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == np.stack([expected, expected], 1).tolist()


@pytest.mark.parametrize("padding_idx", [-5, 4])
def test_the_padding_index_must_be_in_range(padding_idx: int) -> None:
    with pytest.raises(ValueError, match=f"within num_embeddings: got {padding_idx} for 4 rows"):
        nn.Embedding(4, 2, padding_idx)


def test_embedding_from_pretrained() -> None:
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
    assert table[1].tolist() == [2, 3]  # from_pretrained copied the table
    with pytest.raises(ValueError, match=r"must have shape \(N, E\), got \(3,\)"):
        nn.Embedding.from_pretrained(rows[:, 0])
    with pytest.raises(ValueError, match="got 3 for 3 rows"):
        nn.Embedding.from_pretrained(rows, padding_idx=3)


@pytest.mark.parametrize("index", [-1, 4])
def test_embedding_indices_must_be_in_range(index: int) -> None:
    with pytest.raises(
        IndexError, match=f"index {index} is out of range for an embedding with 4 rows"
    ):
        nn.Embedding(4, 2)(np.array([0, index]))
    with pytest.raises(TypeError, match="must be integers, got bool"):
        nn.Embedding(4, 2)(np.array([True, False]))
    assert nn.Embedding(4, 2)([]).shape == (0, 2)


@given(st.floats(0.05, 0.95))
def test_dropout_zeroes_elements_at_random_and_scales_the_others(p: float) -> None:
    n = 10_000
    x = ag.tensor(np.full(n, 3.0), requires_grad=True)
    y = nn.Dropout(p)(x)
    nonzero = y.numpy() != 0
    np.testing.assert_allclose(y.numpy()[nonzero], 3 / (1 - p), rtol=1e-12)
    assert abs(nonzero.sum() - n * (1 - p)) < 6 * math.sqrt(n * p * (1 - p))
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), nonzero / (1 - p), rtol=1e-12)


def test_dropout_with_probability_0_and_1() -> None:
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


def test_elementwise_layers() -> None:
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
def test_argument_names_equal_pytorch(call: Any, arguments: dict[str, Any]) -> None:
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
def test_sizes_must_be_non_negative_integers(make: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a non-negative integer, got -6"):
        make(-6)
    for size in (2.0, "4", True):
        with pytest.raises(TypeError, match=f"{name} must be an integer, got {size!r}"):
            make(size)
    make(np.int64(4))


@given(shapes(max_dims=2), shapes(min_dims=1, max_dims=2, min_side=1), st.data())
def test_layer_norm_follows_the_equation(
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
def test_gradients_of_layer_norm_equal_finite_differences(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray
) -> None:
    check_gradients(lambda *args: F.layer_norm(args[0], 3, *args[1:], eps=0.1), x, weight, bias)


def test_layer_norm_parameters() -> None:
    assert [*nn.LayerNorm((2, 3)).state_dict()] == ["weight", "bias"]
    assert [*nn.LayerNorm(2, bias=False).state_dict()] == ["weight"]
    assert not nn.LayerNorm(2, elementwise_affine=False).state_dict()
    assert nn.LayerNorm(3, dtype="float16")(ag.ones((2, 3), "float16")).dtype == np.float16
    assert repr(nn.LayerNorm(3)) == "LayerNorm((3,), eps=1e-05, affine=True)"


@pytest.mark.parametrize("shape", [(3, 2), (3,), ()])
def test_layer_norm_rejects_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"normalized_shape=\[2, 3\], expected input with shape"):
        nn.LayerNorm((2, 3))(ag.zeros(shape))
