"""Datasets of labeled texts and of pairs of texts, and their vocabularies.

Files are read completely and checked line by line, so that an error message contains the line.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from reprlib import repr as shorten

import numpy as np

from autograd.runtime.deprecation import RenamedAttribute

from ..compatibility import renamed_state
from ..errors import InputError
from .delimited import format_names, read_table
from .files import PathLike, read_labeled_folder
from .text import read_text
from .vocabulary import Ids, TokenVocabulary

Split = Callable[[str], Sequence[str]]


class LabeledText:
    """A dataset of texts with class labels: examples are `(ids, class index)`.

    Parameters
    ----------
    texts : sequence of str
        The texts.
    labels : sequence of str or int
        The name of each text's class.
    text_split : callable, default str.split
        Splits a text into tokens: at spaces by default; `list` splits into characters.
    like : LabeledText, optional
        The training dataset, whose vocabulary, classes and `text_split` are used. Tokens that it
        does not contain are `UNKNOWN`.

    Attributes
    ----------
    vocabulary : TokenVocabulary
        The vocabulary.
    classes : tuple of str
        The names of the classes: numbers in numeric order before other names.
    lengths : ndarray of int, shape (n,)
        The number of tokens in each text.

    Raises
    ------
    ValueError
        If `texts` is empty, or if the number of labels differs.
    InputError
        If a label is not a class of `like`.

    Examples
    --------
    >>> reviews = LabeledText(["good film", "bad film"], ["pos", "neg"])
    >>> reviews[0]
    (array([6, 5]), 1)
    """

    lexicon = RenamedAttribute("vocabulary")
    __setstate__ = renamed_state(lexicon="vocabulary")

    def __init__(
        self,
        texts: Sequence[str],
        labels: Sequence[str | int],
        *,
        text_split: Split = str.split,
        like: LabeledText | None = None,
    ) -> None:
        if len(texts) != len(labels) or not texts:
            raise ValueError(
                f"expected one label per text and at least one text, got {len(texts)} texts and "
                f"{len(labels)} labels"
            )
        names = [str(label) for label in labels]
        self.text_split: Split = like.text_split if like else text_split
        tokens = [self.text_split(text) for text in texts]
        self.vocabulary: TokenVocabulary = (
            like.vocabulary if like else TokenVocabulary.from_texts(tokens)
        )
        self.classes: tuple[str, ...] = (
            like.classes if like else tuple(sorted(set(names), key=_numbers_first))
        )
        indices = {label: index for index, label in enumerate(self.classes)}
        if unknown := sorted(set(names) - set(indices)):
            raise InputError(_unknown_class(unknown[0], self.classes))
        self._examples = [
            (self.vocabulary.encode(text), indices[name])
            for text, name in zip(tokens, names, strict=True)
        ]
        self.lengths = np.array([len(text) for text in tokens])

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
        """Read two columns of a .csv or .tsv file with a header, or two fields of a .jsonl file.

        Parameters
        ----------
        path : path
            The file, which may be compressed by gzip.
        text : str, default "text"
            Name of the column with the texts.
        label : str, default "label"
            Name of the column with the labels.
        text_split : callable, default str.split
            Splits a text into tokens.
        like : LabeledText, optional
            The training dataset.
        encoding : str, default "utf-8"
            The text encoding.

        Returns
        -------
        LabeledText
            The dataset.

        Raises
        ------
        InputError
            If the file is invalid. The message contains the line.
        """
        rows = read_table(path, (text, label), encoding)
        for row in rows:
            if not (like.text_split if like else text_split)(row.cells[0]):
                raise InputError(f"{row.location}: the {text} is empty")
            if not row.cells[1]:
                raise InputError(f"{row.location}: the {label} is empty")
            if like and row.cells[1] not in like.classes:
                raise InputError(f"{row.location}: {_unknown_class(row.cells[1], like.classes)}")
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
        """Read a folder with one subfolder per class, which contains .txt or .txt.gz files.

        Unreadable files are skipped, as in `read_labeled_folder`.

        Parameters
        ----------
        path : path
            The folder.
        text_split : callable, default str.split
            Splits a text into tokens.
        like : LabeledText, optional
            The training dataset.
        encoding : str, default "utf-8"
            The text encoding.

        Returns
        -------
        LabeledText
            The dataset.

        Raises
        ------
        InputError
            If the folder is invalid, or more than 10% of the files are unreadable.
        """

        def read(file: Path) -> str:
            text = read_text(file, encoding)
            if not (like.text_split if like else text_split)(text):
                raise InputError(f"{file}: the text is empty")
            return text

        texts, indices, classes = read_labeled_folder(path, read, ".txt", at_least=1)
        labels = [classes[index] for index in indices]
        return cls(texts, labels, text_split=text_split, like=like)

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> tuple[Ids, int]:
        return self._examples[index]


class ParallelText:
    """A dataset of pairs of texts: examples are `(source ids, target ids)`.

    The target ids begin with `BEGIN` and end with `END`.

    Parameters
    ----------
    sources : sequence of str
        The texts that a model reads.
    targets : sequence of str
        The texts that a model generates.
    text_split : callable, default str.split
        Splits a text into tokens: at spaces by default; `list` splits into characters.
    like : ParallelText, optional
        The training dataset, whose vocabularies and `text_split` are used. Tokens that it does not
        contain are `UNKNOWN`.

    Attributes
    ----------
    source_vocabulary, target_vocabulary : TokenVocabulary
        The vocabularies.
    lengths : ndarray of int, shape (n,)
        The number of tokens in each source.

    Raises
    ------
    ValueError
        If `sources` is empty, or if the number of targets differs.
    """

    source_lexicon = RenamedAttribute("source_vocabulary")
    target_lexicon = RenamedAttribute("target_vocabulary")
    __setstate__ = renamed_state(
        source_lexicon="source_vocabulary", target_lexicon="target_vocabulary"
    )

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
                f"expected one target per source and at least one pair, got {len(sources)} sources "
                f"and {len(targets)} targets"
            )
        self.text_split: Split = like.text_split if like else text_split
        source_tokens = [self.text_split(text) for text in sources]
        target_tokens = [self.text_split(text) for text in targets]
        self.source_vocabulary: TokenVocabulary = (
            like.source_vocabulary if like else TokenVocabulary.from_texts(source_tokens)
        )
        self.target_vocabulary: TokenVocabulary = (
            like.target_vocabulary if like else TokenVocabulary.from_texts(target_tokens)
        )
        self._examples = [
            (self.source_vocabulary.encode(source), self.target_vocabulary.encode_target(target))
            for source, target in zip(source_tokens, target_tokens, strict=True)
        ]
        self.lengths = np.array([len(text) for text in source_tokens])

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
        """Read two columns of a .csv or .tsv file with a header, or two fields of a .jsonl file.

        Parameters
        ----------
        path : path
            The file, which may be compressed by gzip.
        source : str, default "source"
            Name of the column with the sources.
        target : str, default "target"
            Name of the column with the targets.
        text_split : callable, default str.split
            Splits a text into tokens.
        like : ParallelText, optional
            The training dataset.
        encoding : str, default "utf-8"
            The text encoding.

        Returns
        -------
        ParallelText
            The dataset.

        Raises
        ------
        InputError
            If the file is invalid. The message contains the line.
        """
        rows = read_table(path, (source, target), encoding)
        for row in rows:
            for name, cell in zip((source, target), row.cells, strict=True):
                if not cell.strip():
                    raise InputError(f"{row.location}: the {name} is empty")
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
        """Read two text files whose lines correspond.

        Parameters
        ----------
        source : path
            The file with the sources, one per line.
        target : path
            The file with the targets, one per line.
        text_split : callable, default str.split
            Splits a text into tokens.
        like : ParallelText, optional
            The training dataset.
        encoding : str, default "utf-8"
            The text encoding.

        Returns
        -------
        ParallelText
            The dataset.

        Raises
        ------
        InputError
            If a file is invalid, or if the numbers of lines differ.
        """
        texts = [_lines(path, encoding) for path in (source, target)]
        if len(texts[0]) != len(texts[1]):
            raise InputError(
                f"expected files with corresponding lines, but {os.fspath(source)} has "
                f"{len(texts[0])} lines and {os.fspath(target)} has {len(texts[1])}"
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


def _unknown_class(label: str, classes: Sequence[str]) -> str:
    return f"unknown class {shorten(label)}; the classes are {format_names(classes)}"


def _numbers_first(label: str) -> tuple[float, str]:
    """Return a sort key: numbers by value, before other labels in alphabetical order."""
    return (float(label) if label.isdecimal() else math.inf, label)
