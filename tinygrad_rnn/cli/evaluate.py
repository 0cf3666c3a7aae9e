"""`tinygrad-rnn eval`: evaluation of a trained language model."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..tasks.language_modeling import Run
from ..tasks.language_modeling.report import compare_with_markov
from ..training.environment import limit_threads
from .argparsing import PROGRAM, Parser, print_table
from .options import read_texts

DESCRIPTION = """\
Evaluate the language model of a run, in bits per character and perplexity (2
to the power of the bits per character), and compare it with Markov models. The
text is TEXT, or the validation and test parts of the run's own text."""

EXAMPLES = """\
examples:
  tinygrad-rnn eval runs/lstm-1
  tinygrad-rnn eval runs/lstm-1 other.txt"""


def main(argv: list[str]) -> int:
    parser = Parser(prog=f"{PROGRAM} eval", description=DESCRIPTION, epilog=EXAMPLES)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("text", nargs="?", metavar="TEXT", help="text file, or - (standard input)")
    parser.add_argument("--encoding", metavar="NAME", help="encoding of TEXT (default: utf-8)")
    arguments = parser.parse(argv)
    names = [] if arguments.text is None else [arguments.text]
    corpus = read_texts(names, arguments.encoding)
    run = Run.open(arguments.run)
    model = run.load_model()
    train, valid, test = run.corpus().split()
    texts = {corpus.source: corpus.text} if corpus else {"validation": valid, "test": test}
    train_ids = run.vocabulary.encode(train)
    columns = []
    for name, text in texts.items():
        try:
            ids = run.vocabulary.encode(text)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        with limit_threads(run.options.threads):
            columns.append(compare_with_markov(model, run.options, train_ids, ids))
    print_table(
        ["", *(f"{name}\n{unit}" for name in texts for unit in ("bits/character", "perplexity"))],
        [
            [name, *(cell for c in columns for cell in (f"{c[name]:.3f}", f"{2 ** c[name]:.2f}"))]
            for name in columns[0]
        ],
    )
    return 0
