"""Random graphs against PyTorch, in double precision: values, and gradients of two orders.

    python tests/autograd/test_against_pytorch.py 500

compares 500 graphs and prints the number of operations. `pytest --graphs 500` compares as many in
the test. Both require torch; without it the tests are skipped.
"""

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd as ag

torch: Any = pytest.importorskip("torch")

Pair = tuple[Any, Any]  # a value in autograd, and the equal value in PyTorch

# Operations of one value, of a value and an axis, and of two values that broadcast.
UNARY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "abs": (ag.abs, torch.abs),
    "arctan": (ag.arctan, torch.arctan),
    "clip": (lambda x: ag.clip(x, -0.5, 0.7), lambda x: torch.clip(x, -0.5, 0.7)),
    "cos": (ag.cos, torch.cos),
    "elu": (ag.elu, torch.nn.functional.elu),
    "erf": (ag.erf, torch.erf),
    "exp": (lambda x: ag.exp(-x * x), lambda x: torch.exp(-x * x)),
    "gelu": (ag.gelu, torch.nn.functional.gelu),
    "leaky_relu": (ag.leaky_relu, torch.nn.functional.leaky_relu),
    "log": (lambda x: ag.log(1 + x * x), lambda x: torch.log(1 + x * x)),
    "logsumexp of all": (ag.logsumexp, lambda x: torch.logsumexp(x.ravel(), 0)),
    "mean of all": (ag.mean, torch.mean),
    "power": (lambda x: (1 + x * x) ** -1.5, lambda x: (1 + x * x) ** -1.5),
    "ravel": (ag.ravel, torch.ravel),
    "relu": (ag.relu, torch.relu),
    "sigmoid": (ag.sigmoid, torch.sigmoid),
    "silu": (ag.silu, torch.nn.functional.silu),
    "sin": (ag.sin, torch.sin),
    # At 0 PyTorch's second derivative of sinc is nan.
    "sinc": (lambda x: ag.sinc(0.3 + x * x), lambda x: torch.sinc(0.3 + x * x)),
    "softplus": (ag.softplus, torch.nn.functional.softplus),
    "sqrt": (lambda x: ag.sqrt(1 + x * x), lambda x: torch.sqrt(1 + x * x)),
    "tanh": (ag.tanh, torch.tanh),
    "transpose": (ag.transpose, lambda x: x.permute(tuple(range(x.ndim))[::-1])),
    "where": (lambda x: ag.where(x > 0, x, x * x), lambda x: torch.where(x > 0, x, x * x)),
}
ALONG_AXIS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "concatenate": (lambda x, k: ag.concatenate([x, -x], k), lambda x, k: torch.cat([x, -x], k)),
    "cumprod": (ag.cumprod, torch.cumprod),
    "cumsum": (ag.cumsum, torch.cumsum),
    "diff": (
        lambda x, k: ag.diff(ag.concatenate([x, x * x], k), axis=k),
        lambda x, k: torch.diff(torch.cat([x, x * x], k), dim=k),
    ),
    "expand_dims": (ag.expand_dims, torch.unsqueeze),
    "flip": (ag.flip, lambda x, k: torch.flip(x, (k,))),
    "gather": (
        lambda x, k: ag.take_along_axis(x, ag.argsort(x, k), k),
        lambda x, k: torch.take_along_dim(x, torch.argsort(x, dim=k, stable=True), k),
    ),
    "log_softmax": (ag.log_softmax, torch.log_softmax),
    "logsumexp": (ag.logsumexp, torch.logsumexp),
    "max": (ag.max, torch.amax),
    "mean": (ag.mean, torch.mean),
    "min": (lambda x, k: ag.min(x, k, keepdims=True), lambda x, k: torch.amin(x, k, keepdim=True)),
    "moveaxis": (lambda x, k: ag.moveaxis(x, k, 0), lambda x, k: torch.moveaxis(x, k, 0)),
    "norm": (
        lambda x, k: ag.norm(1 + x * x, k),
        lambda x, k: torch.linalg.vector_norm(1 + x * x, dim=k),
    ),
    "pad": (
        lambda x, k: ag.pad(x, [(1, 2) if a == x.ndim - 1 else (0, 0) for a in range(x.ndim)]),
        lambda x, k: torch.nn.functional.pad(x, (1, 2)),
    ),
    "prod": (ag.prod, torch.prod),
    "repeat": (lambda x, k: ag.repeat(x, 2, k), lambda x, k: torch.repeat_interleave(x, 2, k)),
    "roll": (lambda x, k: ag.roll(x, 1, k), lambda x, k: torch.roll(x, 1, k)),
    "slice": (
        lambda x, k: x[(slice(None),) * k + (slice(None, None, 2),)],
        lambda x, k: x[(slice(None),) * k + (slice(None, None, 2),)],
    ),
    "softmax": (ag.softmax, torch.softmax),
    "sort": (ag.sort, lambda x, k: torch.sort(x, dim=k, stable=True).values),
    "split": (lambda x, k: ag.unstack(x, k)[-1], lambda x, k: torch.unbind(x, k)[-1]),
    "stack": (lambda x, k: ag.stack([x, x * x], k), lambda x, k: torch.stack([x, x * x], k)),
    "std": (
        lambda x, k: ag.std(ag.stack([x, x + 1], k), k),
        lambda x, k: torch.std(torch.stack([x, x + 1], k), k, correction=0),
    ),
    "sum": (lambda x, k: ag.sum(x, k, keepdims=True), lambda x, k: torch.sum(x, k, keepdim=True)),
    "take": (
        lambda x, k: ag.take(x, [0, -1, 0], k),
        lambda x, k: torch.index_select(x, k, torch.tensor([0, x.shape[k] - 1, 0])),
    ),
    "tril": (
        lambda x, k: ag.tril(ag.stack([x, x], -1), k - 1),
        lambda x, k: torch.tril(torch.stack([x, x], -1), k - 1),
    ),
    "var": (
        lambda x, k: ag.var(x, k, keepdims=True),
        lambda x, k: torch.var(x, k, keepdim=True, correction=0),
    ),
}
BINARY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "add": (ag.add, torch.add),
    "arctan2": (lambda a, b: ag.arctan2(a, 1 + b * b), lambda a, b: torch.arctan2(a, 1 + b * b)),
    "broadcast": (
        lambda a, b: ag.broadcast_to(a * b, (2, *(a * b).shape)),
        lambda a, b: torch.broadcast_to(a * b, (2, *(a * b).shape)),
    ),
    "divide": (lambda a, b: a / (2 + b * b), lambda a, b: a / (2 + b * b)),
    "einsum": (
        lambda a, b: ag.einsum("...,...->...", a, b),
        lambda a, b: torch.einsum("...,...->...", a, b),
    ),
    "hypot": (lambda a, b: ag.hypot(a, 1 + b * b), lambda a, b: torch.hypot(a, 1 + b * b)),
    "index_update": (
        lambda a, b: ag.index_update(a + 0 * b, (0,), 0.5) if (a + b).ndim else a,
        lambda a, b: (a + 0 * b).index_fill(0, torch.tensor([0]), 0.5) if (a + b).ndim else a,
    ),
    "logaddexp": (ag.logaddexp, torch.logaddexp),
    "matmul": (
        lambda a, b: ag.matmul(matrix(a), ag.swapaxes(matrix(a) * ag.mean(b), -1, -2)),
        lambda a, b: torch.matmul(matrix(a), torch.swapaxes(matrix(a) * torch.mean(b), -1, -2)),
    ),
    "maximum": (ag.maximum, torch.maximum),
    "minimum": (ag.minimum, torch.minimum),
    "multiply": (ag.multiply, torch.multiply),
    "outer": (
        lambda a, b: ag.outer(ag.ravel(a)[:3], ag.ravel(b)[:3]),
        lambda a, b: torch.outer(a.ravel()[:3], b.ravel()[:3]),
    ),
    "subtract": (ag.subtract, torch.subtract),
    "tensordot": (
        lambda a, b: ag.tensordot(matrix(a), matrix(a) * ag.mean(b), 2),
        lambda a, b: torch.tensordot(matrix(a), matrix(a) * torch.mean(b), 2),
    ),
    "where": (lambda a, b: ag.where(a > b, a, b), lambda a, b: torch.where(a > b, a, b)),
}


def matrix(a: Any) -> Any:
    """Return a value as a matrix."""
    return a.reshape(-1, a.shape[-1]) if a.ndim else a.reshape(1, 1)


def random_graph(
    rng: np.random.Generator, inputs: list[Pair], steps: int
) -> tuple[list[Pair], list[str]]:
    """Apply random operations to the inputs and results; return all values, and the names."""
    values, names = list(inputs), []
    while len(names) < steps:
        a = values[rng.integers(len(values))]
        operands = [b for b in values if broadcasts(a[0], b[0])]
        arguments, table = [a], UNARY
        if (kind := rng.random()) < 0.4:
            arguments, table = [a, operands[rng.integers(len(operands))]], BINARY
        elif kind < 0.8 and a[0].ndim:
            table = ALONG_AXIS
        name = sorted(table)[rng.integers(len(table))]
        axis = [int(rng.integers(a[0].ndim))] if table is ALONG_AXIS else []
        pair = tuple(
            f(*[value[i] for value in arguments], *axis) for i, f in enumerate(table[name])
        )
        if abs(pair[0].numpy()).max() > 4:  # keep values of the order of 1
            pair = ag.tanh(pair[0]), torch.tanh(pair[1])
        if pair[0].size <= 200 and pair[0].ndim <= 4:
            values.append((pair[0], pair[1]))
            names.append(name)
    return values, names


def broadcasts(a: Any, b: Any) -> bool:
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        return False
    return True


def compare(seed: int) -> list[str]:
    """Compare one graph in both libraries; return the names of its operations."""
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=rng.integers(1, 4, rng.integers(0, 4))) for _ in range(3)]
    inputs = [
        (ag.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)) for a in arrays
    ]
    values, names = random_graph(rng, inputs, int(rng.integers(4, 25)))
    for i, (x, y) in enumerate(values[len(inputs) :]):
        assert_close(x, y, f"graph {seed}, value {i}, {names[i]}")
    weights = [rng.normal(size=x.shape) for x, _ in values]
    loss: Any = sum((x * w).sum() for (x, _), w in zip(values, weights, strict=True))
    torch_loss: Any = sum(
        (y * torch.tensor(w)).sum() for (_, y), w in zip(values, weights, strict=True)
    )
    xs, ys = zip(*inputs, strict=True)
    for order in (1, 2):
        gradients = ag.gradients(loss, xs, create_graph=True, allow_unused=True)
        expected = torch.autograd.grad(torch_loss, ys, create_graph=True, allow_unused=True)
        for x, y, g, e in zip(xs, ys, gradients, expected, strict=True):
            assert_close(
                ag.zeros_like(x.detach()) if g is None else g,
                torch.zeros_like(y) if e is None else e,
                f"graph {seed}, gradient of order {order}: {' '.join(names)}",
            )
        loss = sum((g * g).sum() for g in gradients if g is not None)
        torch_loss = sum((e * e).sum() for e in expected if e is not None)
        if not loss.requires_grad:
            break
    return names


def assert_close(actual: Any, expected: Any, message: str) -> None:
    x, y = actual.numpy(), expected.detach().numpy(force=True)
    scale = abs(y).max(initial=1)
    np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9 * scale, err_msg=message)


@pytest.mark.host
def test_random_graphs_equal_pytorch(request: pytest.FixtureRequest) -> None:
    count = request.config.getoption("--graphs")
    used = main(count)
    assert used.keys() == {*UNARY, *ALONG_AXIS, *BINARY} or count < 100


@pytest.mark.host
def test_a_wrong_gradient_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(UNARY, "tanh", (lambda x: ag.tanh(x.detach()) + x - x.detach(), torch.tanh))
    with pytest.raises(AssertionError, match="gradient of order 1"):
        main(100)


def main(count: int) -> Counter[str]:
    """Compare graphs, print the number of operations, and return the number of each operation."""
    operations: Counter[str] = Counter()
    for seed in range(count):
        operations.update(compare(seed))
    print(f"{count} graphs of {operations.total()} operations of {len(operations)} kinds agree")
    return operations


if __name__ == "__main__":
    main(int(sys.argv[1]))
