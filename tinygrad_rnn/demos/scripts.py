"""Demo scripts: find them, and read their description without executing them."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from ..errors import InputError


@dataclass(frozen=True)
class Script:
    """The file of a demo, and what its source says about it."""

    path: Path
    description: str
    claim: str
    data: str | None
    """The files that `--data` accepts, or None."""

    @property
    def name(self) -> str:
        """The file name without its suffix."""
        return self.path.stem

    @property
    def title(self) -> str:
        """The first line of the description."""
        return self.description.partition("\n")[0].rstrip(".")

    def load_module(self) -> Any:
        """Import the script and return its module."""
        spec = util.spec_from_file_location(f"tinygrad_rnn_demo_{self.name}", self.path)
        assert spec is not None
        assert spec.loader is not None
        module = util.module_from_spec(spec)
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
        except ImportError as error:
            raise InputError(
                f"the demo {self.name} needs {error.name}: pip install 'tinygrad-rnn[examples]'"
            ) from error
        return module


def find_scripts() -> dict[str, Script]:
    """Return the demos of this package by name, in alphabetical order."""
    paths = sorted(Path(__file__).parent.glob("*/*.py"), key=lambda path: path.stem)
    scripts = (read_script(path) for path in paths if path.stem != "__init__")
    return {script.name: script for script in scripts if script is not None}


def read_script(path: Path) -> Script | None:
    """Read the description of a script from its source; None if it is not a demo.

    Raises
    ------
    InputError
        If the file is not valid Python, or if CLAIM or DATA is not a string literal.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise InputError(f"{path}, line {error.lineno or 1}: {error.msg}") from error
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in ("CLAIM", "DATA")
    }
    has_main = any(isinstance(n, ast.FunctionDef) and n.name == "main" for n in tree.body)
    if "CLAIM" not in constants or not has_main:
        return None
    try:
        texts = {name: str(ast.literal_eval(value)) for name, value in constants.items()}
    except ValueError as error:
        raise InputError(f"{path}: CLAIM and DATA must be string literals") from error
    description = ast.get_docstring(tree) or path.stem
    return Script(path, description, texts["CLAIM"], texts.get("DATA"))
