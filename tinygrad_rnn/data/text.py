"""Texts as sequences of characters or tokens: reading, encoding, splitting and batching.

`StatefulBatches` divides a text into contiguous streams, one per column of a batch. Each window
continues where the previous window ended, in every stream, so that the state of a recurrent network
can be carried from window to window (truncated backpropagation through time: Mikolov et al. 2010,
"Recurrent neural network based language model").
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
from .files import PathLike, display_name, open_file
from .vocabulary import Ids, Vocabulary

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte-order marks; the longer marks come first, since they begin with the shorter marks."""

UNSPACED = "\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff60"
"""Characters and punctuation of scripts that do not separate words by spaces."""
_TOKEN = re.compile(rf"[{UNSPACED}]|[^\W\d_{UNSPACED}]+(?:['’-][^\W\d_{UNSPACED}]+)*|\S")
_OMITTED_SPACE = re.compile(rf"(?<=[{UNSPACED}([]) | (?=[{UNSPACED}.,;:!?)\]])|(?<=\d) (?=\d)")


def tokenize(text: str) -> list[str]:
    """Split a text into tokens.

    A token is a word, a digit, a punctuation mark, or a character of a script that does not
    separate words by spaces (Chinese, Japanese).

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    list of str
        The tokens.

    Examples
    --------
    >>> tokenize("It isn't 7 o'clock.")
    ['It', "isn't", '7', "o'clock", '.']
    """
    return _TOKEN.findall(text)


def detokenize(tokens: Iterable[str]) -> str:
    """Join tokens to a text, with spaces where the script uses them.

    Parameters
    ----------
    tokens : iterable of str
        The tokens.

    Returns
    -------
    str
        The text.
    """
    return _OMITTED_SPACE.sub("", " ".join(tokens))


@dataclass(frozen=True)
class TextCorpus:
    """A text for training, with its vocabulary.

    Parameters
    ----------
    text : str
        The text, which must not be empty.
    source : str
        Name of the text in messages.

    Raises
    ------
    InputError
        If the text is empty.
    """

    text: str = field(repr=False)
    source: str = "text"

    def __post_init__(self) -> None:
        if not self.text:
            raise InputError(f"{self.source}: the text is empty")

    @classmethod
    def default(cls) -> "TextCorpus":
        """Return the documentation that Python includes: about 0.5 MB of English and code.

        Returns
        -------
        TextCorpus
            The corpus.
        """
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
        """Read a file, or concatenate several files.

        Parameters
        ----------
        paths : path or iterable of path
            The files, which may be compressed by gzip; `-` is standard input.
        encoding : str, default "utf-8"
            The text encoding.

        Returns
        -------
        TextCorpus
            The text, as `read_text` returns it.

        Raises
        ------
        InputError
            If a file cannot be read, or if the text is empty.
        """
        sequence = [paths] if isinstance(paths, (str, os.PathLike)) else paths
        names = [os.fspath(path) for path in sequence]
        source = ", ".join(map(display_name, names))
        return cls("".join(read_text(name, encoding) for name in names), source)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the whole text."""
        return Vocabulary(self.text)

    def split(
        self,
        fractions: tuple[float, float, float] = (0.90, 0.05, 0.05),
        *,
        batch: int = 1,
        seq_len: int = 1,
    ) -> tuple[str, str, str]:
        """Split the text into contiguous training, validation and test texts.

        Parameters
        ----------
        fractions : tuple of three floats, default (0.90, 0.05, 0.05)
            Fractions of the text, which sum to 1.
        batch : int, default 1
            Batch size for which the training text must suffice.
        seq_len : int, default 1
            Window length for which the training text must suffice.

        Returns
        -------
        tuple of three str
            The training, validation and test text.

        Raises
        ------
        ValueError
            If the fractions are negative or do not sum to 1.
        InputError
            If the training text does not fill one window of `batch` streams by `seq_len`
            characters, or if another text whose fraction is not 0 has fewer than 2 characters.
        """
        # Rational arithmetic: 0.29 * 100 is 28.999999999999996.
        ratios = [Fraction(fraction).limit_denominator(10_000) for fraction in fractions]
        if sum(ratios) != 1 or min(ratios) < 0:
            raise ValueError(f"fractions must be at least 0 and sum to 1, got {fractions}")
        minima = (_window_size(batch, seq_len), 2, 2)
        sizes = [ceil(n / ratio) if ratio else 0 for n, ratio in zip(minima, ratios, strict=True)]
        if len(self.text) < max(sizes):
            remedy = "use a longer text"
            if len(self.text) >= max(sizes[1:]):
                remedy += f", or a smaller batch (now {batch}) or seq_len (now {seq_len})"
            raise InputError(
                f"{self.source}: training, validation and test require at least {max(sizes)} "
                f"characters, got {len(self.text)}; {remedy}"
            )
        train_end = int(len(self.text) * ratios[0])
        valid_end = train_end + int(len(self.text) * ratios[1])
        return self.text[:train_end], self.text[train_end:valid_end], self.text[valid_end:]


class StatefulBatches:
    """The windows of one epoch of truncated backpropagation through time.

    The sequence is divided into `batch` contiguous streams of equal length. Each window is a pair
    `(inputs, targets)` of arrays (T, B, ...), where the targets are the inputs shifted by one step.
    Each window continues the previous one. `batches[i]` is window i, so training can resume from
    any position.

    Parameters
    ----------
    ids : ndarray, shape (n,) or (n, ...)
        Ids of a text, or the values of a time series.
    batch : int
        Number of streams B. If the length is not divisible, adjacent streams share a step.
    seq_len : int
        Window length T; the last window of the epoch can be shorter.
    shift : int, default 0
        Number of steps to skip at the start, below `seq_len`. A different shift in each epoch gives
        different windows.

    Raises
    ------
    ValueError
        If `batch` or `seq_len` is below 1, or `shift` is out of range.
    InputError
        If the sequence does not fill one window.

    Examples
    --------
    >>> import numpy as np
    >>> inputs, targets = StatefulBatches(np.arange(9), batch=2, seq_len=3)[0]
    >>> inputs.T.tolist(), targets.T.tolist()
    ([[0, 1, 2], [4, 5, 6]], [[1, 2, 3], [5, 6, 7]])
    """

    def __init__(self, ids: Ids, batch: int, seq_len: int, shift: int = 0) -> None:
        if min(batch, seq_len) < 1:
            raise ValueError(f"batch and seq_len must be at least 1, got {batch} and {seq_len}")
        if not 0 <= shift < seq_len:
            raise ValueError(f"shift must be in [0, seq_len={seq_len}), got {shift}")
        minimum = _window_size(batch, seq_len)
        if len(ids) < minimum:
            raise InputError(
                f"one window requires at least {minimum} characters, got {len(ids)}; use a longer "
                f"text, or a smaller batch (now {batch}) or seq_len (now {seq_len})"
            )
        bounds = shift + _stream_bounds(len(ids) - 1 - shift, batch)
        steps = np.arange(np.diff(bounds).max() + 1)
        self._streams = ids[bounds[:-1] + steps[:, None]]
        self._seq_len = seq_len

    def __len__(self) -> int:
        return ceil((len(self._streams) - 1) / self._seq_len)

    def __getitem__(self, index: int) -> tuple[Ids, Ids]:
        if not 0 <= index < len(self):
            raise IndexError(f"window index {index} is out of range for {len(self)} windows")
        window = self._streams[index * self._seq_len :][: self._seq_len + 1]
        return window[:-1], window[1:]

    def __iter__(self) -> Iterator[tuple[Ids, Ids]]:
        return (self[index] for index in range(len(self)))


def evaluation_streams(
    ids: Ids, streams: int, context: int
) -> tuple[Ids, Ids, npt.NDArray[np.bool_]]:
    """Divide a text into parallel streams for evaluation.

    Each stream is preceded by up to `context` characters, which warm up the state. Every character
    of the text except the first is scored exactly once.

    Parameters
    ----------
    ids : ndarray of int, shape (n,)
        Ids of the text, at least 2.
    streams : int
        Number of streams.
    context : int
        Number of warm-up characters.

    Returns
    -------
    inputs : ndarray of int, shape (T, streams)
        The characters to read.
    targets : ndarray of int, shape (T, streams)
        The next characters.
    scored : ndarray of bool, shape (T, streams)
        True for targets that are scored.

    Raises
    ------
    InputError
        If the text has fewer than 2 characters.
    """
    if len(ids) < 2:
        raise InputError(f"evaluation requires at least 2 characters, got {len(ids)}")
    bounds = _stream_bounds(len(ids) - 1, streams)
    starts, ends = bounds[:-1], bounds[1:]
    context_starts = np.maximum(starts - context, 0)
    positions = context_starts + np.arange((ends - context_starts).max())[:, None]
    scored = (starts <= positions) & (positions < ends)
    positions = np.minimum(positions, len(ids) - 2)
    return ids[positions], ids[positions + 1], scored


def _stream_bounds(count: int, streams: int) -> npt.NDArray[np.int64]:
    """Return the bounds (streams + 1,) of streams of nearly equal length, from 0 to `count`.

    The last stream is among the longest, so the start of any stream plus the longest length does
    not exceed `count`.
    """
    return np.arange(streams + 1, dtype=np.int64) * count // streams


def _window_size(batch: int, seq_len: int) -> int:
    """Return the number of characters in one window: all inputs, and the last target."""
    return batch * seq_len + 1


class EncodingError(InputError):
    """A text is not in the given encoding, or the encoding is unknown."""


def read_text(path: PathLike, encoding: str = "utf-8") -> str:
    """Read a text file, or standard input for the path `-`.

    Line ends become line feeds, and a byte-order mark is dropped. A gzip file is decompressed.

    Parameters
    ----------
    path : path
        The file.
    encoding : str, default "utf-8"
        The text encoding.

    Returns
    -------
    str
        The text.

    Raises
    ------
    EncodingError
        If the file is not in this encoding or contains a NUL character. It is an InputError.
    InputError
        If the file cannot be read.
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
        raise EncodingError(
            f"{encoding!r} is not a text encoding; use for example 'utf-8'"
        ) from error
    if (nul := text.find("\0")) >= 0:
        line = text.count("\n", 0, nul) + 1
        raise EncodingError(
            f"{name}: character {nul} in line {line} is NUL, so the file is not text; "
            f"{_remedy(content, encoding)}"
        )
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _remedy(content: bytearray, encoding: str) -> str:
    """Return advice for a text that cannot be decoded.

    UTF-16 and UTF-32 are recognized by their byte-order mark or their NULs.
    """
    for mark, name in BYTE_ORDER_MARKS.items():
        if content.startswith(mark) and name not in encoding.lower():
            return f"it seems to be {name}: save it as utf-8, or pass encoding={name!r}"
    for name, first in (("utf-16-le", 1), ("utf-16-be", 0)):
        if len(content) > 3 and set(content[first:40:2]) == {0} and "16" not in encoding:
            return f"it seems to be {name}: save it as utf-8, or pass encoding={name!r}"
    return f"save it as {encoding}, or pass its encoding (encoding=...)"


def _library_docstrings() -> Iterator[str]:
    """Yield the docstrings of the standard library's top-level modules, without importing them."""
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield ast.get_docstring(node) or ""
