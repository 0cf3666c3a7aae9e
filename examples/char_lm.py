"""A character-level LSTM language model, with an explicit training loop.

    python examples/char_lm.py [TEXT]

Trains on the Python documentation (or the file TEXT) for some hundred updates, and generates text.
To run on a GPU, call `ag.set_default_device("cuda")` first. `tinygrad-rnn train` does the same with
validation, checkpoints and a progress display.
"""

import sys

import autograd as ag
from tinygrad_rnn import data, nn, optim

BATCH_SIZE, SEQ_LEN, HIDDEN, UPDATES = 32, 64, 128, 400


class CharacterLSTM(nn.Module):
    def __init__(self, vocabulary_size: int) -> None:
        self.embedding = nn.Embedding(vocabulary_size, 64)
        self.lstm = nn.LSTM(64, HIDDEN)
        self.readout = nn.Linear(HIDDEN, vocabulary_size)

    def forward(self, tokens, state=None):
        hidden, state = self.lstm(self.embedding(tokens), state)
        return self.readout(hidden), state


ag.manual_seed(0)
paths = sys.argv[1:]
corpus = data.TextCorpus.from_files(paths) if paths else data.TextCorpus.default()
ids = corpus.vocabulary.encode(corpus.text)
batches = data.StatefulBatches(ids, BATCH_SIZE, SEQ_LEN)
model = CharacterLSTM(len(corpus.vocabulary))
optimizer = optim.Adam(model.parameters(), lr=6e-3)

state = None
for update in range(UPDATES):
    if update % len(batches) == 0:
        state = None  # a new epoch starts at the beginning of the text
    inputs, targets = batches[update % len(batches)]
    scores, state = model(inputs, state)
    loss = nn.functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), targets.ravel())
    loss.backward()  # through SEQ_LEN steps
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    state = ag.tree_map(ag.Tensor.detach, state)  # carry the state over, but no gradient
    if update % 50 == 0:
        print(f"update {update:4d}   loss {loss.item():.3f} nats per character")

generator = ag.Generator(0)
text, state = "The ", None
tokens = corpus.vocabulary.encode(text)[:, None]
with ag.no_grad():
    for _ in range(300):
        scores, state = model(tokens, state)
        probabilities = ag.softmax(scores[-1, 0]).numpy()
        threshold = generator.uniform().item() * probabilities.sum()
        tokens = (probabilities.cumsum() < threshold).sum().reshape(1, 1)
        text += corpus.vocabulary.decode(tokens[0])
print(text)
