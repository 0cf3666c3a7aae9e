"""Markov models of text: the memory of a fixed number of characters that a network has to beat.

The distribution of the next character c after the context h, the last k characters, is interpolated
with that after the shorter context h', which drops the oldest of them:

    p_k(c | h) = (N(hc) + T(h) p_{k-1}(c | h')) / (N(h) + T(h)),        p_{-1} = 1 / V,

where N counts occurrences in the training text and T(h) the different characters seen after h: the
more often something new came after h, the less h is trusted. A context never seen adds nothing.
Witten & Bell 1991, "The zero-frequency problem"; in this form Chen & Goodman 1998, "An empirical
study of smoothing techniques for language modeling", on Witten-Bell smoothing.

Contexts are numbered order by order: a context is the pair of its shorter context's number and the
character before that, so that keys stay below (length of the text) x V at any order.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from autograd import Tensor, tensor

from ...data.vocabulary import Ids

Floats = npt.NDArray[np.float64]


class _Order(NamedTuple):
    """What was counted at one order; a context's number is its index in `contexts`."""

    contexts: Ids  # sorted keys: (number of h') * V + the character before h'
    total: Ids  # N(h), by number
    kinds: Ids  # T(h), by number
    pairs: Ids  # sorted keys: (number of h) * V + c
    counts: Ids  # N(hc), by index in `pairs`

    def interpolate(self, h: Ids, counts: Ids, shorter: Floats) -> Floats:
        """p_k(c | h) from h's number, N(hc) and p_{k-1}(c | h')."""
        p: Floats = (counts + self.kinds[h] * shorter) / (self.total[h] + self.kinds[h])
        return p


class MarkovModel:
    """Predicts a character from the `order` characters before it, with Witten-Bell interpolation.

    Without `fit` every character is equally likely.
    """

    def __init__(self, order: int, vocabulary_size: int) -> None:
        self.order = order
        self.vocabulary_size = vocabulary_size
        self._orders: list[_Order] = []

    def fit(self, ids: Ids) -> Self:
        """Count all contexts and what follows them in a text, shape (n,), ids below V."""
        V = self.vocabulary_size
        self._orders = []
        h = np.zeros(len(ids) + 1, dtype=np.int64)
        for k in range(self.order + 1):
            contexts, h = np.unique(_keys(h, ids, k, V), return_inverse=True)
            pairs, counts = np.unique(h * V + ids[k:], return_counts=True)
            total, kinds = np.bincount(h), np.bincount(pairs // V)
            self._orders.append(_Order(contexts, total, kinds, pairs, counts))
        return self

    def bits_per_character(self, ids: Ids) -> float:
        """The cross-entropy of a text in bits: shape (n,), n >= 2, scored from the second on.

        Contexts do not reach back beyond the text; its first characters have shorter ones.
        """
        *_, bits = self.bits_by_order(ids)
        return bits

    def bits_by_order(self, ids: Ids) -> Iterator[float]:
        """`bits_per_character` of order -1 (all alike), 0, ... up to this model's order."""
        if len(ids) < 2:
            raise ValueError(f"needs at least 2 characters to score, got {len(ids)}")
        V = self.vocabulary_size
        p = np.full(len(ids), 1 / V)
        yield _bits(p[1:])
        h = np.zeros(len(ids) + 1, dtype=np.int64)
        for k, order in enumerate(self._orders):
            # An unseen context has number -1, and so has every longer one: no key is negative.
            h = _find(order.contexts, _keys(h, ids, k, V))
            seen = np.flatnonzero(h >= 0)
            at = seen + k
            pair = _find(order.pairs, h[seen] * V + ids[at])
            counts = np.where(pair >= 0, order.counts[pair], 0)
            p[at] = order.interpolate(h[seen], counts, p[at])
            yield _bits(p[1:])

    def probabilities(self, context_ids: Sequence[int] | Ids) -> Floats:
        """The distribution of the character that follows, shape (V,)."""
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
        """The last `order` tokens (B, n), and log p (B, V) of what follows them, as `decoding`
        wants it: the chain writes as other models do. `state` is what it returned for the tokens
        before, None at the beginning.
        """
        last = tensor(tokens).numpy()[:, None]
        state = last if state is None else np.concatenate([state, last], 1)
        state = state[:, -max(self.order, 1) :]
        return state, tensor(np.log([self.probabilities(context) for context in state]))


def markov_table(
    train_ids: Ids, valid_ids: Ids, vocabulary_size: int, orders: Iterable[int] = range(6)
) -> dict[int, float]:
    """Bits per character of the validation text under the model of each order."""
    orders = list(orders)
    model = MarkovModel(max(orders), vocabulary_size).fit(train_ids)
    _, *bits = model.bits_by_order(valid_ids)
    return {order: bits[order] for order in orders}


def _keys(shorter: Ids, ids: Ids, k: int, V: int) -> Ids:
    """The contexts of the characters k, k + 1, ... from the shorter ones of k - 1, k, ...

    Order 0 has a single context, of key 0.
    """
    return shorter[1:] * V + (ids[:-k] if k else 0)


def _bits(probabilities: Floats) -> float:
    return float(-np.log2(probabilities).mean()) + 0.0  # of certainty 0, not -0


def _find(keys: Ids, wanted: Ids) -> Ids:
    """The index of each wanted key among the sorted `keys`, -1 where it is not there."""
    if not len(keys):
        return np.full_like(wanted, -1)
    index = np.searchsorted(keys, wanted)
    found = keys.take(index, mode="clip") == wanted
    return np.where(found, index, -1)
