"""Text generation: sampling from a character language model.

References
----------
Graves 2013, "Generating sequences with recurrent neural networks".
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import autograd as ag

from ...data import Vocabulary
from ...data.vocabulary import Ids
from ...models import LanguageModel
from ...models.decoding import generate_tokens
from ...nn.module import to_model_device


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
    """Generate the characters that follow a prompt.

    Parameters
    ----------
    model : LanguageModel
        The model. It is set to evaluation mode.
    vocabulary : Vocabulary
        Vocabulary of the model.
    length : int
        Number of characters.
    prompt : str, default ""
        Text to continue. An empty prompt starts a new line.
    temperature : float, default 1.0
        Sampling temperature. 0 selects the most likely character (greedy decoding), 1 samples from
        the distribution of the model.
    top_k : int, optional
        Sample from the `top_k` most likely characters only (top-k sampling).
    top_p : float, optional
        Sample from the most likely characters whose probabilities add up to `top_p` (nucleus
        sampling).
    seed : int, default 0
        Random seed.

    Returns
    -------
    iterator of str
        The characters.

    Raises
    ------
    InputError
        If the prompt contains characters that are not in the vocabulary.
    """
    line_start = "\n" if "\n" in vocabulary.characters else vocabulary.characters[0]
    tokens = vocabulary.encode(prompt or line_start)
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    return islice(_generate(model, vocabulary, tokens, ag.Generator(seed), options), length)


def _generate(
    model: LanguageModel,
    vocabulary: Vocabulary,
    tokens: Ids,
    generator: ag.Generator,
    options: dict[str, Any],
) -> Iterator[str]:
    """Yield an endless sequence of characters that follow `tokens` (T,)."""
    model.eval()
    state = model.encode(to_model_device(model, tokens[:-1, None]))
    last_token = to_model_device(model, tokens[-1:])
    for token, _ in generate_tokens(model.step, state, last_token, generator=generator, **options):
        yield vocabulary.characters[int(token.item())]
