"""Compatibility with earlier versions: old module paths and old pickles.

The package registers `OldPathFinder` at the end of `sys.meta_path`, so that Python consults it only
for modules that do not exist. Pickles refer to classes by module path and are loaded the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def _names(module: str, same: str = "", **renamed: str) -> dict[str, str]:
    """Return the new path of each old name; the names in `same` did not change."""
    names = dict.fromkeys(same.split()) | renamed
    return {old: f"tinygrad_rnn.{module}.{new or old}" for old, new in names.items()}


MOVED_MODULES: dict[str, dict[str, str]] = {
    "data.fasta": _names(
        "data.formats.fasta",
        "BASES read_fasta",
        Sequence="FastaRecord",
        numbers="encode_bases",
        regions="coding_regions",
    ),
    "data.grammars": _names(
        "data.generators.grammars",
        REBER="REBER_SYMBOLS",
        embedded_reber="sample_embedded_reber",
        encoded="encode_batch",
        reber="sample_reber",
    ),
    "data.idx": _names("data", "read_idx read_images read_mnist", shifted="random_shift"),
    "data.midi": _names(
        "data.formats.midi",
        "Note read_midi write_midi",
        Notation="NoteVocabulary",
        as_roll="piano_roll",
        as_tokens="notes_to_tokens",
        from_tokens="tokens_to_notes",
        sound="synthesize",
    ),
    "data.programs": _names(
        "data.generators.programs",
        NEXT_FILE="FILE_SEPARATOR",
        code="normalize_source",
        library="sample_library",
    ),
    "data.scenes": _names(
        "data.generators.scenes",
        "CAPTION_WORDS EVENTS",
        FILM_WORDS="VIDEO_WORDS",
        LONGEST="MAX_FRAMES",
        SIZE="FRAME_SIZE",
        film="make_video",
        scene="make_scene",
    ),
    "data.sentences": _names(
        "data.generators.sentences",
        "NAMES PINYIN",
        REVIEWS="REVIEW_TEMPLATES",
        SEEING="OBSERVER_WORDS",
        review="make_review",
        seeing="make_observer_sentence",
        translated="make_translation_pair",
    ),
    "data.sound": _names("data", "log_mel read_wav resample write_wav"),
    "data.synthetic": _names(
        "data.generators.synthetic",
        BAR="STEPS_PER_BAR",
        adding="make_adding_problem",
        chain="make_markov_chain",
        chained="sample_markov_chain",
        dna="make_dna",
        mackey_glass="make_mackey_glass",
        random_walk="make_random_walk",
        seasons="make_seasonal_series",
        spoken="make_spoken_word",
        tune="make_tune",
        waves="make_frequency_modulated_sine",
    ),
    "data.tables": _names("data.vocabulary", "BEGIN END PADDING UNKNOWN", Lexicon="TokenVocabulary")
    | _names("data", "ParallelText TimeSeries", LabelledText="LabeledText"),
    "demo": _names("demos.runner", "Demo read_results run", Row="Measurement", price="measure_cost")
    | _names("demos.saved_model", Saved="SavedModel", text_of="read_text_argument"),
    "models.autoregression": _names("models", "Autoregression best_autoregression persistence"),
    "models.labels": _names("models", "SequenceClassifier SequenceTagger"),
    "models.language": _names("models", "LanguageModel"),
    "models.markov": _names("models", "MarkovModel markov_table"),
    "models.writer": _names("models", Writer="Decoder"),
    "nn.cell": _names("nn", "Cell"),
    "nn.cells": _names(
        "nn",
        "CoupledLSTMCell GRUCell IRNNCell JordanRNNCell LayerNormLSTMCell LSTMCell MGUCell "
        "MinGRUCell PeepholeLSTMCell RNNCell",
    ),
    "nn.interchange": _names("nn.keras_weights", "from_keras"),
    "nn.rnn": _names("nn", "GRU LSTM RNN JordanRNN LayerNormLSTM PeepholeLSTM"),
    "optim.gradient": _names("optim", "Adagrad RMSprop SGD"),
    "pictures": _names(
        "plotting",
        "STYLE style subplots",
        COLOURS="COLORS",
        arrows="find_links",
        as_png="to_png",
        bars="draw_bars",
        heat_map="draw_heat_map",
        image="draw_image",
        legible="safe_label",
        network="draw_network",
    ),
}
"""For each old module, relative to this package, the new path of its public names."""


def renamed_state(**new_names: str) -> Callable[[Any, dict[str, Any]], None]:
    """Return a `__setstate__` that restores pickles with old names of instance attributes.

    Parameters
    ----------
    **new_names
        The new name of each attribute, by its old name.
    """

    def __setstate__(self: Any, state: dict[str, Any]) -> None:
        vars(self).update({new_names.get(name, name): state[name] for name in state})

    return __setstate__


class OldPathFinder(MetaPathFinder, Loader):
    """Finder and loader of the modules in `MOVED_MODULES`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        known = package == "tinygrad_rnn" and name in MOVED_MODULES
        return ModuleSpec(fullname, self) if known else None

    def exec_module(self, module: ModuleType) -> None:
        from autograd.runtime.deprecation import moved_names  # --help does not load the engine

        _, _, name = module.__name__.partition(".")
        module.__doc__ = "Deprecated module."
        module.__getattr__ = moved_names(module.__name__, MOVED_MODULES[name])  # type: ignore[method-assign]
