"""The demo of LSTM gates: the features of a text, and their correlation with units."""

from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.demos.scripts import find_scripts

pytestmark = [pytest.mark.host, pytest.mark.demo]


@pytest.fixture
def gates(monkeypatch: Any) -> Any:
    module = find_scripts()["gates"].load_module()
    monkeypatch.setattr(module, "STREAMS", 1)
    return module


def test_features_after_each_character(gates: Any) -> None:
    text = 'a "b\n  cd"\n\n "x'
    features = {name: values[:, 0].tolist() for name, values in gates.text_features(text).items()}
    assert features == {
        "letters of a word": [1, 0, 0, 1, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 1],
        "inside quotation marks": [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1],
        "indentation": [0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 0, 0, 1, 1, 1],
        "position in the line": [1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 0, 0, 1, 2, 3],
    }


def test_features_are_split_into_the_same_streams_as_the_text(gates: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(gates, "STREAMS", 2)
    features = gates.text_features("ab cdx")
    assert features["letters of a word"].T.tolist() == [[1, 2, 0], [1, 2, 3]]


def test_correlations_match_numpy(gates: Any) -> None:
    rng = np.random.default_rng(0)
    units, values = rng.normal(size=(30, 2, 3)), rng.normal(size=(30, 2))
    expected = [np.corrcoef(units[..., h].ravel(), values.ravel())[0, 1] for h in range(3)]
    np.testing.assert_allclose(gates.correlations(units, values), expected, atol=1e-9)
