"""Representations of result objects: a few short lines for contents of any size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from insights import capture_traces, last_output

import autograd as ag
from tinygrad_rnn import data, insight, nn
from tinygrad_rnn.data.formats.fasta import FastaRecord
from tinygrad_rnn.data.formats.midi import NoteVocabulary
from tinygrad_rnn.demos.runner import Demo
from tinygrad_rnn.demos.saved_model import SavedModel
from tinygrad_rnn.models.decoding import DecodedSequence
from tinygrad_rnn.tasks.language_modeling import Options
from tinygrad_rnn.tasks.language_modeling import Run as TrainingRun

LONG = 900  # below the size at which NumPy abbreviates arrays


def make_flow() -> Any:
    layer = nn.LSTM(2, 8)
    return insight.gradient_flow(layer, np.ones((40, 3, 2), "float32"), loss=last_output)["l0"]


def make_trace(**options: Any) -> Any:
    return capture_traces(nn.LSTM(2, 3, **options), np.ones((40, 3, 2), "float32"))[-1]


def make_explanation(**options: Any) -> Any:
    lstm = nn.LSTMCell(2, 3)
    return ag.explain(lstm.step, lstm.initial_state(4), ag.ones((50, 4, 12)), **options)


def make_training_run() -> Any:
    words = dict.fromkeys(("source", "sha256"), "x")
    characters = map(chr, range(32, 5000))
    return TrainingRun(Path("runs"), Options(), data.Vocabulary(characters), words, {})


RESULTS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "flow": (make_flow, ["Flow(", "'h': array(shape=(40, 3, 8)", "'c': "]),
    "run": (make_trace, ["LayerTrace('l0', steps=40, batch=3", "'c'", "'f'"]),
    "backward run": (lambda: make_trace(bidirectional=True), ["'l0_reverse'", "reverse=True"]),
    "compiled": (make_explanation, ["Explanation(compiled=True", "print()"]),
    "not compiled": (lambda: make_explanation(compile=False), ["compiled=False, why="]),
    "for a GPU": (lambda: make_explanation(device="cuda"), ["Explanation(compiled=True"]),
    "kernels": (lambda: make_explanation(device="cuda").kernels[0], ["Kernel(", "operations"]),
    "packed": (
        lambda: nn.utils.rnn.pack_padded_sequence(ag.ones((40, 3, 9)), [40, 30, 20]),
        ["PackedSequence(data=tensor(shape=(90, 9)", "sorted_indices=None"],
    ),
    "memory": (
        lambda: nn.GeneralAttention(3, 4).prepare(ag.ones((20, 5, 4)), None),
        ["Memory(keys=tensor(shape="],
    ),
    "series": (
        lambda: data.TimeSeries(np.ones((LONG, 2)), ("a", "b")),
        ["TimeSeries(values=array(shape=(900, 2), dtype=float64)", "'a'"],
    ),
    "FASTA record": (
        lambda: FastaRecord("chr1", np.zeros(LONG, int), np.zeros(LONG, int)),
        ["FastaRecord(name='chr1', bases=array(shape=(900,)"],
    ),
    "token vocabulary": (
        lambda: data.TokenVocabulary(tuple(map(str, range(LONG)))),
        ["TokenVocabulary(tokens=('0', '1'"],
    ),
    "vocabulary": (lambda: data.Vocabulary(map(chr, range(32, LONG))), ["Vocabulary(characters="]),
    "note vocabulary": (
        lambda: NoteVocabulary(tuple(range(LONG))),
        ["NoteVocabulary(tokens=(0, 1"],
    ),
    "decoded sequence": (
        lambda: DecodedSequence(list(range(LONG)), -1.5),
        ["DecodedSequence(tokens=[0, 1", "score=-1.5"],
    ),
    "training run": (make_training_run, ["Run(folder=", "vocabulary="]),
    "saved": (
        lambda: SavedModel(Path("a"), "b", {"words": ["w"] * LONG}),
        ["SavedModel(folder=", "'b'"],
    ),
    "demo": (lambda: Demo("elman", Path("a")), ["elman"]),
}


@pytest.mark.parametrize("name", RESULTS)
def test_representations_are_short(name: str) -> None:
    make, parts = RESULTS[name]
    text = repr(make())
    assert len(text.splitlines()) <= 10
    assert len(text) <= 1000
    assert all(part in text for part in parts), text


def test_print_shows_the_full_explanation() -> None:
    explanation = make_explanation()
    lines = str(explanation).splitlines()
    assert len(lines) > 10
    assert f"print() shows {len(lines)} lines" in repr(explanation)
    kernel = make_explanation(device="cuda").kernels[0]
    assert len(str(kernel).splitlines()) > len(repr(kernel).splitlines())
