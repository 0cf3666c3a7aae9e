"""Recurrent neural networks on the automatic-differentiation engine `autograd`."""

import tomllib
from importlib import metadata
from pathlib import Path


def _version() -> str:
    """The installed version, or, in a source folder that is not installed, pyproject.toml's."""
    try:
        return metadata.version("tinygrad-rnn")
    except metadata.PackageNotFoundError:
        pyproject = Path(__file__).parents[1] / "pyproject.toml"
        return str(tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["version"])


__version__ = _version()
