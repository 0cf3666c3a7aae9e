"""Attention: equations, finite differences, ragged memories, PyTorch, errors."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from recurrences import assert_close, sum_of_squares

import autograd as ag
from autograd.testing import check_gradients
from tinygrad_rnn import nn

# --- the equations, for one query q and one step h of a memory ------------------------------------

SCORES: dict[str, Any] = {
    "base": lambda w, q, h: q @ h,
    "dot": lambda w, q, h: q @ h,
    "scaled": lambda w, q, h: q @ h / math.sqrt(len(q)),
    "general": lambda w, q, h: q @ w["W.weight"] @ h,
    "additive": lambda w, q, h: w["v.weight"][0] @ np.tanh(w["W.weight"] @ q + w["U.weight"] @ h),
}
MAKE: dict[str, Any] = {
    "base": nn.Attention,
    "dot": nn.DotAttention,
    "scaled": lambda Q, C, batch_first: nn.DotAttention(Q, C, True, batch_first),
    "general": nn.GeneralAttention,
    "additive": lambda Q, C, batch_first: nn.AdditiveAttention(Q, C, 3, batch_first),
}
SIZES_MAY_DIFFER = ("general", "additive")
all_kinds = pytest.mark.parametrize("kind", SCORES)


class Case(NamedTuple):
    """Attention module, queries (T', B, Q) and memory (T, B, C)."""

    kind: str
    attention: nn.Attention
    query: np.ndarray
    memory: np.ndarray
    lengths: list[int] | None


def make_case(
    kind: str = "additive",
    queries: int = 2,
    T: int = 4,
    B: int = 3,
    Q: int = 2,
    C: int = 3,
    lengths: list[int] | None = None,
    batch_first: bool = False,
    seed: int = 0,
) -> Case:
    rng = np.random.default_rng(seed)
    C = C if kind in SIZES_MAY_DIFFER else Q
    attention = MAKE[kind](Q, C, batch_first=batch_first).to("float64")
    query, memory = rng.normal(size=(queries, B, Q)), rng.normal(size=(T, B, C))
    return Case(kind, attention, query, memory, lengths)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    queries, T, B, Q, C = (draw(st.integers(1, 4)) for _ in range(5))
    lengths = draw(st.none() | st.lists(st.integers(0, T), min_size=B, max_size=B))
    kind, batch_first = draw(st.sampled_from(list(SCORES))), draw(st.booleans())
    seed = draw(st.integers(0, 2**32 - 1))
    return make_case(kind, queries, T, B, Q, C, lengths, batch_first, seed)


def run(case: Case, memory: Any = None) -> tuple[ag.Tensor, ag.Tensor]:
    """Return contexts (T', B, C) and weights (B, T', T)."""
    query, memory = ag.tensor(case.query), ag.tensor(case.memory) if memory is None else memory
    if case.attention.batch_first:
        query, memory = query.swapaxes(0, 1), memory.swapaxes(0, 1)
    context, weights = case.attention(query, memory, case.lengths)
    return (context.swapaxes(0, 1) if case.attention.batch_first else context), weights


def expected(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Return the result of `run` by the equations, one query and one sequence at a time."""
    (queries, B, _), (T, _, C) = case.query.shape, case.memory.shape
    contexts, weights = np.zeros((queries, B, C)), np.zeros((B, queries, T))
    parameters = case.attention.state_dict()
    for b, n in enumerate([T] * B if case.lengths is None else case.lengths):
        for i in range(queries if n else 0):
            hs = case.memory[:n, b]
            e = np.array([SCORES[case.kind](parameters, case.query[i, b], h) for h in hs])
            weights[b, i, :n] = np.exp(e) / np.exp(e).sum()
            contexts[i, b] = weights[b, i, :n] @ hs
    return contexts, weights


@given(cases())
@example(make_case(lengths=[0, 0, 0]))
def test_contexts_and_weights_follow_the_equations(case: Case) -> None:
    for actual, reference in zip(run(case), expected(case), strict=True):
        assert_close(actual, reference)


@all_kinds
def test_every_attention_follows_its_equations(kind: str) -> None:
    case = make_case(kind, lengths=[4, 0, 2])
    for actual, reference in zip(run(case), expected(case), strict=True):
        assert_close(actual, reference)


def test_shapes_of_parameters() -> None:
    def shapes(attention: nn.Attention) -> list[tuple[int, ...]]:
        return [parameter.shape for parameter in attention.parameters()]

    assert shapes(nn.GeneralAttention(2, 3)) == [(2, 3)]
    assert shapes(nn.AdditiveAttention(2, 3)) == [(2, 2), (2, 3), (1, 2)]
    assert shapes(nn.AdditiveAttention(2, 3, 4)) == [(4, 2), (4, 3), (1, 4)]


@all_kinds
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_single_query_per_sequence(kind: str, batch_first: bool) -> None:
    case = make_case(kind, queries=1, lengths=[4, 0, 2], batch_first=batch_first)
    memory = case.memory.swapaxes(0, 1) if batch_first else case.memory
    context, weights = case.attention(case.query[0], ag.tensor(memory), case.lengths)
    assert_close(context, run(case)[0][0])
    assert_close(weights, run(case)[1][:, 0])


@all_kinds
def test_prepare(kind: str) -> None:
    case = make_case(kind, lengths=[4, 0, 2])
    prepared = case.attention.prepare(ag.tensor(case.memory), case.lengths)
    ag.tree_map(assert_close, case.attention(case.query, prepared), run(case))


@all_kinds
def test_derivatives_to_second_order(kind: str) -> None:
    """Derivatives are with respect to queries, memory and weights. One length is 0."""
    case = make_case(kind, T=3, lengths=[2, 0, 3])
    linears = [module for module in case.attention.modules() if isinstance(module, nn.Linear)]

    def attend(query: Any, memory: Any, *weights: Any) -> Any:
        for linear, weight in zip(linears, weights, strict=True):
            linear.weight = weight
        return case.attention(query, memory, case.lengths)

    check_gradients(attend, case.query, case.memory, *(linear.weight for linear in linears))


# Ragged memories


@given(cases(), st.sampled_from([0.0, 1e30, np.nan, np.inf]))
def test_padding_does_not_affect_results(case: Case, padding: float) -> None:
    T, B, _ = case.memory.shape
    lengths = np.array([T] * B if case.lengths is None else case.lengths)
    is_padding = np.arange(T)[:, None] >= lengths
    memories = []
    for value in (padding, 7.0):
        padded = case.memory.copy()
        padded[is_padding] = value
        memories.append(ag.tensor(padded, requires_grad=True))
    results = [run(case, memory) for memory in memories]
    for actual, reference in zip(*results, strict=True):
        np.testing.assert_array_equal(actual.numpy(), reference.numpy())
    weights = results[0][1].numpy()
    assert not weights.swapaxes(0, 2)[is_padding[:, None] & np.ones_like(weights.T, bool)].any()
    np.testing.assert_allclose(weights.sum(2)[lengths > 0], 1, rtol=1e-12)

    gradients = []
    for (context, weights_), memory in zip(results, memories, strict=True):
        case.attention.zero_grad()
        sum_of_squares(context, weights_).backward()
        gradients.append([memory.grad, *(p.grad for p in case.attention.parameters())])
    for actual, reference in zip(*gradients, strict=True):
        np.testing.assert_array_equal(actual.numpy(), reference.numpy())
    assert not gradients[0][0].numpy()[is_padding].any()


@pytest.mark.filterwarnings("error")
def test_extreme_scores() -> None:
    """The cases include half precision. A step beyond the length has the largest score."""
    for dtype, size in (("float16", 100.0), ("float32", 1e18), ("float64", 1e150)):
        memory = ag.tensor(np.array([[[-size]], [[size]], [[size]]]).astype(dtype))
        query = ag.tensor(np.array([[1.0]]).astype(dtype))
        context, weights = nn.DotAttention(1, 1)(query, memory, [2])
        assert weights.tolist() == [[0, 1, 0]]
        assert context.dtype == dtype
        context, weights = nn.DotAttention(1, 1)(query, memory, [1])
        assert weights.tolist() == [[1, 0, 0]]


# PyTorch


@given(cases())
def test_scaled_dot_attention_equals_pytorch(case: Case) -> None:
    torch = pytest.importorskip("torch")
    case = make_case("scaled", *case.query.shape[:1], *case.memory.shape, lengths=case.lengths)
    query, memory = (torch.tensor(x.swapaxes(0, 1)) for x in (case.query, case.memory))
    mask = None
    if case.lengths is not None:
        step_mask = np.arange(len(case.memory)) < np.array(case.lengths)[:, None]
        mask = torch.tensor(step_mask)[:, None]
    reference = torch.nn.functional.scaled_dot_product_attention(query, memory, memory, mask)
    actual = run(case)[0].numpy()
    # PyTorch returns nan or 0 for sequences of length 0.
    nonempty = np.array(case.lengths or [1] * actual.shape[1]) > 0
    assert_close(actual[:, nonempty], reference.numpy().swapaxes(0, 1)[:, nonempty])


# Errors


@pytest.mark.parametrize(
    ("attend", "message"),
    [
        (lambda: nn.DotAttention(2, 4), "got 2 and 4; use GeneralAttention for different sizes"),
        (
            lambda: attend_to_zeros(memory=(4, 3)),
            r"\(T, B, C\) with C = memory_size = 2, got \(4, 3\)",
        ),
        (lambda: attend_to_zeros(memory=(4, 3, 1)), r"memory_size = 2, got \(4, 3, 1\)"),
        (lambda: attend_to_zeros(memory=(0, 3, 2)), "at least one step"),
        (lambda: attend_to_zeros(lengths=[4]), r"each of the 3 sequences, got shape \(1,\)"),
        (lambda: attend_to_zeros(lengths=[4, 2.5, 0]), r"one integer .*, got shape \(3,\) float"),
        (
            lambda: attend_to_zeros(lengths=[4, 5, 0]),
            "between 0 and the 4 steps of the memory, got 0 to 5",
        ),
        (lambda: attend_to_zeros(lengths=[4, -1, 0]), "got -1 to 4"),
        (
            lambda: attend_to_zeros(query=(2, 2)),
            r"batch size 3 and query_size = 2, got shape \(2, 1, 2\)",
        ),
        (lambda: attend_to_zeros(query=(3, 1)), r"query_size = 2, got shape \(3, 1, 1\)"),
        (lambda: attend_to_zeros(query=(3,)), r"got shape \(3,\) with the batch first"),
    ],
)
def test_errors(attend: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attend()


def attend_to_zeros(
    query: tuple[int, ...] = (3, 2),
    memory: tuple[int, ...] = (4, 3, 2),
    lengths: list[int] | None = None,
) -> Any:
    return nn.DotAttention(2, 2)(ag.zeros(query), ag.zeros(memory), lengths)
