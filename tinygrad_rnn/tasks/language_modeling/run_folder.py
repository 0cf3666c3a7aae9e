"""Folder of a training run: its files, and how it is created, opened and described.

config.json         options, vocabulary, source and SHA-256 of the text, versions
corpus.txt          the training text, so that a run can be resumed without the original
model.safetensors   the model with the lowest validation loss
last.safetensors    the checkpoint from which a run resumes
metrics.jsonl       a line for every update and every evaluation
loss.png            a plot of the loss
sample.txt          text that the best model generates
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from autograd.runtime.deprecation import RenamedAttribute

from ...data import TextCorpus, Vocabulary
from ...errors import InputError, check_fields
from ...models import LanguageModel
from ...summary import summary_repr
from ...training.environment import versions
from ...training.files import (
    as_json,
    lock_folder,
    partial_files,
    prepare,
    publish,
    read_json,
    remove_partial_files,
    write_file,
)
from ...training.serialization import load
from .options import Options
from .training import build_model

FORMAT = "tinygrad-rnn character language model, version 1"
RUNS_FOLDER = Path("runs")
"""Folder of runs without `--out`."""

_RESULT_FILES = ("model.safetensors", "last.safetensors", "metrics.jsonl", "loss.png", "sample.txt")


@dataclass(frozen=True)
class Run:
    """A training run and its folder, as described by `config.json`.

    Attributes
    ----------
    folder : Path
        The folder.
    options : Options
        Options of the model and its training.
    vocabulary : Vocabulary
        Characters of the text.
    text : dict
        Source, number of characters and SHA-256 of the text.
    versions : dict
        Versions of the packages that started the run.
    """

    folder: Path
    options: Options
    vocabulary: Vocabulary
    text: dict[str, Any]
    versions: dict[str, str]

    __repr__ = summary_repr
    prolong = RenamedAttribute("update_options")
    locked = RenamedAttribute("lock")

    @classmethod
    def create(
        cls, folder: Path | None, options: Options, corpus: TextCorpus, overwrite: bool = False
    ) -> Run:
        """Create the folder of a run and write its configuration and text.

        Parameters
        ----------
        folder : Path or None
            The folder. None: a new folder in `runs`.
        options : Options
            Options of the model and its training.
        corpus : TextCorpus
            Training text.
        overwrite : bool, default False
            Replace the files of an existing run. Other files in the folder are kept.

        Returns
        -------
        Run
            The run.

        Raises
        ------
        InputError
            If the folder exists and may not be overwritten, or cannot be created.
        """
        check_folder(folder, overwrite)
        try:
            created = _make_folder(folder, options.model, overwrite)
        except OSError as error:
            target = folder or RUNS_FOLDER / f"{options.model}-N"
            raise InputError(
                f"cannot create {target}: {error.filename}: {error.strerror}"
            ) from error
        run = cls(created, options, corpus.vocabulary, _describe(corpus), versions())
        contents = {"config.json": run._config(), "corpus.txt": _as_bytes(corpus.text)}
        with run.lock():
            try:
                partial = {name: prepare(run.path(name), contents[name]) for name in contents}
            except OSError:
                remove_partial_files(created)
                if not any(created.iterdir()):
                    created.rmdir()
                raise
            for name in _RESULT_FILES:
                run.path(name).unlink(missing_ok=True)
            for name in contents:
                publish(partial[name], run.path(name))
        return run

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Open an existing run.

        Parameters
        ----------
        folder : Path
            Folder of the run.

        Returns
        -------
        Run
            The run.

        Raises
        ------
        InputError
            If the folder does not contain a language-model run, or its configuration is damaged.
        """
        if not folder.exists():
            raise InputError(f"run {folder} does not exist; {_list_runs()}")
        if not (folder / "config.json").is_file():
            raise InputError(f"{folder} is not a run: it has no config.json")
        config = read_json(folder / "config.json")
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            if isinstance(config, dict) and isinstance(demo := config.get("demo"), str):
                raise InputError(
                    f"{folder} contains the model of the demo {demo!r}; apply it with "
                    f"tinygrad-rnn predict {shlex.quote(str(folder))} INPUT"
                )
            raise InputError(f"{folder / 'config.json'} does not describe a language-model run")
        try:
            characters, text = config["vocabulary"], dict(config["text"])
            if not (isinstance(characters, str) and characters):
                raise ValueError("the vocabulary must be a non-empty string")
            check_fields(text, _TEXT_FIELDS, "the text")
            return cls(
                folder,
                Options(**config["options"]),
                Vocabulary(characters),
                text,
                dict(config["versions"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{folder / 'config.json'} is damaged: {error}") from error

    def path(self, name: str) -> Path:
        """Return the path of a file in the folder.

        Parameters
        ----------
        name : str
            Name of the file.

        Returns
        -------
        Path
            Its path.
        """
        return self.folder / name

    def _config(self) -> bytes:
        return as_json(
            {
                "format": FORMAT,
                "options": self.options.as_dict(),
                "text": self.text,
                "versions": self.versions,
                "vocabulary": "".join(self.vocabulary.characters),
            }
        )

    def update_options(self, options: Options) -> None:
        """Save changed options.

        Parameters
        ----------
        options : Options
            Options with which the run continues.
        """
        if options != self.options:
            write_file(self.path("config.json"), replace(self, options=options)._config())

    def corpus(self) -> TextCorpus:
        """Return the training text.

        Returns
        -------
        TextCorpus
            The text.

        Raises
        ------
        InputError
            If the text is missing or has changed since the run was created.
        """
        path = self.path("corpus.txt")
        if not path.is_file():
            raise InputError(
                f"{path} is missing, so the run cannot be resumed; start it again with --overwrite"
            )
        content = path.read_bytes()
        if _digest(content) != self.text["sha256"]:
            raise InputError(f"{path} has changed since the run started: its checksum differs")
        corpus = TextCorpus(content.decode("utf-8", "surrogatepass"), self.text["source"])
        if corpus.vocabulary != self.vocabulary:
            config = self.path("config.json")
            raise InputError(f"{config} is damaged: its vocabulary differs from {path}")
        return corpus

    def check_same_text(self, corpus: TextCorpus) -> None:
        """Check that a text is the training text of the run.

        Parameters
        ----------
        corpus : TextCorpus
            The text to check.

        Raises
        ------
        InputError
            If the texts differ.
        """
        if _digest(_as_bytes(corpus.text)) != self.text["sha256"]:
            raise InputError(
                f"{corpus.source} differs from the training text of {self.folder} "
                f"({self.text['source']}); --resume needs no TEXT"
            )

    def load_model(self) -> LanguageModel:
        """Load the best model of the run.

        Returns
        -------
        LanguageModel
            The model, on the CPU.

        Raises
        ------
        InputError
            If `model.safetensors` is missing or damaged.
        """
        model = build_model(self.options, len(self.vocabulary), device="cpu")
        load(self.path("model.safetensors"), model)
        return model

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Return a context manager that prevents other processes from training the run.

        Returns
        -------
        context manager
            It raises InputError on entering if another process trains the run.
        """
        return lock_folder(self.folder)


def check_folder(folder: Path | None, overwrite: bool) -> None:
    """Raise InputError if a new run cannot be created in `folder`. Nothing is changed."""
    if folder is None:
        if overwrite:
            raise InputError("--overwrite needs --out RUN, the run to replace")
        return
    if not (folder.exists() or folder.is_symlink()):
        return
    if not overwrite:
        raise InputError(
            f"{folder} exists; continue it with --resume, replace it with --overwrite or choose "
            "another --out"
        )
    if not folder.is_dir():
        raise InputError(f"--overwrite replaces only runs, but {folder} is not a folder")
    # An empty folder, or partial files of an interrupted creation, can be replaced.
    if set(folder.iterdir()) - set(partial_files(folder)):
        try:
            Run.open(folder)
        except InputError as error:
            raise InputError(f"--overwrite replaces only runs: {error}") from error


def existing_runs() -> list[str]:
    """Return the runs in `RUNS_FOLDER` in natural order: lstm-2 before lstm-10."""
    runs = (str(path.parent) for path in RUNS_FOLDER.glob("*/config.json"))
    return sorted(runs, key=_natural_key)


def _natural_key(name: str) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _list_runs() -> str:
    runs = existing_runs()
    if not runs:
        return f"{RUNS_FOLDER}{os.sep} contains no runs"
    names = ", ".join(runs[-8:])
    return f"the runs in {RUNS_FOLDER}{os.sep} are {'... ' if len(runs) > 8 else ''}{names}"


def missing_run_message() -> str:
    """Return the error message of `--resume` without a run."""
    return f"--resume needs --out RUN; {_list_runs()}"


def _make_folder(folder: Path | None, model: str, overwrite: bool) -> Path:
    """Create `folder`, or the first of runs/lstm-1, runs/lstm-2, ... that does not exist."""
    if folder is None:
        RUNS_FOLDER.mkdir(exist_ok=True)
        for number in count(1):
            with contextlib.suppress(FileExistsError):
                folder = RUNS_FOLDER / f"{model}-{number}"
                folder.mkdir()
                return folder
    assert folder is not None
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=overwrite)
    return folder


_TEXT_FIELDS = {"source": str, "characters": int, "sha256": str}
"""Types of the fields that `_describe` returns."""


def _describe(corpus: TextCorpus) -> dict[str, Any]:
    return {
        "source": corpus.source,
        "characters": len(corpus.text),
        "sha256": _digest(_as_bytes(corpus.text)),
    }


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
