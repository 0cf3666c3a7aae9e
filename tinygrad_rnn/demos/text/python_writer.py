"""Generated programs: a character-level LSTM trained on the Python standard library.

    tinygrad-rnn demo python_writer

This demo trains an LSTM on short files of the running Python's standard library and generates new
files (Karpathy, "The unreasonable effectiveness of recurrent neural networks", 2015). The training
text is normalized: it has no comments or docstrings, and one statement per line.

The measure is the fraction of generated statements that parse. A model continues after the end of a
training file and "import ", the beginning of a new file. A top-level simple statement is a line
without indentation that is not empty, not a decorator, and does not start with the keyword of a
compound statement (def, if, ...). `ast.parse` checks each of these lines separately. For
comparison, the demo measures a Markov chain that predicts from the last five characters.
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
    "A recurrent network that is trained to predict the next character of programs generates new "
    "programs: names, brackets and quotation marks mostly match, without any rule of the syntax."
)
COMPOUND = r"(async|class|def|if|elif|else|for|while|with|try|except|finally|match|case)\b"
PROMPT, ORDER, TEMPERATURES = FILE_SEPARATOR + "import ", 5, (0.25, 0.5, 0.75, 1.0)


def find_statements(text):
    """Return the top-level simple statements of a text."""
    lines = [line for line in text.split("\n") if line and line[0] not in " \t#@"]
    return [line for line in lines if not re.match(COMPOUND, line)]


def parses(statement):
    try:
        ast.parse(statement)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


def parsing_fraction(statements):
    """Return the fraction of statements that parse."""
    return np.mean([parses(statement) for statement in statements]) if statements else 0.0


@ag.no_grad()
def generate(model, vocabulary, context, temperature, count, length, seed):
    """Return `count` texts of `length` characters that continue `context` and "import "."""
    *first, last = vocabulary.encode(context + PROMPT)
    state, options = None, {"temperature": temperature, "generator": ag.Generator(seed)}
    for token in first:
        state, _ = model.step(state, ag.tensor(np.full(count, token)))
    sequences = models.sample(model.step, state, np.full(count, last), -1, length, **options)
    return [PROMPT.lstrip() + vocabulary.decode(sequence.tokens) for sequence in sequences]


def generate_statements(*arguments):
    """Return the statements of generated texts, without their incomplete last lines."""
    texts = generate(*arguments)
    return [line for text in texts for line in find_statements(text.rpartition("\n")[0])]


def main(demo):
    text = sample_library(demo.rng, demo.choose(1_000_000, 150_000))
    corpus = data.TextCorpus(text, "the standard library")
    vocabulary = corpus.vocabulary
    options = language_modeling.Options(
        hidden=demo.choose(192, 96), seed=demo.seed, device=demo.device, lr=0.006
    )
    trainer = language_modeling.LanguageTraining(options, corpus)
    demo.fit(trainer, 2800, 60)
    train, _, unseen = corpus.split()
    network = trainer.model.eval()
    chain = models.MarkovModel(ORDER, len(vocabulary)).fit(vocabulary.encode(train))

    ids = vocabulary.encode(unseen)
    bits = language_modeling.bits_per_character(network, ids)
    demo.record("unseen code", bits, "bits per character", at_most=2.5, quick=4.5)
    demo.record("unseen code: Markov chain", chain.bits_per_character(ids), "bits per character")
    count, length = demo.choose((128, 300), (16, 100))
    end = train.index(FILE_SEPARATOR, len(train) // 2)
    context = train[end - 300 : end]
    statements = {
        temperature: generate_statements(
            network, vocabulary, context, temperature, count, length, demo.seed
        )
        for temperature in TEMPERATURES
    }
    fractions = [parsing_fraction(lines) for lines in statements.values()]
    lines = statements[0.5]
    new = [line for line in lines if line not in train]
    demo.record("statements that parse", parsing_fraction(lines), "%", at_least=0.4)
    demo.record("number of statements", len(lines))
    demo.record("new statements", len(new) / max(len(lines), 1), "%")
    demo.record("new statements that parse", parsing_fraction(new), "%")
    baseline = parsing_fraction(
        generate_statements(chain, vocabulary, context, 0.5, count // 2, length, demo.seed)
    )
    demo.record("Markov chain: statements that parse", baseline, "%")
    reference = parsing_fraction(find_statements(unseen))
    demo.record("unseen code: statements that parse", reference, "%")
    longest = demo.choose(3000, 300)
    (program,) = generate(network, vocabulary, context, 0.5, 1, longest, demo.seed)
    demo.path("program.py", "a generated file").write_text(program, encoding="utf-8")
    demo.log("\n".join(program.split("\n")[:20]))
    demo.save_figure("parses.png", draw(fractions, baseline), "fraction of statements that parse")


def draw(fractions, baseline):
    """Draw the parsing fraction by temperature."""
    figure, axes = subplots(height=4)
    axes.plot(TEMPERATURES, 100 * np.array(fractions), "o-", label="LSTM")
    label = f"Markov chain of order {ORDER}"
    axes.plot([0.5], [100 * baseline], "s", color=COLORS[1], label=label)
    axes.axhline(40, color="black", linestyle=":", label="target at temperature 0.5")
    axes.set(xlabel="temperature", ylabel="statements that parse (%)")
    axes.set_title("Generated statements that are valid Python")
    axes.set_ylim(0, 100)
    axes.legend()
    return figure
