"""NumPy's functions on Tensors, with random arguments, against NumPy and finite differences.

    python tests/autograd/numpy_protocol/test_numpy_fuzz.py 5000 [-v]

runs 5,000 calls and prints the counts, with -v each unsupported call too. `pytest --cases 5000`
sets the number of calls of the test.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from differential import PROTOCOL, SAME, UNSUPPORTED, outcome, verdict
from numpy_arguments import NO_DISPATCH, Draw, call, options, required, strategy

import autograd as ag
from autograd.testing import check_gradients

NAMES = sorted(PROTOCOL.keys() - NO_DISPATCH)
DERIVATIVES = "same, with derivatives"
UNDEFINED = ("empty", "empty_like")  # functions whose values are undefined


def partition(a: Any, kth: Any, axis: Any = -1, *args: Any, **options: Any) -> Any:
    """NumPy's function, in the order of `argpartition`, because NumPy does not define the order."""
    np.partition(a, kth, axis, *args, **options)
    a, axis = (a.ravel(), 0) if axis is None else (a, axis)
    return np.take_along_axis(a, np.argpartition(a, kth, axis), axis)


def argsort(a: Any, axis: Any = -1, *args: Any, **options: Any) -> Any:
    """NumPy's function, in stable order, because NumPy does not define the order of ties."""
    np.argsort(a, axis, *args, **options)
    return np.argsort(a, axis, kind="stable")


REFERENCES = PROTOCOL | {"argsort": argsort, "partition": partition}


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    """Lists of floats become float64, as in NumPy."""
    ag.set_default_dtype(np.float64)
    yield
    ag.set_default_dtype(np.float32)


def check(name: str, seed: int, function: Any = None) -> tuple[str, str]:
    """Compare one random call; return its source (roughly) and its verdict.

    `function` is compared with NumPy's function; by default it is the same function.
    """
    function = function or PROTOCOL[name]
    rng = np.random.default_rng([seed, *name.encode()])
    d = Draw(rng, smooth=bool(rng.random() < 0.4))
    args, options = call(name, d)
    tensors = ag.tree_map(lambda leaf: as_tensor(leaf, d), (args, options))
    if not any(isinstance(leaf, ag.Tensor) for leaf in ag.flatten(tensors)):
        tensors = ag.tree_map(as_tensor, (args, options))
    expected = outcome(lambda: REFERENCES[name](*args, **options))
    actual = outcome(lambda: function(*tensors[0], **tensors[1]))
    words = [*map(describe, tensors[0]), *(f"{k}={describe(v)}" for k, v in tensors[1].items())]
    if name in UNDEFINED and isinstance(actual, ag.Tensor):
        expected, actual = np.zeros_like(expected), ag.zeros_like(actual)
    result = verdict(expected, actual)
    if result == SAME and d.smooth and not isinstance(actual, Exception):
        result = check_derivatives(function, (args, options), actual, 2 if seed % 4 == 0 else 1)
    return f"np.{name}({', '.join(words)})", result


def check_derivatives(function: Any, arguments: Any, actual: Any, order: int) -> str:
    """Compare the derivatives by all arrays with finite differences, where they exist."""
    arrays = [leaf for leaf in ag.flatten(arguments) if is_differentiable(leaf)]
    results = [r for r in ag.flatten(actual) if isinstance(r, ag.Tensor) and r.dtype.kind == "f"]
    smooth = all(r.dtype == np.float64 and (abs(r.numpy()) < 10).all() for r in results)
    if not any(r.requires_grad for r in results) or not smooth:
        return SAME  # nothing to differentiate, or close to a pole

    def of_arrays(*tensors: Any) -> Any:
        rest = iter(tensors)
        args, options = ag.tree_map(
            lambda leaf: next(rest) if is_differentiable(leaf) else leaf, arguments
        )
        return [r for r in ag.flatten(function(*args, **options)) if isinstance(r, ag.Tensor)]

    rng = np.random.default_rng(0)
    for _ in range(8):  # a kink at all of eight random points is unlikely
        error = outcome(partial(check_gradients, of_arrays, *arrays, order=order))
        if not isinstance(error, AssertionError):
            break
        arrays = [array + rng.normal(scale=0.03, size=array.shape) for array in arrays]
    if error is None or "is there a kink" in str(error):
        return SAME if error else DERIVATIVES
    return f"{type(error).__name__}: {error}"


def is_differentiable(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float64


def as_tensor(leaf: Any, d: Draw | None = None) -> Any:
    """Return an array as a Tensor; with `d` sometimes unchanged, or without a gradient."""
    if not isinstance(leaf, np.ndarray) or leaf.dtype.kind not in "biuf":
        return leaf
    vary = d is not None and not d.smooth
    if vary and leaf is not d.first and d.chance(0.2):
        return leaf
    return ag.tensor(leaf, requires_grad=leaf.dtype.kind == "f" and not (vary and d.chance(0.3)))


def describe(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({', '.join(map(describe, value))})"
    if isinstance(value, (np.ndarray, ag.Tensor)):
        return f"{type(value).__name__} {value.dtype}{list(value.shape)}{value.tolist()}"
    return repr(value)


def all_verdicts(cases: int) -> Iterator[tuple[str, str, str]]:
    """Yield the function, the source and the verdict of each call; all functions take turns."""
    for i in range(cases):
        name = NAMES[i % len(NAMES)]
        yield name, *check(name, i // len(NAMES))


# --- the tests ------------------------------------------------------------------------------------


@pytest.mark.host
def test_functions_agree_with_numpy_or_are_unsupported(request: pytest.FixtureRequest) -> None:
    cases = request.config.getoption("--cases")
    counts: Counter[str] = Counter()
    agreeing_names, differences = set(), []
    for name, source, result in all_verdicts(cases):
        counts[result] += 1
        if result in (SAME, DERIVATIVES):
            agreeing_names.add(name)
        elif result != UNSUPPORTED:
            differences.append(f"{source}: {result}")
    assert not differences, "\n".join(differences)
    assert agreeing_names == set(NAMES) or cases < 10 * len(NAMES)
    assert counts[UNSUPPORTED] < 0.15 * cases
    assert counts[DERIVATIVES] > 0.15 * cases


@pytest.mark.host
def test_every_argument_can_be_drawn() -> None:
    for name in NAMES:
        d = Draw(np.random.default_rng(0))
        for option in options(name, len(required(name, d))):
            strategy(name, option)(d)


def as_array(t: Any) -> Any:
    return t.numpy() if isinstance(t, ag.Tensor) else t


WRONG_FUNCTIONS: dict[str, tuple[str, Any]] = {
    "ignores keepdims": ("sum", lambda a, *args, keepdims=None, **kw: np.sum(a, *args, **kw)),
    "ignores ddof": ("var", lambda a, *args, ddof=0, **kw: np.var(a, *args, **kw)),
    "returns an array": ("exp", lambda x, **kw: np.exp(as_array(x), **kw)),
    "returns another dtype": (
        "mean",
        lambda a, *args, **kw: ag.astype(np.mean(a, *args, **kw), "f4"),
    ),
    "returns another shape": (
        "flip",
        lambda m, *args, **kw: ag.reshape(np.flip(m, *args, **kw), -1),
    ),
    "is off by rounding": ("tanh", lambda x, **kw: np.tanh(x, **kw) * (1 + 1e-7)),
    "loses nan": ("sign", lambda x, **kw: ag.nan_to_num(np.sign(x, **kw))),
    "accepts too much": ("dot", lambda a, b, **kw: np.sum(np.multiply(a, b, **kw))),
    "fails by accident": ("cumsum", lambda a, *args, **kw: a.missing),
    "raises an error without a name": ("sort", lambda a, *args, **kw: int("sort")),
    "has a wrong gradient": ("sinh", lambda x, **kw: x + ag.tensor(as_array(np.sinh(x, **kw) - x))),
    "has no gradient": (
        "max",
        lambda a, *args, **kw: np.max(a, *args, **kw) * ag.tensor(1.0) ** 0 + 0 * np.sum(a),
    ),
}


@pytest.mark.host
@pytest.mark.parametrize("mistake", WRONG_FUNCTIONS)
def test_a_wrong_function_is_detected(mistake: str) -> None:
    name, function = WRONG_FUNCTIONS[mistake]
    results = [check(name, seed, function)[1] for seed in range(40)]
    assert set(results) - {SAME, UNSUPPORTED, DERIVATIVES}


def main(cases: int) -> None:
    ag.set_default_dtype(np.float64)
    counts: Counter[str] = Counter()
    for _, source, result in all_verdicts(cases):
        is_expected = result in (SAME, DERIVATIVES, UNSUPPORTED)
        counts[result if is_expected else "differences"] += 1
        if not is_expected or ("-v" in sys.argv and result == UNSUPPORTED):
            print(f"{source}: {result}")
    print(f"{len(NAMES)} functions, {counts.total()} calls: ", end="")
    print(", ".join(f"{n} {what}" for what, n in counts.most_common()))


if __name__ == "__main__":
    main(int(sys.argv[1]))
