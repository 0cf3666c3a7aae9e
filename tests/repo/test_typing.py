"""Type checkers accept correct programs of users, and find errors in wrong ones."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.host

ROOT = Path(__file__).parents[2]

PROGRAM = """
import numpy as np

import autograd as ag
from autograd import Tensor


def step(w: Tensor, x: Tensor) -> Tensor:
    y: Tensor = ag.tanh(x @ w + 1.0) * 2 - 3 / x**2
    return -y.mean(axis=0, keepdims=True) + abs(y).sum()


w = ag.tensor(np.eye(2), requires_grad=True)
x = ag.ones((3, 2))
loss = step(w, x).sum()
loss.backward()
with ag.no_grad():
    w -= 0.1 * w
    w[0] = 0.0
gradient: Tensor | None = w.grad
shape: tuple[int, ...] = x.T.reshape(2, -1).shape
where: Tensor = (x > 0) & (x <= 2) | ~(x == 1) ^ (x // 2 == 1 % x)
every: Tensor = where.all(axis=0, keepdims=True)
text: str = f"{loss.flatten()[0]:.3f}"
first: Tensor = x[0, None, ..., ::2]
numbers: list[float] = [float(t) for t in x.ravel()]
host: np.ndarray = x.detach().astype(np.float64).numpy()
ag.testing.check_gradients(step, np.eye(2), np.ones((3, 2)))
"""


MISTAKES = """
x.summ()
y: int = x + w
x.sum(axes=0)
w.grad.shape
"""


def test_users_programs_are_checked(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(PROGRAM + MISTAKES)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"]
    done = subprocess.run(
        [*command, "--config-file=", f"--cache-dir={ROOT}/.mypy_cache/tests", tmp_path / "user.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line.split(":")[1] for line in done.stdout.splitlines() if ": error:" in line]
    right = len(PROGRAM.splitlines()) + 1
    assert errors == [str(right + i) for i in range(1, 5)], done.stdout + done.stderr
