"""`tinygrad-rnn predict`: predictions of a model that a demo has trained."""

from __future__ import annotations

from pathlib import Path

from ..demos.saved_model import CONFIG, SavedModel
from ..demos.scripts import find_scripts
from ..errors import InputError
from .argparsing import PROGRAM, Parser

DESCRIPTION = """\
Apply the model that a demo has trained to new input: a text, or a file like
those that the demo was trained on."""


def main(argv: list[str]) -> int:
    parser = Parser(
        prog=f"{PROGRAM} predict",
        description=DESCRIPTION,
        epilog="example:\n  tinygrad-rnn predict runs/demo/sentiment 'not bad at all'",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="output folder (--out) of a demo")
    parser.add_argument("input", metavar="INPUT", help="text, a file, or - (standard input)")
    arguments = parser.parse(argv)
    saved = SavedModel.open(arguments.run)
    script = find_scripts().get(saved.demo)
    if script is None:
        raise InputError(f"{arguments.run} was trained by the unknown demo {saved.demo!r}")
    module = script.load_module()
    if not hasattr(module, "predict"):
        raise InputError(
            f"{arguments.run}: the demo {saved.demo} does not define predict(run, input)"
        )
    try:
        module.predict(saved, arguments.input)
    except (InputError, OSError):
        raise
    except Exception as error:
        if saved.verified:  # a defect of the script
            raise
        raise InputError(
            f"{saved.folder / CONFIG} is damaged or of another version: {error!r}"
        ) from error
    return 0
