"""Options, settings and fixtures of all tests.

`pytest --device strict` (or cuda) creates all tensors on that device and deselects tests marked
`host`.
`pytest --thorough` generates more random examples and runs the tests marked `thorough` too.
"""

import signal

import fake_cupy  # noqa: F401  # registers the device "strict"
import pytest
from hypothesis import HealthCheck, settings

import autograd as ag

# No test may fail because of its duration, which depends on the load of the machine.
timeless = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", timeless, max_examples=10)
settings.register_profile("quick", timeless, max_examples=3)
settings.register_profile("thorough", timeless, max_examples=100, print_blob=True)
settings.load_profile("default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="where tensors live: cpu, strict or cuda")
    parser.addoption("--thorough", action="store_true", help="more examples, and slow tests")
    parser.addoption("--cases", type=int, default=2000, help="random calls of NumPy's functions")
    parser.addoption("--graphs", type=int, default=100, help="random graphs, against PyTorch")


def pytest_configure(config: pytest.Config) -> None:
    # A shell that runs the tests in the background makes them ignore Ctrl-C, which some tests send.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--thorough"):
        settings.load_profile("thorough")
    try:
        ag.set_default_device(config.getoption("--device"))
    except ag.backend.DeviceError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    excluded = []
    if config.getoption("--device") != "cpu":
        excluded.append("host")
    if not config.getoption("--thorough"):
        excluded.append("thorough")
    deselected = [item for item in items if any(map(item.get_closest_marker, excluded))]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in set(deselected)]


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    """The name of the device that the tests run on, such as "cpu" or "cuda:0"."""
    return ag.backend.get(request.config.getoption("--device")).device


@pytest.fixture(autouse=True)
def _seeded() -> None:
    ag.manual_seed(0)
