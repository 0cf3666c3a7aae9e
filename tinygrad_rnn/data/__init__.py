"""Data: where it comes from and how it is cut into batches."""

from .files import files_in, labelled_files, read_folder, read_labelled
from .formats.fasta import Sequence, read_fasta, regions
from .formats.idx import read_idx, read_images, read_mnist, shifted
from .formats.midi import Note, read_midi, write_midi
from .formats.wav import log_mel, read_wav, resample, write_wav
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
from .text import (
    StatefulBatches,
    TextCorpus,
    Vocabulary,
    evaluation_streams,
    joined,
    read_text,
    tokens,
)
from .text_datasets import LabelledText, Lexicon, ParallelText, TimeSeries

__all__ = [
    "DataLoader",
    "Generated",
    "LabelledText",
    "Lexicon",
    "Loader",
    "Note",
    "ParallelText",
    "Sequence",
    "StatefulBatches",
    "Subset",
    "TensorDataset",
    "TextCorpus",
    "TimeSeries",
    "Vocabulary",
    "collate",
    "evaluation_streams",
    "files_in",
    "joined",
    "labelled_files",
    "log_mel",
    "pad_collate",
    "random_split",
    "read_fasta",
    "read_folder",
    "read_idx",
    "read_images",
    "read_labelled",
    "read_midi",
    "read_mnist",
    "read_text",
    "read_wav",
    "regions",
    "resample",
    "shifted",
    "tokens",
    "write_midi",
    "write_wav",
]
