"""Records: what PyTorch computes, kept so that tests can compare with it where it is not installed.

A record is a configuration (JSON) and arrays. Each topic has a module beside this one that makes
records from seeds; `cd tests; python -m reference.TOPIC` rewrites TOPIC.npz (it needs torch, and
for `recurrent` onnx and onnxruntime). Where these are installed the tests make further records on
the spot.
"""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

Record = tuple[dict[str, Any], dict[str, np.ndarray]]


def _file(topic: str) -> Path:
    return Path(__file__).with_name(f"{topic}.npz")


def save(topic: str, records: dict[str, Record], *made_with: str) -> None:
    """Write all records of a topic, and the versions of the packages that they were made with.

    The numbers stand one after another in one array, which holds them all exactly.
    """
    numbers, configurations, start = [], {}, 0
    for name, (config, arrays) in records.items():
        places = {}
        for key, array in arrays.items():
            places[key] = start, np.shape(array), str(array.dtype)
            numbers.append(np.ravel(array).astype(np.float64))
            start += array.size
        configurations[name] = config, places
    versions = {package: metadata.version(package) for package in made_with}
    index = json.dumps({"made with": versions, "records": configurations})
    np.savez_compressed(_file(topic), numbers=np.concatenate(numbers), index=np.array(index))
    print(f"{_file(topic)}: {len(records)} records, {_file(topic).stat().st_size} bytes")


def load(topic: str) -> dict[str, Record]:
    """All records of a topic by name."""
    with np.load(_file(topic)) as file:
        numbers, configurations = file["numbers"], json.loads(str(file["index"]))["records"]

    def array(start: int, shape: list[int], dtype: str) -> np.ndarray:
        return numbers[start : start + int(np.prod(shape))].reshape(shape).astype(dtype)

    return {
        name: (config, {key: array(*place) for key, place in places.items()})
        for name, (config, places) in configurations.items()
    }


def assert_equal(ours: Any, theirs: np.ndarray, what: str = "") -> None:
    """|ours - theirs| <= tol (1 + max |theirs|), 1e-10 in double and 1e-5 in single precision; nan
    and infinities in the same places.
    """
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), what
    finite = np.isfinite(theirs)
    np.testing.assert_array_equal(ours[~finite], theirs[~finite], what)
    scale = 1 + np.abs(theirs[finite]).max(initial=0)
    tolerance = (1e-10 if theirs.dtype == np.float64 else 1e-5) * scale
    np.testing.assert_allclose(ours[finite], theirs[finite], rtol=0, atol=tolerance, err_msg=what)
