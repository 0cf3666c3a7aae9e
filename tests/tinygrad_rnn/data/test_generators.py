"""Reber's grammar: what is drawn is legal, and what is said to be legal is drawn."""

import re
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.data.generators import grammars

pytestmark = pytest.mark.host

# The grammar's diagram, read off as a regular expression: after V one may stop with V, or go round
# by P, where S stops.
END = "V((PXT*V)*(V|PS))"
STRING = f"B(TS*X(S|XT*{END})|PT*{END})E"
EMBEDDED = f"B(T{STRING}T|P{STRING}P)E"


@pytest.mark.parametrize(
    ("draw", "pattern"),
    [(grammars.sample_reber, STRING), (grammars.sample_embedded_reber, EMBEDDED)],
)
def test_strings_are_legal_and_what_may_follow_is_all_that_does(draw: Any, pattern: str) -> None:
    rng = np.random.default_rng(0)
    followed: dict[str, list[str]] = defaultdict(list)
    said: dict[str, set[str]] = {}
    for _ in range(4000):
        string, legal = draw(rng)
        assert re.fullmatch(pattern, string)
        assert len(legal) == len(string) - 1
        for end, (symbol, may) in enumerate(zip(string[1:], legal, strict=True), 1):
            prefix = string[:end]
            followed[prefix].append(symbol)
            assert said.setdefault(prefix, set(may)) == set(may)
    often = [prefix for prefix, symbols in followed.items() if len(symbols) >= 30]
    assert {len(said[prefix]) for prefix in often} == {1, 2}
    assert len(max(often, key=len)) >= 7
    for prefix in often:
        assert set(followed[prefix]) == said[prefix], prefix
    assert all(set(symbols) <= said[prefix] for prefix, symbols in followed.items())


def test_choices_are_even() -> None:
    """Of a string's first choice, within five standard errors."""
    rng = np.random.default_rng(0)
    first = [grammars.sample_reber(rng)[0][1] for _ in range(2000)]
    kept = [grammars.sample_embedded_reber(rng)[0][1] for _ in range(2000)]
    for symbols in (first, kept):
        assert set(symbols) == {"T", "P"}
        assert abs(symbols.count("T") - 1000) < 5 * np.sqrt(500)


def test_strings_become_a_padded_batch() -> None:
    strings, legal = ["BTSXSE", "BPVVE"], [["TP", "SX", "SX", "XS", "E"], ["TP", "TV", "PV", "E"]]
    symbols, following, lengths = grammars.encode_batch(strings, legal)
    assert lengths.tolist() == [5, 4]
    assert symbols.shape == (6, 2)
    assert following.shape == (5, 2, 7)
    for b, (string, mays) in enumerate(zip(strings, legal, strict=True)):
        numbers = symbols[: len(string), b]
        assert "".join(grammars.REBER_SYMBOLS[i] for i in numbers) == string
        assert not symbols[len(string) :, b].any()
        for t, may in enumerate(mays):
            assert {grammars.REBER_SYMBOLS[i] for i in np.flatnonzero(following[t, b])} == set(may)
        assert not following[len(mays) :, b].any()
