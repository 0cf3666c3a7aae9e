"""The targets of the demos: a wrong rule or an untrained model fails them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import instead

import autograd as ag
from autograd.ops import matmul
from tinygrad_rnn import nn
from tinygrad_rnn.demos import runner
from tinygrad_rnn.demos.runner import Demo
from tinygrad_rnn.demos.scripts import find_scripts

pytestmark = [pytest.mark.host, pytest.mark.demo]


def failed_rows(name: str, folder: Path) -> list[str]:
    """Return the measurements of a quick run that fail their targets."""
    demo = Demo(name, folder, quick=True)
    runner.run(find_scripts()[name], demo)
    return [row.name for row in demo.rows if row.passed is False]


def detach_state(monkeypatch: Any) -> None:
    """Replace RNNCell by a cell that passes no gradient through its state."""
    step = nn.RNNCell.step
    monkeypatch.setattr(nn.RNNCell, "step", lambda self, h, x: step(self, h.detach(), x))


def waste_memory(monkeypatch: Any) -> None:
    """Make the memory of recurrent layers grow like the fourth power of the length."""
    forward = nn.Recurrent.forward

    def run(self: Any, input: Any, *rest: Any) -> Any:
        wasted = np.ones(len(input) ** 4 // 1000)
        return forward(self, input, *rest)[: len(wasted)]

    monkeypatch.setattr(nn.Recurrent, "forward", run)


DEFECTS = {
    "bptt": (instead(ag.tanh, lambda rule: lambda g, y: 2 * rule(g, y)), "dE/dU"),
    "cost": (waste_memory, "Elman: R² of memory against T"),
    "shapes": (detach_state, "pairs (x, y) with an unexpected gradient"),
    "vanishing": (
        instead(matmul._linear, lambda rule: lambda *args: 1.01 * rule(*args)),
        "decay rate",
    ),
}
"""For the demos whose targets need no training: a defect, and the row that must fail."""


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_fails_a_target(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    inject, row = DEFECTS[name]
    inject(monkeypatch)
    assert any(row in failed for failed in failed_rows(name, tmp_path))


@pytest.mark.parametrize("name", sorted(set(find_scripts()) - set(DEFECTS)))
def test_an_untrained_model_fails_a_target(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(Demo, "fit", lambda *args, **options: [])
    assert failed_rows(name, tmp_path)
