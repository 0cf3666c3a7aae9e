"""Datasets from files: labelled texts, pairs of texts, series of numbers.

Files are read whole and checked line by line, so that an error names the line, what is wrong with
it, and what is expected.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from reprlib import repr as shorten

import numpy as np
import numpy.typing as npt

from autograd import get_default_dtype

from ..errors import InputError
from ..summary import summary_repr
from .delimited import Row, listed, other_delimiter, read_table
from .files import PathLike, read_labelled
from .loader import TensorDataset
from .text import Ids, read_text

Split = Callable[[str], Sequence[str]]

PADDING, UNKNOWN, BEGIN, END = range(4)
"""Numbers that stand for no word: padding, a word not known, where a text begins and ends."""


@dataclass(frozen=True)
class Lexicon:
    """Words, or characters, numbered from 4; 0 to 3 are `PADDING`, `UNKNOWN`, `BEGIN`, `END`."""

    words: tuple[str, ...]

    __repr__ = summary_repr

    @classmethod
    def of(cls, texts: Iterable[Iterable[str]]) -> Lexicon:
        """The different words of all texts, sorted."""
        return cls(tuple(sorted({word for text in texts for word in text})))

    def __len__(self) -> int:
        return 4 + len(self.words)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, 4)}

    def encode(self, words: Iterable[str]) -> Ids:
        """The words' numbers, shape (n,)."""
        numbers = self._numbers
        return np.array([numbers.get(word, UNKNOWN) for word in words], dtype=np.int64)

    def framed(self, words: Iterable[str]) -> Ids:
        """The words' numbers between `BEGIN` and `END`, shape (n + 2,): a text to be written."""
        return np.array([BEGIN, *self.encode(words), END])

    def decode(self, ids: npt.ArrayLike) -> list[str]:
        """The words that have these numbers, up to the first `END`; "?" is one not known."""
        words = []
        for number in np.asarray(ids, dtype=np.int64).tolist():
            if number == END:
                break
            if number not in (PADDING, BEGIN):
                words.append("?" if number == UNKNOWN else self.words[number - 4])
        return words


class LabelledText:
    """Texts, each of which belongs to a class: examples are `(ids, number of the class)`.

    `text_split` makes words of a text (default: at blanks; `list` makes characters). `like` is the
    dataset whose words and classes count, for data that one validates or tests on; words that it
    does not have are `UNKNOWN`.
    """

    def __init__(
        self,
        texts: Sequence[str],
        labels: Sequence[str | int],
        *,
        text_split: Split = str.split,
        like: LabelledText | None = None,
    ) -> None:
        if len(texts) != len(labels) or not texts:
            raise ValueError(f"{len(texts)} texts and {len(labels)} labels: as many, and some")
        names = [str(label) for label in labels]
        self.text_split: Split = like.text_split if like else text_split
        words = [self.text_split(text) for text in texts]
        self.lexicon: Lexicon = like.lexicon if like else Lexicon.of(words)
        self.classes: tuple[str, ...] = (
            like.classes if like else tuple(sorted(set(names), key=_natural))
        )
        numbers = {label: number for number, label in enumerate(self.classes)}
        if strange := sorted(set(names) - set(numbers)):
            raise InputError(_no_class(strange[0], self.classes))
        self._examples = [
            (self.lexicon.encode(text), numbers[name])
            for text, name in zip(words, names, strict=True)
        ]
        self.lengths = np.array([len(text) for text in words])

    @classmethod
    def from_file(
        cls,
        path: PathLike,
        text: str = "text",
        label: str = "label",
        *,
        text_split: Split = str.split,
        like: LabelledText | None = None,
        encoding: str = "utf-8",
    ) -> LabelledText:
        """From the two columns of a .csv or .tsv with a header, or the two fields of a .jsonl.

        InputError names the line that is wrong.
        """
        rows = read_table(path, (text, label), encoding)
        for row in rows:
            if not (like.text_split if like else text_split)(row.cells[0]):
                raise InputError(f"{row.place}: the {text} is empty")
            if not row.cells[1]:
                raise InputError(f"{row.place}: the {label} is empty")
            if like and row.cells[1] not in like.classes:
                raise InputError(f"{row.place}: {_no_class(row.cells[1], like.classes)}")
        texts, labels = zip(*(row.cells for row in rows), strict=True)
        return cls(texts, labels, text_split=text_split, like=like)

    @classmethod
    def from_folders(
        cls,
        path: PathLike,
        *,
        text_split: Split = str.split,
        like: LabelledText | None = None,
        encoding: str = "utf-8",
    ) -> LabelledText:
        """From a folder that holds one folder for each class, of its name, with a .txt or .txt.gz
        file for each text, in subfolders too. Texts that cannot be read are skipped as by
        `read_labelled`; InputError names the file or folder that is wrong.
        """

        def read(file: Path) -> str:
            text = read_text(file, encoding)
            if not (like.text_split if like else text_split)(text):
                raise InputError(f"{file}: the text is empty")
            return text

        texts, numbers, classes = read_labelled(path, read, ".txt", at_least=1)
        labels = [classes[number] for number in numbers]
        return cls(texts, labels, text_split=text_split, like=like)

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> tuple[Ids, int]:
        return self._examples[index]


class ParallelText:
    """Pairs of texts, one to be read and one to be written: examples are `(source ids, target
    ids)`, the target between `BEGIN` and `END`.

    `text_split` and `like` are as in `LabelledText`.
    """

    def __init__(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        *,
        text_split: Split = str.split,
        like: ParallelText | None = None,
    ) -> None:
        if len(sources) != len(targets) or not sources:
            raise ValueError(
                f"{len(sources)} sources and {len(targets)} targets: as many, and some"
            )
        self.text_split: Split = like.text_split if like else text_split
        read = [self.text_split(text) for text in sources]
        written = [self.text_split(text) for text in targets]
        self.source_lexicon: Lexicon = like.source_lexicon if like else Lexicon.of(read)
        self.target_lexicon: Lexicon = like.target_lexicon if like else Lexicon.of(written)
        self._examples = [
            (self.source_lexicon.encode(a), self.target_lexicon.framed(b))
            for a, b in zip(read, written, strict=True)
        ]
        self.lengths = np.array([len(text) for text in read])

    @classmethod
    def from_file(
        cls,
        path: PathLike,
        source: str = "source",
        target: str = "target",
        *,
        text_split: Split = str.split,
        like: ParallelText | None = None,
        encoding: str = "utf-8",
    ) -> ParallelText:
        """From the two columns of a .csv or .tsv with a header, or the two fields of a .jsonl."""
        rows = read_table(path, (source, target), encoding)
        for row in rows:
            for name, cell in zip((source, target), row.cells, strict=True):
                if not cell.strip():
                    raise InputError(f"{row.place}: the {name} is empty")
        sources, targets = zip(*(row.cells for row in rows), strict=True)
        return cls(sources, targets, text_split=text_split, like=like)

    @classmethod
    def from_files(
        cls,
        source: PathLike,
        target: PathLike,
        *,
        text_split: Split = str.split,
        like: ParallelText | None = None,
        encoding: str = "utf-8",
    ) -> ParallelText:
        """From two text files, whose lines belong together one by one."""
        texts = [_lines(path, encoding) for path in (source, target)]
        if len(texts[0]) != len(texts[1]):
            raise InputError(
                f"{os.fspath(source)} has {len(texts[0])} lines and {os.fspath(target)} "
                f"{len(texts[1])}: line by line they must belong together"
            )
        for path, lines in zip((source, target), texts, strict=True):
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    raise InputError(f"{os.fspath(path)}, line {number}: the text is empty")
        return cls(*texts, text_split=text_split, like=like)

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> tuple[Ids, Ids]:
        return self._examples[index]


@dataclass(frozen=True)
class TimeSeries:
    """Numbers that follow each other in time: `values` (n, C), of the `columns` named.

    Those of a file are in double precision, since single has too few digits for seconds since 1970;
    `scaled` and `windows`, which networks read, are of the default dtype.
    """

    values: npt.NDArray[np.floating]
    columns: tuple[str, ...]

    __repr__ = summary_repr

    @classmethod
    def from_file(
        cls, path: PathLike, columns: str | Sequence[str] | None = None, *, encoding: str = "utf-8"
    ) -> TimeSeries:
        """From the columns of that name (default: all) of a .csv or .tsv with a header, or the
        fields of a .jsonl. They hold numbers; InputError names the line of what is none.
        """
        columns = (columns,) if isinstance(columns, str) else columns
        rows = read_table(path, columns, encoding)
        names = rows[0].columns
        if columns is None and all(map(_is_number, names)) and not "".join(names).isdigit():
            raise InputError(
                f"{path}: the first line has only numbers; it must contain the names of the columns"
            )
        return cls(_numbers(rows), names)

    def __len__(self) -> int:
        return len(self.values)

    def split(self, fraction: float) -> tuple[TimeSeries, TimeSeries]:
        """What comes before and after this part of the time: what to learn from, and to test on."""
        cut = round(len(self) * fraction)
        if not 0 < cut < len(self):
            raise ValueError(f"{fraction} of {len(self)} steps leaves one of the two parts empty")
        return TimeSeries(self.values[:cut], self.columns), TimeSeries(
            self.values[cut:], self.columns
        )

    def scaled(self, like: TimeSeries) -> TimeSeries:
        """In units in which each column of `like`, the training part, has mean 0 and standard
        deviation 1. A column that is constant there is only shifted. ValueError for other columns.
        """
        if self.columns != like.columns:
            raise ValueError(f"the columns {self.columns} are not those of `like`, {like.columns}")
        mean, std = like.scale()
        return TimeSeries(((self.values - mean) / std).astype(get_default_dtype()), self.columns)

    def scale(self) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
        """The columns' means and standard deviations (C,), 1 for one that is constant."""
        changes = self.values.max(0) > self.values.min(0)
        return self.values.mean(0), np.where(changes, self.values.std(0), 1)

    def windows(self, steps: int, horizon: int = 1, every: int = 1) -> TensorDataset:
        """Examples `(past, future)`, (steps, C) and (horizon, C): one at `every` so many steps."""
        if min(steps, horizon, every) < 1:
            raise ValueError(
                f"steps, horizon and every count from 1 on: {steps}, {horizon}, {every}"
            )
        if len(self) < steps + horizon:
            raise InputError(
                f"{len(self)} steps do not fill one window of {steps} steps and {horizon} to come"
            )
        values = self.values.astype(get_default_dtype())
        spans = np.lib.stride_tricks.sliding_window_view(values, steps + horizon, axis=0)
        spans = spans[::every].swapaxes(1, 2)
        return TensorDataset(spans[:, :steps], spans[:, steps:])


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < 1e100  # the squares of larger ones have no finite sum
    except ValueError:
        return False


def _numbers(rows: Sequence[Row]) -> npt.NDArray[np.float64]:
    """Return the cells as an array. InputError names the first that is not a number."""
    try:
        values = np.array([[*map(float, row.cells)] for row in rows])
        if (np.abs(values) < 1e100).all():
            return values
    except ValueError:
        pass
    row, column, cell = next(
        (row, column, cell)
        for row in rows
        for column, cell in zip(row.columns, row.cells, strict=True)
        if not _is_number(cell)
    )
    raise InputError(
        f"{row.place}: {column} is {shorten(cell)}, not a number (below 1e100)"
        + (
            other_delimiter(row.columns)
            or "; leave out the line or the column (in a program, columns= chooses among "
            f"{listed(row.columns)})"
        )
    )


def _lines(path: PathLike, encoding: str) -> list[str]:
    text = read_text(path, encoding)
    if not text.strip():
        raise InputError(f"{os.fspath(path)}: the file is empty")
    return text.removesuffix("\n").split("\n")


def _no_class(label: str, classes: Sequence[str]) -> str:
    return f"unknown class {shorten(label)}; the classes are {listed(classes)}"


def _natural(label: str) -> tuple[float, str]:
    """Numbers by their value, before words by the alphabet."""
    return (float(label) if label.isdecimal() else math.inf, label)
