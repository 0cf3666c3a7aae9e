"""NumPy's signatures: every argument of a function has NumPy's meaning or raises an error."""

import inspect
import warnings
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import numpy_protocol
from autograd.numpy_protocol import _ARRAY_FUNCTIONS, _OPERATIONS

pytestmark = pytest.mark.host

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75], [3.0, -2.0, 1.0]])
Y = np.array([[1.0, 2.0, -1.0], [0.5, -0.5, 4.0], [2.5, 1.25, 0.0]])
MASK = np.array([True, False, True])
WHOLE = np.array([[0, 2, 1], [1, 1, 0], [2, 0, 2]])

REQUIRED: dict[str, Any] = {
    **dict.fromkeys(("a", "A", "a1", "arr", "array", "ary", "element", "f", "m", "prototype"), X),
    **dict.fromkeys(("v", "val", "x", "x1", "z", "start", "from_"), X),
    **dict.fromkeys(("a2", "b", "values", "x2", "stop", "test_elements"), Y),
    **{key: [X, Y] for key in ("arrays", "tup")},
    **dict.fromkeys(("axis", "axis1", "pad_width", "shift", "kth", "destination"), 1),
    **dict.fromkeys(("axis2", "source"), 0),
    **dict.fromkeys(("reps", "repeats", "N"), 2),
    "bins": np.array([-1.0, 0.0, 1.0]),
    "condition": X > 0,
    "condlist": [X > 0, X < 0],
    "choicelist": [X, Y],
    "dtype": np.float32,
    "fill_value": 2.5,
    "indices": WHOLE,
    "indices_or_sections": 3,
    "n": 3,
    "shape": (9, 1),
    "start_or_stop": 3,
    "to": np.float32,
    "window_shape": (2, 2),
}
CALLS: dict[str, tuple[Any, ...]] = {  # where the arguments above are unsuitable
    "arange": (3,),
    "argpartition": (X, 1),
    "atleast_1d": (X, X[0]),
    "atleast_2d": (X, X[0]),
    "atleast_3d": (X, X[0]),
    "bincount": (WHOLE[0],),
    "common_type": (X, Y),
    "convolve": (X[0], Y[0]),
    "broadcast_to": (X, (2, 3, 3)),
    "dsplit": (X[None], 3),
    "einsum": ("ij,jk", X, Y),
    "gradient": (X, 0.5),
    "linalg.outer": (X[0], Y[0]),
    "result_type": (X, np.float32),
    "searchsorted": (np.array([0.0, 1.0, 2.0]), Y),
    "select": ([X > 0, X < 0], [X, Y]),
}
VALUES: dict[str, list[Any]] = {
    **{key: [0.0, X - 0.5, None] for key in ("a_min", "min")},
    **{key: [1.0, [0.0, 1.0, 2.0], None] for key in ("a_max", "max")},
    **{key: [10.0] for key in ("atol", "rtol")},
    **{key: [0, -1, np.int64(1)] for key in ("axis", "axis1", "axis2", "axisa", "axisb", "axisc")},
    **{key: [0.5, [[1.0, 2.0, 3.0]], X] for key in ("append", "prepend")},
    **{key: [True] for key in ("assume_unique", "equal_nan", "invert", "right", "deg", "endpoint")},
    **{key: [True, False] for key in ("copy", "retstep", "stable", "subok", "writeable")},
    **{key: [1, 0.5, 4] for key in ("correction", "ddof")},
    **{key: [1, -1, np.int64(2)] for key in ("k", "offset")},
    **{key: ["stable", "quicksort", "introselect", "no such kind"] for key in ("kind",)},
    **{key: [1.5] for key in ("posinf", "neginf", "nan")},
    **{key: [X, 1.0] for key in ("x", "y")},
    "M": [3],
    "axes": [(1, 0), [1, 0], 1],
    "bins": [np.array([0.0])],
    "casting": ["unsafe", "no"],
    "constant_values": [2.0, (1.0, np.inf), ((1.0, 2.0), (3.0, np.nan))],
    "decimals": [1, -1, np.int64(1)],
    "default": [2.0, Y],
    "device": ["cpu"],
    "dtype": [np.float32, np.int64, "float64"],
    "edge_order": [2, 3],
    "initial": [2.5, -1, [1.0]],
    "keepdims": [True, False, 1, np.float32],
    "max_work": [1],
    "mean": [1.0, X.mean(0, keepdims=True)],
    "minlength": [5],
    "mode": ["same", "valid", "edge", "wrap", "clip", "mean", "no such mode"],
    "n": [0, 2, 5, -1, np.int64(1), 1.5],
    "num": [1, 3, np.int64(4), -1],
    "optimize": [True, "greedy", "optimal"],
    "ord": [2, "fro", 1, np.inf],
    "order": ["F", "A", "no such order"],
    "overwrite_input": [True],
    "shape": [(2, 3)],
    "side": ["right"],
    "sorter": [[2, 1, 0]],
    "start": [2],
    "step": [2],
    "stop": [5],
    "tol": [1],
    "weights": [np.array([0.5, 1.0, 2.0])],
    "where": [MASK, X > 0, True, MASK.astype(float)],
}
SKIPPED = {"array_repr", "array_str", "array2string", "empty", "empty_like", "from_dlpack"}


def name_of(function: Any) -> str:
    module = function.__module__.removeprefix("numpy").removeprefix(".")
    return f"{module}.{function.__name__}" if module == "linalg" else function.__name__


FUNCTIONS = {
    name_of(f): f for f in {*_OPERATIONS, *_ARRAY_FUNCTIONS} if not isinstance(f, np.ufunc)
} | {"linspace": np.linspace}
PAIRS = sorted(
    (name, parameter)
    for name, function in FUNCTIONS.items()
    for parameter in numpy_protocol._signature(function).parameters
    if name not in SKIPPED and parameter not in ("like", "kwargs", "args", "options")
)
PAIRS = [pair for pair in PAIRS if pair not in (("clip", "a_min"), ("clip", "a_max"))]
PAIRS += [("pad", "constant_values"), ("einsum", "dtype"), ("clip", "dtype")]


def base(name: str) -> dict[str, Any]:
    """Return the arguments of a plain call, by name."""
    parameters = numpy_protocol._signature(FUNCTIONS[name]).parameters
    if name in CALLS:
        positional = iter(CALLS[name])
        return {
            p.name: list(positional) if p.kind is p.VAR_POSITIONAL else next(positional)
            for p in parameters.values()
            if p.default is p.empty and p.kind in (0, 1, 2)
        }
    return {
        p.name: REQUIRED[p.name] for p in parameters.values() if p.default is p.empty and p.kind < 2
    }


def outcome(name: str, arguments: dict[str, Any], convert: Any) -> Any:
    """Return the result of a function, or the exception that it raises."""
    parameters = numpy_protocol._signature(FUNCTIONS[name]).parameters
    args: list[Any] = []
    options: dict[str, Any] = {}
    for key, value in arguments.items():
        kind = parameters[key].kind if key in parameters else 3
        if kind == inspect.Parameter.VAR_POSITIONAL:
            args += convert(value)
        elif (
            kind == inspect.Parameter.KEYWORD_ONLY or parameters[key].default is not inspect._empty
        ):
            options[key] = convert(value)
        else:
            args.append(convert(value))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return FUNCTIONS[name](*args, **options)
        except Exception as error:
            return error


def on_tensors(value: Any) -> Any:
    """Convert arrays to Tensors, also inside lists; floating ones require a gradient."""
    if isinstance(value, list):
        return [on_tensors(item) for item in value]
    if isinstance(value, np.ndarray) and value.dtype.kind in "fi":
        return ag.tensor(value, requires_grad=value.dtype.kind == "f")
    return value


def check_equal(actual: Any, expected: Any) -> None:
    """Check that values, shapes, dtypes and nesting are equal."""
    if isinstance(expected, (tuple, list)) and len(expected) and np.ndim(expected[0]) + 1:
        assert len(actual) == len(expected)
        for pair in zip(actual, expected, strict=True):
            check_equal(*pair)
        return
    if isinstance(actual, ag.Tensor):
        assert actual.dtype == np.asarray(expected).dtype
        actual = actual.numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12, strict=True) if isinstance(
        expected, np.ndarray
    ) and expected.dtype.kind in "biuf" else np.testing.assert_equal(actual, expected)


@pytest.mark.parametrize(("name", "parameter"), PAIRS)
def test_every_argument_has_numpys_meaning_or_raises(name: str, parameter: str) -> None:
    plain = base(name)
    check_equal(outcome(name, plain, on_tensors), outcome(name, plain, lambda value: value))
    required = plain.get(parameter)
    values = VALUES.get(parameter, [] if required is None else [required])
    if parameter == "out":  # NumPy's cumprod crashes for other shapes
        values = [np.array(outcome(name, plain, lambda value: value))]
    assert values, f"VALUES lacks values for {parameter}"
    for value in values:
        arguments = plain | {parameter: value}
        actual = outcome(name, arguments, on_tensors)
        expected = outcome(name, arguments, lambda value: value)
        if isinstance(expected, Exception):
            assert isinstance(actual, Exception), f"{value!r}: NumPy raises {expected!r}"
        elif isinstance(actual, Exception):
            text = f"{type(actual).__name__}: {actual}"
            assert isinstance(actual, (TypeError, ValueError)), text
            if parameter != "keepdims":
                assert parameter in text or repr(value) in text, text
                assert name.split(".")[-1].removeprefix("a") in text, text
        else:
            check_equal(actual, expected)


U8, F2, F4 = (np.array([1, 0, 3], dtype) for dtype in ("u1", "f2", "f4"))
DTYPES: dict[str, Any] = {
    "clip of booleans": lambda to: np.clip(to(U8 > 0), -1, to(F2)),
    "conj of booleans": lambda to: np.conj(to(U8 > 0)),
    "convolve of two integers": lambda to: np.convolve(to(U8), to(U8.astype("i4"))),
    "cross of unsigned integers": lambda to: np.cross(to(U8), to(U8[:2].astype(int))),
    "linspace of integers and floats": lambda to: np.linspace(to(U8), to(F4), 3),
    "linspace of booleans and halves": lambda to: np.linspace(to(U8 > 0), to(F2), 3),
    "min of no integers": lambda to: np.min(to(U8[:0].astype("i4")), initial=0.25),
    "nan_to_num of halves": lambda to: np.nan_to_num(to(F2 / 0), posinf=np.float32(0.5)),
    "select of halves and integers": lambda to: np.select([U8 > 0, U8 < 1], [to(F2), to(U8)], 0.5),
    "select of floats and booleans": lambda to: np.select([U8 > 0], [to(F4)], to(U8 > 0)),
}


@pytest.mark.host
@pytest.mark.filterwarnings("ignore:divide by", "ignore:invalid value", "ignore:Arrays of 2")
@pytest.mark.parametrize("case", DTYPES)
def test_arguments_of_several_dtypes_promote_as_in_numpy(case: str) -> None:
    actual, expected = DTYPES[case](ag.tensor), DTYPES[case](np.asarray)
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual.numpy(), expected)


@pytest.mark.host
@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.sort(t, kind="stable", stable=True),
        lambda t: np.argsort(t, kind="quicksort", stable=False),
        lambda t: np.var(t, dtype=int),
        lambda t: np.std(t, dtype=bool),
        lambda t: np.linalg.norm(t, axis=[0]),
    ],
)
def test_contradictory_arguments_raise(call: Any) -> None:
    with pytest.raises(TypeError, match=r"^np\."):
        call(ag.tensor([1.0, 3.0, 2.0]))
