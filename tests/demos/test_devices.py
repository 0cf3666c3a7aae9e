"""Demos compute the same losses on another device."""

from pathlib import Path
from typing import Any

import fake_cupy  # noqa: F401  # registers the device "strict"
import numpy as np
import pytest

from tinygrad_rnn.demos import runner
from tinygrad_rnn.demos.runner import Demo
from tinygrad_rnn.demos.scripts import find_scripts
from tinygrad_rnn.training import Trainer

pytestmark = [pytest.mark.host, pytest.mark.demo]

NAMES = ("bidirectional", "elman", "handwriting", "jordan", "sentiment")


def training_losses(name: str, device: str, folder: Path, monkeypatch: Any) -> list[float]:
    """Return the losses of the first three updates of each training of a quick run."""
    losses = []

    def fit(self: Demo, trainer: Trainer, steps: int, quick: int, **options: Any) -> Any:
        assert next(trainer.model.parameters()).device.split(":")[0] == device
        records = trainer.fit(max_steps=3, progress=False)
        losses.extend(r["loss"] for r in records if r["event"] == "update")
        return records

    monkeypatch.setattr(Demo, "fit", fit)
    folder.mkdir()
    runner.run(find_scripts()[name], Demo(name, folder, quick=True, device=device))
    return losses


@pytest.mark.parametrize("name", NAMES)
def test_losses_are_equal_on_the_fake_device(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    expected = training_losses(name, "cpu", tmp_path / "cpu", monkeypatch)
    actual = training_losses(name, "strict", tmp_path / "strict", monkeypatch)
    assert len(expected) >= 3
    np.testing.assert_allclose(actual, expected, rtol=1e-4)
