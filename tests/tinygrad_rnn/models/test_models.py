"""Dropout, files and errors of all models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_cases import make_captioner, randomized, symbols

import autograd as ag
from tinygrad_rnn import models, nn, training

SYMBOLS, CLASSES = 5, 3


def record_dropout(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Return a list to which dropout appends its input shapes from now on, in training."""
    shapes: list[tuple[int, ...]] = []

    def spy(x: Any, p: float, training: bool) -> Any:
        if p and training:
            shapes.append(x.shape)
        return x

    monkeypatch.setenv("AUTOGRAD_COMPILE", "0")  # a compiled step is only traced
    monkeypatch.setattr(nn.functional, "dropout", spy)
    return shapes


def test_dropout_acts_on_embeddings_and_before_the_output_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shapes = record_dropout(monkeypatch)
    symbols, features = np.zeros((4, 2), int), np.zeros((4, 2, 2))
    models.SequenceClassifier(nn.GRU(2, 3), CLASSES, SYMBOLS, dropout=0.5)(symbols)
    models.SequenceTagger(nn.GRU(2, 3), CLASSES, dropout=0.5)(features)
    models.Forecaster(nn.GRU(2, 3), dropout=0.5)(features)
    models.Captioner(nn.Linear(2, 3), 4, nn.GRUCell(3, 5), dropout=0.5)(
        ag.tensor(features[0]), symbols
    )
    assert shapes == [(4, 2, 2), (2, 3), (4, 2, 3), (4, 2, 3), (4, 2, 3), (4, 2, 5)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.SequenceClassifier(nn.LSTM(2, 3, 2, bidirectional=True), 3, 5, "max"),
        lambda: models.SequenceTagger(nn.GRU(2, 3), 3),
        lambda: make_captioner("LSTM", "additive"),
        lambda: models.Forecaster(nn.LSTM(2, 3)),
    ],
)
def test_a_model_is_restored_from_its_file(make: Any, tmp_path: Path) -> None:
    model, other = randomized(make(), 1), randomized(make(), 2)
    training.save(tmp_path / "model.safetensors", model)
    training.load(tmp_path / "model.safetensors", other)
    for saved, restored in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(saved.numpy(), restored.numpy())


def test_invalid_arguments_raise() -> None:
    classifier = models.SequenceClassifier(nn.GRU(2, 3), 2)
    with pytest.raises(ValueError, match="one of last, mean, max, got 'first'"):
        models.SequenceClassifier(nn.GRU(2, 3), 2, pooling="first")
    with pytest.raises(ValueError, match="one integer for each of the 3 sequences"):
        classifier(np.zeros((4, 3, 2)), [4, 4])
    with pytest.raises(ValueError, match="Expected 2, got 5"):
        classifier(np.zeros((4, 3, 5)))
    with pytest.raises(ValueError, match="requires a unidirectional layer"):
        models.Forecaster(nn.GRU(2, 3, bidirectional=True))
    with pytest.raises(ValueError, match="reads 2 columns and predicts 1"):
        models.Forecaster(nn.GRU(2, 3), 1).forecast(np.zeros((4, 3, 2)), 2)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        models.Forecaster(nn.GRU(2, 3)).forecast(np.zeros((4, 3, 2)), 0)
    with pytest.raises(ValueError, match="pass feature_size="):
        models.Captioner(nn.Tanh(), 4, nn.GRUCell(2, 3))
    captioner = models.Captioner(nn.Tanh(), 4, nn.GRUCell(2, 3), feature_size=2)
    for shape in ((3, 5), (4, 3, 2)):
        with pytest.raises(
            ValueError, match=r"without attention the reader must return shape \(B, C\)"
        ):
            captioner.encode(ag.zeros(shape))
    with pytest.raises(
        ValueError, match=r"with attention the reader must return shape \(R, B, C\)"
    ):
        make_captioner("GRU", "additive").encode(ag.zeros((3, 2), "float64"))
    with pytest.raises(ValueError, match="no attention, so it has no attention weights"):
        captioner.alignment(ag.zeros((3, 2)), symbols())
