"""Decoding algorithms: sampling, greedy search and beam search.

The algorithms work with every model that provides

    state, logits = step(state, tokens)

where the logits (B, V) predict the symbol after the tokens (B), and the leaves of the state have
the batch as the first axis. Call `model.eval()` first to disable dropout.
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
    """A decoded sequence.

    Parameters
    ----------
    tokens : list of int
        The symbols, without the end symbol.
    score : float
        The log-probability of the sequence, including the end symbol; `beam_search` divides it by
        the length penalty.
    """

    tokens: list[int]
    score: float

    def __repr__(self) -> str:
        return summary_repr(self)


# --- sampling -------------------------------------------------------------------------------------


def sampling_distribution(
    logits: Any, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Any:
    """Return the distribution from which symbols are sampled, in float64.

    Among equal logits, the first symbols take precedence.

    Parameters
    ----------
    logits : array_like, shape (..., V)
        The logits.
    temperature : float, default 1.0
        Divisor of the logits; 0 assigns probability 1 to the largest logit.
    top_k : int, optional
        Restrict sampling to the k most likely symbols (Fan et al. 2018, "Hierarchical neural story
        generation").
    top_p : float, optional
        Restrict sampling to the smallest set of most likely symbols whose total probability is at
        least p (nucleus sampling: Holtzman et al. 2020, "The curious case of neural text
        degeneration").

    Returns
    -------
    Tensor, shape (..., V)
        The probabilities.

    Raises
    ------
    ValueError
        If `temperature` is negative, `top_k` is below 1, or `top_p` is outside (0, 1].
    """
    if not temperature >= 0:
        raise ValueError(f"temperature must be at least 0, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p}")
    if temperature == 0:
        temperature, top_k = 1.0, 1
    logits = ag.astype(logits, "float64")
    with np.errstate(over="ignore"):  # logits / temperature = -inf: a probability of 0
        logits = (logits - ag.max(logits, -1, keepdims=True)) / temperature
    if top_k is None and top_p is None:
        return ag.softmax(logits)
    order = ag.argsort(-logits)
    rank = ag.argsort(order)
    if top_k is not None:
        logits = ag.where(rank < top_k, logits, -np.inf)
    p = ag.softmax(logits)
    if top_p is not None:
        descending = ag.take_along_axis(p, order)
        preceding = ag.take_along_axis(ag.cumsum(descending, -1) - descending, rank)
        p = ag.where(preceding < top_p, p, 0)
    return p / ag.sum(p, -1, keepdims=True)


def sample_tokens(p: Tensor, generator: random.Generator) -> Tensor:
    """Sample symbols (B) from distributions (B, V) by inversion of the cumulative distribution."""
    cumulative = ag.cumsum(p, -1)
    u = generator.uniform((len(p), 1), dtype="float64", device=p.device)
    return ag.sum(cumulative <= u * cumulative[:, -1:], -1)  # type: ignore[no-any-return]


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
    """Yield an endless sequence of sampled symbols.

    Parameters
    ----------
    step : callable
        The model's `step`.
    state : Any
        The initial state.
    start : array_like of int, shape (B,)
        The symbols before the first sampled symbols.
    temperature, top_k, top_p
        Options of `sampling_distribution`.
    generator : ag.Generator, optional
        The stream of random numbers; by default the stream of `ag.manual_seed`. The same stream
        gives the same symbols on every device.

    Yields
    ------
    tokens : Tensor, shape (B,)
        The next symbols.
    log_p : Tensor, shape (B,)
        Their log-probabilities under the model.
    """
    stream = random.default_generator if generator is None else generator
    tokens = _to_state_device(state, start)
    while True:
        with ag.no_grad():
            state, logits = step(state, tokens)
            log_p = _log_probabilities(logits)
            p = sampling_distribution(logits, temperature, top_k, top_p)
            tokens = sample_tokens(p, stream)
            log_p = ag.take_along_axis(log_p, tokens[:, None])[:, 0]
        yield tokens, log_p


def sample(
    step: StepFunction, state: Any, start: Any, end: int, max_length: int, **options: Any
) -> list[DecodedSequence]:
    """Sample sequences from a model.

    Parameters
    ----------
    step : callable
        The model's `step`: maps a state and symbols (B,) to the new state and logits (B, V).
    state : Any
        The initial state.
    start : array_like of int, shape (B,)
        The symbols before the first sampled symbols.
    end : int
        The symbol that ends a sequence.
    max_length : int
        Maximum number of symbols.
    **options
        `temperature` (0 is greedy search), `top_k`, `top_p` (nucleus sampling), and `generator`, an
        `ag.Generator`.

    Returns
    -------
    list of DecodedSequence
        One sequence per entry of `start`.

    Raises
    ------
    ValueError
        If an option is out of range, or if the logits contain nan.

    Examples
    --------
    >>> import autograd as ag
    >>> from tinygrad_rnn import models
    >>> def step(state, tokens):  # the next symbol is always the last symbol plus 1
    ...     return state, 100 * ag.one_hot((tokens + 1) % 4, 4, dtype="float32")
    >>> [sequence.tokens for sequence in models.sample(step, None, [0, 2], end=3, max_length=9)]
    [[1, 2], []]
    """
    _check_length(max_length)
    tokens, log_ps = [], []
    unfinished = np.ones(len(start), bool)
    for token, log_p in islice(generate_tokens(step, state, start, **options), max_length):
        tokens.append(token.numpy())
        log_ps.append(log_p.numpy())
        unfinished &= tokens[-1] != end
        if not unfinished.any():
            break
    sequences = []
    for row, log_p in zip(np.stack(tokens, 1), np.stack(log_ps, 1), strict=True):
        length = [*row, end].index(end)
        score = float(log_p[: length + 1].sum())
        sequences.append(DecodedSequence(row[:length].tolist(), score))
    return sequences


# --- beam search ----------------------------------------------------------------------------------


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
    """Find likely sequences by beam search.

    At each length, the `width` most likely hypotheses are extended by all symbols. A hypothesis
    that ends with `end` is complete. The search stops when no hypothesis can exceed the best
    complete one. If no hypothesis is complete after `max_length` symbols, the most likely
    hypothesis is returned.

    Parameters
    ----------
    step : callable
        The model's `step`: maps a state and symbols (B,) to the new state and logits (B, V).
    state : Any
        The initial state.
    start : array_like of int, shape (B,)
        The symbols before the first decoded symbols.
    end : int
        The symbol that ends a sequence.
    max_length : int
        Maximum number of symbols, including `end`.
    width : int, default 5
        Beam width; 1 is greedy search.
    alpha : float, default 0.6
        Exponent of the length penalty of Wu et al. 2016: scores are
        log p / ((5 + length) / 6)^alpha, so larger values prefer longer sequences.

    Returns
    -------
    list of DecodedSequence
        The sequence with the highest score per entry of `start`.

    Raises
    ------
    ValueError
        If `width` or `max_length` is below 1, if `alpha` is negative, or if the logits contain nan.

    References
    ----------
    Wu et al. 2016, "Google's neural machine translation system: bridging the gap between human and
    machine translation", equation 14.
    """
    _check_length(max_length)
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    if not alpha >= 0:
        raise ValueError(f"alpha must be at least 0, got {alpha}")
    B, K = len(start), width
    rows = np.repeat(np.arange(B), K)
    tokens = _to_state_device(state, start).numpy()[rows]
    log_p = np.full((B, K), -np.inf)  # of each hypothesis; the first is the empty one
    log_p[:, 0] = 0
    hypotheses = np.empty((B, K, 0), np.int64)
    best = [DecodedSequence([], -np.inf)] * B
    for length in range(1, max_length + 1):
        with ag.no_grad():
            state = ag.tree_map(lambda leaf, rows=rows: leaf[rows], state)
            state, logits = step(state, _to_state_device(state, tokens))
            V = logits.shape[-1]
            previous = ag.tensor(log_p.reshape(B * K, 1), device=logits.device)
            total = (previous + _log_probabilities(logits)).reshape(B, K * V)
            log_p, indices = (t.numpy() for t in ag.top_k(total, K))
        parent, token = np.divmod(indices, V)
        rows, tokens = (np.arange(B)[:, None] * K + parent).ravel(), token.ravel()
        hypotheses = np.take_along_axis(hypotheses, parent[:, :, None], 1)
        hypotheses = np.concatenate([hypotheses, token[:, :, None]], -1)
        complete = token == end
        for b, k in np.argwhere(complete):
            score = float(log_p[b, k] / length_penalty(length, alpha))
            if score > best[b].score:
                best[b] = DecodedSequence(hypotheses[b, k, :-1].tolist(), score)
        log_p[complete] = -np.inf
        bounds = log_p.max(1) / length_penalty(max_length, alpha)
        if (bounds <= [sequence.score for sequence in best]).all():
            break
    for b, sequence in enumerate(best):
        if sequence.score == -np.inf:
            score = float(log_p[b, 0] / length_penalty(max_length, alpha))
            best[b] = DecodedSequence(hypotheses[b, 0].tolist(), score)
    return best


def length_penalty(length: float, alpha: float) -> float:
    """Return lp = (5 + length)^alpha / (5 + 1)^alpha (Wu et al. 2016, equation 14)."""
    return float(((5 + length) / 6) ** alpha)


def _to_state_device(state: Any, tokens: Any) -> Tensor:
    """Return symbols as a Tensor on the device of the state, if the state contains Tensors."""
    devices = [leaf.device for leaf in ag.flatten((state, tokens)) if isinstance(leaf, Tensor)]
    return ag.tensor(tokens, device=devices[0] if devices else None)


def _log_probabilities(logits: Tensor) -> Any:
    """Return the log softmax in float64; raise ValueError for nan."""
    log_p = ag.log_softmax(ag.astype(logits, "float64"))
    if ag.isnan(log_p).data.any():
        raise ValueError("the logits of the model contain nan; its weights may have diverged")
    return log_p


def _check_length(max_length: int) -> None:
    if max_length < 1:
        raise ValueError(f"max_length must be at least 1, got {max_length}")
