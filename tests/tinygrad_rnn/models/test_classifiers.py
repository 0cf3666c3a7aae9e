"""Sequence classifiers and taggers."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_cases import make_layer, randomized, seeds, train
from recurrences import KINDS, assert_close, check_parameters, sum_of_squares

import autograd as ag
from tinygrad_rnn import models, nn

SYMBOLS, CLASSES = 5, 3

POOLINGS = ("last", "mean", "max")


class DoublingCell(nn.Cell):
    """A cell whose output is not part of its state."""

    def step(self, h: Any, x: Any) -> tuple[Any, Any]:
        h = ag.tanh(x + self.recurrent(h))
        return h, 2 * h


@st.composite
def label_models(draw: st.DrawFn, poolings: tuple[str | None, ...] = (*POOLINGS, None)) -> Any:
    """Draw a classifier of any pooling, or a tagger (None), with any cell and options."""
    layer = make_layer(
        draw(st.sampled_from(sorted(KINDS))),
        num_layers=draw(st.integers(1, 2)),
        bidirectional=draw(st.booleans()),
        batch_first=draw(st.booleans()),
    )
    symbols = draw(st.sampled_from([None, SYMBOLS]))
    pooling = draw(st.sampled_from(poolings))
    model = (
        models.SequenceTagger(layer, CLASSES, symbols)
        if pooling is None
        else models.SequenceClassifier(layer, CLASSES, symbols, pooling)
    )
    return randomized(model, draw(seeds))


def random_inputs(model: Any, T: int, B: int, seed: int = 0) -> np.ndarray:
    """Return features (T, B, 2), or symbols (T, B)."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, SYMBOLS, (T, B)) if model.embedding else rng.normal(size=(T, B, 2))


def logits_of(model: Any, x: np.ndarray, lengths: Any = None) -> ag.Tensor:
    """Return the logits of time-major x: (B, V), or (T, B, V) of a tagger."""
    if not model.recurrent.batch_first:
        return model(x, lengths)  # type: ignore[no-any-return]
    scores = model(x.swapaxes(0, 1), lengths)
    return scores if scores.ndim == 2 else scores.swapaxes(0, 1)


@pytest.mark.parametrize("pooling", [*POOLINGS, None])
@given(st.data(), seeds)
def test_labels_equal_the_labels_of_single_sequences(
    pooling: str | None, data: st.DataObject, seed: int
) -> None:
    """The reference is computed from outputs and last states. Lengths are unsorted; one is 0."""
    model = data.draw(label_models((pooling,)))
    x, lengths = random_inputs(model, 4, 4, seed), [2, 4, 0, 3]
    scores, w = logits_of(model, x, lengths).numpy(), model.state_dict()
    layer, H = model.recurrent, model.recurrent.output_size
    for b, n in enumerate(lengths):
        outputs, pooled = np.zeros((n, H)), np.zeros(H)
        if n:
            rows = w["embedding.weight"][x[:n, b]] if model.embedding else x[:n, b]
            h, state = layer(ag.tensor(rows))  # without a batch
            outputs, last = h.numpy(), ag.flatten(state)[0].numpy()[-layer.directions :]
            if isinstance(model, models.SequenceClassifier):
                pool = {"last": last.ravel, "mean": partial(outputs.mean, 0)}
                pooled = pool.get(model.pooling, partial(outputs.max, 0))()
        if isinstance(model, models.SequenceClassifier):
            assert_close(scores[b], w["readout.weight"] @ pooled + w["readout.bias"])
        else:
            assert_close(scores[:n, b], outputs @ w["readout.weight"].T + w["readout.bias"])


@given(label_models())
def test_sequences_without_lengths_are_as_long_as_the_batch(model: Any) -> None:
    x = random_inputs(model, 4, 3)
    assert_close(logits_of(model, x), logits_of(model, x, [4, 4, 4]))
    single = model(x[:, 1])  # without a batch
    assert_close(single, logits_of(model, x)[..., 1, :])


@given(label_models(), seeds)
def test_the_padding_has_no_influence(model: Any, seed: int) -> None:
    x, lengths = random_inputs(model, 4, 3, seed), [4, 0, 2]
    mask = np.arange(4)[:, None] < lengths
    other = np.where(mask, x, (x + 1) % SYMBOLS) if model.embedding else x.copy()
    if not model.embedding:
        other[~mask] = np.nan
    results = []
    for padded in (x, other):
        model.zero_grad()
        scores = logits_of(model, padded, lengths)
        sum_of_squares(scores).backward()
        results.append([scores, *(parameter.grad for parameter in model.parameters())])
    np.testing.assert_array_equal(results[0][0].numpy(), results[1][0].numpy())
    for actual, expected in zip(*results, strict=True):
        assert np.isfinite(actual.numpy()).all()
        assert_close(actual, expected)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_output_of_a_cell_is_pooled_even_if_it_is_not_the_state(pooling: str) -> None:
    layer = nn.Recurrent(DoublingCell(2, 3, dtype="float64"), bidirectional=True)
    model = randomized(models.SequenceClassifier(layer, CLASSES, pooling=pooling))
    x = random_inputs(model, 4, 1)
    h = layer(x)[0].numpy()[:, 0]
    ends = np.concatenate([h[-1, :3], h[0, 3:]])
    pooled = {"last": ends, "mean": h.mean(0), "max": h.max(0)}[pooling]
    assert_close(model(x)[0], model.readout(ag.tensor(pooled)))
    assert model.half()(x.astype("float16"), [4]).dtype == "float16"


@pytest.mark.parametrize("pooling", [*POOLINGS, None])
@pytest.mark.parametrize("symbols", [None, SYMBOLS])
def test_derivatives_of_labels_to_second_order(pooling: str | None, symbols: int | None) -> None:
    layer = make_layer("GRU", bidirectional=True)
    model = (
        models.SequenceTagger(layer, CLASSES, symbols)
        if pooling is None
        else models.SequenceClassifier(layer, CLASSES, symbols, pooling)
    )
    x = random_inputs(randomized(model), 3, 3)
    check_parameters(model, lambda: model(x, [2, 0, 3]))


@pytest.mark.host
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_classifier_learns_the_order_of_two_symbols(pooling: str) -> None:
    """The symbols 1 and 2 among zeros, tested on 100 unseen sequences."""
    rng = np.random.default_rng(0)

    def batch(size: int) -> Any:
        x, lengths = np.zeros((8, size), int), rng.integers(3, 9, size)
        label = rng.integers(0, 2, size)
        for b in range(size):
            positions = sorted(rng.choice(lengths[b], 2, replace=False))
            x[positions, b] = [1, 2] if label[b] else [2, 1]
        return x, lengths, label

    def scores(model: Any) -> Any:
        x, lengths, label = batch(32)
        return model(x, lengths), label

    model = models.SequenceClassifier(nn.GRU(4, 12), 2, 3, pooling)
    train(model, scores, 150, 0.03)
    x, lengths, label = batch(100)
    assert np.mean(model(x, lengths).numpy().argmax(1) == label) > 0.95


@pytest.mark.host
def test_a_bidirectional_tagger_learns_from_both_neighbors() -> None:
    """The label is 1 if a symbol is greater than both neighbors."""
    rng = np.random.default_rng(0)

    def batch(size: int) -> Any:
        x = rng.integers(1, 5, (7, size))
        padded = np.pad(x, ((1, 1), (0, 0)))
        return x, ((x > padded[:-2]) & (x > padded[2:])).astype(int)

    def scores(model: Any) -> Any:
        x, labels = batch(32)
        return model(x), labels

    model = models.SequenceTagger(nn.GRU(4, 12, bidirectional=True), 2, SYMBOLS)
    train(model, scores, 150, 0.03)
    x, labels = batch(100)
    assert np.mean(model(x).numpy().argmax(-1) == labels) > 0.97


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU])
def test_predictions_over_time_equal_predictions_of_prefixes(layer: Any, batch_first: bool) -> None:
    model = models.SequenceClassifier(layer(4, 3, batch_first=batch_first), 5, symbols=6)
    x = np.random.default_rng(0).integers(0, 6, (4, 2))
    if batch_first:
        predicted = model.predict_over_time(x.T)
        prefixes = [model(x.T[:, : t + 1]) for t in range(4)]
    else:
        predicted = model.predict_over_time(x).swapaxes(0, 1)
        prefixes = [model(x[: t + 1]) for t in range(4)]
    assert predicted.shape == (2, 4, 5)
    assert_close(predicted, ag.softmax(ag.stack(prefixes, 1)), 1e-6)


def test_other_poolings_and_bidirectional_layers_raise() -> None:
    for model in (
        models.SequenceClassifier(nn.GRU(2, 3), 2, pooling="mean"),
        models.SequenceClassifier(nn.GRU(2, 3, bidirectional=True), 2),
    ):
        with pytest.raises(ValueError, match="require pooling='last' and a unidirectional layer"):
            model.predict_over_time(np.zeros((4, 3, 2)))
