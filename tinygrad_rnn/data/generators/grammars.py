"""Strings of a grammar, with what may follow each of their symbols: tasks whose answer is known.

The grammar is that of A. S. Reber (1967, "Implicit learning of artificial grammars"). Cleeremans,
Servan-Schreiber & McClelland (1989, "Finite state automata and simple recurrent networks") gave it
to recurrent networks, and Hochreiter & Schmidhuber (1997, "Long short-term memory", experiment 1)
its embedded form.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

REBER_SYMBOLS = "BTSXPVE"
"""The symbols. B begins a string, and E ends it."""

LegalSymbols = list[str]

# What may come at each state, and which state it leads to; a string ends where nothing may come.
TRANSITIONS: tuple[dict[str, int], ...] = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 6},
    {"P": 4, "V": 6},
    {"E": 7},
    {},
)


def sample_reber(rng: np.random.Generator) -> tuple[str, LegalSymbols]:
    """A string, and for each symbol but the last which symbols may come next; whatever may come is
    equally likely.

    >>> sample_reber(np.random.default_rng(0))
    ('BPVPSE', ['TP', 'TV', 'PV', 'XS', 'E'])
    """
    string, state = "", 0
    legal: LegalSymbols = []
    while TRANSITIONS[state]:
        may = "".join(TRANSITIONS[state])
        symbol = may[rng.integers(len(may))]
        string, legal, state = string + symbol, [*legal, may], TRANSITIONS[state][symbol]
    return string, legal[1:]


def sample_embedded_reber(rng: np.random.Generator) -> tuple[str, LegalSymbols]:
    """A Reber string between two equal symbols, T or P: the last but one is known to who has kept
    the second in mind. As `reber` otherwise.
    """
    string, legal = sample_reber(rng)
    kept = "TP"[rng.integers(2)]
    return f"B{kept}{string}{kept}E", ["TP", "B", *legal, kept, "E"]


def encode_batch(
    strings: list[str], legal: list[LegalSymbols], symbols: str = REBER_SYMBOLS
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Strings as a batch: numbers of symbols (T, B), padded with 0; what may come next (T - 1, B,
    S), nothing in the padding; and how many steps each has, its last symbol not counted (B,)."""
    lengths = np.array([len(may) for may in legal], np.int64)
    numbers = np.zeros((lengths.max() + 1, len(strings)), np.int64)
    following = np.zeros((lengths.max(), len(strings), len(symbols)), np.bool_)
    for b, (string, mays) in enumerate(zip(strings, legal, strict=True)):
        numbers[: len(string), b] = [symbols.index(symbol) for symbol in string]
        for t, may in enumerate(mays):
            following[t, b, [symbols.index(symbol) for symbol in may]] = True
    return numbers, following, lengths
