"""The demonstration of gates: what it says of a text, and how units are compared with that."""

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


def test_what_a_reader_knows_after_each_character(gates: Any) -> None:
    known = {name: v[:, 0].tolist() for name, v in gates.features('a "b\n  cd"\n\n "x').items()}
    assert known == {
        "letters of a word": [1, 0, 0, 1, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 1],
        "inside quotation marks": [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1],
        "indentation": [0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 0, 0, 1, 1, 1],
        "position in the line": [1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 0, 0, 1, 2, 3],
    }


def test_features_stand_beside_the_streams_of_a_text(gates: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(gates, "STREAMS", 2)
    known = gates.features("ab cdx")
    assert known["letters of a word"].T.tolist() == [[1, 2, 0], [1, 2, 3]]


def test_correlations_are_those_of_numpy(gates: Any) -> None:
    rng = np.random.default_rng(0)
    units, values = rng.normal(size=(30, 2, 3)), rng.normal(size=(30, 2))
    expected = [np.corrcoef(units[..., h].ravel(), values.ravel())[0, 1] for h in range(3)]
    np.testing.assert_allclose(gates.correlations(units, values), expected, atol=1e-9)
