"""A character LSTM in one page: every step of what `tinygrad-rnn train` does, without the comfort.

    python examples/char_lm.py [TEXT]

Learns Python's own documentation (or TEXT) for some hundred updates, then writes something like it.
Move it to a GPU with `ag.set_default_device("cuda")`.
"""

import sys

import autograd as ag
from tinygrad_rnn import data, nn, optim

BATCH, SEQ_LEN, HIDDEN, UPDATES = 32, 64, 128, 400


class CharacterLSTM(nn.Module):
    def __init__(self, symbols: int) -> None:
        self.embedding = nn.Embedding(symbols, 64)
        self.lstm = nn.LSTM(64, HIDDEN)
        self.readout = nn.Linear(HIDDEN, symbols)

    def forward(self, tokens, state=None):
        hidden, state = self.lstm(self.embedding(tokens), state)
        return self.readout(hidden), state


ag.manual_seed(0)
paths = sys.argv[1:]
corpus = data.TextCorpus.from_files(paths) if paths else data.TextCorpus.default()
ids = corpus.vocabulary.encode(corpus.text)
batches = data.StatefulBatches(ids, BATCH, SEQ_LEN)
model = CharacterLSTM(len(corpus.vocabulary))
optimizer = optim.Adam(model.parameters(), lr=6e-3)

state = None
for update in range(UPDATES):
    if update % len(batches) == 0:
        state = None  # back at the beginning of the text
    inputs, targets = batches[update % len(batches)]
    scores, state = model(inputs, state)
    loss = nn.functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), targets.ravel())
    loss.backward()  # through all SEQ_LEN steps: the graph is just that long
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    state = ag.tree_map(ag.Tensor.detach, state)  # gradients end here; the state goes on
    if update % 50 == 0:
        print(f"update {update:4d}   loss {loss.item():.3f} nats per character")

stream = ag.Generator(0)
text, state = "The ", None
tokens = corpus.vocabulary.encode(text)[:, None]
with ag.no_grad():
    for _ in range(300):
        scores, state = model(tokens, state)
        probabilities = ag.softmax(scores[-1, 0]).numpy()
        draw = stream.uniform().item()
        tokens = (probabilities.cumsum() < draw * probabilities.sum()).sum().reshape(1, 1)
        text += corpus.vocabulary.decode(tokens[0])
print(text)
