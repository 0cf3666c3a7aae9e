"""The description of the package on an index: README.md, with links that work there.

Everything else is in pyproject.toml. An index does not resolve relative links. They become absolute
below the URL `Repository` of pyproject.toml. Without this URL a link becomes the path of the file
in the source distribution, and images are left out.
"""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
RELATIVE_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://)([^)]+)\)")


def description(readme: str, repository: str | None) -> str:
    """Return the text of the README for a package index."""

    def rewrite(link: re.Match[str]) -> str:
        image, text, path = link.groups()
        if repository:
            return f"{image}[{text}]({repository}/{'raw' if image else 'blob'}/main/{path})"
        return "" if image else f"{text} (`{path}`)"

    return RELATIVE_LINK.sub(rewrite, readme)


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    setup(
        long_description=description(
            (ROOT / "README.md").read_text(encoding="utf-8"),
            project.get("urls", {}).get("Repository"),
        ),
        long_description_content_type="text/markdown",
    )
