"""Programs to learn from: the running Python's own library, as code alone.

There are no comments and docstrings in it, one statement is in a line (what `ast.unparse` makes of
it), and a tab stands for each level of indentation.
"""

from __future__ import annotations

import ast
import re
import sysconfig
from pathlib import Path

import numpy as np

FILE_SEPARATOR = "\n\n\n"
"""What stands before each file."""
SKIPPED = {"site-packages", "test", "tests", "encodings", "idlelib", "lib2to3", "turtledemo"}


def sample_library(rng: np.random.Generator, size: int, max_file_size: int = 8000) -> str:
    """Files of the standard library in random order, until they are `size` characters. Files of
    more than `max_file_size` are left out: short ones show more often how a file begins."""
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
    """A program's code alone. SyntaxError if it is none."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node) is not None:
                del node.body[0]
            node.body = node.body or [ast.Pass()]
    return re.sub("(?m)^(    )+", lambda blanks: "\t" * (len(blanks[0]) // 4), ast.unparse(tree))
