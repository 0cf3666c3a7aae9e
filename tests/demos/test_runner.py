"""The interface that demo scripts use: measurements, training, cost and saved models."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.demos import runner
from tinygrad_rnn.demos.runner import Demo, Measurement
from tinygrad_rnn.demos.saved_model import SavedModel

pytestmark = [pytest.mark.host, pytest.mark.demo]


def test_the_users_data_has_no_targets(tmp_path: Path) -> None:
    demo = Demo("own", tmp_path, data=tmp_path)
    demo.record("fraction", 0.1, "%", at_least=0.9, quick=0.5)
    assert demo.rows == [Measurement("fraction", 0.1, "%")]
    assert demo.passed


@pytest.mark.parametrize(
    ("row", "passed", "formatted"),
    [
        (Measurement("a", 0.95, "%", at_least=0.95), True, "95.0%"),
        (Measurement("a", 0.9499, "%", at_least=0.95), False, "95.0%"),
        (Measurement("a", 2e-11, "", at_most=1e-10), True, "2.00e-11"),
        (Measurement("a", 1200.0, "steps", at_most=1000), False, "1,200 steps"),
        (Measurement("a", float("nan"), "", at_most=1000), False, "nan"),
        (Measurement("a", float("inf"), "", at_most=1000), False, "inf"),
        (Measurement("a", 1.5), None, "1.500"),
    ],
)
def test_a_measurement_compares_its_value_with_its_target(
    row: Measurement, passed: bool | None, formatted: str
) -> None:
    assert row.passed is passed
    assert row.formatted == formatted


def test_train_applies_the_schedule_and_keeps_frozen_parameters(tmp_path: Path) -> None:
    demo, model = Demo("own", tmp_path, quick=True), nn.Linear(1, 1)
    model.bias.requires_grad_(False)
    weight, bias = model.weight.item(), model.bias.item()

    def rates(**options: Any) -> list[float]:
        records = demo.train(
            model,
            lambda model, x: ((model(x) - 3) ** 2).mean(),
            lambda rng: ag.tensor(rng.normal(size=(4, 1))),
            *(100, 10),
            rate=0.1,
            progress=False,
            **options,
        )
        assert not model.training
        return [record["lr"] for record in records]

    assert rates() == [0.1] * 10
    cosine, cycle = rates(cosine=True), rates(cycle=True)
    assert cosine == sorted(cosine, reverse=True)
    assert (cosine[0], len(cosine)) == (0.1, 10)
    assert cycle[0] == pytest.approx(0.1 / 25)
    assert max(cycle) == pytest.approx(0.1)
    assert cycle[-1] < 1e-4
    assert model.bias.item() == bias
    assert model.weight.item() != weight


def test_cost_is_the_shortest_time_and_the_peak_memory(monkeypatch: Any) -> None:
    times = iter([1.0, 4.0, 5.0, 7.0, 8.0, 11.0])
    monkeypatch.setattr(runner.time, "process_time", lambda: next(times))
    milliseconds, megabytes = runner.measure_cost(lambda: np.ones(10**6), repeats=3)
    assert milliseconds == 2000
    assert megabytes == pytest.approx(8, abs=0.1)


def test_models_are_saved_and_loaded(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    Demo("elman", tmp_path).save(model, hidden=3)
    saved = SavedModel.open(tmp_path)
    assert (saved.demo, saved.config) == ("elman", {"hidden": 3})
    assert (saved.load(nn.Linear(3, 2)).weight == model.weight).numpy().all()


def test_former_names_of_methods_warn(tmp_path: Path) -> None:
    demo: Any = Demo("own", tmp_path)
    with pytest.warns(DeprecationWarning, match=r"Demo\.measured is now Demo\.record"):
        demo.measured("error", 0.1)
    assert demo.rows == [Measurement("error", 0.1)]
    with pytest.raises(AttributeError, match="no attribute 'unknown'"):
        _ = demo.unknown


def test_results_of_earlier_versions_are_read(tmp_path: Path) -> None:
    row = {"what": "error", "value": 0.1, "unit": "", "at_least": None, "at_most": None}
    content = {"title": "T", "claim": "C", "seed": 0, "seconds": 1, "rows": [row], "files": {}}
    (tmp_path / "results.json").write_text(json.dumps(content))
    results = runner.read_results(tmp_path)
    assert results is not None
    assert results["rows"] == [Measurement("error", 0.1)]
