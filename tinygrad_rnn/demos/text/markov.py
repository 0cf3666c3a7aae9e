"""Markov chains against a recurrent network: finitely many states, and a continuous one.

    tinygrad-rnn demo markov

An n-gram model is a Markov chain whose states are the last n characters, counted one by one
(Shannon 1948, "A mathematical theory of communication", section 3, printed the first text of such
chains). Their number grows like V^n, and soon most of them are never seen. A recurrent network has
a continuous state, in which similar pasts are similar. Both learn Python's documentation; the
network begins anew with every window, so that after n characters it knows no more than they do.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.plotting import draw_bars, subplots

CLAIM = (
    "A Markov chain needs a state for every context and runs out of examples of long ones; a "
    "recurrent network has one continuous state, and goes on gaining. Both know that q is followed "
    "by u."
)
ORDERS = range(6)
T, B = 32, 32


def windows(ids, starts, start):
    """Windows (T + 1, B) that begin with the symbol `start`, in front of the text's characters."""
    columns = ids[starts + np.arange(T)[:, None]]
    return np.concatenate([np.full((1, len(starts)), start), columns])


def loss(model, window):
    scores, _ = model(window[:-1])
    return nn.functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), window[1:].ravel())


@ag.no_grad()
def chances(model, window):
    """P(each next character) at all places of a window: (T, B, V + 1)."""
    scores, _ = model(window[:-1])
    return ag.softmax(scores).numpy()


def main(demo):
    corpus = data.TextCorpus.default()
    vocabulary, V = corpus.vocabulary, len(corpus.vocabulary)
    ids = vocabulary.encode(corpus.text)
    learned, _, unseen = (vocabulary.encode(part) for part in corpus.split())
    bits = list(models.markov_table(learned, unseen, V, ORDERS).values())
    chain = models.MarkovModel(1, V).fit(learned)

    model = models.LanguageModel(V + 1, embed=32, hidden=demo.choose(128, 64))
    rate = demo.choose(0.006, 0.015)

    def batch(rng):
        return windows(learned, rng.integers(0, len(learned) - T, B), V)

    demo.train(model, loss, batch, steps=3200, quick=550, rate=rate, cosine=True)

    surprise = []
    for starts in np.array_split(np.arange(0, len(unseen) - T, demo.choose(5, 64)), 20):
        window = windows(unseen, starts, V)
        right = np.take_along_axis(chances(model, window), window[1:, :, None], axis=2)
        surprise.append(-np.log2(right[..., 0]))
    network = np.concatenate(surprise, axis=1).mean(1)  # by the number of characters read
    for order in ORDERS:
        demo.record(f"chain, {order} characters known", bits[order], "bits")
        demo.record(f"network, {order} characters known", network[order], "bits")
    demo.record(f"network, {T - 1} characters known", network[-1], "bits")
    gain = network[5] - network[-8:].mean()
    demo.record("network: gain beyond 5 characters", gain, "bits", at_least=0.05)
    contexts = np.unique(np.lib.stride_tricks.sliding_window_view(learned, 5), axis=0)
    demo.record("states of the chain of order 5", len(contexts))

    # What follows q: on average over all that precedes it in the corpus.
    q = vocabulary.encode("q")[0]
    places = np.flatnonzero(ids[:-1] == q)
    counted = np.bincount(ids[places + 1], minlength=V) / len(places)
    before = places[places >= T - 2]
    learned_q = chances(model, windows(ids, before - (T - 2), V))[-1].mean(0)[:V]
    after_q = {"corpus": counted, "chain": chain.probabilities([q]), "network": learned_q}
    u = vocabulary.encode("u")[0]
    for name, p in after_q.items():
        demo.record(f"P(u | q), {name}", p[u])
    apart = abs(learned_q[u] - counted[u])
    demo.record("P(u | q): network off by", apart, at_most=0.02, quick=0.3)
    demo.save_figure(
        "markov.png", draw(bits, network, after_q, vocabulary), "Markov chains and the network"
    )


def draw(bits, network, after_q, vocabulary):
    figure, (left, right) = subplots(1, 2, width=11, height=4.3)
    left.plot(ORDERS, bits, "o-", label="Markov chain")
    left.plot(network, "s-", markersize=4, label="recurrent network")
    left.set(xlabel="characters known", ylabel="surprise at the next (bits)")
    left.set_title("A chain's context ends, a network's goes on")
    left.legend()
    often = np.argsort(-after_q["corpus"])[:5]
    names = [repr(vocabulary.decode([i])) for i in often]
    draw_bars(right, {name: p[often] for name, p in after_q.items()}, names)
    right.set(xlabel="character", ylabel="probability", title="What follows q")
    return figure
