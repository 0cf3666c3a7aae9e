"""Data: where it comes from and how it is cut into batches."""

from .fasta import Sequence, read_fasta, regions
from .files import files_in, labelled_files, read_folder, read_labelled
from .idx import read_idx, read_images, read_mnist, shifted
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
from .midi import Note, read_midi, write_midi
from .sound import log_mel, read_wav, resample, write_wav
from .tables import LabelledText, Lexicon, ParallelText, TimeSeries
from .text import (
    StatefulBatches,
    TextCorpus,
    Vocabulary,
    evaluation_streams,
    joined,
    read_text,
    tokens,
)

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
