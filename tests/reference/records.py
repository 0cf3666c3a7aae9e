"""Records: what PyTorch computes, kept so that tests can compare with it where it is not installed.

A record is a configuration (JSON) and arrays. Each topic has a module beside this one that makes
records from seeds; `cd tests; python -m reference.TOPIC` (needs torch) rewrites TOPIC.safetensors.
Where torch is installed the tests make further records on the spot.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

Record = tuple[dict[str, Any], dict[str, np.ndarray]]


def _file(topic: str) -> Path:
    return Path(__file__).with_name(f"{topic}.safetensors")


def save(topic: str, records: dict[str, Record]) -> None:
    """Write all records of a topic, and by which PyTorch they were made."""
    import torch

    arrays = {
        f"{name}/{key}": np.array(array, order="C")
        for name, (_, arrays) in records.items()
        for key, array in arrays.items()
    }
    configs = {name: config for name, (config, _) in records.items()}
    made = json.dumps({"torch": str(torch.__version__), "configurations": configs})
    save_file(arrays, _file(topic), {"made": made})
    print(f"{_file(topic)}: {len(records)} records, {_file(topic).stat().st_size} bytes")


def load(topic: str) -> dict[str, Record]:
    """All records of a topic by name."""
    with safe_open(_file(topic), "numpy") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no dict)
        configs = json.loads(file.metadata()["made"])["configurations"]
    return {
        name: (
            config,
            {k.removeprefix(f"{name}/"): v for k, v in arrays.items() if k.startswith(f"{name}/")},
        )
        for name, config in configs.items()
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
