"""Markov (n-gram) models of text with Witten-Bell smoothing.

The distribution of the next character c after the context h, the last k characters, is interpolated
with the distribution after the shorter context h', which omits the oldest character:

    p_k(c | h) = (N(hc) + T(h) p_{k-1}(c | h')) / (N(h) + T(h)),        p_{-1} = 1 / V

N counts occurrences in the training text, and T(h) is the number of distinct characters after h. An
unseen context has the distribution of its shorter context. Witten & Bell 1991, "The zero-frequency
problem"; in the form of Chen & Goodman 1998, "An empirical study of smoothing techniques for
language modeling".

Contexts have ids within each order. The key of a context is the pair of its shorter context's id
and the preceding character, so keys stay below (length of the text) x V at any order.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from autograd import Tensor, tensor

from ...data.vocabulary import Ids

Floats = npt.NDArray[np.float64]


class _Order(NamedTuple):
    """The counts of one order; the id of a context is its index in `contexts`."""

    contexts: Ids  # sorted keys: (id of h') * V + the character before h'
    total: Ids  # N(h), by id
    distinct: Ids  # T(h), by id
    pairs: Ids  # sorted keys: (id of h) * V + c
    counts: Ids  # N(hc), by index in `pairs`

    def interpolate(self, h: Ids, counts: Ids, shorter: Floats) -> Floats:
        """Return p_k(c | h) from the id of h, N(hc) and p_{k-1}(c | h')."""
        p: Floats = (counts + self.distinct[h] * shorter) / (self.total[h] + self.distinct[h])
        return p


class MarkovModel:
    """Markov model of text with Witten-Bell smoothing.

    Before `fit`, all characters are equally likely.

    Parameters
    ----------
    order : int
        Number of characters in the context.
    vocabulary_size : int
        Vocabulary size V.

    References
    ----------
    Witten & Bell 1991, "The zero-frequency problem: estimating the probabilities of novel events in
    adaptive text compression".

    Chen & Goodman 1998, "An empirical study of smoothing techniques for language modeling".

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_rnn import models
    >>> model = models.MarkovModel(order=1, vocabulary_size=2).fit(np.array([0, 1] * 500))
    >>> model.probabilities([0]).round(2).tolist()
    [0.0, 1.0]
    """

    def __init__(self, order: int, vocabulary_size: int) -> None:
        self.order = order
        self.vocabulary_size = vocabulary_size
        self._orders: list[_Order] = []

    def fit(self, ids: Ids) -> Self:
        """Count the contexts and their next characters in a text.

        Parameters
        ----------
        ids : ndarray of int, shape (n,)
            Ids of the text, below V.

        Returns
        -------
        MarkovModel
            This model.
        """
        V = self.vocabulary_size
        self._orders = []
        h = np.zeros(len(ids) + 1, dtype=np.int64)
        for k in range(self.order + 1):
            contexts, h = np.unique(_keys(h, ids, k, V), return_inverse=True)
            pairs, counts = np.unique(h * V + ids[k:], return_counts=True)
            total, distinct = np.bincount(h), np.bincount(pairs // V)
            self._orders.append(_Order(contexts, total, distinct, pairs, counts))
        return self

    def bits_per_character(self, ids: Ids) -> float:
        """Return the cross-entropy of a text in bits per character.

        Parameters
        ----------
        ids : ndarray of int, shape (n,)
            Ids of the text, n >= 2. All characters but the first are scored; the contexts of the
            first characters are shorter.

        Returns
        -------
        float
            The cross-entropy.
        """
        *_, bits = self.bits_by_order(ids)
        return bits

    def bits_by_order(self, ids: Ids) -> Iterator[float]:
        """Yield the cross-entropy at order -1 (uniform), 0, ... up to the order of the model.

        Parameters
        ----------
        ids : ndarray of int, shape (n,)
            Ids of the text, n >= 2.

        Yields
        ------
        float
            The cross-entropy in bits per character.

        Raises
        ------
        ValueError
            If the text has fewer than 2 characters.
        """
        if len(ids) < 2:
            raise ValueError(f"scoring requires at least 2 characters, got {len(ids)}")
        V = self.vocabulary_size
        p = np.full(len(ids), 1 / V)
        yield _bits(p[1:])
        h = np.zeros(len(ids) + 1, dtype=np.int64)
        for k, order in enumerate(self._orders):
            # An unseen context has the id -1. Its longer contexts have negative keys and therefore
            # also the id -1.
            h = _find(order.contexts, _keys(h, ids, k, V))
            indices = np.flatnonzero(h >= 0)
            positions = indices + k
            pair = _find(order.pairs, h[indices] * V + ids[positions])
            counts = np.where(pair >= 0, order.counts[pair], 0)
            p[positions] = order.interpolate(h[indices], counts, p[positions])
            yield _bits(p[1:])

    def probabilities(self, context_ids: Sequence[int] | Ids) -> Floats:
        """Return the distribution of the next character.

        Parameters
        ----------
        context_ids : sequence of int
            Ids of the preceding characters.

        Returns
        -------
        ndarray of float64, shape (V,)
            The probabilities.
        """
        V = self.vocabulary_size
        p = np.full(V, 1 / V)
        h = np.zeros((), dtype=np.int64)
        for k, order in enumerate(self._orders[: len(context_ids) + 1]):
            h = _find(order.contexts, h * V + (context_ids[-k] if k else 0))
            if h < 0:
                break
            row = slice(*np.searchsorted(order.pairs, (h * V, h * V + V)))
            counts = np.zeros(V, dtype=np.int64)
            counts[order.pairs[row] % V] = order.counts[row]
            p = order.interpolate(h, counts, p)
        return p

    def step(self, state: Ids | None, tokens: Any) -> tuple[Ids, Tensor]:
        """Advance by one token, for `sample` and `beam_search`.

        Parameters
        ----------
        state : ndarray of int, shape (B, n), or None
            The previous tokens, up to `order`; None at the start.
        tokens : array_like of int, shape (B,)
            The last token of each sequence.

        Returns
        -------
        state : ndarray of int, shape (B, n)
            The last tokens, up to `order`.
        log_p : Tensor, shape (B, V)
            The log-probabilities of the next token.
        """
        last = tensor(tokens).numpy()[:, None]
        state = last if state is None else np.concatenate([state, last], 1)
        state = state[:, -max(self.order, 1) :]
        return state, tensor(np.log([self.probabilities(context) for context in state]))


def markov_table(
    train_ids: Ids, valid_ids: Ids, vocabulary_size: int, orders: Iterable[int] = range(6)
) -> dict[int, float]:
    """Return the cross-entropy of a validation text under Markov models of several orders.

    Parameters
    ----------
    train_ids : ndarray of int, shape (n,)
        Ids of the training text.
    valid_ids : ndarray of int, shape (m,)
        Ids of the validation text.
    vocabulary_size : int
        Vocabulary size.
    orders : iterable of int, default range(6)
        The orders.

    Returns
    -------
    dict of int to float
        The bits per character of each order.
    """
    orders = list(orders)
    model = MarkovModel(max(orders), vocabulary_size).fit(train_ids)
    _, *bits = model.bits_by_order(valid_ids)
    return {order: bits[order] for order in orders}


def _keys(shorter: Ids, ids: Ids, k: int, V: int) -> Ids:
    """Return the keys of the contexts of characters k, k + 1, ...

    `shorter` contains the ids of the shorter contexts of characters k - 1, k, ... Order 0 has a
    single context with key 0.
    """
    return shorter[1:] * V + (ids[:-k] if k else 0)


def _bits(probabilities: Floats) -> float:
    return float(-np.log2(probabilities).mean()) + 0.0  # convert -0 to 0


def _find(keys: Ids, queries: Ids) -> Ids:
    """Return the index of each query among the sorted keys, or -1 if it is missing."""
    if not len(keys):
        return np.full_like(queries, -1)
    index = np.searchsorted(keys, queries)
    return np.where(keys.take(index, mode="clip") == queries, index, -1)
