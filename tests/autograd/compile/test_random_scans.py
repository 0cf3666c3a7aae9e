"""Compiled scans equal eager execution: random programs with all features of `scan`.

`python tests/support/fuzz_scan.py --count 3000` checks more of them, and says what they contain.
"""

import pytest
from fuzz_scan import fuzz

pytestmark = pytest.mark.host


@pytest.mark.parametrize(
    ("count", "seed"),
    [(40, 0), pytest.param(600, 100_000, marks=pytest.mark.thorough)],
)
def test_random_scans(count: int, seed: int) -> None:
    counts, failures = fuzz(count, seed, report=lambda text: None)
    assert not failures, "\n\n".join(failures)
    assert counts["compiled"] >= 0.7 * count
