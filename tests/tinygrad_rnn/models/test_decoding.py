"""Decoding: sampling, greedy search and beam search, against counts and exhaustive search."""

import itertools
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from helpers import on_device, on_host
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import autograd as ag
from tinygrad_rnn.models import DecodedSequence, LanguageModel, beam_search, sample
from tinygrad_rnn.models.decoding import (
    generate_tokens,
    length_penalty,
    sample_tokens,
    sampling_distribution,
)

END = 0
seeds = st.integers(0, 2**32 - 1)
alphas = st.floats(0, 2)


class Tree:
    """A model of V symbols with random logits for every sequence of up to `depth` symbols.

    The state is the index of the current sequence.
    """

    def __init__(self, V: int, depth: int, seed: int) -> None:
        self.V, self.steps = V, 0
        count = sum(V**n for n in range(depth + 2))
        self.scores = np.random.default_rng(seed).normal(0, 2, (count, V))

    def step(self, state: Any, tokens: Any) -> tuple[Any, Any]:
        self.steps += 1
        (sequence,) = state
        sequence = sequence * self.V + tokens + 1
        return (sequence,), ag.take(ag.tensor(self.scores), sequence, 0)

    def start(self, B: int) -> tuple[Any, list[int]]:
        """Return a state and start symbols."""
        return (ag.zeros(B, "int64"),), [b % self.V for b in range(B)]

    def log_p(self, start: int, tokens: tuple[int, ...]) -> float:
        """Return the log-probability of the tokens."""
        total, sequence = 0.0, 0
        for last, token in itertools.pairwise((start, *tokens)):
            sequence = sequence * self.V + last + 1
            row = self.scores[sequence]
            total += row[token] - math.log(np.exp(row).sum())
        return total


def penalty(length: int, alpha: float) -> float:
    return ((5 + length) ** alpha) / ((5 + 1) ** alpha)


def exhaustive_search(tree: Tree, start: int, most: int, alpha: float) -> DecodedSequence:
    """Return the best of all sequences that end within `most` symbols."""
    others = [token for token in range(tree.V) if token != END]
    complete = [
        (*tokens, END) for n in range(most) for tokens in itertools.product(others, repeat=n)
    ]
    score, tokens = max((tree.log_p(start, c) / penalty(len(c), alpha), c) for c in complete)
    return DecodedSequence(list(tokens[:-1]), score)


def simple_beam_search(
    tree: Tree, start: int, most: int, width: int, alpha: float
) -> DecodedSequence:
    """Run a simple beam search that never stops early."""
    hypotheses, complete = [()], []
    for _ in range(most):
        longer = [(*tokens, token) for tokens in hypotheses for token in range(tree.V)]
        longer = sorted(longer, key=lambda tokens: -tree.log_p(start, tokens))[:width]
        complete += [tokens for tokens in longer if tokens[-1] == END]
        hypotheses = [tokens for tokens in longer if tokens[-1] != END]
    if not complete:
        return DecodedSequence(
            list(hypotheses[0]), tree.log_p(start, hypotheses[0]) / penalty(most, alpha)
        )
    score, tokens = max((tree.log_p(start, c) / penalty(len(c), alpha), c) for c in complete)
    return DecodedSequence(list(tokens[:-1]), score)


def assert_same(actual: list[DecodedSequence], expected: list[DecodedSequence]) -> None:
    assert [sequence.tokens for sequence in actual] == [sequence.tokens for sequence in expected]
    scores = [sequence.score for sequence in actual]
    assert scores == pytest.approx([sequence.score for sequence in expected], rel=1e-9)


# --- beam search ----------------------------------------------------------------------------------


@given(st.integers(2, 4), st.integers(1, 4), st.integers(1, 3), alphas, seeds)
def test_a_wide_beam_finds_the_best_sequence(
    V: int, most: int, B: int, alpha: float, seed: int
) -> None:
    tree = Tree(V, most, seed)
    state, start = tree.start(B)
    decoded = beam_search(tree.step, state, start, END, most, width=V**most, alpha=alpha)
    assert_same(decoded, [exhaustive_search(tree, first, most, alpha) for first in start])


@given(st.integers(2, 4), st.integers(1, 5), st.integers(1, 6), alphas, seeds)
def test_a_beam_of_any_width_equals_the_simple_search(
    V: int, most: int, width: int, alpha: float, seed: int
) -> None:
    """The search may stop early because no better sequence is possible."""
    tree = Tree(V, most, seed)
    state, start = tree.start(3)
    decoded = beam_search(tree.step, state, start, END, most, width=width, alpha=alpha)
    assert_same(decoded, [simple_beam_search(tree, first, most, width, alpha) for first in start])
    for one, expected in zip(start, decoded, strict=True):
        state, _ = tree.start(1)
        single = beam_search(tree.step, state, [one], END, most, width=width, alpha=alpha)
        assert_same(single, [expected])


@given(st.integers(2, 5), st.integers(1, 5), st.integers(1, 4), seeds)
def test_a_beam_of_width_1_is_greedy(V: int, most: int, B: int, seed: int) -> None:
    tree = Tree(V, most, seed)
    greedy = sample(tree.step, *tree.start(B), END, most, temperature=0)
    assert_same(beam_search(tree.step, *tree.start(B), END, most, width=1, alpha=0), greedy)
    assert_same(greedy, [simple_beam_search(tree, first, most, 1, 0) for first in tree.start(B)[1]])


def test_sequences_without_an_end_are_truncated() -> None:
    tree = Tree(3, 4, seed=0)
    tree.scores[:, END] = -np.inf
    (decoded,) = beam_search(tree.step, *tree.start(1), END, 4, width=81, alpha=1)
    sequences = list(itertools.product((1, 2), repeat=4))
    best = max(sequences, key=lambda tokens: tree.log_p(0, tokens))
    assert_same([decoded], [DecodedSequence(list(best), tree.log_p(0, best) / penalty(4, 1))])
    assert [len(one.tokens) for one in sample(tree.step, *tree.start(2), END, 4)] == [4, 4]


def test_search_ends_when_no_better_sequence_is_possible() -> None:
    tree = Tree(3, 8, seed=0)
    tree.scores[:, END] = 20
    for search in (beam_search, sample):
        tree.steps = 0
        assert [one.tokens for one in search(tree.step, *tree.start(2), END, 8)] == [[], []]
        assert tree.steps == 1


def test_the_length_penalty_of_wu_et_al() -> None:
    assert length_penalty(1, 0.7) == 1
    assert length_penalty(30, 0) == 1
    assert length_penalty(7, 1) == 2
    assert length_penalty(19, 0.5) == pytest.approx(2)


def test_a_larger_penalty_prefers_longer_sequences() -> None:
    """The end has probability 0.6 at once, and otherwise follows after three more symbols."""
    log_p = np.log([[0.6, 0.4], [1e-30, 1], [1e-30, 1], [1, 1e-30]])

    def step(state: Any, tokens: Any) -> tuple[Any, Any]:
        (n,) = state
        return (n + 1,), ag.take(ag.tensor(log_p), n, 0)

    start = (ag.zeros(1, "int64"),)
    short, long = (beam_search(step, start, [1], END, 4, alpha=alpha)[0] for alpha in (0.0, 2.0))
    assert_same(
        [short, long],
        [DecodedSequence([], np.log(0.6)), DecodedSequence([1, 1, 1], np.log(0.4) / 2.25)],
    )


# --- distributions --------------------------------------------------------------------------------

random_scores = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 9)),
    elements=st.floats(-50, 50, width=32),
)


def softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores.astype(np.float64) - scores.max(-1, keepdims=True).astype(np.float64))
    return e / e.sum(-1, keepdims=True)


@given(random_scores, st.floats(0.05, 20), st.none() | st.integers(1, 10), st.floats(1e-3, 1))
def test_filtering_selects_the_most_likely_symbols_and_preserves_ratios(
    scores: np.ndarray, temperature: float, top_k: int | None, top_p: float
) -> None:
    filtered = on_host(sampling_distribution(on_device(scores), temperature, top_k, top_p))
    wide = scores.astype(np.float64)
    wide = (wide - wide.max(-1, keepdims=True)) / temperature
    for p, row, full in zip(filtered, wide, softmax(wide), strict=True):
        order = np.argsort(-row, kind="stable")  # different logits can give equal probabilities
        first = full[order[:top_k]]
        first = first / first.sum()
        selected = np.count_nonzero(p[order[: len(first)]])
        assert np.count_nonzero(p) == np.count_nonzero(p[order[:selected]])
        assert first[:selected].sum() >= top_p - 1e-12  # sufficient
        assert first[: selected - 1].sum() <= top_p + 1e-12  # and minimal
        expected = np.where(np.arange(len(full)) < selected, full[order], 0)
        np.testing.assert_allclose(p[order], expected / expected.sum(), rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 2, 4, 1]),
        ({"top_k": 3}, [1, 2, 4, 0]),
        ({"top_k": 1}, [0, 0, 1, 0]),
        ({"top_k": 9}, [1, 2, 4, 1]),
        ({"top_p": 0.4}, [0, 0, 1, 0]),
        ({"top_p": 0.5}, [0, 0, 1, 0]),
        ({"top_p": 0.51}, [0, 1, 2, 0]),
        ({"top_p": 0.75}, [0, 1, 2, 0]),
        ({"top_p": 0.76}, [1, 2, 4, 0]),
        ({"top_p": 1}, [1, 2, 4, 1]),
        ({"top_k": 2, "top_p": 0.66}, [0, 0, 1, 0]),  # 4 of 6
        ({"top_k": 2, "top_p": 0.67}, [0, 1, 2, 0]),
        ({"temperature": 0.5}, [1, 4, 16, 1]),
        ({"temperature": 0.5, "top_p": 0.8}, [0, 1, 4, 0]),  # 16 of 22 is below 0.8
        ({"temperature": 0}, [0, 0, 1, 0]),
        ({"temperature": 1e-300}, [0, 0, 1, 0]),
        ({"temperature": 1e9}, [1, 1, 1, 1]),
    ],
)
def test_distributions_of_eighths(options: dict[str, Any], expected: list[int]) -> None:
    """The probabilities 1/8, 1/4, 1/2 and 1/8 have no rounding errors."""
    scores = on_device(np.log([[1.0, 2.0, 4.0, 1.0]]))
    p = on_host(sampling_distribution(scores, **options))
    np.testing.assert_allclose(p, [np.array(expected) / sum(expected)], rtol=1e-8)


def test_equal_logits_are_ordered_by_index() -> None:
    p = sampling_distribution(on_device(np.zeros((1, 4))), top_p=0.5)
    assert on_host(p).tolist() == [[0.5, 0.5, 0, 0]]
    p = sampling_distribution(on_device(np.zeros((1, 4))), temperature=0)
    assert on_host(p).tolist() == [[1, 0, 0, 0]]


# --- sampling -------------------------------------------------------------------------------------


def constant(state: Any, tokens: Any) -> tuple[Any, ag.Tensor]:
    """A stateless model with the probabilities 1/8, 1/4, 1/2, 1/8."""
    return state, ag.tensor(np.log([[1.0, 2.0, 4.0, 1.0]] * len(tokens)).astype(np.float32))


CHI_SQUARED = {1: 10.9, 2: 13.9, 3: 16.3}  # 99.9% quantiles by degrees of freedom


@pytest.mark.parametrize(
    "options", [{}, {"top_k": 3}, {"top_p": 0.7}, {"temperature": 0.5, "top_k": 2}]
)
def test_samples_follow_the_distribution(options: dict[str, Any]) -> None:
    samples = generate_tokens(constant, None, np.zeros(500, int), **options)
    tokens = np.stack([token.numpy() for token, _ in itertools.islice(samples, 20)])
    p = on_host(sampling_distribution(on_device(np.log([1.0, 2.0, 4.0, 1.0])), **options))
    counts = np.bincount(tokens.ravel(), minlength=4)
    assert not counts[p == 0].any()
    expected = tokens.size * p[p > 0]
    chi_squared = ((counts[p > 0] - expected) ** 2 / expected).sum()
    assert chi_squared < CHI_SQUARED[len(expected) - 1]


def test_log_probabilities_are_those_under_the_model() -> None:
    samples = generate_tokens(constant, None, np.zeros(50, int), temperature=0.5, top_k=3)
    token, log_p = next(samples)
    scores = constant(None, [0])[1].numpy().astype(np.float64)
    np.testing.assert_allclose(log_p.numpy(), np.log(softmax(scores))[0, token.numpy()], rtol=1e-14)


@pytest.mark.parametrize(("u", "expected"), [(0.0, 1), (0.499, 1), (0.5, 3), (1 - 2**-53, 3)])
def test_symbols_of_probability_0_are_never_sampled(u: float, expected: int) -> None:
    class FixedGenerator(ag.Generator):
        def uniform(self, *args: Any, **options: Any) -> ag.Tensor:
            return ag.full((1, 1), u, "float64")

    for total in (1.0, 0.75):  # only the ratios matter
        p = ag.tensor(total * np.array([[0, 0.5, 0, 0.5, 0]]))
        assert sample_tokens(p, FixedGenerator()).tolist() == [expected]


@given(st.integers(2, 4), st.integers(1, 5), seeds)
def test_the_score_of_a_sample_is_its_log_probability(V: int, most: int, seed: int) -> None:
    tree = Tree(V, most, seed)
    state, start = tree.start(4)
    for first, (tokens, score) in zip(
        start, sample(tree.step, state, start, END, most), strict=True
    ):
        assert END not in tokens
        assert len(tokens) <= most
        whole = tuple(tokens) if len(tokens) == most else (*tokens, END)
        assert score == pytest.approx(tree.log_p(first, whole))


def test_equal_streams_give_equal_samples_on_every_device() -> None:
    tree = Tree(4, 5, seed=0)
    texts = []
    for device in (ag.backend.current().device, "cpu"):
        with ag.default_device(device):
            ag.manual_seed(3)
            texts.append([w.tokens for w in sample(tree.step, *tree.start(9), END, 5)])
    assert texts[0] == texts[1]


def test_a_custom_stream_does_not_change_the_default_stream() -> None:
    tree = Tree(4, 5, seed=0)
    random_state = ag.random.get_state()
    texts = [
        sample(tree.step, *tree.start(9), END, 5, generator=ag.Generator(seed))
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]
    assert ag.random.get_state() == random_state
    sample(tree.step, *tree.start(9), END, 5)
    assert ag.random.get_state() != random_state


@pytest.mark.parametrize("search", [partial(sample, temperature=0), beam_search])
def test_start_symbols_of_any_type(search: Any) -> None:
    """They move to the device of the state, if there is one."""
    tree = Tree(4, 5, seed=0)
    state, start = tree.start(3)
    expected = search(tree.step, state, start, END, 5)
    for kind in (np.array, ag.tensor, partial(ag.tensor, device="cpu")):
        assert search(tree.step, state, kind(start), END, 5) == expected

    def step(state: Any, tokens: ag.Tensor) -> Any:
        return state, ag.zeros((len(tokens), 4), device=tokens.device)

    here = ag.tensor([0], device="cpu")
    with ag.default_device("strict"):
        for tokens, _ in itertools.islice(generate_tokens(step, None, here), 2):
            assert tokens.device == "cpu"


# --- models ---------------------------------------------------------------------------------------


def test_single_steps_of_a_language_model_equal_the_forward_pass() -> None:
    model = LanguageModel(5, embed=3, hidden=4, layers=2).eval().to("float64")
    text = np.random.default_rng(0).integers(0, 5, (6, 2))
    scores, _ = model(text)
    state = None
    for t, tokens in enumerate(text):
        state, step_scores = model.step(state, ag.tensor(tokens))
        np.testing.assert_allclose(step_scores.numpy(), scores.numpy()[t], rtol=1e-12)
    widest = beam_search(model.step, state, [1, 2], END, 3, width=125)
    greedy = sample(model.step, state, [1, 2], END, 3, temperature=0)
    assert len(widest) == 2
    for best, one in zip(widest, greedy, strict=True):
        assert best.score >= one.score / penalty(min(len(one.tokens) + 1, 3), 0.6) - 1e-12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature must be at least 0, got -1"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, got 0"),
        ({"top_p": 1.1}, "top_p"),
    ],
)
def test_invalid_sampling_options_raise(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample(constant, None, [0], END, 3, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"alpha": -1}, "alpha must be at least 0, got -1"),
        ({"max_length": 0}, "max_length must be at least 1, got 0"),
    ],
)
def test_invalid_search_options_raise(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        beam_search(constant, None, [0], END, **{"max_length": 3, **options})


@pytest.mark.parametrize("search", [sample, beam_search])
def test_nan_logits_raise(search: Any) -> None:
    tree = Tree(3, 4, seed=0)
    tree.scores[1, 1] = np.nan
    with pytest.raises(ValueError, match=r"the logits of the model contain nan"):
        search(tree.step, *tree.start(1), END, 4)
