"""The folder of a training run: which files it has, and how it is made, opened and described.

config.json         options, vocabulary, the text's source and digest, versions
corpus.txt          the text that the run learns from, so that it resumes whatever becomes of
                    the original
model.safetensors   the model that was best on the validation text
last.safetensors    the last state of training in one file, from which a run resumes
metrics.jsonl       one line for every update and every evaluation
loss.png            the same as a picture
sample.txt          text that the best model writes
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

from ...data import TextCorpus, Vocabulary
from ...errors import InputError, check_fields
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
from .options import Options

FORMAT = "tinygrad-rnn character language model, version 1"
HOME = Path("runs")
"""Where runs without a name of their own are made."""

_RESULTS = ("model.safetensors", "last.safetensors", "metrics.jsonl", "loss.png", "sample.txt")


@dataclass(frozen=True)
class Run:
    """A run and its folder, as `config.json` describes it."""

    folder: Path
    options: Options
    vocabulary: Vocabulary
    text: dict[str, Any]
    versions: dict[str, str]

    __repr__ = summary_repr

    @classmethod
    def create(
        cls, folder: Path | None, options: Options, corpus: TextCorpus, overwrite: bool = False
    ) -> Run:
        """Make the folder (None: a fresh one in `HOME`) and write what is known before training.

        `overwrite` takes the place of a run that is there: only files that runs own are replaced.
        """
        check_folder(folder, overwrite)
        try:
            made = _make_folder(folder, options.model, overwrite)
        except OSError as error:
            where = folder or HOME / f"{options.model}-N"
            raise InputError(
                f"cannot create {where}: {error.filename}: {error.strerror}"
            ) from error
        run = cls(made, options, corpus.vocabulary, _describe(corpus), versions())
        contents = {"config.json": run._config(), "corpus.txt": _as_bytes(corpus.text)}
        with run.lock():
            try:
                partial = {name: prepare(run.path(name), contents[name]) for name in contents}
            except OSError:
                remove_partial_files(made)
                if not any(made.iterdir()):
                    made.rmdir()
                raise
            for name in _RESULTS:
                run.path(name).unlink(missing_ok=True)
            for name in contents:
                publish(partial[name], run.path(name))
        return run

    @classmethod
    def open(cls, folder: Path) -> Run:
        """The run in `folder`; InputError if there is none."""
        if not folder.exists():
            raise InputError(f"there is no run {folder}; {_what_runs_there_are()}")
        if not (folder / "config.json").is_file():
            raise InputError(f"{folder} is not a run (it has no config.json)")
        config = read_json(folder / "config.json")
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            if isinstance(config, dict) and isinstance(demo := config.get("demo"), str):
                raise InputError(
                    f"{folder} is of the demonstration {demo!r}, whose model is used by "
                    f"tinygrad-rnn predict {shlex.quote(str(folder))} INPUT"
                )
            raise InputError(f"{folder / 'config.json'} does not describe a run of this program")
        try:
            characters, text = config["vocabulary"], dict(config["text"])
            if not (isinstance(characters, str) and characters):
                raise ValueError("the vocabulary is not a string of characters")
            check_fields(text, _TEXT, "the text")
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

    def prolong(self, options: Options) -> None:
        """Write down the options under which the run goes on."""
        if options != self.options:
            write_file(self.path("config.json"), replace(self, options=options)._config())

    def corpus(self) -> TextCorpus:
        """The text that the run learns from; InputError if it is not the one it began with."""
        path = self.path("corpus.txt")
        if not path.is_file():
            raise InputError(f"{path} is missing: this run cannot go on; start anew (--overwrite)")
        content = path.read_bytes()
        if _digest(content) != self.text["sha256"]:
            raise InputError(f"{path} was changed since the run began: its checksum differs")
        corpus = TextCorpus(content.decode("utf-8", "surrogatepass"), self.text["source"])
        if corpus.vocabulary != self.vocabulary:
            config = self.path("config.json")
            raise InputError(f"{config} is damaged: its vocabulary is not that of {path}")
        return corpus

    def check_same_text(self, corpus: TextCorpus) -> None:
        """InputError if `corpus` is another text than the run's own."""
        if _digest(_as_bytes(corpus.text)) != self.text["sha256"]:
            raise InputError(
                f"{corpus.source} is not the text that {self.folder} learns from "
                f"({self.text['source']}); --resume needs no TEXT"
            )

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """While this lasts no other process can train the run."""
        return lock_folder(self.folder)


def check_folder(folder: Path | None, overwrite: bool) -> None:
    """InputError if a new run may not be made in `folder`; touches nothing."""
    if folder is None:
        if overwrite:
            raise InputError("--overwrite needs --out RUN: which run is to be replaced?")
        return
    if not (folder.exists() or folder.is_symlink()):
        return
    if not overwrite:
        raise InputError(
            f"{folder} exists already: go on with it (--resume), replace it (--overwrite) "
            "or name another --out"
        )
    if not folder.is_dir():
        raise InputError(f"--overwrite replaces runs only, and {folder} is not a folder")
    if set(folder.iterdir()) - set(partial_files(folder)):  # else: empty, or killed while made
        try:
            Run.open(folder)
        except InputError as error:
            raise InputError(f"--overwrite replaces runs only: {error}") from error


def existing_runs() -> list[str]:
    """The runs in `HOME`, in natural order: lstm-2 before lstm-10."""
    found = (str(path.parent) for path in HOME.glob("*/config.json"))
    return sorted(found, key=_natural)


def _natural(name: str) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _what_runs_there_are() -> str:
    runs = existing_runs()
    if not runs:
        return f"there are no runs in {HOME}{os.sep} yet"
    shown = ", ".join(runs[-8:])
    return f"the runs in {HOME}{os.sep} are {'... ' if len(runs) > 8 else ''}{shown}"


def name_a_run() -> str:
    """What to say to someone who has not said which run is meant."""
    return f"--resume needs --out RUN; {_what_runs_there_are()}"


def _make_folder(folder: Path | None, model: str, overwrite: bool) -> Path:
    """Make `folder`, or the first of runs/lstm-1, runs/lstm-2, ... that nobody else has made."""
    if folder is None:
        HOME.mkdir(exist_ok=True)
        for number in count(1):
            with contextlib.suppress(FileExistsError):
                folder = HOME / f"{model}-{number}"
                folder.mkdir()
                return folder
    assert folder is not None
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=overwrite)
    return folder


_TEXT = {"source": str, "characters": int, "sha256": str}
"""What `_describe` tells of a text."""


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
