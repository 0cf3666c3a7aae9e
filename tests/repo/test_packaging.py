"""The source distribution, the wheel, and the description that an index shows."""

import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from command import ROOT

import tinygrad_rnn

pytestmark = pytest.mark.host

needs_repository = pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None, reason="needs the git repository"
)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel of the tracked files."""
    checkout, out = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    for name in tracked_files():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    for kind in ("sdist", "wheel"):
        build = f"from setuptools import build_meta as b; b.build_{kind}({str(out)!r})"
        subprocess.run([sys.executable, "-c", build], cwd=checkout, check=True, capture_output=True)
    return out


def tracked_files() -> set[str]:
    command = ["git", "ls-files", "-z"]
    printed = subprocess.check_output(command, cwd=ROOT, encoding="utf-8")
    return {name for name in printed.split("\0") if name and (ROOT / name).exists()}


@needs_repository
def test_the_source_distribution_contains_every_tracked_file(distributions: Path) -> None:
    (path,) = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        files = [member.name for member in archive if member.isfile()]
    names = {name.partition("/")[2] for name in files}
    generated = re.compile(r"PKG-INFO|setup\.cfg|tinygrad_rnn\.egg-info/")
    assert {name for name in names if not generated.match(name)} == tracked_files()


@needs_repository
def test_the_wheel_contains_the_two_packages(distributions: Path) -> None:
    (path,) = distributions.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {name for name in tracked_files() if re.match("(autograd|tinygrad_rnn)/", name)}
    assert {"autograd/py.typed", "tinygrad_rnn/py.typed"} < names


@needs_repository
def test_the_metadata(distributions: Path) -> None:
    (path,) = distributions.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata: Message = message_from_bytes(archive.read(name))
    assert metadata["Version"] == tinygrad_rnn.__version__
    assert metadata["Description-Content-Type"] == "text/markdown"
    text = metadata.get_payload()
    assert isinstance(text, str)
    assert [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link] == []


def test_links_of_the_description_are_absolute_below_the_repository() -> None:
    description = runpy.run_path(str(ROOT / "setup.py"))["description"]
    text = "![A plot](docs/a.png) [guide](docs/a.md) [other](https://example.org)"
    assert description(text, "https://example.org/p") == (
        "![A plot](https://example.org/p/raw/main/docs/a.png) "
        "[guide](https://example.org/p/blob/main/docs/a.md) [other](https://example.org)"
    )
    assert description(text, None) == " guide (`docs/a.md`) [other](https://example.org)"
