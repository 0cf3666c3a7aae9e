"""Text as a sequence of characters: where it comes from, how it is numbered, cut and batched.

A recurrent network reads text as a stream, so the batches are cut lengthwise: each row of a batch
is a stream of its own, and every window goes on where the last one ended, in every stream. That is
what lets the state be carried from window to window (truncated back-propagation through time:
Mikolov et al. 2010, "Recurrent neural network based language model").
"""

import ast
import codecs
import os
import platform
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import ceil
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..summary import summary_repr
from .files import PathLike, display_name, open_file

Ids = npt.NDArray[np.int64]

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte-order marks; the longer ones stand first, since they begin with the shorter ones."""

DENSE = "\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff60"
"""Characters of scripts that put no blanks between words, and their marks."""
_TOKEN = re.compile(rf"[{DENSE}]|[^\W\d_{DENSE}]+(?:['’-][^\W\d_{DENSE}]+)*|\S")
_NO_BLANK = re.compile(rf"(?<=[{DENSE}([]) | (?=[{DENSE}.,;:!?)\]])|(?<=\d) (?=\d)")


def tokenize(text: str) -> list[str]:
    """What a text consists of: words, and one by one digits, marks, and the characters of scripts
    that put no blanks between words (Chinese, Japanese).

    >>> tokenize("It isn't 7 o'clock.")
    ['It', "isn't", '7', "o'clock", '.']
    """
    return _TOKEN.findall(text)


def detokenize(tokens: Iterable[str]) -> str:
    """Tokens as a text again, with blanks where one writes them."""
    return _NO_BLANK.sub("", " ".join(tokens))


@dataclass(frozen=True)
class Vocabulary:
    """A sorted alphabet, whose characters are numbered from 0.

    `Vocabulary("hello")` and `Vocabulary(["e", "h", "l", "o"])` are the same.
    """

    characters: tuple[str, ...]

    __repr__ = summary_repr

    def __init__(self, characters: Iterable[str]) -> None:
        object.__setattr__(self, "characters", tuple(sorted(set(characters))))

    def __len__(self) -> int:
        return len(self.characters)

    @cached_property
    def _codes(self) -> npt.NDArray[np.uint32]:
        """The characters' code points, ascending."""
        return np.array([ord(character) for character in self.characters], dtype="<u4")

    def encode(self, text: str) -> Ids:
        """The characters' numbers, shape (len(text),).

        Raises InputError that names the characters the vocabulary does not have, and where they
        stand first.
        """
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        ids = np.searchsorted(self._codes, codes)
        known = np.isin(codes, self._codes)
        if not known.all():
            raise InputError(self._unknown(text, np.flatnonzero(~known)))
        return ids.astype(np.int64)

    def _unknown(self, text: str, positions: npt.NDArray[np.intp], most: int = 5) -> str:
        """The message for the characters at these positions, the first `most` kinds by name."""
        first = {text[position]: position for position in positions[::-1].tolist()}
        kinds = sorted(first.items(), key=lambda item: item[1])
        names = [f"{kind!r} (U+{ord(kind):04X}) at position {at}" for kind, at in kinds[:most]]
        if len(kinds) > most:
            names.append(f"and {len(kinds) - most} more")
        return f"not among the {len(self)} characters of the vocabulary: " + ", ".join(names)

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text whose characters have these numbers, shape (n,)."""
        codes = self._codes[np.asarray(ids, dtype=np.int64)]
        return codes.tobytes().decode("utf-32-le", "surrogatepass")


@dataclass(frozen=True)
class TextCorpus:
    """A text to learn from, with its vocabulary.

    text: any string but the empty one (InputError). `source` names it in messages.
    """

    text: str = field(repr=False)
    source: str = "text"

    def __post_init__(self) -> None:
        if not self.text:
            raise InputError(f"{self.source}: the text is empty")

    @classmethod
    def default(cls) -> "TextCorpus":
        """The documentation that ships inside Python: about 0.5 MB of English and code."""
        version = f"Python {platform.python_version()}"
        try:
            from pydoc_data.topics import topics
        except ImportError:
            return cls("\n".join(_library_docstrings()), f"docstrings of {version}'s library")
        return cls("\n".join(topics[key] for key in sorted(topics)), f"help topics of {version}")

    @classmethod
    def from_files(
        cls,
        paths: PathLike | Iterable[PathLike],
        encoding: str = "utf-8",
    ) -> "TextCorpus":
        """The text of a file, or of several, one after the other; the path `-` is standard input.

        Line ends become "\\n" (as in Python's `open`) and a byte-order mark is dropped, so that a
        text is the same text wherever it was saved.
        """
        several = [paths] if isinstance(paths, (str, os.PathLike)) else paths
        names = [os.fspath(path) for path in several]
        source = ", ".join(map(display_name, names))
        return cls("".join(read_text(name, encoding) for name in names), source)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The characters of the whole text."""
        return Vocabulary(self.text)

    def split(
        self,
        fractions: tuple[float, float, float] = (0.90, 0.05, 0.05),
        *,
        batch: int = 1,
        seq_len: int = 1,
    ) -> tuple[str, str, str]:
        """Training, validation and test text, in this order and contiguous.

        Raises InputError unless the training text fills one window of `batch` streams by `seq_len`
        characters and the others have one character to predict; a part of fraction 0 is not asked.
        """
        # Fractions of integers: 0.29 * 100 is 28.999999999999996.
        shares = [Fraction(fraction).limit_denominator(10_000) for fraction in fractions]
        if sum(shares) != 1 or min(shares) < 0:
            raise ValueError(f"fractions must be at least 0 and sum to 1, got {fractions}")
        least = (_window_size(batch, seq_len), 2, 2)
        needed = [ceil(n / share) if share else 0 for n, share in zip(least, shares, strict=True)]
        if len(self.text) < max(needed):
            remedy = "give more text"
            if len(self.text) >= max(needed[1:]):
                remedy += f" or a smaller batch (now {batch}) or seq_len (now {seq_len})"
            raise InputError(
                f"{self.source}: {_characters(len(self.text))} are too few to train, validate "
                f"and test on, at least {max(needed)} are needed; {remedy}"
            )
        train = int(len(self.text) * shares[0])
        valid = train + int(len(self.text) * shares[1])
        return self.text[:train], self.text[train:valid], self.text[valid:]


class StatefulBatches:
    """The windows of one epoch: pairs `(inputs, targets)` of shape (T, B), the targets one ahead.

    ids: shape (n,), or a series (n, ...), cut into `batch` contiguous streams of equal length;
        where that does not go evenly, a stream ends with the character that the next begins with,
        so that none is lost.
    seq_len: T. The last window of the epoch is shorter where the streams are no multiple of it.
    shift: leaves out that many characters at the start (0 <= shift < seq_len), so that the
        windows of different epochs differ.

    Window i is `batches[i]`, so that training resumes from any position. Raises InputError where
    the text does not fill one window.
    """

    def __init__(self, ids: Ids, batch: int, seq_len: int, shift: int = 0) -> None:
        if min(batch, seq_len) < 1:
            raise ValueError(f"batch={batch} and seq_len={seq_len} must both be at least 1")
        if not 0 <= shift < seq_len:
            raise ValueError(f"shift must be at least 0 and below seq_len={seq_len}, got {shift}")
        needed = _window_size(batch, seq_len)
        if len(ids) < needed:
            raise InputError(
                f"{_characters(len(ids))} do not fill one window, at least {needed} are needed; "
                f"give more text or a smaller batch (now {batch}) or seq_len (now {seq_len})"
            )
        cuts = shift + _cuts(len(ids) - 1 - shift, batch)
        steps = np.arange(np.diff(cuts).max() + 1)
        self._streams = ids[cuts[:-1] + steps[:, None]]
        self._seq_len = seq_len

    def __len__(self) -> int:
        return ceil((len(self._streams) - 1) / self._seq_len)

    def __getitem__(self, index: int) -> tuple[Ids, Ids]:
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        window = self._streams[index * self._seq_len :][: self._seq_len + 1]
        return window[:-1], window[1:]

    def __iter__(self) -> Iterator[tuple[Ids, Ids]]:
        return (self[index] for index in range(len(self)))


def evaluation_streams(
    ids: Ids, streams: int, context: int
) -> tuple[Ids, Ids, npt.NDArray[np.bool_]]:
    """Cut a text so that a recurrent model reads all its parts at once: inputs, targets, scored.

    ids: shape (n,), n >= 2 (InputError). Each of the `streams` contiguous parts is preceded by the
    `context` characters before it (fewer at the start of the text), which warm the state up.

    Returns three arrays of shape (T, streams): what is read, what comes next, and where that is to
    be scored: every character of the text exactly once, but for the first, which nothing precedes.
    """
    if len(ids) < 2:
        raise InputError(f"{_characters(len(ids))}: nothing to predict, at least 2 are needed")
    cuts = _cuts(len(ids) - 1, streams)
    starts, ends = cuts[:-1], cuts[1:]
    begins = np.maximum(starts - context, 0)
    positions = begins + np.arange((ends - begins).max())[:, None]
    scored = (starts <= positions) & (positions < ends)
    positions = np.minimum(positions, len(ids) - 2)
    return ids[positions], ids[positions + 1], scored


def _cuts(count: int, parts: int) -> npt.NDArray[np.int64]:
    """Where `parts` parts of nearly equal size begin and end: shape (parts + 1,), 0 to `count`.

    The last part is as long as any other, so no part's start plus the longest length overruns.
    """
    return np.arange(parts + 1, dtype=np.int64) * count // parts


def _window_size(batch: int, seq_len: int) -> int:
    """Characters in one window: each stream's inputs, and one target beyond the last."""
    return batch * seq_len + 1


def _characters(count: int) -> str:
    return f"{count} character{'' if count == 1 else 's'}"


class EncodingError(InputError):
    """A text is not in the encoding that was named."""


def read_text(path: PathLike, encoding: str = "utf-8") -> str:
    """Return the text of a file, or of standard input for the path `-`.

    Line ends become "\\n" and a byte-order mark is dropped. A gzip file is decompressed. InputError
    for a file that cannot be read, is not in this encoding, or holds a NUL character.
    """
    with open_file(path, "a text file") as source:
        content = source.read()
    name = display_name(path)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise EncodingError(
            f"{name}: not {encoding} at byte {error.start} in line {line} ({error.reason}); "
            f"{_remedy(content, encoding)}"
        ) from error
    except (LookupError, ValueError) as error:
        raise EncodingError(f"{encoding!r} is not a text encoding; 'utf-8' is one") from error
    if (nul := text.find("\0")) >= 0:
        line = text.count("\n", 0, nul) + 1
        raise EncodingError(
            f"{name}: character {nul} in line {line} is a NUL, which is not text; "
            f"{_remedy(content, encoding)}"
        )
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _remedy(content: bytearray, encoding: str) -> str:
    """Say how to read what could not be decoded; UTF-16 is recognized by its mark or its NULs."""
    for mark, name in BYTE_ORDER_MARKS.items():
        if content.startswith(mark) and name not in encoding.lower():
            return f"it begins as {name} does: save it as utf-8, or pass encoding={name!r}"
    for name, first in (("utf-16-le", 1), ("utf-16-be", 0)):
        if len(content) > 3 and set(content[first:40:2]) == {0} and "16" not in encoding:
            return f"it seems to be {name}: save it as utf-8, or pass encoding={name!r}"
    return f"save it as {encoding}, or pass its encoding (encoding=)"


def _library_docstrings() -> Iterator[str]:
    """The docstrings of the standard library's top-level modules, read but not imported."""
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield ast.get_docstring(node) or ""
