"""The Reber grammar: strings are legal, and the legal next symbols are exactly those that occur."""

import re
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.data.generators import grammars

pytestmark = pytest.mark.host

# The diagram of the grammar as a regular expression: after V, a string ends with V, or it loops
# through P, where S ends it.
END = "V((PXT*V)*(V|PS))"
STRING = f"B(TS*X(S|XT*{END})|PT*{END})E"
EMBEDDED = f"B(T{STRING}T|P{STRING}P)E"


@pytest.mark.parametrize(
    ("draw", "pattern"),
    [(grammars.sample_reber, STRING), (grammars.sample_embedded_reber, EMBEDDED)],
)
def test_strings_are_legal_and_use_all_listed_next_symbols(draw: Any, pattern: str) -> None:
    rng = np.random.default_rng(0)
    followed: dict[str, list[str]] = defaultdict(list)
    listed: dict[str, set[str]] = {}
    for _ in range(4000):
        string, legal = draw(rng)
        assert re.fullmatch(pattern, string)
        assert len(legal) == len(string) - 1
        for end, (symbol, allowed) in enumerate(zip(string[1:], legal, strict=True), 1):
            prefix = string[:end]
            followed[prefix].append(symbol)
            assert listed.setdefault(prefix, set(allowed)) == set(allowed)
    frequent = [prefix for prefix, symbols in followed.items() if len(symbols) >= 30]
    assert {len(listed[prefix]) for prefix in frequent} == {1, 2}
    assert len(max(frequent, key=len)) >= 7
    for prefix in frequent:
        assert set(followed[prefix]) == listed[prefix], prefix
    assert all(set(symbols) <= listed[prefix] for prefix, symbols in followed.items())


def test_choices_are_uniform() -> None:
    """The first choice of a string, within five standard errors."""
    rng = np.random.default_rng(0)
    first = [grammars.sample_reber(rng)[0][1] for _ in range(2000)]
    embedded = [grammars.sample_embedded_reber(rng)[0][1] for _ in range(2000)]
    for symbols in (first, embedded):
        assert set(symbols) == {"T", "P"}
        assert abs(symbols.count("T") - 1000) < 5 * np.sqrt(500)


def test_strings_are_encoded_as_a_padded_batch() -> None:
    strings, legal = ["BTSXSE", "BPVVE"], [["TP", "SX", "SX", "XS", "E"], ["TP", "TV", "PV", "E"]]
    symbols, following, lengths = grammars.encode_batch(strings, legal)
    assert lengths.tolist() == [5, 4]
    assert symbols.shape == (6, 2)
    assert following.shape == (5, 2, 7)
    for b, (string, allowed_sets) in enumerate(zip(strings, legal, strict=True)):
        numbers = symbols[: len(string), b]
        assert "".join(grammars.REBER_SYMBOLS[i] for i in numbers) == string
        assert not symbols[len(string) :, b].any()
        for t, allowed in enumerate(allowed_sets):
            assert {grammars.REBER_SYMBOLS[i] for i in np.flatnonzero(following[t, b])} == set(
                allowed
            )
        assert not following[len(allowed_sets) :, b].any()
