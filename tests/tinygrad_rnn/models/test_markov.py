"""Markov models against a direct implementation of the formula with dictionaries."""

from collections import Counter
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from tinygrad_rnn import models
from tinygrad_rnn.data import TextCorpus
from tinygrad_rnn.models.baselines.markov import MarkovModel, markov_table

pytestmark = pytest.mark.host  # these models run on the host

V = 4
characters = st.integers(0, V - 1)
texts = st.lists(characters, max_size=60).map(np.array).map(lambda ids: ids.astype(np.int64))
scored = st.lists(characters, min_size=2, max_size=30).map(np.array)
orders = st.integers(0, 5)


def witten_bell(text: np.ndarray, context: tuple[int, ...], order: int) -> list[float]:
    """Return p(. | the last `order` characters of the context), fitted on the text."""
    if order < 0:
        return [1 / V] * V
    shorter = witten_bell(text, context, order - 1)
    if order > len(context):
        return shorter
    h = context[len(context) - order :]
    followers = Counter(
        int(text[i]) for i in range(order, len(text)) if (*text[i - order : i],) == h
    )
    total, distinct = followers.total(), len(followers)
    if not total:
        return shorter
    return [(followers[c] + distinct * shorter[c]) / (total + distinct) for c in range(V)]


@given(texts, st.lists(characters, max_size=8), orders)
def test_probabilities_equal_the_witten_bell_formula(
    text: np.ndarray, context: list[int], order: int
) -> None:
    p = MarkovModel(order, V).fit(text).probabilities(context)
    np.testing.assert_allclose(p, witten_bell(text, tuple(context), order), rtol=1e-12)


@given(texts, st.lists(characters, max_size=8), orders)
def test_probabilities_sum_to_one(text: np.ndarray, context: list[int], order: int) -> None:
    p = MarkovModel(order, V).fit(text).probabilities(context)
    assert p.shape == (V,)
    assert (p > 0).all()
    assert p.sum() == pytest.approx(1, rel=1e-12)


@given(texts, scored, orders)
def test_bits_equal_the_mean_surprisal(text: np.ndarray, valid: np.ndarray, order: int) -> None:
    model = MarkovModel(order, V).fit(text)
    surprisals = [-log2(model.probabilities(valid[:i])[valid[i]]) for i in range(1, len(valid))]
    assert model.bits_per_character(valid) == pytest.approx(np.mean(surprisals), rel=1e-12)


@given(texts, scored, st.sets(orders, min_size=1))
def test_the_table_contains_the_model_of_each_order(
    text: np.ndarray, valid: np.ndarray, selected: set[int]
) -> None:
    table = markov_table(text, valid, V, selected)
    assert table == {k: MarkovModel(k, V).fit(text).bits_per_character(valid) for k in selected}


@given(texts, scored, orders, st.integers(V, 1_114_112))
def test_large_vocabularies_do_not_overflow(
    text: np.ndarray, valid: np.ndarray, order: int, size: int
) -> None:
    """Shift a text to the last characters of a vocabulary of the size of Unicode."""
    high = size - V
    model = MarkovModel(order, size)
    low_bits = model.fit(text).bits_per_character(valid)
    assert model.fit(text + high).bits_per_character(valid + high) == low_bits


def test_all_characters_are_equally_likely_before_fit() -> None:
    model = MarkovModel(2, 8)
    assert model.bits_per_character(np.array([0, 1, 7])) == 3
    np.testing.assert_array_equal(model.probabilities([1, 2]), np.full(8, 1 / 8))


def test_certain_characters_have_0_bits() -> None:
    """The result is formatted as 0.000, not -0.000."""
    ids = np.zeros(9, dtype=np.int64)
    assert [f"{bits:.3f}" for bits in markov_table(ids, ids, 1).values()] == ["0.000"] * 6


def test_a_period_requires_a_sufficient_order() -> None:
    """In 0 0 1 0 0 1 ... two characters determine the next, and one does not."""
    period = np.tile([0, 0, 1], 2000)
    bits = markov_table(period, period[:300], 2)
    assert bits[1] == pytest.approx(
        2 / 3, abs=0.01
    )  # two of three characters are 0, which 0 or 1 follows
    assert bits[2] < 0.01


def test_a_known_chain_is_fitted_to_its_entropy_rate() -> None:
    rng = np.random.default_rng(0)
    stay = rng.random(40_000) < 0.9
    chain = np.cumsum(~stay) % 2
    rate = -(0.9 * log2(0.9) + 0.1 * log2(0.1))
    bits = markov_table(chain[:30_000], chain[30_000:], 2, orders=(0, 1))
    assert bits[0] == pytest.approx(1, abs=0.01)
    assert bits[1] == pytest.approx(rate, abs=0.02)


def test_higher_orders_are_better_on_english() -> None:
    corpus = TextCorpus.default()
    train, valid, _ = map(corpus.vocabulary.encode, corpus.split())
    bits = markov_table(train, valid, len(corpus.vocabulary))
    assert list(bits) == list(range(6))
    assert bits[0] > bits[1] > bits[2] > bits[3] > bits[4]


def test_one_character_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        MarkovModel(1, V).fit(np.array([0, 1])).bits_per_character(np.array([0]))


@given(texts.filter(len), st.lists(characters, min_size=1, max_size=8), orders)
def test_step_returns_the_log_probabilities(
    text: np.ndarray, context: list[int], order: int
) -> None:
    model, state = MarkovModel(order, V).fit(text), None
    for token in context:
        state, log_p = model.step(state, ag.tensor([token, 0]))
    assert state is not None
    assert state.shape[0] == 2
    expected = witten_bell(text, tuple(context), order)
    np.testing.assert_allclose(np.exp(log_p.numpy()[0]), expected, rtol=1e-9)


def test_samples_reproduce_a_periodic_text() -> None:
    model = MarkovModel(2, V).fit(np.tile([0, 0, 1, 2, 3], 2000))
    (sequence,) = models.sample(model.step, None, [0], 3, 10, temperature=0.1)
    assert sequence.tokens in ([0, 1, 2], [1, 2])
