"""`tinygrad-rnn train`: from text to a trained model in a folder."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from dataclasses import fields
from pathlib import Path

from ..data import TextCorpus
from ..errors import InputError
from ..tasks.language_modeling import LanguageTraining, Options, Run, generate
from ..tasks.language_modeling.report import comparison, draw_loss
from ..tasks.language_modeling.run_folder import check_folder, name_a_run
from ..training import Session, load
from ..training.environment import limit_threads, versions
from ..training.files import write_file
from ..training.progress import format_duration, progress_display
from .argparsing import (
    PROGRAM,
    Parser,
    check_device,
    describe,
    given,
    print_table,
    read_texts,
    typed_program,
)

RULES = {entry.name: entry.metadata["rule"] for entry in fields(Options)}

DESCRIPTION = """\
Learn a character language model from TEXT: files, one after the other, or - for standard input.
Without TEXT it learns from the documentation that ships inside Python.

Nine tenths of the text are learned from, one twentieth says which model is best (validation), the
last twentieth is kept for `eval`. The run ends at --epochs, --max-steps or --max-seconds, whichever
comes first. It can be stopped at any moment (Ctrl-C) and goes on with --resume."""

EXAMPLES = """\
examples:
  tinygrad-rnn train
  tinygrad-rnn train shakespeare.txt --hidden 256 --epochs 30 --max-seconds 600 --out runs/bard
  tinygrad-rnn train --resume --out runs/bard --epochs 60
  cat *.md | tinygrad-rnn train - --batch 8"""


def main(words: list[str]) -> int:
    arguments = _parser().parse(words)
    if arguments.resume and arguments.overwrite:
        raise InputError("--resume and --overwrite contradict each other")
    run, training, options = _resumed(arguments) if arguments.resume else _begun(arguments)
    with limit_threads(options.threads), run.lock():
        session = Session(run.folder, training, options.limits())
        run.prolong(options)
        try:
            _introduce(run, training, session)
            with progress_display(sys.stdout) as progress:
                session.train(progress)
            if session.limit:
                _report(run, training, session)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            raise InputError(
                f"{describe(error)}; what {run.folder} had saved is as it was, "
                f"go on with: {_resume_command(run)}"
            ) from error
    return _farewell(run, training, session)


def _parser() -> Parser:
    parser = Parser(prog=f"{PROGRAM} train", description=DESCRIPTION, epilog=EXAMPLES)
    parser.add_argument("text", nargs="*", metavar="TEXT", help="text files, or - (standard input)")
    for entry in fields(Options):
        parser.add_option(entry.name, entry.default, RULES[entry.name], entry.metadata["help"])
    parser.add_argument("--encoding", metavar="NAME", help="how TEXT is encoded (default: utf-8)")
    parser.add_argument(
        "--out", type=Path, metavar="RUN", help="folder of the run (default: runs/lstm-1, -2, ...)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run --out")
    parser.add_argument("--overwrite", action="store_true", help="replace the run --out")
    return parser


def _begun(arguments: argparse.Namespace) -> tuple[Run, LanguageTraining, Options]:
    """A new run. All that can be wrong is found before its folder is made."""
    options = Options(**given(arguments, RULES))
    check_folder(arguments.out, arguments.overwrite)
    check_device(options.device)
    corpus = read_texts(arguments.text, arguments.encoding) or TextCorpus.default()
    try:
        training = LanguageTraining(options, corpus)
    except InputError as error:
        raise InputError(f"{error} (--batch, --seq-len)") from error
    return Run.create(arguments.out, options, corpus, arguments.overwrite), training, options


def _resumed(arguments: argparse.Namespace) -> tuple[Run, LanguageTraining, Options]:
    """A run that is there, with its own options but for larger limits."""
    if arguments.out is None:
        raise InputError(name_a_run())
    run = Run.open(arguments.out)
    options = run.options.prolonged(given(arguments, RULES))
    check_device(options.device)
    if corpus := read_texts(arguments.text, arguments.encoding):
        run.check_same_text(corpus)
    return run, LanguageTraining(options, run.corpus()), options


def _introduce(run: Run, training: LanguageTraining, session: Session) -> None:
    """Say what is about to be learned, by what, and where."""
    options, size = training.options, len(run.vocabulary)
    layers = f"{options.layers} layer{'s' if options.layers > 1 else ''}"
    parameters = sum(parameter.size for parameter in training.model.parameters())
    print(f"text   {run.text['source']}: {run.text['characters']:,} characters, {size} different")
    print(
        f"model  {options.model.upper()}, {layers} of {options.hidden} units, "
        f"{parameters:,} parameters, on {options.device}"
    )
    print(f"run    {run.folder}", end="")
    print(
        f", goes on at step {training.position.step:,}" if training.position.step else "",
        flush=True,
    )
    now = versions()
    changed = [
        f"{name} {old} (now {now[name]})"
        for name, old in run.versions.items()
        if now.get(name) != old
    ]
    if changed:
        print(f"note   the run began with {', '.join(changed)}: last digits may differ")
    if session.limit:
        print(f"The run is finished: it reached {options.typed(session.limit)}.")
    print()


def _report(run: Run, training: LanguageTraining, session: Session) -> None:
    """Compare the best model with Markov models, let it write, and draw the curve."""
    model, options, at = training.model, training.options, training.position
    load(run.path("model.safetensors"), model)
    (ours, bits), *markov = comparison(
        model, options, training.train_ids, training.valid_ids
    ).items()
    draw_loss(run.path("loss.png"), session.records, dict(markov))
    text = "".join(generate(model, run.vocabulary, 300, temperature=0.8, seed=options.seed))
    write_file(run.path("sample.txt"), (text + "\n").encode("utf-8", "surrogatepass"))
    print(f"{int(at.seen):,} characters were read in {format_duration(session.seconds)}.")
    print(f"The best model is that of step {at.best_step:,}.\n")
    print_table(
        ["on the validation text", "bits per character", ""],
        [
            [ours, f"{bits:.3f}", ""],
            *([name, f"{its:.3f}", _verdict(f"{bits:.3f}", f"{its:.3f}")] for name, its in markov),
        ],
    )
    print(f"It writes:\n\n{text}\n")


def _verdict(ours: str, its: str) -> str:
    """What became of a Markov model, by the figures that are shown."""
    if ours == its:
        return "level"
    return "beaten" if float(ours) < float(its) else "ahead"


def _farewell(run: Run, training: LanguageTraining, session: Session) -> int:
    """Say what was saved and what can be done next. Returns the exit code."""
    if session.limit is None:
        assert session.signal is not None
        how = "Ctrl-C" if session.signal == signal.SIGINT else session.signal.name
        print(f"Stopped by {how} at step {training.position.step:,}; saved. Go on with:")
        print(f"  {_resume_command(run)}")
        return 128 + session.signal
    names = ", ".join(sorted(path.name for path in run.folder.iterdir()))
    print(f"Saved in {run.folder}: {names}\n\nNext:")
    print(f"  {typed_program()} sample {_quoted(run)}")
    print(f"  {typed_program()} eval {_quoted(run)}")
    print(f"  {_resume_command(run)} {training.options.typed(session.limit, times=2)}")
    return 0


def _resume_command(run: Run) -> str:
    return f"{typed_program()} train --resume --out {_quoted(run)}"


def _quoted(run: Run) -> str:
    """The run's folder as one word of a shell."""
    return shlex.quote(str(run.folder))
