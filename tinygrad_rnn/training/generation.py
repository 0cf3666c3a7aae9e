"""Text that a character language model writes: one character at a time, each from the model's own
distribution given all that stands before it (Graves 2013, "Generating sequences with recurrent
neural networks")."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

import autograd as ag

from ..data import Vocabulary
from ..data.text import Ids
from ..models import LanguageModel
from .language import beside


def generate(
    model: LanguageModel,
    vocabulary: Vocabulary,
    length: int,
    *,
    prompt: str = "",
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
) -> Iterator[str]:
    """`length` characters that go on from `prompt`, one by one.

    temperature: 0 always takes the likeliest character, 1 draws from the model's distribution,
        more is bolder. top_k: draw among so many likeliest characters only.
    An empty prompt stands for the start of a line. InputError names characters of the prompt that
    the model has never seen.
    """
    start = "\n" if "\n" in vocabulary.characters else vocabulary.characters[0]
    tokens = vocabulary.encode(prompt or start)
    draws = ag.random.Generator(seed)
    return itertools.islice(
        _characters(model, vocabulary, tokens, temperature, top_k, draws), length
    )


def _characters(
    model: LanguageModel,
    vocabulary: Vocabulary,
    tokens: Ids,
    temperature: float,
    top_k: int | None,
    draws: ag.random.Generator,
) -> Iterator[str]:
    """Characters without end that follow `tokens`, shape (n,)."""
    model.eval()
    state = None
    while True:
        with ag.no_grad():
            logits, state = model(beside(model, tokens[:, None]), state)
        p = distribution(logits.numpy()[-1, 0], temperature, top_k)
        # The smallest character whose cumulated probability exceeds a uniform number.
        cumulated = np.cumsum(p)
        draw = draws.uniform(dtype=np.float64, device="cpu").item() * cumulated[-1]
        token = int(np.searchsorted(cumulated, draw, side="right"))
        tokens = np.array([token])
        yield vocabulary.characters[token]


def distribution(
    logits: npt.NDArray[np.floating], temperature: float, top_k: int | None
) -> npt.NDArray[np.float64]:
    """softmax(logits / temperature) over the `top_k` largest logits, shape (V,); the limit at 0."""
    scores = logits.astype(np.float64) - logits.max()
    if top_k is not None and top_k < len(scores):
        scores[np.argsort(-scores, kind="stable")[top_k:]] = -np.inf
    if temperature == 0:
        p = np.zeros(len(scores))
        p[scores.argmax()] = 1.0
        return p
    with np.errstate(over="ignore"):  # scores / temperature = -inf: a probability of 0
        weights = np.exp(scores / temperature)
    normalised: npt.NDArray[np.float64] = weights / weights.sum()
    return normalised
