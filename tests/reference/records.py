"""Records of PyTorch's results, for comparison where PyTorch is not installed.

A record consists of a configuration (JSON) and arrays. Each topic has a module in this package that
creates records from seeds. `cd tests; python -m reference.TOPIC` rewrites TOPIC.npz; it needs
torch, and for `recurrent` also onnx and onnxruntime. Where these are installed, the tests
create further records and compare with them.
"""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

Record = tuple[dict[str, Any], dict[str, np.ndarray]]


def _file(topic: str) -> Path:
    return Path(__file__).with_name(f"{topic}.npz")


def save(topic: str, records: dict[str, Record], *packages: str) -> None:
    """Write all records of a topic, and the versions of the packages that created them.

    All numbers are concatenated into one float64 array, which represents them exactly.
    """
    numbers, configurations, start = [], {}, 0
    for name, (config, arrays) in records.items():
        places = {}
        for key, array in arrays.items():
            places[key] = start, np.shape(array), str(array.dtype)
            numbers.append(np.ravel(array).astype(np.float64))
            start += array.size
        configurations[name] = config, places
    versions = {package: metadata.version(package) for package in packages}
    index = json.dumps({"made with": versions, "records": configurations})
    np.savez_compressed(_file(topic), numbers=np.concatenate(numbers), index=np.array(index))
    print(f"{_file(topic)}: {len(records)} records, {_file(topic).stat().st_size} bytes")


def load(topic: str) -> dict[str, Record]:
    """Return all records of a topic by name."""
    with np.load(_file(topic)) as file:
        numbers, configurations = file["numbers"], json.loads(str(file["index"]))["records"]

    def array(start: int, shape: list[int], dtype: str) -> np.ndarray:
        return numbers[start : start + int(np.prod(shape))].reshape(shape).astype(dtype)

    return {
        name: (config, {key: array(*place) for key, place in places.items()})
        for name, (config, places) in configurations.items()
    }


def assert_equal(actual: Any, expected: np.ndarray, message: str = "") -> None:
    """Assert |actual - expected| <= tol (1 + max |expected|), and equal nan and infinities.

    The tolerance is 1e-10 in float64 and 1e-5 in float32.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype), message
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite], message)
    scale = 1 + np.abs(expected[finite]).max(initial=0)
    tolerance = (1e-10 if expected.dtype == np.float64 else 1e-5) * scale
    np.testing.assert_allclose(
        actual[finite], expected[finite], rtol=0, atol=tolerance, err_msg=message
    )
