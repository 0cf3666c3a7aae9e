"""Python source code from the standard library, for language models.

The code has no comments and no docstrings, is formatted by `ast.unparse`, and is indented by tabs.
"""

from __future__ import annotations

import ast
import re
import sysconfig
from pathlib import Path

import numpy as np

FILE_SEPARATOR = "\n\n\n"
"""Precedes each file."""
SKIPPED = {"site-packages", "test", "tests", "encodings", "idlelib", "lib2to3", "turtledemo"}


def sample_library(rng: np.random.Generator, size: int, max_file_size: int = 8000) -> str:
    """Concatenate files of the standard library in random order, up to about `size` characters.

    Files of more than `max_file_size` characters are skipped, so that the text contains many
    beginnings of files.
    """
    root = Path(sysconfig.get_path("stdlib"))
    paths = [p for p in sorted(root.rglob("*.py")) if not SKIPPED & {*p.relative_to(root).parts}]
    text = ""
    for number in rng.permutation(len(paths)):
        if len(file := normalize_source(paths[number].read_bytes())) <= max_file_size:
            text += FILE_SEPARATOR + file
        if len(text) >= size:
            break
    return text


def normalize_source(source: str | bytes) -> str:
    """Return Python code without comments and docstrings; raise SyntaxError for other text."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node) is not None:
                del node.body[0]
            node.body = node.body or [ast.Pass()]
    return re.sub("(?m)^(    )+", lambda indent: "\t" * (len(indent[0]) // 4), ast.unparse(tree))
