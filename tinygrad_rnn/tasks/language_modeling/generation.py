"""Text that a character language model writes: one character at a time, each from the model's own
distribution given all that stands before it (Graves 2013, "Generating sequences with recurrent
neural networks")."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import autograd as ag

from ...data import Vocabulary
from ...data.vocabulary import Ids
from ...models import LanguageModel
from ...models.decoding import generate_tokens
from ...training.truncated_bptt import to_model_device


def generate(
    model: LanguageModel,
    vocabulary: Vocabulary,
    length: int,
    *,
    prompt: str = "",
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
) -> Iterator[str]:
    """`length` characters that go on from `prompt`, one by one.

    temperature: 0 always takes the likeliest character, 1 draws from the model's distribution,
        more is bolder. top_k: draw among so many likeliest characters only. top_p: among the
        likeliest that together reach this probability.
    An empty prompt stands for the start of a line. InputError names characters of the prompt that
    the model has never seen.
    """
    start = "\n" if "\n" in vocabulary.characters else vocabulary.characters[0]
    tokens = vocabulary.encode(prompt or start)
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    return islice(_characters(model, vocabulary, tokens, ag.Generator(seed), options), length)


def _characters(
    model: LanguageModel,
    vocabulary: Vocabulary,
    tokens: Ids,
    generator: ag.Generator,
    options: dict[str, Any],
) -> Iterator[str]:
    """Characters without end that follow `tokens`, shape (n,)."""
    model.eval()
    state = model.encode(to_model_device(model, tokens[:-1, None]))
    last_token = to_model_device(model, tokens[-1:])
    for drawn, _ in generate_tokens(model.step, state, last_token, generator=generator, **options):
        yield vocabulary.characters[int(drawn.item())]
