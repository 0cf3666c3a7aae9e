"""Recurrent neural networks on the automatic-differentiation engine `autograd`.

The subpackages `nn`, `optim`, `data`, `models`, `training`, `insight` and `tasks` are imported on
demand.
"""

import sys
import warnings
from importlib import util
from pathlib import Path

from .compatibility import OldPathFinder

__version__ = "0.1.0"

_REPAIR = """To repair the installation:

    pip uninstall --yes autograd
    pip install --force-reinstall --no-deps tinygrad-rnn

HIPS autograd and tinygrad-rnn cannot be used in the same environment."""


def _check_engine() -> None:
    """Check that the package `autograd` is the engine of this distribution.

    HIPS autograd has the same package name, and pip lets both distributions overwrite each other's
    files. The check does not import the engine, so that it is fast and works on a broken one.
    """
    spec = util.find_spec("autograd")
    get_source = getattr(spec.loader, "get_source", None) if spec else None
    source = get_source("autograd") if get_source else ""
    folders = (spec.submodule_search_locations if spec else None) or ["(missing)"]
    if source is not None and "tinygrad-rnn" not in source:  # None if only bytecode is installed
        raise ImportError(
            f"The package autograd, {folders[0]}, is not the engine of tinygrad-rnn. "
            f"Another distribution, such as HIPS autograd, replaced or removed it.\n{_REPAIR}"
        )
    if any(Path(folder, "numpy", "numpy_wrapper.py").exists() for folder in folders):
        warnings.warn(
            f"HIPS autograd was installed into the same folder, {folders[0]}. Its module "
            f"autograd.numpy does not work with this engine.\n{_REPAIR}",
            stacklevel=3,
        )


_check_engine()
sys.meta_path.append(OldPathFinder())
