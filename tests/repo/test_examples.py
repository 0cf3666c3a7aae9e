"""The programs in the folder examples run and learn."""

import re
import subprocess
import sys

import pytest
from command import ENVIRONMENT, PATIENCE, ROOT

pytestmark = pytest.mark.host


def test_custom_cell_solves_the_adding_problem() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "custom_cell.py"],
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=True,
    )
    assert "the gradients agree with finite differences" in done.stdout
    errors = [float(error) for error in re.findall(r"squared error ([\d.]+)", done.stdout)]
    assert errors[0] > 0.1
    assert errors[-1] < 0.02
