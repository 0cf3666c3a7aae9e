"""Docstrings of the public names follow the NumPy convention and describe the whole signature.

`python tests/repo/test_api_docs.py [MODULE ...]` lists what is missing, by source file.
"""

import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.host

ROOT = Path(__file__).parents[2]
MODULES = [
    "autograd",
    "autograd.backend",
    "autograd.testing",
    "tinygrad_rnn.nn",
    "tinygrad_rnn.nn.functional",
    "tinygrad_rnn.nn.init",
    "tinygrad_rnn.nn.utils",
    "tinygrad_rnn.optim",
    "tinygrad_rnn.optim.lr_scheduler",
    "tinygrad_rnn.data",
    "tinygrad_rnn.models",
    "tinygrad_rnn.training",
    "tinygrad_rnn.tasks",
    "tinygrad_rnn.insight",
]
SECTION = re.compile(r"^([A-Z][A-Za-z ]+)\n-{3,}$", re.MULTILINE)
ENTRY = re.compile(r"^(\S[^:\n]*?)(?: *:.*)?$", re.MULTILINE)
UNDOCUMENTED_ERRORS = {"NotImplementedError", "StopIteration", "AssertionError"}


def public_objects(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield the functions, classes and public methods that a module offers, with their names."""
    local = (
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    )
    for name in getattr(module, "__all__", None) or sorted(local):
        value = getattr(module, name, None)
        package = getattr(value, "__module__", "").partition(".")[0]
        if not callable(value) or package not in ("autograd", "tinygrad_rnn"):
            continue
        yield f"{module.__name__}.{name}", value
        if inspect.isclass(value):
            for method_name, method in vars(value).items():
                if not method_name.startswith("_"):
                    method = getattr(method, "__func__", method)  # class and static methods
                    if inspect.isfunction(method) or isinstance(method, property):
                        yield f"{module.__name__}.{name}.{method_name}", method


def sections(docstring: str) -> dict[str, str]:
    """Return the sections of a docstring by title; the text before the first has the title ''."""
    summary, *rest = SECTION.split(docstring)
    return {"": summary, **dict(zip(rest[::2], rest[1::2], strict=True))}


def entries(section: str) -> list[str]:
    """Return the names that a section describes: `a, b : int` describes two."""
    names = (name for line in ENTRY.findall(section) for name in line.split(","))
    return [name.strip().strip("`").replace("\\", "").lstrip("*") for name in names]


def parameters(value: Any) -> list[str]:
    """Return the names of the parameters that the docstring must describe."""
    if inspect.isclass(value):
        own = {"__init__", "__new__"} & vars(value).keys()
        if getattr(value, "_is_protocol", False) or (issubclass(value, Exception) and not own):
            return []
    has_init = inspect.isclass(value) and value.__init__ is not object.__init__
    try:  # not the signature of the class, which may be that of __new__
        names = list(inspect.signature(value.__init__ if has_init else value).parameters)
    except ValueError:
        return []
    is_method = has_init or names[:1] in (["self"], ["cls"])
    return [name for name in names[is_method:] if not name.startswith("_")]


def body(value: Any) -> list[ast.AST]:
    """Return the syntax nodes of a function, or of the constructor of a class."""
    function = vars(value).get("__init__") if inspect.isclass(value) else value
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))  # type: ignore[arg-type]
    except (OSError, TypeError, SyntaxError):
        return []
    nodes, todo = [], list(ast.iter_child_nodes(tree.body[0]))
    while todo:
        node = todo.pop()
        nodes.append(node)
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            todo.extend(ast.iter_child_nodes(node))
    return nodes


def raised(value: Any) -> set[str]:
    """Return the names of the exceptions that the body of a function raises itself."""
    calls = [node.exc for node in body(value) if isinstance(node, ast.Raise)]
    names = [call.func for call in calls if isinstance(call, ast.Call)]
    return {name.id for name in names if isinstance(name, ast.Name)} - UNDOCUMENTED_ERRORS


def returns_value(value: Any) -> bool:
    if inspect.isclass(value):
        return False
    annotation = inspect.signature(value).return_annotation
    if annotation is not inspect.Signature.empty:
        return annotation not in (None, "None", "NoReturn")
    nodes = body(value)
    return not nodes or any(isinstance(node, ast.Return) and node.value for node in nodes)


def problems(value: Any) -> Iterator[str]:
    """Yield what the docstring of a public object lacks."""
    docstring = inspect.getdoc(value)
    if not docstring:
        yield "no docstring"
        return
    found = sections(docstring)
    summary = found[""].strip().partition("\n\n")[0]
    if "\n" in summary or not summary.endswith("."):
        yield "the summary is not one line that ends with a period"
    if isinstance(value, property):
        return
    expected = parameters(value)
    described = entries(found.get("Parameters", ""))
    if inspect.isclass(value):
        described += entries(found.get("Attributes", ""))
    if missing := [name for name in expected if name not in described]:
        yield "Parameters lacks " + ", ".join(missing)
    if unknown := [n for n in entries(found.get("Parameters", "")) if n not in expected]:
        yield "Parameters describes unknown names: " + ", ".join(unknown)
    if returns_value(value) and not {"Returns", "Yields"} & found.keys():
        yield "no section Returns"
    if missing := sorted(raised(value) - set(entries(found.get("Raises", "")))):
        yield "Raises lacks " + ", ".join(missing)


def source(value: Any) -> str:
    """Return the path and line of the definition, as `path:line`."""
    function = inspect.unwrap(getattr(value, "fget", None) or value)
    try:
        path = Path(inspect.getsourcefile(function) or "").relative_to(ROOT)
        return f"{path}:{inspect.getsourcelines(function)[1]}"
    except (OSError, TypeError, ValueError):
        return f"{getattr(value, '__module__', '?').replace('.', '/')}.py"


def report(module: str) -> list[str]:
    """Return one line `path:line: name: problem` per problem of a module's public names."""
    return [
        f"{source(value)}: {name}: {problem}"
        for name, value in public_objects(importlib.import_module(module))
        for problem in problems(value)
    ]


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_describe_the_signature(module: str) -> None:
    assert report(module) == []


@pytest.mark.parametrize("module", MODULES)
def test_every_public_module_has_a_page_in_the_reference(module: str) -> None:
    page = (ROOT / "docs" / "api" / f"{module}.rst").read_text()
    assert f".. public-names:: {module}\n" in page
    assert module in (ROOT / "docs" / "api" / "index.md").read_text().split()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    lines = {line for module in sys.argv[1:] or MODULES for line in report(module)}
    print("\n".join(sorted(lines)))
    print(len(lines), "problems")
