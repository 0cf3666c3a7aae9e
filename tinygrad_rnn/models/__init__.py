"""Models made of the layers in `nn`, how they write, and the Markov chains that they are measured
against."""

from .decoding import Written, beam_search, sample
from .encoder_decoder import EncoderDecoder
from .language import LanguageModel
from .markov import MarkovModel, markov_table

__all__ = [
    "EncoderDecoder",
    "LanguageModel",
    "MarkovModel",
    "Written",
    "beam_search",
    "markov_table",
    "sample",
]
