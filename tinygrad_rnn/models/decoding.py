"""Sequences that a model writes, symbol by symbol, each given those before.

Any model will do that has

    state, scores = step(state, tokens)

with scores (B, V) of what follows the tokens (B), before a softmax. Leaves of the state have the
batch as their first axis. Symbols are drawn (`write`, `sample`), or the likeliest sequence is
searched for (`beam_search`). Models are used as they are: call `model.eval()` before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

import autograd as ag
from autograd import Tensor, random

from ..summary import summary_repr

StepFunction = Callable[[Any, Any], tuple[Any, Tensor]]


class DecodedSequence(NamedTuple):
    """A sequence that was written."""

    tokens: list[int]
    """Its symbols, without the end symbol."""
    score: float
    """The logarithm of its probability in the model, that of its end included; from `beam_search`,
    divided by the length penalty."""

    def __repr__(self) -> str:
        return summary_repr(self)


# --- drawn ----------------------------------------------------------------------------------------


def sampling_distribution(
    scores: Any, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Any:
    """Probabilities (..., V), in double precision, for scores (..., V).

    They are softmax(scores / temperature); at temperature 0, its limit, the greatest score's is 1.
    `top_k` leaves only so many, the likeliest (Fan et al. 2018, "Hierarchical neural story
    generation"). Of what is left `top_p` leaves the fewest that together reach this probability
    (nucleus sampling: Holtzman et al. 2020, "The curious case of neural text degeneration"). Among
    equals the first go first.

    Raises ValueError for a negative temperature, top_k below 1, and top_p outside (0, 1].
    """
    if not temperature >= 0:
        raise ValueError(f"temperature must be at least 0, not {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, not {top_p}")
    if temperature == 0:
        temperature, top_k = 1.0, 1
    scores = ag.astype(scores, "float64")
    with np.errstate(over="ignore"):  # scores / temperature = -inf: a probability of 0
        scores = (scores - ag.max(scores, -1, keepdims=True)) / temperature
    if top_k is None and top_p is None:
        return ag.softmax(scores)
    order = ag.argsort(-scores)
    rank = ag.argsort(order)
    if top_k is not None:
        scores = ag.where(rank < top_k, scores, -np.inf)
    p = ag.softmax(scores)
    if top_p is not None:
        descending = ag.take_along_axis(p, order)
        likelier = ag.take_along_axis(ag.cumsum(descending, -1) - descending, rank)
        p = ag.where(likelier < top_p, p, 0)
    return p / ag.sum(p, -1, keepdims=True)


def sample_tokens(p: Tensor, generator: random.Generator) -> Tensor:
    """Symbols (B) from the distributions p (B, V): the first whose cumulated probability exceeds a
    uniform number.
    """
    cumulated = ag.cumsum(p, -1)
    u = generator.uniform((len(p), 1), dtype="float64", device=p.device)
    return ag.sum(cumulated <= u * cumulated[:, -1:], -1)  # type: ignore[no-any-return]


def generate_tokens(
    step: StepFunction,
    state: Any,
    start: Any,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: random.Generator | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The symbols (B) drawn after the symbols `start` (B), those after them, and so on without end,
    with the logarithms of their probabilities in the model (B).

    `temperature`, `top_k` and `top_p` are those of `distribution`. `generator` is the stream of
    random numbers (None: the default one); the same stream gives the same symbols on every device.
    """
    stream = random.default_generator if generator is None else generator
    tokens = _to_state_device(state, start)
    while True:
        with ag.no_grad():
            state, scores = step(state, tokens)
            log_p = _log_probabilities(scores)
            tokens = sample_tokens(sampling_distribution(scores, temperature, top_k, top_p), stream)
            log_p = ag.take_along_axis(log_p, tokens[:, None])[:, 0]
        yield tokens, log_p


def sample(
    step: StepFunction, state: Any, start: Any, end: int, max_length: int, **options: Any
) -> list[DecodedSequence]:
    """Sequences drawn symbol by symbol, one after each symbol of `start` (B), each up to the symbol
    `end`, or cut after `max_length` symbols.

    `options` are those of `write`; with temperature=0 every symbol is the likeliest (greedy
    search).
    """
    _check_length(max_length)
    tokens, log_ps = [], []
    running = np.ones(len(start), bool)
    for token, log_p in islice(generate_tokens(step, state, start, **options), max_length):
        tokens.append(token.numpy())
        log_ps.append(log_p.numpy())
        running &= tokens[-1] != end
        if not running.any():
            break
    written = []
    for column, gains in zip(np.stack(tokens, 1), np.stack(log_ps, 1), strict=True):
        length = [*column, end].index(end)
        written.append(DecodedSequence(column[:length].tolist(), float(gains[: length + 1].sum())))
    return written


# --- searched for ---------------------------------------------------------------------------------


def beam_search(
    step: StepFunction,
    state: Any,
    start: Any,
    end: int,
    max_length: int,
    *,
    width: int = 5,
    alpha: float = 0.6,
) -> list[DecodedSequence]:
    """The best sequences found, one after each symbol of `start` (B), where the best has the
    greatest log p / `length_penalty(length, alpha)`.

    At each length the `width` likeliest beginnings are kept and all their continuations looked at.
    One that continues with the symbol `end` is complete; the best complete one is returned, once no
    beginning can lead to a better one. If after `max_length` symbols (`end` counts) none is
    complete, it is the likeliest beginning. A width of 1 is greedy search; one that no length has
    more beginnings than is exhaustive.

    Raises ValueError for a width below 1 and a negative alpha.
    """
    _check_length(max_length)
    if width < 1:
        raise ValueError(f"width must be at least 1, not {width}")
    if not alpha >= 0:
        raise ValueError(f"alpha must be at least 0, not {alpha}")
    B, K = len(start), width
    rows = np.repeat(np.arange(B), K)
    tokens = _to_state_device(state, start).numpy()[rows]
    log_p = np.full((B, K), -np.inf)  # of each beginning: at first there is one, the empty one
    log_p[:, 0] = 0
    begun = np.empty((B, K, 0), np.int64)
    best = [DecodedSequence([], -np.inf)] * B
    for length in range(1, max_length + 1):
        with ag.no_grad():
            state = ag.tree_map(lambda leaf, rows=rows: leaf[rows], state)
            state, scores = step(state, _to_state_device(state, tokens))
            V = scores.shape[-1]
            so_far = ag.tensor(log_p.reshape(B * K, 1), device=scores.device)
            total = (so_far + _log_probabilities(scores)).reshape(B, K * V)
            log_p, chosen = (t.numpy() for t in ag.top_k(total, K))
        parent, token = np.divmod(chosen, V)
        rows, tokens = (np.arange(B)[:, None] * K + parent).ravel(), token.ravel()
        begun = np.take_along_axis(begun, parent[:, :, None], 1)
        begun = np.concatenate([begun, token[:, :, None]], -1)
        complete = token == end
        for b, k in np.argwhere(complete):
            score = float(log_p[b, k] / length_penalty(length, alpha))
            if score > best[b].score:
                best[b] = DecodedSequence(begun[b, k, :-1].tolist(), score)
        log_p[complete] = -np.inf
        reachable = log_p.max(1) / length_penalty(max_length, alpha)
        if (reachable <= [written.score for written in best]).all():
            break
    return [
        DecodedSequence(
            begun[b, 0].tolist(), float(log_p[b, 0] / length_penalty(max_length, alpha))
        )
        if written.score == -np.inf
        else written
        for b, written in enumerate(best)
    ]


def length_penalty(length: float, alpha: float) -> float:
    """lp = (5 + length)^alpha / (5 + 1)^alpha (Wu et al. 2016, "Google's neural machine translation
    system", eq. 14; without the coverage penalty).

    0 compares the probabilities as they are, and is for the short; more is for the long.
    """
    return float(((5 + length) / 6) ** alpha)


def _to_state_device(state: Any, tokens: Any) -> Tensor:
    """Symbols as a Tensor, on the device of the state, or else on their own."""
    devices = [leaf.device for leaf in ag.flatten((state, tokens)) if isinstance(leaf, Tensor)]
    return ag.tensor(tokens, device=devices[0] if devices else None)


def _log_probabilities(scores: Tensor) -> Any:
    """log softmax, in double precision; ValueError where the scores are no numbers."""
    log_p = ag.log_softmax(ag.astype(scores, "float64"))
    if ag.isnan(log_p).data.any():
        raise ValueError("the model scores the next symbol with nan: have its weights diverged?")
    return log_p


def _check_length(max_length: int) -> None:
    if max_length < 1:
        raise ValueError(f"max_length must be at least 1, not {max_length}")
