"""Models for sequence tasks, decoding algorithms, and baselines.

The models consist of layers from `nn`. `decoding` contains sampling and beam search, and
`baselines` contains Markov chains and autoregressions for comparison.
"""

from autograd.runtime.deprecation import moved_names

from .baselines.autoregression import Autoregression, best_autoregression, persistence
from .baselines.markov import MarkovModel, markov_table
from .captioner import Captioner
from .classifiers import SequenceClassifier, SequenceTagger
from .decoder import Decoder
from .decoding import DecodedSequence, beam_search, sample
from .encoder_decoder import EncoderDecoder
from .forecaster import Forecaster
from .language_model import LanguageModel

__all__ = [
    "Autoregression",
    "Captioner",
    "DecodedSequence",
    "Decoder",
    "EncoderDecoder",
    "Forecaster",
    "LanguageModel",
    "MarkovModel",
    "SequenceClassifier",
    "SequenceTagger",
    "beam_search",
    "best_autoregression",
    "markov_table",
    "persistence",
    "sample",
]

__getattr__ = moved_names(
    __name__,
    {"Writer": f"{__name__}.Decoder", "Written": f"{__name__}.DecodedSequence"},
)
