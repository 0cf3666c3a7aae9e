"""Configuration of the documentation site: `make docs` builds it in `build/docs`."""

import importlib
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import tinygrad_rnn  # noqa: E402

project = "tinygrad-rnn"
author = "The tinygrad-rnn maintainers"
copyright = author
version = release = tinygrad_rnn.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False
myst_heading_anchors = 3

highlight_language = "none"  # of blocks that name no language
default_role = "py:obj"  # single backquotes: a link where the name is documented, else code
autosummary_generate = False  # all names of a module share one page
autodoc_typehints = "none"  # the sections of the docstrings name the types
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
suppress_warnings = ["ref.python"]  # a name such as `grad` may be a function and a method


class PublicNames(SphinxDirective):
    """Document every public name of a module, grouped by the source file that defines it.

    The names come from the module, so that no page has to list them.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module = importlib.import_module(self.arguments[0])
        groups: dict[ModuleType, list[str]] = {}
        for name in public_names(module):
            groups.setdefault(defining_module(module, name), []).append(name)
        lines = [f".. currentmodule:: {module.__name__}", ""]
        for source, names in groups.items():
            lines += section(module, source, names, titled=len(groups) > 1)
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def public_names(module: ModuleType) -> list[str]:
    """Return the documented names of a module, from `__all__` if it exists."""
    defined = [name for name, value in vars(module).items() if is_defined_in(module, name, value)]
    names = getattr(module, "__all__", None) or defined
    return [name for name in names if is_documented(getattr(module, name, module))]


def is_documented(value: object) -> bool:
    """True for objects of this project; False for modules, and aliases such as `typing.Any`."""
    package = getattr(value, "__module__", "").partition(".")[0]
    return package in ("autograd", "tinygrad_rnn")


def is_defined_in(module: ModuleType, name: str, value: object) -> bool:
    return not name.startswith("_") and getattr(value, "__module__", None) == module.__name__


def defining_module(module: ModuleType, name: str) -> ModuleType:
    """Return the submodule that exports a name, or else the module of the object's definition."""
    exporting = [
        name_of_module
        for name_of_module, submodule in sys.modules.items()
        if name_of_module.startswith(f"{module.__name__}.")
        and name in getattr(submodule, "__all__", ())
    ]
    value = getattr(module, name)
    default = getattr(value, "__module__", module.__name__)
    return sys.modules[max(exporting, key=len, default=default)]


def section(module: ModuleType, source: ModuleType, names: list[str], titled: bool) -> list[str]:
    """Return the lines of one group: a title, an overview, and the documentation of each name."""
    title = source.__name__.rpartition(".")[2].replace("_", " ").capitalize()
    summary = (inspect.getdoc(source) or "").partition("\n\n")[0]
    lines = [title, "-" * len(title), "", summary, ""] if titled else []
    lines += [".. autosummary::", "", *(f"    {name}" for name in names), ""]
    for name in names:
        value = getattr(module, name)
        if inspect.isclass(value):
            lines += [f".. autoclass:: {name}", "    :members:"]
            if has_hidden_bases(module, value):
                lines += ["    :inherited-members: object, tuple", ""]
            else:
                lines += [""] if value.__bases__ == (object,) else ["    :show-inheritance:", ""]
        else:
            lines += [f".. auto{'function' if inspect.isroutine(value) else 'data'}:: {name}", ""]
    return lines


def has_hidden_bases(module: ModuleType, value: type) -> bool:
    """True if the class inherits from classes of its package, none of which is a public name."""
    package = module.__name__.partition(".")[0]
    bases = {base.__name__ for base in value.__mro__[1:] if base.__module__.startswith(package)}
    exported = {
        name
        for module_name, submodule in sys.modules.items()
        if module_name.startswith(package)
        for name in getattr(submodule, "__all__", ())
    }
    return bool(bases) and bases.isdisjoint(exported)


def name_footnotes(
    _: Sphinx, kind: str, name: str, value: object, options: Any, lines: list[str]
) -> None:
    """Make the numbers of references in a docstring unique, as all docstrings share a page."""
    lines[:] = [re.sub(r"\[(\d)\](?=_| )", rf"[#{name}-\1]", line) for line in lines]


def setup(app: Sphinx) -> None:
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-process-docstring", name_footnotes)
