"""A writer of programs: characters of Python, learned from the standard library.

    tinygrad-rnn demo python_writer

An LSTM reads short files of the running Python's own library, character by character, and then
writes files like them (Karpathy, "The unreasonable effectiveness of recurrent neural networks",
2015). It is code alone: no comments, no docstrings, one statement in a line.

What is counted: a model goes on after the end of a file that it has read, and "import ", as the
beginning of a new one. In what it writes, the lines without indentation that are not empty, no
decorator, and do not begin with a keyword of a compound statement (def, if, ...) are top-level
simple statements; the share of them that `ast.parse` accepts, each by itself. Beside it stands a
Markov chain, which knows what followed the last five characters.
"""

import ast
import re

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models
from tinygrad_rnn.data.generators.programs import FILE_SEPARATOR, sample_library
from tinygrad_rnn.plotting import COLORS, subplots
from tinygrad_rnn.tasks import language_modeling

CLAIM = (
    "A recurrent network that has only ever predicted the next character of programs writes some "
    "of its own: it keeps names, brackets and quotation marks in order, though nobody told it to."
)
COMPOUND = r"(async|class|def|if|elif|else|for|while|with|try|except|finally|match|case)\b"
PROMPT, ORDER, TEMPERATURES = FILE_SEPARATOR + "import ", 5, (0.25, 0.5, 0.75, 1.0)


def statements(text):
    """The top-level simple statements of a text."""
    lines = [line for line in text.split("\n") if line and line[0] not in " \t#@"]
    return [line for line in lines if not re.match(COMPOUND, line)]


def parses(statement):
    try:
        ast.parse(statement)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


@ag.no_grad()
def write(model, vocabulary, before, temperature, count, length, seed):
    """So many texts, of so many characters, that begin with "import " after what was `before`."""
    *first, last = vocabulary.encode(before + PROMPT)
    state, options = None, {"temperature": temperature, "generator": ag.Generator(seed)}
    for token in first:
        state, _ = model.step(state, ag.tensor(np.full(count, token)))
    written = models.sample(model.step, state, np.full(count, last), -1, length, **options)
    return [PROMPT.lstrip() + vocabulary.decode(one.tokens) for one in written]


def found(texts):
    """The statements of the texts but for the last line of each, which is not complete."""
    return [line for text in texts for line in statements(text.rpartition("\n")[0])]


def share(lines):
    return np.mean([parses(line) for line in lines]) if lines else 0.0


def main(demo):
    text = sample_library(demo.rng, demo.choose(1_000_000, 150_000))
    corpus = data.TextCorpus(text, "the standard library")
    vocabulary = corpus.vocabulary
    options = language_modeling.Options(
        hidden=demo.choose(192, 96), seed=demo.seed, device=demo.device, lr=0.006
    )
    trainer = language_modeling.LanguageTraining(options, corpus)
    demo.fit(trainer, 2800, 60)
    learned, _, unseen = corpus.split()
    network = trainer.model.eval()
    chain = models.MarkovModel(ORDER, len(vocabulary)).fit(vocabulary.encode(learned))

    ids = vocabulary.encode(unseen)
    bits = language_modeling.bits_per_character(network, ids)
    demo.record("unseen code", bits, "bits per character", at_most=2.5, quick=4.5)
    demo.record("unseen code: Markov chain", chain.bits_per_character(ids), "bits per character")
    count, length = demo.choose((128, 300), (16, 100))
    end = learned.index(FILE_SEPARATOR, len(learned) // 2)
    before = learned[end - 300 : end]
    lines = {
        heat: found(write(network, vocabulary, before, heat, count, length, demo.seed))
        for heat in TEMPERATURES
    }
    shares = [share(some) for some in lines.values()]
    half = lines[0.5]
    new = [line for line in half if line not in learned]
    demo.record("statements that parse", share(half), "%", at_least=0.4)
    demo.record("statements counted", len(half))
    demo.record("statements that are new", len(new) / max(len(half), 1), "%")
    demo.record("new ones that parse", share(new), "%")
    beside = share(found(write(chain, vocabulary, before, 0.5, count // 2, length, demo.seed)))
    demo.record("Markov chain: statements that parse", beside, "%")
    demo.record("unseen code: statements that parse", share(statements(unseen)), "%")
    (program,) = write(network, vocabulary, before, 0.5, 1, demo.choose(3000, 300), demo.seed)
    demo.path("program.py", "a file that it has written").write_text(program, encoding="utf-8")
    demo.log("\n".join(program.split("\n")[:20]))

    figure, axes = subplots(height=4)
    axes.plot(TEMPERATURES, 100 * np.array(shares), "o-", label="LSTM")
    axes.plot([0.5], [100 * beside], "s", color=COLORS[1], label=f"Markov chain of order {ORDER}")
    axes.axhline(40, color="black", linestyle=":", label="to be reached at 0.5")
    axes.set(xlabel="temperature (more is bolder)", ylabel="statements that parse (%)")
    axes.set_title("What it writes is mostly Python, as long as it is not too bold")
    axes.set_ylim(0, 100)
    axes.legend()
    demo.save_figure("parses.png", figure, "how much of what it writes is Python")
