"""Models made of the layers in `nn`, how they write, and the Markov chains and autoregressions that
they are measured against."""

from .autoregression import Autoregression, best_autoregression, persistence
from .captioner import Captioner
from .decoding import Written, beam_search, sample
from .encoder_decoder import EncoderDecoder
from .forecaster import Forecaster
from .labels import SequenceClassifier, SequenceTagger
from .language import LanguageModel
from .markov import MarkovModel, markov_table
from .writer import Writer

__all__ = [
    "Autoregression",
    "Captioner",
    "EncoderDecoder",
    "Forecaster",
    "LanguageModel",
    "MarkovModel",
    "SequenceClassifier",
    "SequenceTagger",
    "Writer",
    "Written",
    "beam_search",
    "best_autoregression",
    "markov_table",
    "persistence",
    "sample",
]
