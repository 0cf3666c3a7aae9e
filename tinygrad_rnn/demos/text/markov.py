"""Markov chains and a recurrent network: context of limited length, and a continuous state.

    tinygrad-rnn demo markov

This demo compares n-gram models with a recurrent language model by the number of known characters.
An n-gram model is a Markov chain whose states are the last n characters (Shannon 1948, "A
mathematical theory of communication", section 3, printed the first text from such chains). The
number of states grows like V^n, and most long contexts never occur in the training text. A
recurrent network has a continuous state in which similar contexts are similar. Both learn the
Python documentation. The network starts from an empty state in each window, so after n characters
it has the same information as a chain of order n.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.plotting import draw_bars, subplots

CLAIM = (
    "A Markov chain needs a state for every context and lacks examples of long contexts; a "
    "recurrent network has one continuous state and keeps improving with more context. Both learn "
    "that q is followed by u."
)
ORDERS = range(6)
T, B = 32, 32


def make_windows(ids, starts, start_symbol):
    """Return windows (T + 1, B) of the text, each after a start symbol."""
    columns = ids[starts + np.arange(T)[:, None]]
    return np.concatenate([np.full((1, len(starts)), start_symbol), columns])


def loss(model, window):
    scores, _ = model(window[:-1])
    return nn.functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), window[1:].ravel())


@ag.no_grad()
def predict(model, window):
    """Return the probabilities of the next character at each step of a window (T, B, V + 1)."""
    scores, _ = model(window[:-1])
    return ag.softmax(scores).numpy()


def bits_by_context(model, ids, stride, start_symbol):
    """Return the mean surprisal in bits by the number of known characters (T,)."""
    surprisal = []
    for starts in np.array_split(np.arange(0, len(ids) - T, stride), 20):
        window = make_windows(ids, starts, start_symbol)
        p = np.take_along_axis(predict(model, window), window[1:, :, None], axis=2)
        surprisal.append(-np.log2(p[..., 0]))
    return np.concatenate(surprisal, axis=1).mean(1)


def probabilities_after_q(model, chain, ids, vocabulary):
    """Return the probabilities of the character after q in the corpus and by both models.

    The network's probabilities are the mean over all contexts of q in the corpus.
    """
    V, q = len(vocabulary), vocabulary.encode("q")[0]
    positions = np.flatnonzero(ids[:-1] == q)
    frequencies = np.bincount(ids[positions + 1], minlength=V) / len(positions)
    contexts = positions[positions >= T - 2]
    network = predict(model, make_windows(ids, contexts - (T - 2), V))[-1].mean(0)[:V]
    return {"corpus": frequencies, "chain": chain.probabilities([q]), "network": network}


def main(demo):
    corpus = data.TextCorpus.default()
    vocabulary, V = corpus.vocabulary, len(corpus.vocabulary)
    ids = vocabulary.encode(corpus.text)
    train, _, unseen = (vocabulary.encode(part) for part in corpus.split())
    chain_bits = list(models.markov_table(train, unseen, V, ORDERS).values())
    chain = models.MarkovModel(1, V).fit(train)

    model = models.LanguageModel(V + 1, embed=32, hidden=demo.choose(128, 64))
    rate = demo.choose(0.006, 0.015)

    def batch(rng):
        return make_windows(train, rng.integers(0, len(train) - T, B), V)

    demo.train(model, loss, batch, steps=3200, quick=550, rate=rate, cosine=True)

    network_bits = bits_by_context(model, unseen, demo.choose(5, 64), V)
    for order in ORDERS:
        demo.record(f"chain, {order} known characters", chain_bits[order], "bits")
        demo.record(f"network, {order} known characters", network_bits[order], "bits")
    demo.record(f"network, {T - 1} known characters", network_bits[-1], "bits")
    gain = network_bits[5] - network_bits[-8:].mean()
    demo.record("network: gain beyond 5 characters", gain, "bits", at_least=0.05)
    contexts = np.unique(np.lib.stride_tricks.sliding_window_view(train, 5), axis=0)
    demo.record("states of the chain of order 5", len(contexts))

    after_q = probabilities_after_q(model, chain, ids, vocabulary)
    u = vocabulary.encode("u")[0]
    for name, p in after_q.items():
        demo.record(f"P(u | q), {name}", p[u])
    error = abs(after_q["network"][u] - after_q["corpus"][u])
    demo.record("P(u | q): error of the network", error, at_most=0.02, quick=0.3)
    figure = draw(chain_bits, network_bits, after_q, vocabulary)
    demo.save_figure("markov.png", figure, "surprisal by context, and the probabilities after q")


def draw(chain_bits, network_bits, after_q, vocabulary):
    figure, (left, right) = subplots(1, 2, width=11, height=4.3)
    left.plot(ORDERS, chain_bits, "o-", label="Markov chain")
    left.plot(network_bits, "s-", markersize=4, label="recurrent network")
    left.set(xlabel="known characters", ylabel="surprisal of the next (bits)")
    left.set_title("The network improves with more context")
    left.legend()
    frequent = np.argsort(-after_q["corpus"])[:5]
    names = [repr(vocabulary.decode([i])) for i in frequent]
    draw_bars(right, {name: p[frequent] for name, p in after_q.items()}, names)
    right.set(xlabel="character", ylabel="probability", title="Characters after q")
    return figure
