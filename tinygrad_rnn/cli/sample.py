"""`tinygrad-rnn sample`: text generation with a trained language model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import InputError
from ..tasks.language_modeling import Run, generate
from ..tasks.language_modeling.options import COUNT, NON_NEGATIVE, POSITIVE_FRACTION, SEED
from .argparsing import PROGRAM, Parser
from .options import add_option, parse_options

OPTIONS = {
    "length": (500, COUNT, "number of characters to generate"),
    "temperature": (0.8, NON_NEGATIVE, "sampling temperature; 0 is greedy decoding"),
    "top_k": (None, COUNT, "top-k sampling: sample from the N most likely characters"),
    "top_p": (
        None,
        POSITIVE_FRACTION,
        "nucleus sampling: sample from the most likely characters of total probability X",
    ),
    "seed": (0, SEED, "random seed"),
}
"""Default value, rule and help text of each option."""


def main(argv: list[str]) -> int:
    parser = Parser(
        prog=f"{PROGRAM} sample",
        description="Generate text with the language model of a run.",
        epilog="example:\n  tinygrad-rnn sample runs/lstm-1 --prompt 'The ' --temperature 0.5",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--prompt", default="", metavar="TEXT", help="text to continue (default: a new line)"
    )
    for name, (default, rule, help_text) in OPTIONS.items():
        add_option(parser, name, default, rule, help_text)
    arguments = parser.parse(argv)
    options: dict[str, Any] = {name: default for name, (default, *_) in OPTIONS.items()}
    options |= parse_options(arguments, {name: rule for name, (_, rule, _) in OPTIONS.items()})
    run = Run.open(arguments.run)
    model = run.load_model()
    try:
        text = generate(model, run.vocabulary, prompt=arguments.prompt, **options)
    except InputError as error:
        raise InputError(f"--prompt: {error}") from error
    print(arguments.prompt, end="", flush=True)
    for character in text:
        print(character, end="", flush=True)
    print()
    return 0
