"""Examples from NumPy's docstrings, with Tensors instead of arrays.

Each example runs twice: with NumPy, and in a namespace whose `np` returns Tensors wherever NumPy
returns arrays of numbers. Both results must be equal, or the second run must raise a clear error.

    python tests/autograd/numpy_protocol/test_numpy_docstrings.py [-v]

prints the counts, and with -v each unsupported example.
"""

import ast
import copy
import doctest
import io
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache, partial
from inspect import signature
from typing import Any

import numpy as np
import pytest
from differential import PROTOCOL, SAME, UNSUPPORTED, outcome, verdict

import autograd as ag

STATEMENT = "statement"  # sets a variable, without a result
SKIPPED = "not applicable"

# Examples about behavior of arrays that Tensors do not have by design.
NOT_APPLICABLE = {
    "np.empty_like(": "the values are undefined",
    "np.einsum('ii->i', a)[:] = 1": "a result is never a view",
    "v[0,1] = 10": "a result is never a view",
}
# The namespace defines `np`; the other examples need much time or memory.
IGNORED_SOURCES = (
    *("import numpy as np", "for iteration in range(500):", "t1 = timeit(", "t2 = timeit("),
    *("np.shares_memory(x1, x2", "x = np.zeros([192163377]", "x1 = as_strided", "x2 = as_strided"),
)

# --- NumPy with Tensors ---------------------------------------------------------------------------


class SeededNumPy:
    """NumPy, with the same random numbers in each run."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._original, name)
        if name == "default_rng":
            return lambda seed=0: self._result(np.random.default_rng(seed))
        nested = name in ("lib", "linalg", "random", "stride_tricks")
        return type(self)(value) if nested else self._result(value)

    def _result(self, value: Any) -> Any:
        return value


class TensorNumPy(SeededNumPy):
    """NumPy, with Tensors for arrays in arguments and results."""

    def __getitem__(self, index: Any) -> Any:
        return as_tensors(self._original[index])

    def _result(self, value: Any) -> Any:
        if any(value is grid for grid in (np.c_, np.mgrid, np.ogrid, np.r_)):
            return TensorNumPy(value)
        if isinstance(value, np.random.Generator):
            return TensorNumPy(value)
        return _on_tensors(value) if callable(value) and not isinstance(value, type) else value


@cache
def _on_tensors(function: Any) -> Any:
    return lambda *args, **options: as_tensors(function(*_with_tensors(function, args), **options))


def as_tensors(value: Any) -> Any:
    """Replace arrays of numbers by Tensors."""

    def as_tensor(leaf: Any) -> Any:
        return ag.tensor(leaf) if type(leaf) is np.ndarray and leaf.dtype.kind in "biuf" else leaf

    return ag.tree_map(as_tensor, value)


ARRAYS = {*("a", "A", "array", "arr", "ary", "b", "f", "m", "v", "val", "x", "x1", "x2", "z")}
LISTS_OF_ARRAYS = {"arrays", "arys", "choicelist", "condlist", "tup"}


def _with_tensors(function: Any, args: Any) -> Any:
    """Return the arguments of a function of the protocol, with Tensors for lists and numbers."""
    if function not in PROTOCOL.values():
        return args
    unary = isinstance(outcome(lambda: signature(function)), Exception)  # in C, before NumPy 2.4
    names = ["x"] if unary else list(signature(function).parameters)
    names += names[-1:] * len(args)
    return [_argument(name, value) for name, value in zip(names, args, strict=False)]


def _argument(name: str, value: Any) -> Any:
    if name in LISTS_OF_ARRAYS and isinstance(value, (list, tuple)):
        return [_argument("a", item) for item in value]
    is_list = name in ARRAYS and isinstance(value, (list, tuple, int, float))
    array = outcome(lambda: np.asarray(value)) if is_list else value
    return value if isinstance(array, Exception) else as_tensors(array)


# --- running the examples -------------------------------------------------------------------------


def verdicts(function: Any) -> Iterator[tuple[str, str]]:
    """Yield the source of each example of a function, and its verdict."""
    with_numpy: dict[str, Any] = {"np": SeededNumPy(np)}
    with_tensors: dict[str, Any] = {"np": TensorNumPy(np)}
    stale: set[str] = set()  # variables that only the run with NumPy has set or modified
    for example in doctest.DocTestParser().get_examples(function.__doc__ or ""):
        source = example.source.strip()
        if source.startswith(IGNORED_SOURCES):
            continue
        before = with_numpy | copy.deepcopy(arrays_in(with_numpy))
        expected = outcome(partial(run, source, with_numpy))
        actual = outcome(partial(run, source, with_tensors))
        names = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
        read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
        result = verdict(expected, actual, plain=True)
        if expected is actual is None:
            result = STATEMENT
        not_run = isinstance(expected, Exception) and example.exc_msg is None  # needs a package
        if not_run or any(part in source for part in NOT_APPLICABLE):
            result = SKIPPED
        if read & stale and result not in (SAME, UNSUPPORTED):
            result = SKIPPED
        changed = {name for name, v in with_numpy.items() if differs(before.get(name, run), v)}
        stale = stale - changed if result in (SAME, STATEMENT) else stale | changed
        yield source, result


def run(source: str, namespace: dict[str, Any]) -> Any:
    """Execute the source; return the value of its last expression, None without one."""
    np.random.seed(0)  # noqa: NPY002  # the examples use the old functions
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with redirect_stdout(io.StringIO()):
        exec(compile(tree, "<example>", "exec"), namespace)
        if last is not None:
            return eval(compile(ast.Expression(last.value), "<example>", "eval"), namespace)
    return None


def arrays_in(namespace: dict[str, Any]) -> dict[str, Any]:
    return {name: v for name, v in namespace.items() if isinstance(v, np.ndarray)}


def differs(before: Any, after: Any) -> bool:
    """True if a variable was set or modified."""
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        return before.shape != after.shape or bool((before != after).any())
    return before is not after


def all_verdicts() -> Iterator[tuple[str, str, str]]:
    for name, function in sorted(PROTOCOL.items()):
        for source, result in verdicts(function):
            yield name, source, result


@pytest.mark.host
def test_numpys_examples_agree_or_are_unsupported() -> None:
    counts: Counter[str] = Counter()
    wrong = []
    for name, source, result in all_verdicts():
        counts[result] += 1
        if result not in (SAME, UNSUPPORTED, SKIPPED, STATEMENT):
            wrong.append(f"{name}: {source}: {result}")
    assert not wrong, "\n".join(wrong)
    assert counts[SAME] > 800
    assert counts[UNSUPPORTED] + counts[SKIPPED] < 200


EXAMPLES = """
>>> x = np.ones(2)
>>> x + 1
>>> x.missing()
>>> np.fft.fft(x)
>>> y = np.fft.fft(x)
>>> y + 1
>>> type(x).__name__
"""


@pytest.mark.host
def test_each_example_has_a_verdict() -> None:
    class Function:
        __doc__ = EXAMPLES

    results = [result for _, result in verdicts(Function)]
    assert results[:2] == [STATEMENT, SAME]
    assert results[2] == SKIPPED  # NumPy fails too
    assert results[3:6] == [UNSUPPORTED, UNSUPPORTED, SKIPPED]
    assert "'ndarray', but 'Tensor'" in results[6]


def main() -> None:
    counts: Counter[str] = Counter()
    for name, source, result in all_verdicts():
        is_expected = result in (SAME, UNSUPPORTED, SKIPPED, STATEMENT)
        counts[result if is_expected else "different"] += 1
        if not is_expected or ("-v" in sys.argv and result in (UNSUPPORTED, SKIPPED)):
            print(f"{name}: {source}: {result}")
    print(f"{len(PROTOCOL)} functions, {counts.total()} examples: ", end="")
    print(", ".join(f"{n} {what}" for what, n in counts.most_common()))


if __name__ == "__main__":
    main()
