"""`tinygrad-rnn train`: training of a character language model."""

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
from ..tasks.language_modeling.report import compare_with_markov, draw_loss
from ..tasks.language_modeling.run_folder import check_folder, missing_run_message
from ..training import Session, load
from ..training.environment import limit_threads, versions
from ..training.files import write_file
from ..training.progress import format_duration, progress_display
from .argparsing import PROGRAM, Parser, describe_os_error, print_table, typed_program
from .options import add_option, check_device, parse_options, read_texts

RULES = {entry.name: entry.metadata["rule"] for entry in fields(Options)}

DESCRIPTION = """\
Train a character language model on TEXT: one or more files, or - for standard
input. The default is the documentation that is included in Python.

The text is split into 90% for training, 5% for validation, which selects the
best model, and 5% for testing with `eval`. Training stops at --epochs,
--max-steps or --max-seconds, whichever comes first. It can be interrupted at
any time with Ctrl-C, and continued with --resume."""

EXAMPLES = """\
examples:
  tinygrad-rnn train
  tinygrad-rnn train shakespeare.txt --hidden 256 --epochs 30 --max-seconds 600 --out runs/bard
  tinygrad-rnn train --resume --out runs/bard --epochs 60
  cat *.md | tinygrad-rnn train - --batch 8"""


def main(argv: list[str]) -> int:
    arguments = _parser().parse(argv)
    if arguments.resume and arguments.overwrite:
        raise InputError("--resume and --overwrite exclude each other")
    run, trainer = _open_run(arguments) if arguments.resume else _create_run(arguments)
    with limit_threads(trainer.options.threads), run.lock():
        session = Session(run.folder, trainer, trainer.options.limits())
        run.update_options(trainer.options)
        try:
            _print_header(run, trainer, session)
            with progress_display(sys.stdout) as progress:
                session.train(progress)
            if session.limit:
                _write_results(run, trainer, session)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            raise InputError(
                f"{describe_os_error(error)}; the checkpoint in {run.folder} is unchanged, "
                f"continue with: {_resume_command(run)}"
            ) from error
    return _print_next_steps(run, trainer, session)


def _parser() -> Parser:
    parser = Parser(prog=f"{PROGRAM} train", description=DESCRIPTION, epilog=EXAMPLES)
    parser.add_argument("text", nargs="*", metavar="TEXT", help="text files, or - (standard input)")
    for entry in fields(Options):
        add_option(parser, entry.name, entry.default, RULES[entry.name], entry.metadata["help"])
    parser.add_argument("--encoding", metavar="NAME", help="encoding of TEXT (default: utf-8)")
    parser.add_argument(
        "--out", type=Path, metavar="RUN", help="output folder (default: runs/lstm-1, -2, ...)"
    )
    parser.add_argument("--resume", action="store_true", help="continue the run --out")
    parser.add_argument("--overwrite", action="store_true", help="replace the run --out")
    return parser


def _create_run(arguments: argparse.Namespace) -> tuple[Run, LanguageTraining]:
    """Create a run. All input is validated before the folder is created."""
    options = Options(**parse_options(arguments, RULES))
    check_folder(arguments.out, arguments.overwrite)
    check_device(options.device)
    corpus = read_texts(arguments.text, arguments.encoding) or TextCorpus.default()
    try:
        trainer = LanguageTraining(options, corpus)
    except InputError as error:
        raise InputError(f"{error} (--batch, --seq-len)") from error
    return Run.create(arguments.out, options, corpus, arguments.overwrite), trainer


def _open_run(arguments: argparse.Namespace) -> tuple[Run, LanguageTraining]:
    """Open a run to resume it, with its saved options and possibly higher limits."""
    if arguments.out is None:
        raise InputError(missing_run_message())
    run = Run.open(arguments.out)
    options = run.options.with_limits(parse_options(arguments, RULES))
    check_device(options.device)
    if corpus := read_texts(arguments.text, arguments.encoding):
        run.check_same_text(corpus)
    return run, LanguageTraining(options, run.corpus())


def _print_header(run: Run, trainer: LanguageTraining, session: Session) -> None:
    """Print the text, the model and the folder of the run."""
    options, text, step = trainer.options, run.text, trainer.position.step
    layers = f"{options.layers} layer{'s' if options.layers > 1 else ''}"
    parameters = sum(parameter.size for parameter in trainer.model.parameters())
    print(
        f"text   {text['source']}: {text['characters']:,} characters, "
        f"vocabulary of {len(run.vocabulary)}"
    )
    print(
        f"model  {options.model.upper()}, {layers} of {options.hidden} units, "
        f"{parameters:,} parameters, on {options.device}"
    )
    resumed = f", continues at step {step:,}" if step else ""
    print(f"run    {run.folder}{resumed}", flush=True)
    current = versions()
    changes = [
        f"{name} {version} (now {current[name]})"
        for name, version in run.versions.items()
        if current.get(name) != version
    ]
    if changes:
        print(f"note   the run was started with {', '.join(changes)}: results may differ slightly")
    if session.limit:
        print(f"The run is complete: it has reached {options.format_limit(session.limit)}.")
    print()


def _write_results(run: Run, trainer: LanguageTraining, session: Session) -> None:
    """Compare the best model with Markov models, generate text and draw the loss curve."""
    model, options, position = trainer.model, trainer.options, trainer.position
    load(run.path("model.safetensors"), model)
    (name, bits), *markov = compare_with_markov(
        model, options, trainer.train_ids, trainer.valid_ids
    ).items()
    draw_loss(run.path("loss.png"), session.records, dict(markov))
    text = "".join(generate(model, run.vocabulary, 300, temperature=0.8, seed=options.seed))
    write_file(run.path("sample.txt"), (text + "\n").encode("utf-8", "surrogatepass"))
    duration = format_duration(session.seconds)
    print(f"Trained on {int(position.seen):,} characters in {duration}.")
    print(f"The best model is from step {position.best_step:,}.\n")
    print_table(
        ["validation text", "bits per character", ""],
        [
            [name, f"{bits:.3f}", ""],
            *([other, f"{b:.3f}", _verdict(f"{bits:.3f}", f"{b:.3f}")] for other, b in markov),
        ],
    )
    print(f"Generated text:\n\n{text}\n")


def _verdict(bits: str, markov_bits: str) -> str:
    """Compare a Markov model with the network by the rounded numbers in the table."""
    if bits == markov_bits:
        return "equal"
    return "worse" if float(bits) < float(markov_bits) else "better"


def _print_next_steps(run: Run, trainer: LanguageTraining, session: Session) -> int:
    """Print the saved files and the next commands, and return the exit code."""
    if session.limit is None:
        assert session.signal is not None
        cause = "Ctrl-C" if session.signal == signal.SIGINT else session.signal.name
        print(f"Stopped by {cause} at step {trainer.position.step:,} and saved. Continue with:")
        print(f"  {_resume_command(run)}")
        return 128 + session.signal
    names = ", ".join(sorted(path.name for path in run.folder.iterdir()))
    print(f"Saved in {run.folder}: {names}\n\nNext:")
    print(f"  {typed_program()} sample {_quoted_folder(run)}")
    print(f"  {typed_program()} eval {_quoted_folder(run)}")
    print(f"  {_resume_command(run)} {trainer.options.format_limit(session.limit, factor=2)}")
    return 0


def _resume_command(run: Run) -> str:
    return f"{typed_program()} train --resume --out {_quoted_folder(run)}"


def _quoted_folder(run: Run) -> str:
    return shlex.quote(str(run.folder))
