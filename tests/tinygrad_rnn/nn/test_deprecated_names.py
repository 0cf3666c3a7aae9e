"""Old import paths of nn, which warn."""

import importlib
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import nn
from tinygrad_rnn.nn.recurrent.packing import PackedSequence

pytestmark = pytest.mark.host


@pytest.mark.parametrize(
    ("module", "name", "target"),
    [
        ("cell", "Cell", nn.Cell),
        ("cells", "LSTMCell", nn.LSTMCell),
        ("rnn", "GRU", nn.GRU),
        ("interchange", "from_keras", nn.keras_weights.from_keras),
    ],
)
def test_old_modules_warn(module: str, name: str, target: Any) -> None:
    old = importlib.import_module(f"tinygrad_rnn.nn.{module}")
    with pytest.warns(DeprecationWarning, match=f"{module}.{name} is deprecated; use tinygrad_rnn"):
        assert getattr(old, name) is target


def test_packages_export_the_classes() -> None:
    from tinygrad_rnn.nn.losses import CrossEntropyLoss
    from tinygrad_rnn.nn.recurrent import Recurrent

    assert (CrossEntropyLoss, Recurrent) == (nn.CrossEntropyLoss, nn.Recurrent)


def test_positions_of_packed_sequences_have_an_old_name() -> None:
    packed = PackedSequence(nn.Parameter(np.zeros(3)), np.array([2, 1]))
    with pytest.warns(DeprecationWarning, match="PackedSequence.places is deprecated"):
        steps, sequences = packed.places()
    assert (steps.tolist(), sequences.tolist()) == ([0, 0, 1], [0, 1, 0])
