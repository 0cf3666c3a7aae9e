"""Models made of the layers in `nn`, how they write, and the Markov chains and autoregressions that
they are measured against."""

from .baselines.autoregression import Autoregression, best_autoregression, persistence
from .baselines.markov import MarkovModel, markov_table
from .captioner import Captioner
from .classifiers import SequenceClassifier, SequenceTagger
from .decoder import Writer
from .decoding import Written, beam_search, sample
from .encoder_decoder import EncoderDecoder
from .forecaster import Forecaster
from .language_model import LanguageModel

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
