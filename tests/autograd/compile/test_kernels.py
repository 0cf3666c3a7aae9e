"""Fused kernels: their expressions equal the primitives, and the CUDA compiler accepts them."""

import functools
import random
from collections.abc import Callable
from typing import Any

import host_kernels
import numpy as np
import nvrtc
import pytest
from compiled import Problem, check, problem, values
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from random_cells import random_cell
from recurrences import KINDS

import autograd as ag
from autograd.compile.executors.c_expressions import TABLE, statement
from autograd.compile.executors.cuda import FusedKernel
from autograd.compile.ir import Op, Value
from autograd.compile.keys import Reference
from autograd.compile.tracing import OperationLog
from autograd.ops.selection import product_or_zero

compiling = pytest.mark.skipif(host_kernels.COMPILER is None, reason="there is no C++ compiler")

# --- the table ------------------------------------------------------------------------------------

Function = Callable[..., Any]
FLOATS, OTHERS = ("float32", "float64"), ("float16", "int8", "int32", "int64", "uint8", "bool")
MIXED = [
    *[("float32", "float64"), ("float16", "float32"), ("int32", "float32"), ("float64", "bool")],
    *[("int8", "uint8"), ("bool", "int32"), ("float16", "int64")],
]
SOME = [
    "add",
    "divide",
    "maximum",
    "power",
    "copysign",
    "logaddexp",
    "less",
    "equal",
    "logical_and",
]
UNSIGNED_ZERO = {
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "relu",
    "clip",
}  # the result for 0.0 and -0.0 may have either sign


def functions() -> dict[str, tuple[Function, int]]:
    """Return operations for the entries of the table, and their numbers of array arguments."""
    found: dict[str, tuple[Function, int]] = {
        p.name: (getattr(ag, p.name, None) or product_or_zero, len(p.arguments))
        for p in TABLE
        if p.name not in ("clip", "round", "astype", "where")
    }
    for name in SOME:
        for n in (0.1, -0.0, 2, np.inf, np.nan, True):
            f = found[name][0]
            found[f"{name}(a, {n!r})"] = (lambda a, f=f, n=n: f(a, n), 1)
            found[f"{name}({n!r}, b)"] = (lambda b, f=f, n=n: f(n, b), 1)
    for ends in [(-0.5, 1.5), (None, 0), (0, None), (2, 1), (-np.inf, 1e300)]:
        found[f"clip{ends}"] = (lambda x, ends=ends: ag.clip(x, *ends), 1)
    for dtype in (*FLOATS, *OTHERS):
        found[f"astype({dtype})"] = (lambda x, d=dtype: ag.astype(x, np.dtype(d)), 1)
    found["round"] = (ag.round, 1)
    found["where"] = (lambda a, b: ag.where(a > b, a, b), 2)
    found["where(a, b, 0.1)"] = (lambda a, b: ag.where(a, b, 0.1), 2)
    found["where(a, -inf, b)"] = (lambda a, b: ag.where(a, -np.inf, b), 2)
    return found


def kinds(count: int) -> list[tuple[str, ...]]:
    """Return dtypes of `count` arguments: of one kind, and mixed."""
    same = [(dtype,) * count for dtype in (*FLOATS, *OTHERS)]
    return same + [kind for kind in MIXED if len(kind) == count]


FUNCTIONS = functions()


def singular(dtype: Any) -> np.ndarray:
    """Return values at which functions may be singular."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind in "iu":
        ends = np.iinfo(dtype)
        return np.array([0, 1, 2, 3, 100, ends.max, ends.min, ends.min + 1], dtype)
    about = np.finfo(dtype)
    some = [0.0, about.tiny, about.eps, 0.1, 0.5, 1, 1.5, 2, 3, 10, 80, 100, 1000, about.max / 2]
    return np.array([*some, *(-x for x in some), np.inf, -np.inf, np.nan]).astype(dtype)


def ops_of(function: Function, dtypes: tuple[str, ...]) -> tuple[list[Op], list[Value]] | None:
    """Return the operations of a function, and its arguments; None if it rejects the dtypes."""
    log = OperationLog(ag.backend.get("cpu"))
    inputs = [log.add_input(np.ones(2, dtype)) for dtype in dtypes]
    try:
        with np.errstate(all="ignore"):
            function(*map(ag.Tensor, inputs))
    except (TypeError, OverflowError):
        return None
    values = [Value(i, array.shape, array.dtype) for i, array in enumerate(log.arrays)]
    ops = [
        Op(
            entry.primitive,
            tuple([values[x] if type(x) is Reference else x for x in entry.args]),
            entry.static,
            tuple(values[entry.first : entry.first + entry.outputs]),
        )
        for entry in log.entries
    ]
    return ops, values[: len(inputs)]


def kernel_of(
    function: Function, dtypes: tuple[str, ...], name: str = "kernel"
) -> FusedKernel | None:
    """Return a function as a kernel; None if it has none for these dtypes."""
    found = ops_of(function, dtypes)
    if found is None:
        return None
    ops, inputs = found
    if not ops or any(statement(op) is None for op in ops):
        return None
    return FusedKernel(name, ops, inputs, ops[-1].outs)


@functools.cache
def kernels() -> dict[tuple[str, tuple[str, ...]], host_kernels.Kernel]:
    """Return the kernels of all functions, which the first call compiles together."""
    found = {}
    for name, (function, count) in FUNCTIONS.items():
        for dtypes in kinds(count):
            kernel = kernel_of(function, dtypes, f"kernel{len(found)}")
            if kernel is not None:
                texts = kernel.inputs, kernel.outputs, kernel.code, kernel.name
                found[name, dtypes] = host_kernels.Kernel(*texts)
    return found


def compare(name: str, *given: np.ndarray) -> None:
    """Check that the result of a kernel equals the result on NumPy."""
    with np.errstate(all="ignore"):
        expected = FUNCTIONS[name][0](*given)
    actual = np.empty(expected.shape, expected.dtype)
    kernels()[name, tuple(x.dtype.name for x in given)](*given, actual)
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(actual, expected)
        return
    about = np.finfo(expected.dtype)
    error = 8 * about.eps
    rounded = error if name.startswith(("logaddexp", "softplus")) else 0  # near a result of 0
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(actual, expected, rtol=error, atol=rounded + about.tiny)
    zeros = (expected == 0) & (actual == 0)
    if name.partition("(")[0] not in UNSIGNED_ZERO:
        np.testing.assert_array_equal(np.signbit(actual[zeros]), np.signbit(expected[zeros]))


@compiling
@pytest.mark.host
@pytest.mark.parametrize("name", FUNCTIONS)
def test_singular_values(name: str) -> None:
    for dtypes in kinds(FUNCTIONS[name][1]):
        if (name, dtypes) in kernels():
            grid = np.meshgrid(*map(singular, dtypes))
            compare(name, *map(np.ascontiguousarray, grid))


@pytest.mark.host
@pytest.mark.parametrize("name", FUNCTIONS)
def test_floating_operations_have_kernels(name: str) -> None:
    whole = name.startswith(("bitwise", "invert", "astype(int", "astype(uint"))
    for dtype in (*FLOATS, "float16"):
        dtypes = (dtype,) * FUNCTIONS[name][1]
        kernel = kernel_of(FUNCTIONS[name][0], dtypes)
        assert (kernel is None) == (whole or name == f"astype({dtype})")


@compiling
@pytest.mark.host
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if "(" not in name])
@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
def test_ordinary_values(name: str, dtype: str, data: st.DataObject) -> None:
    count = FUNCTIONS[name][1]
    width = int(dtype.removeprefix("float"))
    elements = st.floats(-100, 100, width=width) | st.floats(width=width, allow_subnormal=False)
    if (name, (dtype,) * count) in kernels():
        compare(name, *[data.draw(arrays(dtype, 8, elements=elements)) for _ in range(count)])


@pytest.mark.host
def test_what_means_something_else_in_c_is_no_kernel() -> None:
    cases: list[tuple[Function, list[str]]] = [
        (lambda x: ag.astype(x, np.dtype("int32")), ["float32"]),
        (ag.power, ["int64", "int64"]),
        (ag.equal, ["int64", "uint64"]),
        (ag.floor_divide, ["int64", "int64"]),
        (ag.remainder, ["int64", "int64"]),
        (lambda x: ag.clip(x, 0, np.nan), ["float32"]),
        (lambda x: x + (1 << 31), ["int64"]),
        (ag.tanh, ["longdouble"]),
    ]
    for function, dtypes in cases:
        assert kernel_of(function, dtypes) is None
    assert kernel_of(ag.equal, ["int64", "int32"]) is not None


# --- plans ----------------------------------------------------------------------------------------


def lstm(W: Any, U: Any) -> Callable[[Any, Any], Any]:
    def step(state: Any, x: Any) -> Any:
        h, c = state
        i, f, g, o = ag.split(ag.linear(x, W) + ag.linear(h, U), 4, axis=-1)
        c = ag.sigmoid(f) * c + ag.sigmoid(i) * ag.tanh(g)
        h = ag.sigmoid(o) * ag.tanh(c)
        return (h, c), h

    return step


def section(plan: Any, title: str) -> list[str]:
    """Return the operations of a section, without the operations inside kernels."""
    (text,) = [part for part in str(plan).split("\n\n") if part.startswith(title)]
    return [line for line in text.split("\n")[1:] if line[4] != " "]


@pytest.mark.host
def test_a_step_of_an_lstm_is_one_product_and_one_kernel() -> None:
    W, U = values(12, 2), values(12, 3)
    state = values(4, 3), values(4, 3)
    plan = ag.explain(lstm(W, U), state, values(5, 4, 2), device="cuda")
    for direction, product in (("forward", "linear"), ("backward", "matmul")):
        calls = [
            text for text in section(plan, f"{direction}, at every step") if " split(" not in text
        ]
        calls = [text for text in calls if " concatenate(" not in text]  # the kernel writes there
        assert len(calls) == 2, calls
        assert sum(f" {product}(" in text for text in calls) == 1
        assert sum(f" {direction}" in text for text in calls) == 1


@pytest.mark.host
def test_the_plan_of_another_device() -> None:
    step, state, xs = lstm(values(12, 2), values(12, 3)), (values(4, 3),) * 2, values(5, 4, 2)
    assert not ag.explain(step, state, xs).kernels
    assert str(ag.explain(step, state, xs, device="cpu")) == str(ag.explain(step, state, xs))
    plan = ag.explain(step, state, xs, device="cuda:0")
    assert plan.kernels
    for kernel in plan.kernels:
        assert str(kernel) in str(plan)
    with pytest.raises(ValueError, match=r"'cpu' or 'cuda', got 'tpu'"):
        ag.explain(step, state, xs, device="tpu")
    ag.scan(step, state, xs)  # uses the plan of NumPy
    assert not ag.explain(step, state, xs).kernels


@compiling
@pytest.mark.parametrize("size", [3, 60])
def test_operations_without_an_expression_run_between_kernels(size: int) -> None:
    @ag.primitive(x=lambda g, x: g * 3 * x * x)
    def cube(xp: Any, x: Any) -> Any:
        return x * x * x

    def make() -> Problem:
        W = values(size, size)

        def step(h: Any, x: Any) -> Any:
            a = cube(ag.tanh(x) * 0.5 + h)
            return ag.linear(h, W / size) + ag.sigmoid(a) * h, ag.relu(a) - h

        carry, xs = values(2, size), values(5, 2, size)
        return Problem(step, carry, xs, [carry, xs, W])

    check(make)
    text = str(make().explain())
    assert ("= forward" in text) == ag.backend.current().supports_kernels
    assert "= cube(" in text


@compiling
def test_more_arrays_than_a_kernel_may_have() -> None:
    def make() -> Problem:
        weights = [values(2) for _ in range(150)]

        def step(h: Any, x: Any) -> Any:
            total = h
            for w in weights:
                total = 0.9 * total + w * x
            return ag.tanh(total), None

        return problem(step, *weights)

    check(make)


@compiling
def test_values_that_are_read_in_another_order() -> None:
    def make() -> Problem:
        def step(h: Any, x: Any) -> Any:
            a = ag.tanh(h + x)
            b = a[:, ::-1] * h + a * h[:, :1]
            c = ag.sigmoid(b + a.T[:2].T) * a[:, 1:]
            d = h - x  # has no other reader: its buffer is reused
            d = d[:, ::-1] + 0.2 * x
            return 0.5 * c + 0.3 * d[:, ::-1] + 0.1 * ag.broadcast_to(b[:1], b.shape), b

        return problem(step)

    check(make)


# --- CUDA's compiler ------------------------------------------------------------------------------

cuda = pytest.mark.skipif(nvrtc.library() is None, reason="NVRTC is not installed")


def check_compilation(kernels: list[FusedKernel]) -> None:
    """Check that NVRTC compiles kernels."""
    assert kernels
    text = "".join(
        f"namespace number{n} {{{nvrtc.source(kernel)}}}\n"  # the names of kernels are not unique
        for n, kernel in enumerate(kernels)
    )
    assert nvrtc.compiler_errors(nvrtc.PRELUDE + text) == ""


@cuda
@pytest.mark.host
@pytest.mark.parametrize("kind", KINDS)
def test_nvrtc_compiles_the_kernels_of_every_cell(kind: str) -> None:
    kernels = []
    for dtype in ("float16", "float32", "float64"):
        cell = KINDS[kind].make(2, 3, dtype=dtype, **KINDS[kind].options)
        x, lengths = ag.zeros((5, 4, 2), dtype=dtype), [5, 4, 0, 3]
        state = ag.tree_map(lambda leaf: leaf.requires_grad_(), cell.initial_state(4))
        for n in (None, lengths):
            options = {"precompute": cell.precompute, "lengths": n}
            kernels += ag.explain(cell.step, state, x, device="cuda", **options).kernels
    check_compilation(kernels)


@cuda
@pytest.mark.host
def test_nvrtc_compiles_the_kernels_of_random_cells() -> None:
    rng = random.Random(0)
    kernels = []
    for _ in range(20):
        step, carry, xs, _, options = random_cell(rng).make(rng.choice(FLOATS))
        kernels += ag.explain(step, carry, xs, device="cuda", **options).kernels
    check_compilation(kernels)


@cuda
@pytest.mark.host
def test_nvrtc_compiles_every_expression() -> None:
    kernels = [
        kernel_of(function, dtypes)
        for name, (function, count) in FUNCTIONS.items()
        for dtypes in kinds(count)
        if "(" not in name
    ]
    check_compilation([kernel for kernel in kernels if kernel is not None])


@cuda
@pytest.mark.host
def test_nvrtc_rejects_an_unknown_function() -> None:
    kernel = kernel_of(ag.tanh, ("float32",))
    assert kernel is not None
    assert nvrtc.compiler_errors(nvrtc.PRELUDE + nvrtc.source(kernel)) == ""
    kernel.code = kernel.code.replace("tanh", "tahn")
    assert "tahn" in nvrtc.compiler_errors(nvrtc.PRELUDE + nvrtc.source(kernel))
