"""Data: where it comes from and how it is cut into batches."""

from .loader import (
    DataLoader,
    Generated,
    Loader,
    Subset,
    TensorDataset,
    collate,
    pad_collate,
    random_split,
)
from .tables import LabelledText, Lexicon, ParallelText, TimeSeries
from .text import StatefulBatches, TextCorpus, Vocabulary, evaluation_streams

__all__ = [
    "DataLoader",
    "Generated",
    "LabelledText",
    "Lexicon",
    "Loader",
    "ParallelText",
    "StatefulBatches",
    "Subset",
    "TensorDataset",
    "TextCorpus",
    "TimeSeries",
    "Vocabulary",
    "collate",
    "evaluation_streams",
    "pad_collate",
    "random_split",
]
