"""What all tests share: how thorough hypothesis is, and where the default random stream starts.

`pytest --hypothesis-profile=deep` looks long; `ci` always looks at the same examples.
"""

import pytest
from hypothesis import settings

import autograd as ag

settings.register_profile("default", max_examples=40, deadline=None)
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("deep", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("default")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    ag.manual_seed(0)
