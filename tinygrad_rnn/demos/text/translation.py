"""Translation: one network reads English, another writes Chinese, and looks back as it writes.

    tinygrad-rnn demo translation
    tinygrad-rnn predict runs/demo/translation 'The two birds that I saw yesterday are beautiful.'

In these sentences little stays where it was: when and where come before the verb, a relative clause
before its noun (the two birds that I saw: I saw's that two 只 bird), things are counted with
measure words (只 for birds, 本 for books), two is 两 of things but 二 in dates. A decoder that gets
the sentence as one vector (Sutskever et al., "Sequence to sequence learning with neural networks",
2014) is compared with one that looks back at all words (Bahdanau et al., "Neural machine
translation by jointly learning to align and translate", 2015; in the form of Luong et al., 2015).
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.data.generators.sentences import PINYIN, make_translation_pair
from tinygrad_rnn.data.text_datasets import BEGIN, END, PADDING
from tinygrad_rnn.demos.saved_model import read_text_argument
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.plotting import draw_heat_map, safe_label, subplots

CLAIM = (
    "An encoder and a decoder translate between languages of another order. With attention, which "
    "nobody tells what belongs together, they make fewer mistakes, and one sees what they look at."
)
DATA = "a .tsv, .csv or .jsonl of pairs, in columns source and target"


def translator(source, target, size, attention=nn.GeneralAttention):
    return models.EncoderDecoder(source, target, nn.GRU(size, size, bidirectional=True), attention)


def scored(model, batch):
    """Scores of what follows each symbol, and what does: PADDING where nothing does."""
    source, lengths, target, _ = batch
    scores = model(source, lengths, target[:-1])
    return scores.reshape(-1, scores.shape[-1]), target[1:].ravel()


def loss(model, batch):
    scores, wanted = scored(model, batch)
    mean = nn.functional.cross_entropy(scores, wanted, ignore_index=PADDING)
    return mean, (wanted != PADDING).sum()


def batches(pairs, shuffle=False):
    lengths = [len(source) for source, _ in pairs]
    return data.DataLoader(pairs, 32, shuffle, collate_fn=data.pad_collate, lengths=lengths)


@ag.no_grad()
def translate(model, source, lengths, width):
    """The symbols of the best translation that a beam search of this width finds for each."""
    state, start = model.encode(source, lengths), [BEGIN] * len(lengths)
    longest = 2 * len(source) + 10
    found = models.beam_search(model.step, state, start, END, longest, width=width)
    return [written.tokens for written in found]


def exact(model, pairs, width):
    """The share of sentences that are translated without a mistake."""
    source, lengths, *_ = data.pad_collate(list(pairs))
    found = translate(model, source, lengths, width)
    return np.mean([[BEGIN, *a, END] == [*b] for a, (_, b) in zip(found, pairs, strict=True)])


def main(demo):
    if demo.data is None:
        sentences = dict(make_translation_pair(demo.rng) for _ in range(demo.choose(14000, 4000)))
        texts, size, steps = (list(sentences), list(sentences.values())), 64, 1300
        pairs = data.ParallelText(*texts, text_split=data.tokenize)
    else:
        pairs = data.ParallelText.from_file(demo.data, text_split=data.tokenize)
        size, steps = 128, 3000
    if len(pairs) < 20:
        raise InputError(f"{demo.data}: {len(pairs)} pairs are too few to learn from; 20 at least")
    train, validation, unseen = data.random_split(pairs, [0.8, 0.1, 0.1])
    unseen = data.Subset(unseen, range(min(demo.choose(300, 50), len(unseen))))
    vocabularies = pairs.source_vocabulary, pairs.target_vocabulary
    numbers = [len(vocabulary) for vocabulary in vocabularies]
    demo.log(f"{len(train)} pairs to learn from; words here and there: {numbers}")
    train, validation = batches(train, shuffle=True), batches(validation)
    options = {"rate": 0.01, "cycle": True, "validation": validation, "patience": 5}
    model = translator(*numbers, size)
    demo.train(model, loss, train, steps, quick=70, **options)
    blind = translator(*numbers, size, attention=None)
    demo.train(blind, loss, train, steps, quick=30, **options)
    demo.save(model, source=vocabularies[0].words, target=vocabularies[1].words, size=size)

    scores, wanted = (x.numpy() for x in scored(model, data.pad_collate(list(unseen))))
    right = (scores.argmax(1) == wanted)[wanted != PADDING].mean()
    share, less = exact(model, unseen, width=4), exact(blind, unseen, width=4)
    demo.record("characters right, given those before", right, "%", at_least=0.99, quick=0.5)
    demo.record("sentences exact, beam of 4", share, "%", at_least=0.98)
    demo.record("sentences exact, greedily", exact(model, unseen, width=1), "%")
    demo.record("without attention: exact, beam of 4", less, "%")
    demo.record("without attention: fewer by", share - less, "%", at_least=0.01)

    source, target = pair = max(unseen, key=lambda pair: len(pair[0]) * (len(pair[0]) < 18))
    (weights,) = model.alignment(source[:, None], [len(source)], target[:-1, None]).numpy()
    words, characters = (
        vocabulary.decode(x) for vocabulary, x in zip(vocabularies, pair, strict=True)
    )
    spoken = [PINYIN.get(character) or safe_label(character) for character in characters]
    figure, axes = subplots(width=7.5, height=6.5)
    draw_heat_map(axes, weights, "weight of the attention", rows=[*spoken, "(end)"])
    axes.set_xticks(range(len(words)), map(safe_label, words), rotation=60, ha="right")
    axes.set(xlabel="read", ylabel="written", title="Each character looks at the words it needs")
    demo.save_figure("attention.png", figure, "where it looks as it writes")


def predict(run, input):
    """The translation of a sentence, or of each line of a file."""
    read, written = (data.TokenVocabulary(tuple(run.config[name])) for name in ("source", "target"))
    model = run.load(translator(len(read), len(written), run.config["size"]))
    text = read_text_argument(input)
    sentences = [words for line in text.splitlines() if (words := data.tokenize(line))]
    if not sentences:
        raise InputError("there is no word in the text")
    for words in sentences:
        (found,) = translate(model, read.encode(words)[:, None], [len(words)], width=4)
        print(data.detokenize(written.decode(found)))
    if strange := sorted({word for words in sentences for word in words} - set(read.words)):
        print(f"not among the words it has learned: {', '.join(strange)}")
