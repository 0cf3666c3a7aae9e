"""Datasets, file readers and loaders.

`files` opens files and lists folders, and `delimited` reads tables. `formats` reads WAV, MIDI,
FASTA and IDX files. `text`, `text_datasets`, `time_series` and `dataset` contain datasets, and
`vocabulary` maps texts to ids. `loader` and `collation` divide datasets into batches. `generators`
contains the synthetic data of the demos.
"""

from autograd.runtime.deprecation import moved_names

from .collation import collate, pad_collate
from .dataset import Subset, TensorDataset, random_split
from .files import list_files, list_labeled_files, read_folder, read_labeled_folder
from .formats.fasta import FastaRecord, coding_regions, read_fasta
from .formats.idx import random_shift, read_idx, read_images, read_mnist
from .formats.midi import Note, read_midi, write_midi
from .formats.wav import log_mel, read_wav, resample, write_wav
from .loader import DataLoader, GeneratedBatches, Loader
from .text import (
    StatefulBatches,
    TextCorpus,
    detokenize,
    evaluation_streams,
    read_text,
    tokenize,
)
from .text_datasets import LabeledText, ParallelText
from .time_series import TimeSeries
from .vocabulary import TokenVocabulary, Vocabulary

__all__ = [
    "DataLoader",
    "FastaRecord",
    "GeneratedBatches",
    "LabeledText",
    "Loader",
    "Note",
    "ParallelText",
    "StatefulBatches",
    "Subset",
    "TensorDataset",
    "TextCorpus",
    "TimeSeries",
    "TokenVocabulary",
    "Vocabulary",
    "coding_regions",
    "collate",
    "detokenize",
    "evaluation_streams",
    "list_files",
    "list_labeled_files",
    "log_mel",
    "pad_collate",
    "random_shift",
    "random_split",
    "read_fasta",
    "read_folder",
    "read_idx",
    "read_images",
    "read_labeled_folder",
    "read_midi",
    "read_mnist",
    "read_text",
    "read_wav",
    "resample",
    "tokenize",
    "write_midi",
    "write_wav",
]

__getattr__ = moved_names(
    __name__,
    {
        "Generated": f"{__name__}.GeneratedBatches",
        "LabelledText": f"{__name__}.LabeledText",
        "Lexicon": f"{__name__}.TokenVocabulary",
        "Sequence": f"{__name__}.FastaRecord",
        "files_in": f"{__name__}.list_files",
        "joined": f"{__name__}.detokenize",
        "labelled_files": f"{__name__}.list_labeled_files",
        "read_labelled": f"{__name__}.read_labeled_folder",
        "regions": f"{__name__}.coding_regions",
        "shifted": f"{__name__}.random_shift",
        "tokens": f"{__name__}.tokenize",
    },
)
