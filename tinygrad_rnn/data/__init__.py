"""Data: where it comes from and how it is cut into batches."""

from .text import StatefulBatches, TextCorpus, Vocabulary, evaluation_streams

__all__ = ["TextCorpus", "Vocabulary", "StatefulBatches", "evaluation_streams"]
