"""DNA: sequences in FASTA files, and genes marked in them.

    >name, and whatever one likes to say
    acgATGGCTGAATAAcc

Capitals are coding, small letters are not, over as many lines as it takes. A coding region is read
from its first base on in codons of three. Letters are A, C, G, T, and N or any other of the IUPAC
code for a base that is not known.
"""

from __future__ import annotations

import re
from reprlib import repr as shorten
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autograd.runtime.deprecation import renamed_parameters

from ...errors import InputError
from ...summary import summary_repr
from ..files import PathLike, display_name
from ..text import Ids, read_text

BASES = "ACGTN"
IUPAC_CODES = "ACGTURYSWKMBDHVN"
"""The IUPAC code; U, of RNA, is T, and all that stand for several bases are N."""

NON_IUPAC = re.compile(f"[^{IUPAC_CODES}{IUPAC_CODES.lower()}]")
_NUMBERS = np.full(128, 4)
_NUMBERS[[ord(letter) for letter in "ACGTU"]] = [0, 1, 2, 3, 3]


class FastaRecord(NamedTuple):
    """One record of a FASTA file."""

    name: str
    bases: Ids
    """(T,): 0 to 3 for A, C, G and T, 4 for one not known."""
    phases: Ids
    """(T,): 0 outside genes, 1 to 3 for a codon's first, second and third base."""

    def __repr__(self) -> str:
        return summary_repr(self)


@renamed_parameters(labelled="labeled")
def read_fasta(path: PathLike, labeled: bool = True) -> list[FastaRecord]:
    """The records of a FASTA file. InputError names the line of what is no base.

    labeled: capitals and small letters say what codes (InputError for a region that is not made of
        whole codons, and for a file where all is the same); else all phases are 0.
    """
    file = display_name(path)
    if not (text := read_text(path)).strip():
        raise InputError(f"{file}: the file is empty; FASTA is expected")
    records: list[tuple[str, int, list[str]]] = []
    for number, line in enumerate(map(str.strip, text.split("\n")), 1):
        if line.startswith(">"):
            records.append(((line[1:].split() or [f"record{len(records) + 1}"])[0], number, []))
        elif line and not records:
            raise InputError(f"{file}, line {number}: a line '>name' stands first in FASTA")
        elif line:
            if strange := NON_IUPAC.search(line):
                raise InputError(
                    f"{file}, line {number}, column {strange.start() + 1}: {strange[0]!r} is no "
                    "base; A, C, G and T are, and N for one not known"
                )
            records[-1][2].append(line)
    sequences = []
    for name, number, lines in records:
        if not lines:
            raise InputError(f"{file}, line {number}: no sequence follows {shorten(name)}")
        letters = "".join(lines)
        upper = letters.upper()
        phases = np.zeros(len(letters), np.int64)
        if labeled:
            capital = _codes(letters) == _codes(upper)
            phases = _phases(capital, f"{file}, line {number}: {shorten(name)}")
        sequences.append(FastaRecord(name, encode_bases(upper), phases))
    if labeled and len({bool(p) for s in sequences for p in np.unique(s.phases)}) < 2:
        raise InputError(
            f"{file}: all letters are of one case; capitals are coding, small letters are not"
        )
    return sequences


def _codes(letters: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(letters.encode(), np.uint8)


def encode_bases(letters: str) -> Ids:
    """Return the numbers of capital letters (n,): 0 to 3 for A, C, G and T, 4 for other bases."""
    return _NUMBERS[_codes(letters)]


def coding_regions(phases: npt.ArrayLike) -> list[tuple[int, int]]:
    """Where genes begin and end, (first, last), counted from 1 with both included, as in GenBank:
    the stretches that are not 0.
    """
    inside = np.concatenate([[False], np.asarray(phases) > 0, [False]])
    first, last = np.flatnonzero(inside[1:] != inside[:-1]).reshape(-1, 2).T
    return [(int(a) + 1, int(b)) for a, b in zip(first, last, strict=True)]


def _phases(coding: npt.NDArray[np.bool_], place: str) -> Ids:
    phases = np.zeros(len(coding), np.int64)
    for first, last in coding_regions(coding):
        length = last - first + 1
        if length % 3:
            raise InputError(
                f"{place}: the coding region {first} to {last} has {length} bases, which are no "
                "whole codons of three"
            )
        phases[first - 1 : last] = np.arange(length) % 3 + 1
    return phases
