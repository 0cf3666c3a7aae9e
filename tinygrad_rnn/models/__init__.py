"""Models made of the layers in `nn`, and the Markov chains that they are measured against."""

from .language import LanguageModel
from .markov import MarkovModel, markov_table

__all__ = ["LanguageModel", "MarkovModel", "markov_table"]
