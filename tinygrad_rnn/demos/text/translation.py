"""Translation with attention: an encoder reads English, and a decoder writes Chinese.

    tinygrad-rnn demo translation
    tinygrad-rnn predict runs/demo/translation 'The two birds that I saw yesterday are beautiful.'

This demo translates sentences whose word order differs in the two languages. In Chinese, adverbials
of time and place precede the verb, and a relative clause precedes its noun ("the two birds that I
saw" becomes "I saw's that two 只 bird"). Nouns are counted with measure words (只 for birds, 本 for
books), and "two" is 两 with nouns but 二 in dates. The demo compares a decoder that receives the
sentence as one vector (Sutskever et al., "Sequence to sequence learning with neural networks",
2014) with a decoder that attends to all words (Bahdanau et al., "Neural machine translation by
jointly learning to align and translate", 2015; here in the form of Luong et al., 2015).
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.data.generators.sentences import PINYIN, make_translation_pair
from tinygrad_rnn.data.vocabulary import BEGIN, END, PADDING
from tinygrad_rnn.demos.saved_model import read_text_argument
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.plotting import draw_heat_map, safe_label, subplots

CLAIM = (
    "An encoder and a decoder translate between languages with different word order. With "
    "attention, which is learned without alignments, they make fewer mistakes, and the attention "
    "weights show which words are translated."
)
DATA = "a .tsv, .csv or .jsonl of pairs, in columns source and target"


def build_model(source, target, size, attention=nn.GeneralAttention):
    return models.EncoderDecoder(source, target, nn.GRU(size, size, bidirectional=True), attention)


def scores_and_targets(model, batch):
    """Return the scores of the next symbols, and the next symbols, in one axis."""
    source, lengths, target, _ = batch
    scores = model(source, lengths, target[:-1])
    return scores.reshape(-1, scores.shape[-1]), target[1:].ravel()


def loss(model, batch):
    scores, targets = scores_and_targets(model, batch)
    mean = nn.functional.cross_entropy(scores, targets, ignore_index=PADDING)
    return mean, (targets != PADDING).sum()


def make_loader(pairs, shuffle=False):
    lengths = [len(source) for source, _ in pairs]
    return data.DataLoader(pairs, 32, shuffle, collate_fn=data.pad_collate, lengths=lengths)


@ag.no_grad()
def translate(model, source, lengths, width):
    """Return the tokens of the best translation of each sentence, by beam search."""
    state, start = model.encode(source, lengths), [BEGIN] * len(lengths)
    max_length = 2 * len(source) + 10
    sequences = models.beam_search(model.step, state, start, END, max_length, width=width)
    return [sequence.tokens for sequence in sequences]


def exact_fraction(model, pairs, width):
    """Return the fraction of sentences that are translated without a mistake."""
    source, lengths, *_ = data.pad_collate(list(pairs))
    outputs = translate(model, source, lengths, width)
    return np.mean([[BEGIN, *a, END] == [*b] for a, (_, b) in zip(outputs, pairs, strict=True)])


def load_pairs(demo):
    """Return the user's sentence pairs, or generated ones; the model size; and training steps."""
    if demo.data is None:
        sentences = dict(make_translation_pair(demo.rng) for _ in range(demo.choose(14000, 4000)))
        texts = list(sentences), list(sentences.values())
        return data.ParallelText(*texts, text_split=data.tokenize), 64, 1300
    pairs = data.ParallelText.from_file(demo.data, text_split=data.tokenize)
    if len(pairs) < 20:
        raise InputError(f"{demo.data}: expected at least 20 pairs, got {len(pairs)}")
    return pairs, 128, 3000


def main(demo):
    pairs, size, steps = load_pairs(demo)
    train, validation, unseen = data.random_split(pairs, [0.8, 0.1, 0.1])
    unseen = data.Subset(unseen, range(min(demo.choose(300, 50), len(unseen))))
    vocabularies = pairs.source_vocabulary, pairs.target_vocabulary
    sizes = [len(vocabulary) for vocabulary in vocabularies]
    demo.log(f"{len(train)} training pairs; vocabulary sizes: {sizes}")
    train, validation = make_loader(train, shuffle=True), make_loader(validation)
    options = {"rate": 0.01, "cycle": True, "validation": validation, "patience": 5}
    model = build_model(*sizes, size)
    demo.train(model, loss, train, steps, quick=70, **options)
    baseline = build_model(*sizes, size, attention=None)
    demo.train(baseline, loss, train, steps, quick=30, **options)
    source_tokens, target_tokens = (vocabulary.tokens for vocabulary in vocabularies)
    demo.save(model, source=source_tokens, target=target_tokens, size=size)

    batch = data.pad_collate(list(unseen))
    scores, targets = (x.numpy() for x in scores_and_targets(model, batch))
    accuracy = (scores.argmax(1) == targets)[targets != PADDING].mean()
    exact = exact_fraction(model, unseen, width=4)
    baseline_exact = exact_fraction(baseline, unseen, width=4)
    greedy = exact_fraction(model, unseen, width=1)
    demo.record("next-character accuracy", accuracy, "%", at_least=0.99, quick=0.5)
    demo.record("exact sentences, beam search", exact, "%", at_least=0.98)
    demo.record("exact sentences, greedy", greedy, "%")
    demo.record("without attention: exact sentences", baseline_exact, "%")
    demo.record("gain by attention", exact - baseline_exact, "%", at_least=0.01)

    pair = max(unseen, key=lambda pair: len(pair[0]) * (len(pair[0]) < 18))
    figure = draw_attention(model, pair, vocabularies)
    demo.save_figure("attention.png", figure, "attention weights for a sentence")


def draw_attention(model, pair, vocabularies):
    """Draw the attention weights: one row for each output, one column for each input."""
    source, target = pair
    (weights,) = model.alignment(source[:, None], [len(source)], target[:-1, None]).numpy()
    words, characters = (v.decode(x) for v, x in zip(vocabularies, pair, strict=True))
    names = [PINYIN.get(character) or safe_label(character) for character in characters]
    figure, axes = subplots(width=7.5, height=6.5)
    draw_heat_map(axes, weights, "attention weight", rows=[*names, "(end)"])
    axes.set_xticks(range(len(words)), map(safe_label, words), rotation=60, ha="right")
    axes.set(xlabel="input", ylabel="output", title="Each character attends to its words")
    return figure


def predict(run, input):
    """Print the translation of a sentence, or of each line of a file."""
    source, target = (
        data.TokenVocabulary(tuple(run.config[name])) for name in ("source", "target")
    )
    model = run.load(build_model(len(source), len(target), run.config["size"]))
    text = read_text_argument(input)
    sentences = [words for line in text.splitlines() if (words := data.tokenize(line))]
    if not sentences:
        raise InputError("the text contains no words")
    for words in sentences:
        (output,) = translate(model, source.encode(words)[:, None], [len(words)], width=4)
        print(data.detokenize(target.decode(output)))
    if unknown := sorted({word for words in sentences for word in words} - set(source.tokens)):
        print(f"unknown words: {', '.join(unknown)}")
