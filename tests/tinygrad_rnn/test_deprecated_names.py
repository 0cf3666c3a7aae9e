"""Deprecated names, old module paths and old pickles of the library."""

import importlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autograd as ag
from tinygrad_rnn import data, insight, models, nn, optim, training
from tinygrad_rnn.compatibility import MOVED_MODULES
from tinygrad_rnn.data.formats.midi import NoteVocabulary
from tinygrad_rnn.demos.runner import Demo, Measurement
from tinygrad_rnn.tasks import language_modeling

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


def _run() -> language_modeling.Run:
    vocabulary = data.Vocabulary("ab")
    return language_modeling.Run(Path(), language_modeling.Options(), vocabulary, {}, {})


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
        (language_modeling.Options, "prolonged", "with_limits"),
        (language_modeling.Options, "typed", "format_limit"),
        (_run, "prolong", "update_options"),
        (_run, "locked", "lock"),
        (lambda: Measurement("accuracy", 0.5), "what", "name"),
        (lambda: Measurement("accuracy", 0.5), "shown", "formatted"),
        (lambda: Measurement("accuracy", 0.5), "wanted", "target"),
        (lambda: Measurement("accuracy", 0.5), "reached", "passed"),
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
    vocabulary = data.TokenVocabulary(("a",))
    with pytest.warns(DeprecationWarning, match=r"encode\(words=...\) is deprecated"):
        assert vocabulary.encode(words=["a"]).tolist() == [4]  # type: ignore[call-arg]
    trainer = _trainer()
    with pytest.warns(DeprecationWarning, match=r"reached\(at=...\) is deprecated"):
        reached = training.Limits().reached(at=trainer.position, seconds=0)  # type: ignore[call-arg]
    assert reached is None
    with pytest.warns(DeprecationWarning, match=r"__init__\(training=...\) is deprecated"):
        session = training.Session(None, training=trainer, limits=training.Limits(1))  # type: ignore[call-arg]
    assert session.trainer is trainer
    demo = Demo("name", Path("folder"))
    with pytest.warns(DeprecationWarning, match=r"record\(what=...\) is deprecated; use name="):
        demo.record(what="accuracy", value=0.5)  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match=r"path\(shows=...\) is deprecated; use caption="):
        demo.path("a.png", shows="An image")  # type: ignore[call-arg]
    assert demo.rows == [Measurement("accuracy", 0.5)]
    assert demo.files == {"a.png": "An image"}


def _trainer() -> training.Trainer:
    model = nn.Linear(2, 3)
    return training.Trainer(model, optim.SGD(model.parameters(), lr=0.1), lambda *_: None, [1, 2])


@pytest.mark.parametrize("module", MOVED_MODULES)
def test_old_modules_resolve_their_names(module: str) -> None:
    old = importlib.import_module(f"tinygrad_rnn.{module}")
    for name, target in MOVED_MODULES[module].items():
        owner, _, attribute = target.rpartition(".")
        with pytest.warns(DeprecationWarning, match=f"{module}.{name} is deprecated; use {target}"):
            value = getattr(old, name)
        assert value is getattr(importlib.import_module(owner), attribute)


def test_old_modules_are_imported_by_statement() -> None:
    with pytest.warns(DeprecationWarning, match=r"use tinygrad_rnn.plotting.COLORS") as caught:
        from tinygrad_rnn.pictures import COLOURS  # type: ignore[import-not-found]
    assert caught[0].filename == __file__
    assert COLOURS
    with pytest.raises(ImportError, match="cannot import name 'missing'"):
        from tinygrad_rnn.pictures import missing  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match=r"tinygrad_rnn.picture"):
        import tinygrad_rnn.picture  # type: ignore[import-not-found]  # noqa: F401


def test_deprecated_class_methods() -> None:
    with pytest.warns(DeprecationWarning, match=r"Vocabulary.of is deprecated; use from_texts"):
        assert data.TokenVocabulary.of([["a"]]).tokens == ("a",)
    with pytest.warns(DeprecationWarning, match=r"Vocabulary.of is deprecated; use from_pieces"):
        assert NoteVocabulary.of([]).tokens == ()


@pytest.mark.parametrize(
    ("base", "old", "new"),
    [
        (ag.backend.Backend, "wraps", "wraps_indices"),
        (ag.backend.Backend, "fuses", "supports_kernels"),
        (training.Trainer, "figure", "metric_name"),
        (training.Trainer, "counted", "count_name"),
        (training.Trainer, "unit", "metric_scale"),
        (optim.Optimizer, "arrays", "state_arrays"),
        (optim.Optimizer, "counters", "state_counters"),
        (optim.Optimizer, "decoupled", "decoupled_weight_decay"),
        (optim.lr_scheduler.LRScheduler, "kept", "state_names"),
        (optim.lr_scheduler.LRScheduler, "options", "option_names"),
    ],
)
def test_deprecated_attributes_of_base_classes(base: type, old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{old} is deprecated; use {new}"):
        assert getattr(base, old) == getattr(base, new)
    with pytest.warns(DeprecationWarning, match=f"Custom.{old} is deprecated; use {new}"):
        custom = type("Custom", (base,), {old: "override"})
    assert getattr(custom, new) == "override"


def test_traces_accept_the_old_name_of_a_parameter() -> None:
    model = nn.RNN(2, 3)
    with insight.capture(model) as traces:
        output = model(ag.ones((4, 1, 2)))[0].sum()
    with pytest.warns(DeprecationWarning, match=r"gradient\(of=...\) is deprecated"):
        gradient = traces[0].gradient(of=output, name="h")  # type: ignore[call-arg]
    assert gradient.shape == (4, 1, 3)


@pytest.mark.parametrize(
    ("make", "old", "new"),
    [
        (lambda: nn.LSTMCell(2, 3), "_made_from", "_constructor_arguments"),
        (lambda: data.TokenVocabulary(("a",)), "words", "tokens"),
        (lambda: data.LabeledText(["a"], ["b"]), "lexicon", "vocabulary"),
        (lambda: data.ParallelText(["a"], ["b"]), "source_lexicon", "source_vocabulary"),
        (
            lambda: models.Captioner(nn.Linear(2, 3), 4, nn.GRUCell(2, 3)),
            "picture_size",
            "feature_size",
        ),
        (
            lambda: optim.lr_scheduler.StepLR(optim.SGD(nn.Linear(2, 3).parameters(), lr=0.1), 1),
            "_set",
            "_applied_rates",
        ),
    ],
)
def test_pickles_with_old_names_of_attributes(make: Callable[[], Any], old: str, new: str) -> None:
    content = pickle.dumps(make(), protocol=2)
    old_name, new_name = (b"X" + len(n).to_bytes(4, "little") + n.encode() for n in (old, new))
    assert new_name in content
    restored = pickle.loads(content.replace(new_name, old_name, 1))
    assert old not in vars(restored)
    assert new in vars(restored)
