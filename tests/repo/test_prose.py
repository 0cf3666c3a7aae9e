"""Wording: prose and names use the field's terms, in plain sentences.

python tests/repo/test_prose.py [PATH ...]      list the places below these paths
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.host

ROOT = Path(__file__).parents[2]

PHRASES = {
    r"\b(?:is|are|was|were) no (?!(?:longer|more|less|fewer|different|better|worse|need|way|such"
    r"|reason|other|matter)\b)[a-z]+": "not, or no",
    r"\b(?:that|those) of (?:the|a|an|its|their|all|each|another|one)\b": "repeat the noun",
    r'"""(?:What|Whether|The same|How|Who|Which)\b': '"Return ...", "True if ..."',
    r"\bso many\b(?! that)": "a number by its name",
    r"\b(?:no|some)body\b": "no other reference, the caller",
    r"\bway (?:forward|back)\b": "forward pass, backward pass",
    r"\bone's own\b": "your, custom",
    r"\bhand(?:s|ed|ing)? on\b": "pass on",
    r"\bstands? (?:in|for itself|beside|there)\b": "is defined in, exists",
    r"\b(?:goes|go|going|went) on\b(?! to)": "continue",
    r"\b(?:is|are) to be\b": "must, should",
    r"\b(?:before(?=h)hand|mean(?=w)while)\b": "before, at the same time",
}
"""Regular expressions of phrases, and what to write instead; checked on every line."""


def words(*forms: str) -> str:
    """Return a regular expression of words, in prose or between the underscores of identifiers."""
    return rf"(?<![A-Za-z])(?:{'|'.join(forms)})(?![A-Za-z])"


TERMS = {
    words("[Ss]weeps?"): "backward pass",
    rf"(?<!negative[ _]){words('[Ss]lopes?')}": "gradient, derivative",
    words("[Ss]tand-?ins?"): "fake",
    words("[Dd]emonstrations?"): "demo",
    words("[Cc]ontests?", "[Cc]ontenders?"): "benchmark, competitor",
    words("moods?"): "machine load",
    words("[Rr]efusals?"): "error handling",
    words("[Mm]utants?"): "mutation",
    words("odd steps?", "odd_steps?"): "edge cases",
    words("house"): "package layout",
    words("put back", "looks? closer", "Untouched"): "snapshot, restore",
    words("recorded loops?", "record(?:s|ed|ing)? again"): "eager execution, recomputation",
    words("written down"): "traced",
    words("in few calls", "by parts", "InParts"): "the name of the rewrite",
}
"""Regular expressions of terms, and the standard term; checked on every line."""

NAMES = {
    **dict.fromkeys(("it", "its", "ours", "mine", "theirs"), "a noun"),
    **dict.fromkeys(("live", "made", "behind", "wanted", "kept", "handed", "counted"), "a noun"),
    **dict.fromkeys(("Alive", "held"), "length mask, masked step"),
    **dict.fromkeys(("Part", "Page", "Again"), "segment, output buffer, recompute"),
    **dict.fromkeys(("Writer", "Written"), "decoder, decoded sequence"),
    **dict.fromkeys(("Watch", "watching"), "capture"),
    **dict.fromkeys(("stamp", "stamps", "clock"), "version counter; format_duration"),
    **dict.fromkeys(("cuts", "rolling"), "detach points, ring buffer"),
    "of": "a noun",
}
"""Names that are not defined, and what to define instead."""

ENGINE_NAMES = {"home": "backend", "pull": "vjp", "needs": "residuals", "fit": "unbroadcast"}
"""Names that are not defined in `autograd`."""

ALLOWED: dict[tuple[str, str], str] = {
    ("tests/repo/test_prose.py", ""): "lists all of them",
}
"""Legitimate matches: a path and a part of the line, and the reason."""


def lines_of(path: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line number, the match and the replacement of every phrase and term."""
    for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
        for pattern, replacement in (PHRASES | TERMS).items():
            match = re.search(pattern, line)
            if match and not is_allowed(path, line):
                yield number, match[0], replacement


def definitions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line number and the name of everything that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def names_in(path: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line number, the name and the replacement of every name that is defined."""
    if not path.endswith(".py"):
        return
    text = (ROOT / path).read_text(encoding="utf-8")
    avoided = NAMES | ENGINE_NAMES if path.startswith("autograd/") else NAMES
    lines = text.splitlines()
    for number, name in definitions(ast.parse(text)):
        if name.strip("_") in avoided and not is_allowed(path, lines[number - 1]):
            yield number, name, avoided[name.strip("_")]


def is_allowed(path: str, line: str) -> bool:
    is_old_name = re.search(r"= Renamed(Class)?Attribute\(", line)
    return bool(is_old_name) or any(path == file and part in line for file, part in ALLOWED)


def places(*paths: str) -> list[str]:
    """Return all places below some paths, as `path:line: match: replacement`."""
    command = ["git", "ls-files", "--", *(paths or ("*.py", "*.md", "Makefile", ".ci/run"))]
    files = subprocess.check_output(command, cwd=ROOT, text=True).splitlines()
    checked = [f for f in files if f.endswith((".py", ".md", "Makefile", ".ci/run"))]
    return [
        f"{path}:{number}: {match!r}: {replacement}"
        for path in checked
        if (ROOT / path).is_file()
        for number, match, replacement in sorted({*lines_of(path), *names_in(path)})
    ]


def test_prose_and_names_use_the_terms_of_the_field() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("lists the files with git")
    assert places() == []


def test_phrases_terms_and_names_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phrases = ['"' * 3 + "What", " ".join(("so", "many")), " ".join(("those", "of", "the"))]
    code = ["sweep = 1  # ", "def home(made): ..."]
    text = f"{phrases[0]} it does.{phrases[0][:3]}\n{code[0]}{phrases[1]} {phrases[2]}\n{code[1]}\n"
    (tmp_path / "autograd").mkdir()
    (tmp_path / "autograd" / "a.py").write_text(text)
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    found = [match for _, match, _ in (*lines_of("autograd/a.py"), *names_in("autograd/a.py"))]
    assert sorted(found) == sorted([*phrases, "sweep", "home", "made"])


if __name__ == "__main__":
    listed = places(*sys.argv[1:])
    print(*listed, f"{len(listed)} places", sep="\n")
