"""Strings of the Reber grammar, with the legal next symbols at each position.

The grammar is due to Reber (1967, "Implicit learning of artificial grammars"). Cleeremans,
Servan-Schreiber & McClelland (1989, "Finite state automata and simple recurrent networks") trained
recurrent networks on it, and Hochreiter & Schmidhuber (1997, "Long short-term memory", experiment
1) on its embedded form.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

REBER_SYMBOLS = "BTSXPVE"
"""The symbols; a string begins with B and ends with E."""

LegalSymbols = list[str]

# The legal symbols of each state, and the state that each symbol leads to. A string ends in the
# state without legal symbols.
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
    """Draw a string and the legal next symbols after each symbol except the last.

    All legal symbols are equally likely.

    >>> sample_reber(np.random.default_rng(0))
    ('BPVVE', ['TP', 'TV', 'PV', 'E'])
    """
    string, state = "", 0
    legal: LegalSymbols = []
    while TRANSITIONS[state]:
        allowed = "".join(TRANSITIONS[state])
        symbol = allowed[rng.integers(len(allowed))]
        string, legal, state = string + symbol, [*legal, allowed], TRANSITIONS[state][symbol]
    return string, legal[1:]


def sample_embedded_reber(rng: np.random.Generator) -> tuple[str, LegalSymbols]:
    """Draw a Reber string that is enclosed in two equal symbols, T or P.

    The second symbol determines the second to last symbol. The result has the form of
    `sample_reber`.
    """
    string, legal = sample_reber(rng)
    enclosing = "TP"[rng.integers(2)]
    return f"B{enclosing}{string}{enclosing}E", ["TP", "B", *legal, enclosing, "E"]


def encode_batch(
    strings: list[str], legal: list[LegalSymbols], symbols: str = REBER_SYMBOLS
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Encode strings as a batch.

    Returns
    -------
    ids : ndarray of int64, shape (T, B)
        The symbols, padded with 0.
    following : ndarray of bool, shape (T - 1, B, S)
        True for the legal next symbols; False in the padding.
    lengths : ndarray of int64, shape (B,)
        The number of symbols of each string, without the last.
    """
    lengths = np.array([len(allowed_sets) for allowed_sets in legal], np.int64)
    ids = np.zeros((lengths.max() + 1, len(strings)), np.int64)
    following = np.zeros((lengths.max(), len(strings), len(symbols)), np.bool_)
    for b, (string, allowed_sets) in enumerate(zip(strings, legal, strict=True)):
        ids[: len(string), b] = [symbols.index(symbol) for symbol in string]
        for t, allowed in enumerate(allowed_sets):
            following[t, b, [symbols.index(symbol) for symbol in allowed]] = True
    return ids, following, lengths
