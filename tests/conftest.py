"""What all tests share: the device they run on, how thorough hypothesis is, and where the default
random stream starts.

`pytest --device strict` (or cuda) makes all tensors there; tests of what is on the host in any
case, marked `host`, are skipped then. `pytest --hypothesis-profile=deep` looks long; `ci` always
looks at the same examples.
"""

import signal

import fake_cupy  # noqa: F401  # registers the device "strict"
import pytest
from hypothesis import HealthCheck, settings

import autograd as ag

# Nothing is judged by the time that it takes, which depends on the load of the machine.
timeless = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", timeless, max_examples=40)
settings.register_profile("quick", timeless, max_examples=10)
settings.register_profile("ci", timeless, max_examples=100, derandomize=True, print_blob=True)
settings.register_profile("deep", timeless, max_examples=2000, print_blob=True)
settings.load_profile("default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="where tensors live: cpu, strict or cuda")
    parser.addoption("--cases", type=int, default=2000, help="random calls of NumPy's functions")
    parser.addoption("--graphs", type=int, default=100, help="random graphs, against PyTorch")


def pytest_configure(config: pytest.Config) -> None:
    # A shell that runs the tests in its background has them ignore Ctrl-C, which some tests send.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        ag.set_default_device(config.getoption("--device"))
    except ag.backend.DeviceError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--device") != "cpu":
        for item in items:
            if item.get_closest_marker("host"):
                item.add_marker(pytest.mark.skip(reason="about the host only"))


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    """The name of the device that the tests run on, such as "cpu" or "cuda:0"."""
    return ag.backend.get(request.config.getoption("--device")).device


@pytest.fixture(autouse=True)
def _seeded() -> None:
    ag.manual_seed(0)
