"""Datasets of texts from files: labeled texts and pairs of texts.

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

from autograd.runtime.deprecation import RenamedAttribute

from ..errors import InputError
from ..summary import summary_repr
from .delimited import format_names, read_table
from .files import PathLike, read_labeled_folder
from .text import Ids, read_text

Split = Callable[[str], Sequence[str]]

PADDING, UNKNOWN, BEGIN, END = range(4)
"""Numbers that stand for no word: padding, a word not known, where a text begins and ends."""


@dataclass(frozen=True)
class TokenVocabulary:
    """Words, or characters, numbered from 4; 0 to 3 are `PADDING`, `UNKNOWN`, `BEGIN`, `END`."""

    tokens: tuple[str, ...]

    __repr__ = summary_repr
    words = RenamedAttribute("tokens")
    framed = RenamedAttribute("encode_target")

    @classmethod
    def from_texts(cls, texts: Iterable[Iterable[str]]) -> TokenVocabulary:
        """The different words of all texts, sorted."""
        return cls(tuple(sorted({word for text in texts for word in text})))

    def __len__(self) -> int:
        return 4 + len(self.words)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.tokens, 4)}

    def encode(self, words: Iterable[str]) -> Ids:
        """The words' numbers, shape (n,)."""
        numbers = self._numbers
        return np.array([numbers.get(word, UNKNOWN) for word in words], dtype=np.int64)

    def encode_target(self, words: Iterable[str]) -> Ids:
        """The words' numbers between `BEGIN` and `END`, shape (n + 2,): a text to be written."""
        return np.array([BEGIN, *self.encode(words), END])

    def decode(self, ids: npt.ArrayLike) -> list[str]:
        """The words that have these numbers, up to the first `END`; "?" is one not known."""
        words = []
        for number in np.asarray(ids, dtype=np.int64).tolist():
            if number == END:
                break
            if number not in (PADDING, BEGIN):
                words.append("?" if number == UNKNOWN else self.tokens[number - 4])
        return words


class LabeledText:
    """Texts, each of which belongs to a class: examples are `(ids, number of the class)`.

    `text_split` makes words of a text (default: at blanks; `list` makes characters). `like` is the
    dataset whose words and classes count, for data that one validates or tests on; words that it
    does not have are `UNKNOWN`.
    """

    lexicon = RenamedAttribute("vocabulary")

    def __init__(
        self,
        texts: Sequence[str],
        labels: Sequence[str | int],
        *,
        text_split: Split = str.split,
        like: LabeledText | None = None,
    ) -> None:
        if len(texts) != len(labels) or not texts:
            raise ValueError(f"{len(texts)} texts and {len(labels)} labels: as many, and some")
        names = [str(label) for label in labels]
        self.text_split: Split = like.text_split if like else text_split
        words = [self.text_split(text) for text in texts]
        self.vocabulary: TokenVocabulary = (
            like.vocabulary if like else TokenVocabulary.from_texts(words)
        )
        self.classes: tuple[str, ...] = (
            like.classes if like else tuple(sorted(set(names), key=_natural))
        )
        numbers = {label: number for number, label in enumerate(self.classes)}
        if strange := sorted(set(names) - set(numbers)):
            raise InputError(_no_class(strange[0], self.classes))
        self._examples = [
            (self.vocabulary.encode(text), numbers[name])
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
        like: LabeledText | None = None,
        encoding: str = "utf-8",
    ) -> LabeledText:
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
        like: LabeledText | None = None,
        encoding: str = "utf-8",
    ) -> LabeledText:
        """From a folder that holds one folder for each class, of its name, with a .txt or .txt.gz
        file for each text, in subfolders too. Texts that cannot be read are skipped as by
        `read_labeled_folder`; InputError names the file or folder that is wrong.
        """

        def read(file: Path) -> str:
            text = read_text(file, encoding)
            if not (like.text_split if like else text_split)(text):
                raise InputError(f"{file}: the text is empty")
            return text

        texts, numbers, classes = read_labeled_folder(path, read, ".txt", at_least=1)
        labels = [classes[number] for number in numbers]
        return cls(texts, labels, text_split=text_split, like=like)

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> tuple[Ids, int]:
        return self._examples[index]


class ParallelText:
    """Pairs of texts, one to be read and one to be written: examples are `(source ids, target
    ids)`, the target between `BEGIN` and `END`.

    `text_split` and `like` are as in `LabeledText`.
    """

    source_lexicon = RenamedAttribute("source_vocabulary")
    target_lexicon = RenamedAttribute("target_vocabulary")

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
        self.source_vocabulary: TokenVocabulary = (
            like.source_vocabulary if like else TokenVocabulary.from_texts(read)
        )
        self.target_vocabulary: TokenVocabulary = (
            like.target_vocabulary if like else TokenVocabulary.from_texts(written)
        )
        self._examples = [
            (self.source_vocabulary.encode(a), self.target_vocabulary.encode_target(b))
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


def _lines(path: PathLike, encoding: str) -> list[str]:
    text = read_text(path, encoding)
    if not text.strip():
        raise InputError(f"{os.fspath(path)}: the file is empty")
    return text.removesuffix("\n").split("\n")


def _no_class(label: str, classes: Sequence[str]) -> str:
    return f"unknown class {shorten(label)}; the classes are {format_names(classes)}"


def _natural(label: str) -> tuple[float, str]:
    """Numbers by their value, before words by the alphabet."""
    return (float(label) if label.isdecimal() else math.inf, label)
