"""The trained model of a demo in its folder, and the text argument of `predict`."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import read_text
from ..errors import InputError
from ..nn import Module
from ..summary import summary_repr
from ..training import load
from ..training.files import as_json, read_json

RESULTS, CONFIG, MODEL = "results.json", "config.json", "model.safetensors"
"""The files that a run writes into its folder; the last two hold the model, if there is one."""


@dataclass(frozen=True)
class SavedModel:
    """A folder that `Demo.save` has written."""

    folder: Path
    demo: str
    config: dict[str, Any]
    verified: bool = True
    """False if the configuration has no checksum, as in folders of earlier versions."""

    __repr__ = summary_repr

    @classmethod
    def open(cls, folder: Path) -> SavedModel:
        """Read the configuration of a folder.

        Raises
        ------
        InputError
            If the configuration is missing, damaged, or belongs to `tinygrad-rnn train`.
        """
        path = folder / CONFIG
        if not path.is_file():
            reason = "the demo did not save one" if (folder / RESULTS).is_file() else "not found"
            raise InputError(f"{folder} does not contain a trained model: {path}: {reason}")
        content = read_json(path)
        is_demo = isinstance(content, dict) and isinstance(content.get("demo"), str)
        if not is_demo or not isinstance(content.get("config"), dict):
            quoted = shlex.quote(str(folder))
            raise InputError(
                f"{folder} does not contain the model of a demo; for a run of tinygrad-rnn train, "
                f"use tinygrad-rnn sample {quoted} or tinygrad-rnn eval {quoted}"
            )
        digest = content.get("sha256")
        if digest not in (None, config_digest(content["config"])):
            raise InputError(f"{path} is damaged: its checksum differs")
        return cls(folder, content["demo"], content["config"], digest is not None)

    def load(self, model: Module) -> Any:
        """Load the weights into `model`, and return it in evaluation mode."""
        load(self.folder / MODEL, model)
        return model.eval()


def config_digest(config: dict[str, Any]) -> str:
    """Return the checksum of a model's configuration."""
    return hashlib.sha256(as_json(config)).hexdigest()


_PATH_LIKE = re.compile(
    r"""\S*[/\\]\S*                                                 # a word with a separator
    |   (~|\.\.?|[A-Za-z]:)?[/\\].*                                # an absolute or relative path
    |   \S*\.[A-Za-z]\w{0,4}                                       # a word with a file suffix
    |   .*\.(txt|text|md|rst|html?|xml|log|csv|tsv|jsonl?|pdf|docx?|gz)""",
    re.VERBOSE | re.IGNORECASE,
)


def read_text_argument(argument: str) -> str:
    """Return the text that a command-line argument refers to.

    Parameters
    ----------
    argument
        The name of a text file, `-` for standard input, or the text itself.

    Raises
    ------
    InputError
        If a file cannot be read, or if the argument looks like the name of a file that does not
        exist.
    """
    if argument == "-" or os.path.exists(argument):
        return read_text(argument)
    if _PATH_LIKE.fullmatch(argument):
        raise InputError(
            f"{argument}: no such file (to pass a text that looks like a file name, write it to "
            "standard input and give - as INPUT)"
        )
    return argument
