"""Deprecated names of the data package and of the models."""

from collections.abc import Callable
from typing import Any

import pytest

from tinygrad_rnn import data, models, nn

pytestmark = pytest.mark.host

NAMES = {
    data: {
        "Generated": "GeneratedBatches",
        "LabelledText": "LabeledText",
        "Lexicon": "TokenVocabulary",
        "Sequence": "FastaRecord",
        "files_in": "list_files",
        "joined": "detokenize",
        "labelled_files": "list_labeled_files",
        "read_labelled": "read_labeled_folder",
        "regions": "coding_regions",
        "shifted": "random_shift",
        "tokens": "tokenize",
    },
    models: {"Writer": "Decoder", "Written": "DecodedSequence"},
}


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [(module, *names) for module, pairs in NAMES.items() for names in pairs.items()],
)
def test_deprecated_names_of_modules(module: Any, old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{old} is deprecated; use .*{new}"):
        assert getattr(module, old) is getattr(module, new)


@pytest.mark.parametrize(
    ("make", "old", "new"),
    [
        (lambda: data.TokenVocabulary(("a",)), "words", "tokens"),
        (lambda: data.TokenVocabulary(("a",)), "framed", "encode_target"),
        (lambda: data.LabeledText(["a"], ["b"]), "lexicon", "vocabulary"),
        (lambda: data.ParallelText(["a"], ["b"]), "source_lexicon", "source_vocabulary"),
        (lambda: data.ParallelText(["a"], ["b"]), "target_lexicon", "target_vocabulary"),
        (
            lambda: models.SequenceClassifier(nn.GRU(2, 3), 2),
            "over_time",
            "predict_over_time",
        ),
        (
            lambda: models.Captioner(nn.Linear(2, 3), 4, nn.GRUCell(2, 3)),
            "picture_size",
            "feature_size",
        ),
    ],
)
def test_deprecated_attributes(make: Callable[[], Any], old: str, new: str) -> None:
    instance = make()
    with pytest.warns(DeprecationWarning, match=f"{old} is deprecated; use {new}"):
        assert getattr(instance, old) == getattr(instance, new)


def test_deprecated_parameters() -> None:
    with pytest.warns(DeprecationWarning, match="feature_size"):
        model = models.Captioner(nn.Identity(), 4, nn.GRUCell(2, 3), picture_size=5)
    assert model.feature_size == 5
