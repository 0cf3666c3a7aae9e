"""DNA sequences in FASTA files, with coding regions in upper case.

    >name, followed by an optional description
    acgATGGCTGAATAAcc

Upper-case letters are coding and lower-case letters are not. A sequence can span several lines. A
coding region consists of codons of three bases. The letters are A, C, G, T, and N or another letter
of the IUPAC code for an unknown base.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from reprlib import repr as shorten
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autograd.runtime.deprecation import renamed_parameters

from ...errors import InputError
from ...summary import summary_repr
from ..files import PathLike, display_name
from ..text import read_text
from ..vocabulary import Ids

BASES = "ACGTN"
IUPAC_CODES = "ACGTURYSWKMBDHVN"
"""The letters of the IUPAC code. U (RNA) is read as T, and ambiguous letters as N."""

NON_IUPAC = re.compile(f"[^{IUPAC_CODES}{IUPAC_CODES.lower()}]")
_BASE_IDS = np.full(128, 4)
_BASE_IDS[[ord(letter) for letter in "ACGTU"]] = [0, 1, 2, 3, 3]


class FastaRecord(NamedTuple):
    """One record of a FASTA file.

    Parameters
    ----------
    name : str
        The first word of the header.
    bases : ndarray of int64, shape (T,)
        0 to 3 for A, C, G and T; 4 for an unknown base.
    phases : ndarray of int64, shape (T,)
        0 outside coding regions; 1 to 3 for the first, second and third base of a codon.
    """

    name: str
    bases: Ids
    phases: Ids

    def __repr__(self) -> str:
        return summary_repr(self)


@renamed_parameters(labelled="labeled")
def read_fasta(path: PathLike, labeled: bool = True) -> list[FastaRecord]:
    """Read a FASTA file.

    Parameters
    ----------
    path : path
        The file, which may be compressed by gzip.
    labeled : bool, default True
        Read the coding regions from the case of the letters; if False, all phases are 0.

    Returns
    -------
    list of FastaRecord
        The records.

    Raises
    ------
    InputError
        If the file is not valid FASTA; with `labeled` also if a coding region does not consist of
        whole codons, or if all letters have the same case. The message contains the line.
    """
    file = display_name(path)
    if not (text := read_text(path)).strip():
        raise InputError(f"{file}: the file is empty; expected FASTA")
    records = []
    for name, number, letters in _sections(file, text):
        upper = letters.upper()
        phases = np.zeros(len(letters), np.int64)
        if labeled:
            coding = _ascii_codes(letters) == _ascii_codes(upper)
            phases = _codon_phases(coding, f"{file}, line {number}: {shorten(name)}")
        records.append(FastaRecord(name, encode_bases(upper), phases))
    if labeled and len({bool(p) for record in records for p in np.unique(record.phases)}) < 2:
        raise InputError(
            f"{file}: all letters have the same case; expected coding regions in upper case and "
            "other regions in lower case"
        )
    return records


def _sections(file: str, text: str) -> Iterator[tuple[str, int, str]]:
    """Yield the name, the line number of the header and the letters of each record."""
    sections: list[tuple[str, int, list[str]]] = []
    for number, line in enumerate(map(str.strip, text.split("\n")), 1):
        if line.startswith(">"):
            sections.append(((line[1:].split() or [f"record{len(sections) + 1}"])[0], number, []))
        elif line and not sections:
            raise InputError(f"{file}, line {number}: expected a header line '>name'")
        elif line:
            if match := NON_IUPAC.search(line):
                raise InputError(
                    f"{file}, line {number}, column {match.start() + 1}: expected a base (A, C, G, "
                    f"T, or N for an unknown base), got {match[0]!r}"
                )
            sections[-1][2].append(line)
    for name, number, lines in sections:
        if not lines:
            raise InputError(
                f"{file}, line {number}: no sequence follows the header of {shorten(name)}"
            )
        yield name, number, "".join(lines)


def _ascii_codes(letters: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(letters.encode(), np.uint8)


def encode_bases(letters: str) -> Ids:
    """Return the ids (n,) of upper-case letters: 0 to 3 for A, C, G and T, 4 for other bases."""
    return _BASE_IDS[_ascii_codes(letters)]


def coding_regions(phases: npt.ArrayLike) -> list[tuple[int, int]]:
    """Return the coding regions of a sequence.

    Parameters
    ----------
    phases : array_like of int, shape (T,)
        The phases; 0 outside coding regions.

    Returns
    -------
    list of (int, int)
        The first and last position of each region, counted from 1 and inclusive, as in GenBank.

    Examples
    --------
    >>> coding_regions([0, 1, 2, 3, 0])
    [(2, 4)]
    """
    inside = np.concatenate([[False], np.asarray(phases) > 0, [False]])
    first, last = np.flatnonzero(inside[1:] != inside[:-1]).reshape(-1, 2).T
    return [(int(a) + 1, int(b)) for a, b in zip(first, last, strict=True)]


def _codon_phases(coding: npt.NDArray[np.bool_], location: str) -> Ids:
    phases = np.zeros(len(coding), np.int64)
    for first, last in coding_regions(coding):
        length = last - first + 1
        if length % 3:
            raise InputError(
                f"{location}: the coding region {first} to {last} has {length} bases, which is not "
                "a multiple of 3"
            )
        phases[first - 1 : last] = np.arange(length) % 3 + 1
    return phases
