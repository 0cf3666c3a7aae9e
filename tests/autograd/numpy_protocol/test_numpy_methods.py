"""Methods of Tensors: every argument of a method has NumPy's meaning or raises an error."""

import inspect
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from differential import SAME, UNSUPPORTED, outcome, verdict

import autograd as ag
from autograd.ops.tensor_methods import ArrayMethods

pytestmark = pytest.mark.host

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])
REQUIRED: dict[str, tuple[Any, ...]] = {
    "astype": (np.float32,),
    "clip": (0.0,),
    "dot": ([1.0, 2.0, 3.0],),
    "repeat": (2,),
    "reshape": (3, 2),
    "swapaxes": (0, 1),
}
VALUES: dict[str, list[Any]] = {
    "axis": [0, -1, np.int64(1), None, (0, 1), (0,), 2, (0, 0), 0.5, "0", True],
    "axis1": [0, -1, 2],
    "axis2": [1, 0, -2],
    "casting": ["unsafe", "safe", "no"],
    "copy": [None, True, False],
    "ddof": [0, 1, 1.5, 10],
    "decimals": [1, -1, np.int64(1)],
    "dtype": [None, np.float32, "float64", int],
    "initial": [2.5, -1, [1.0]],
    "keepdims": [True, False, 1, None, np.float32],
    "kind": [None, "stable", "quicksort", "no such kind"],
    "max": [0.5, [0.0, 1.0, 2.0], None],
    "mean": [1.0, X.mean(keepdims=True)],
    "min": [0.5, [0.0, 1.0, 2.0], None],
    "offset": [1, -1, np.int64(1)],
    "order": ["C", "F", "A", "K", None],
    "out": [None, np.array(0), np.zeros(3), np.zeros((2, 3)), np.zeros((2, 3), int)],
    "stable": [None, True],
    "subok": [True, False],
    "where": [True, X > 0, [True, False, True]],
}


def parameters(name: str) -> dict[str, inspect.Parameter]:
    """Return the parameters of an ndarray's method with defaults, from its docstring."""
    lines = getattr(np.ndarray, name).__doc__.split("\n")
    text = next(line for line in lines if "(" in line).partition("(")[2].rpartition(")")[0]
    function = eval(f"lambda {text.replace('<no value>', 'None')}: None") if text else lambda: None
    all_parameters = inspect.signature(function).parameters
    return {key: p for key, p in all_parameters.items() if p.default is not p.empty}


NAMES = sorted(
    name
    for name in vars(ArrayMethods)
    if name[0] != "_" and callable(getattr(np.ndarray, name, None))
)
PAIRS = [(name, parameter) for name in NAMES for parameter in parameters(name)]


def compare(name: str, *args: Any, **options: Any) -> str:
    """Compare a method of a Tensor with the method of an array."""
    t = ag.tensor(X, requires_grad=True)
    expected = outcome(lambda: getattr(X.copy(), name)(*deepcopy(args), **deepcopy(options)))
    actual = outcome(lambda: getattr(t, name)(*args, **options))
    texts = [f"{name}() got an unexpected keyword argument '{key}'" for key in options]
    texts += ["() takes ", "keepdims must be True or False, got "]
    if isinstance(actual, TypeError) and any(text in str(actual) for text in texts):
        return UNSUPPORTED
    return verdict(expected, actual, plain=True)


@pytest.mark.parametrize(("name", "parameter"), PAIRS)
def test_keyword_arguments_of_methods_agree_or_raise(name: str, parameter: str) -> None:
    required = () if (name, parameter) == ("clip", "min") else REQUIRED.get(name, ())
    assert parameter in VALUES, f"VALUES lacks values for {parameter}"
    for value in VALUES[parameter]:
        assert compare(name, *required, **{parameter: value}) in (SAME, UNSUPPORTED), value


@pytest.mark.parametrize(("name", "parameter"), PAIRS)
def test_positional_arguments_of_methods_agree_or_raise(name: str, parameter: str) -> None:
    optional = parameters(name)
    if optional[parameter].kind is inspect.Parameter.KEYWORD_ONLY:
        return
    names = list(optional)[: list(optional).index(parameter)]
    required = () if name == "clip" else REQUIRED.get(name, ())
    for value in VALUES[parameter]:
        before = [optional[key].default for key in names]
        assert compare(name, *required, *before, value) in (SAME, UNSUPPORTED), value


@pytest.mark.parametrize("dtype", ["f4", "f2", "i8", "u1", "?"])
@pytest.mark.parametrize("name", [name for name in NAMES if "axis" in parameters(name)])
def test_methods_agree_for_all_dtypes_and_axes(name: str, dtype: str) -> None:
    for shape in [(), (1,), (2, 3), (2, 1, 3)]:
        x = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
        for axis in [None, *range(-len(shape) - 1, len(shape) + 1)]:
            call = lambda x: getattr(x, name)(*REQUIRED.get(name, ()), axis=axis)  # noqa: B023, E731
            expected, actual = outcome(lambda: call(x)), outcome(lambda: call(ag.tensor(x)))  # noqa: B023
            assert verdict(expected, actual) == SAME, (shape, axis)
