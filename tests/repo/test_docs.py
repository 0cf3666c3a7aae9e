"""Pages of the documentation: Python blocks run and print the output shown; links lead to files.

A block marked `source=FILE` is a literal excerpt of this file. A block that follows the line
"prints" is the output of the Python block before it.
"""

import contextlib
import io
import re
from pathlib import Path

import pytest

import autograd as ag
from tinygrad_rnn.demos.scripts import find_scripts

pytestmark = pytest.mark.host

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "autograd" / "core" / "README.md",
    ROOT / "autograd" / "compile" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
FENCE = re.compile(r"^```(\S*)(?: source=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str | None, str, bool]]:
    """Return language, source file, content, and True if the text before ends with "prints"."""
    text = page.read_text()
    return [
        (match[1], match[2], match[3], text[: match.start()].rstrip().endswith("prints"))
        for match in FENCE.finditer(text)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_print_what_the_page_says(page: Path) -> None:
    names: dict[str, object] = {}
    printed = ""
    for language, source, content, is_output in blocks(page):
        if source is not None:
            assert content in (ROOT / source).read_text(), f"not in {source}:\n{content}"
        elif language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as stream:
                exec(compile(content, str(page), "exec"), names)
            printed = stream.getvalue()
        elif is_output:
            assert content == printed


def test_the_readme_runs_on_another_device() -> None:
    names: dict[str, object] = {}
    with ag.default_device("strict"):
        for language, _, content, _ in blocks(ROOT / "README.md"):
            if language == "python":
                exec(content.replace("range(200)", "range(2)"), names)
    assert str(names["loss"].device) == "strict:0"  # type: ignore[attr-defined]


def test_pages_are_found() -> None:
    assert {"README.md", "engine.md"} <= {page.name for page in PAGES}
    assert any(is_output for page in PAGES for *_, is_output in blocks(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_of_the_repository(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    targets = [target for target in LINK.findall(text) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_demo_is_in_the_gallery() -> None:
    """Each demo has one figure of its own and three sentences."""
    page = (ROOT / "docs" / "gallery.md").read_text()
    parts = re.findall(r"^### (\w+)\n\n!\[.+?\]\((.+?)\)\n\n(.+?)\n\n?(?=#|\Z)", page, re.M | re.S)
    assert sorted(name for name, _, _ in parts) == sorted(find_scripts())
    assert f"The {len(parts)} demos" in (ROOT / "README.md").read_text()
    for name, figure, text in parts:
        assert (ROOT / "docs" / figure).is_file()
        assert Path(figure).name.startswith(name)
        assert len(re.findall(r"[.]\s", text + "\n")) == 3, name


def test_the_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    assert lines.index("```python") < 35
