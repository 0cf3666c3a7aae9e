"""HIPS autograd, a distribution whose package has the same name, in the same folder."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import ENVIRONMENT, ROOT

pytestmark = pytest.mark.host

HIPS = """
from .differential_operators import elementwise_grad, grad, jacobian
from .builtins import dict, isinstance, list, tuple, type
"""


def overwritten(package: Path) -> None:
    """HIPS autograd was installed last."""
    (package / "__init__.py").write_text(HIPS)
    (package / "differential_operators.py").write_text("grad = jacobian = elementwise_grad = None")
    (package / "builtins.py").write_text("from builtins import *")
    left_over(package)


def overwritten_by_a_broken_one(package: Path) -> None:
    """HIPS autograd was installed last, and does not run with this NumPy."""
    (package / "__init__.py").write_text("raise AttributeError('np.msort')")


def uninstalled(package: Path) -> None:
    """HIPS autograd was installed last and then removed, with the files that it shares."""
    (package / "__init__.py").unlink()


def removed(package: Path) -> None:
    """Another distribution was removed with the whole package."""
    shutil.rmtree(package)


def replaced(package: Path) -> None:
    """Only HIPS autograd is there."""
    shutil.rmtree(package)
    package.mkdir()
    overwritten(package)


def left_over(package: Path) -> None:
    """HIPS autograd was installed first; this engine overwrote its `__init__`."""
    (package / "numpy").mkdir()
    for name in ("__init__", "numpy_wrapper"):
        (package / "numpy" / f"{name}.py").write_text("")


def intact(package: Path) -> None:
    """The engine alone."""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the packages of the repository."""
    shutil.copytree(ROOT / "autograd", tmp_path / "autograd", symlinks=True)
    (tmp_path / "tinygrad_rnn").symlink_to(ROOT / "tinygrad_rnn")
    return tmp_path


def imported(site: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`import tinygrad_rnn` with the packages of a folder alone, and without those installed."""
    code = f"import sys; sys.path.insert(0, {str(site)!r}); import tinygrad_rnn; print('imported')"
    environment = {k: v for k, v in ENVIRONMENT.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-S", *options, "-c", code]
    return subprocess.run(
        command, env=environment, cwd=os.sep, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "damage", [overwritten, overwritten_by_a_broken_one, uninstalled, removed, replaced]
)
def test_an_engine_that_was_overwritten_says_how_to_repair_it(
    site: Path, damage: Callable[[Path], None]
) -> None:
    damage(site / "autograd")
    done = imported(site)
    assert done.returncode == 1
    assert "ImportError: The package autograd" in done.stderr
    assert "is not the engine of tinygrad-rnn" in done.stderr
    assert "pip install --force-reinstall --no-deps tinygrad-rnn" in done.stderr
    assert "HIPS autograd" in done.stderr


def test_what_another_distribution_left_is_a_warning(site: Path) -> None:
    left_over(site / "autograd")
    done = imported(site)
    assert (done.returncode, done.stdout) == (0, "imported\n")
    assert "UserWarning: HIPS autograd was installed into the same folder" in done.stderr
    assert "pip uninstall --yes autograd" in done.stderr


@pytest.mark.parametrize("options", [[], ["-W", "error"], ["-O"]])
def test_the_engine_alone_is_imported_in_silence(site: Path, options: list[str]) -> None:
    done = imported(site, *options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "imported\n", "")


def test_an_engine_without_sources_is_accepted(site: Path) -> None:
    """Some packagers install compiled files alone."""
    import compileall

    compileall.compile_file(site / "autograd" / "__init__.py", legacy=True, quiet=1)
    (site / "autograd" / "__init__.py").unlink()
    done = imported(site)
    assert (done.returncode, done.stdout, done.stderr) == (0, "imported\n", "")


def test_another_package_that_comes_first_is_named(site: Path) -> None:
    elsewhere = site / "elsewhere"
    (elsewhere / "autograd").mkdir(parents=True)
    overwritten(elsewhere / "autograd")
    (elsewhere / "tinygrad_rnn").symlink_to(ROOT / "tinygrad_rnn")
    done = imported(elsewhere)
    assert done.returncode == 1
    assert str(elsewhere / "autograd") in done.stderr
