"""What is done with a trained model: `tinygrad-rnn sample`, `eval` and `info`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import InputError
from ..models import LanguageModel
from ..tasks.language_modeling import Run, build_model, generate
from ..tasks.language_modeling.options import COUNT, FACTOR, NOT_NEGATIVE, SEED
from ..tasks.language_modeling.report import comparison
from ..training import load
from ..training.environment import blas_threads, devices, limit_threads, versions
from .argparsing import PROGRAM, Parser, given, print_table, read_texts

SAMPLE = {
    "length": (500, COUNT, "characters to write"),
    "temperature": (0.8, NOT_NEGATIVE, "0: the likeliest character; 1: as learned; more: bolder"),
    "top_k": (None, COUNT, "draw among so many likeliest characters only"),
    "top_p": (None, FACTOR, "draw among the likeliest that together are so probable only"),
    "seed": (0, SEED, "another seed, another text"),
}


def sample(words: list[str]) -> int:
    parser = Parser(
        prog=f"{PROGRAM} sample",
        description="Let the model of a run write, going on from a prompt.",
        epilog="example:\n  tinygrad-rnn sample runs/lstm-1 --prompt 'The ' --temperature 0.5",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("--prompt", default="", help="what to go on from (default: a new line)")
    for name, (default, rule, meaning) in SAMPLE.items():
        parser.add_option(name, default, rule, meaning)
    arguments = parser.parse(words)
    options: dict[str, Any] = {name: default for name, (default, *_) in SAMPLE.items()}
    options |= given(arguments, {name: rule for name, (_, rule, _) in SAMPLE.items()})
    run, model = _open(arguments.run)
    try:
        text = generate(model, run.vocabulary, prompt=arguments.prompt, **options)
    except InputError as error:
        raise InputError(f"--prompt: {error}") from error
    print(arguments.prompt, end="", flush=True)
    for character in text:
        print(character, end="", flush=True)
    print()
    return 0


def evaluate(words: list[str]) -> int:
    parser = Parser(
        prog=f"{PROGRAM} eval",
        description="Measure the model of a run, beside Markov models, on the validation and test\n"
        "part of its own text, or on another TEXT. Perplexity is 2 to the bits per character.",
        epilog="examples:\n"
        "  tinygrad-rnn eval runs/lstm-1\n"
        "  tinygrad-rnn eval runs/lstm-1 other.txt",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("text", nargs="?", metavar="TEXT", help="text file, or - (standard input)")
    parser.add_argument("--encoding", metavar="NAME", help="how TEXT is encoded (default: utf-8)")
    arguments = parser.parse(words)
    other = read_texts([] if arguments.text is None else [arguments.text], arguments.encoding)
    run, model = _open(arguments.run)
    train, valid, test = run.corpus().split()
    texts = {other.source: other.text} if other else {"validation": valid, "test": test}
    train_ids = run.vocabulary.encode(train)
    columns = []
    for name, text in texts.items():
        try:
            ids = run.vocabulary.encode(text)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        with limit_threads(run.options.threads):
            columns.append(comparison(model, run.options, train_ids, ids))
    print_table(
        ["", *(f"{name}\n{unit}" for name in texts for unit in ("bits/character", "perplexity"))],
        [
            [name, *(cell for c in columns for cell in (f"{c[name]:.3f}", f"{2 ** c[name]:.2f}"))]
            for name in columns[0]
        ],
    )
    return 0


def info(words: list[str]) -> int:
    Parser(
        prog=f"{PROGRAM} info", description="Show versions, devices and the number of threads."
    ).parse(words)
    found = versions() | {"threads": f"{blas_threads()} (train uses --threads)"}
    found |= {f"device {name}": what for name, what in devices().items()}
    for name, what in found.items():
        print(f"{name:{max(map(len, found))}}   {what}")
    return 0


def _open(folder: Path) -> tuple[Run, LanguageModel]:
    """The run in a folder and its best model, on the CPU."""
    run = Run.open(folder)
    model = build_model(run.options, len(run.vocabulary), device="cpu")
    load(run.path("model.safetensors"), model)
    return run, model
