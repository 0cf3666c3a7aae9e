"""A word-level language model: an LSTM with tied weights, trained on the documentation of Python.

Training uses dropout, truncated backpropagation through time, gradient clipping, and a learning
rate that falls when the validation loss does not; `--help` shows the options.
"""

import argparse
import math
import re
import tempfile
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics

import torch
from torch import nn, optim


class Corpus:
    """A text as word indices. Words with fewer than `min_count` occurrences become <unk>."""

    def __init__(self, text, min_count=3):
        words = re.findall(r"\w+|[^\w\s]|\n", text)
        self.words = ["<unk>", *(w for w, n in Counter(words).items() if n >= min_count)]
        index = {word: i for i, word in enumerate(self.words)}
        ids = torch.tensor([index.get(word, 0) for word in words])
        tenth = ids.size(0) // 10
        self.train, self.valid, self.test = (
            ids[: -2 * tenth],
            ids[-2 * tenth : -tenth],
            ids[-tenth:],
        )


def batchify(ids, batch_size, device):
    """Arrange the text in `batch_size` columns: (T, B)."""
    steps = ids.size(0) // batch_size
    return ids[: steps * batch_size].view(batch_size, steps).t().contiguous().to(device)


def get_batch(source, i, bptt):
    """Return at most `bptt` steps from step i on, and the next words."""
    length = min(bptt, source.size(0) - 1 - i)
    return source[i : i + length], source[i + 1 : i + 1 + length].reshape(-1)


def repackage_hidden(h):
    """Detach the state from its history."""
    if isinstance(h, torch.Tensor):
        return h.detach()
    return tuple(repackage_hidden(v) for v in h)


class RNNModel(nn.Module):
    """Embedding, recurrent layers, and an output layer that shares the embedding weights."""

    def __init__(self, rnn_type, ntoken, nhid, nlayers, dropout):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(ntoken, nhid)
        self.rnn = getattr(nn, rnn_type)(nhid, nhid, nlayers, dropout=dropout)
        self.decoder = nn.Linear(nhid, ntoken)
        self.decoder.weight = self.encoder.weight
        self.rnn_type, self.nhid, self.nlayers = rnn_type, nhid, nlayers
        self.init_weights()

    def init_weights(self):
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, input, hidden):
        emb = self.drop(self.encoder(input))
        output, hidden = self.rnn(emb, hidden)
        decoded = self.decoder(self.drop(output))
        return decoded.view(-1, decoded.size(-1)), hidden

    def init_hidden(self, batch_size, device):
        h = torch.zeros(self.nlayers, batch_size, self.nhid, device=device)
        return (h, h) if self.rnn_type == "LSTM" else h


def train(model, source, criterion, optimizer, args):
    """Train for one epoch; return the loss of each batch."""
    model.train()
    losses = []
    hidden = model.init_hidden(source.size(1), args.device)
    for i in range(0, source.size(0) - 1, args.bptt):
        data, targets = get_batch(source, i, args.bptt)
        hidden = repackage_hidden(hidden)
        optimizer.zero_grad()
        output, hidden = model(data, hidden)
        loss = criterion(output, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimizer.step()
        losses.append(loss.item())
    return losses


def evaluate(model, source, criterion, args):
    """Return the mean loss per word."""
    model.eval()
    total = 0.0
    hidden = model.init_hidden(source.size(1), args.device)
    with torch.no_grad():
        for i in range(0, source.size(0) - 1, args.bptt):
            data, targets = get_batch(source, i, args.bptt)
            output, hidden = model(data, hidden)
            total += len(data) * criterion(output, targets).item()
    return total / (source.size(0) - 1)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="LSTM", help="RNN, LSTM or GRU")
    parser.add_argument("--nhid", type=int, default=128)
    parser.add_argument("--nlayers", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--batch-size", type=int, default=20)
    parser.add_argument("--bptt", type=int, default=35)
    parser.add_argument("--lr", type=float, default=20)
    parser.add_argument("--clip", type=float, default=0.25)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--characters", type=int, help="number of characters of the text to use")
    parser.add_argument("--seed", type=int, default=1111)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)

    torch.manual_seed(args.seed)
    corpus = Corpus("\n".join(topics[key] for key in sorted(topics))[: args.characters])
    train_data = batchify(corpus.train, args.batch_size, args.device)
    valid_data = batchify(corpus.valid, 10, args.device)
    test_data = batchify(corpus.test, 10, args.device)
    model = RNNModel(args.model, len(corpus.words), args.nhid, args.nlayers, args.dropout)
    model.to(args.device)
    print(model)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=args.lr)

    best = math.inf
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        for epoch in range(1, args.epochs + 1):
            losses = train(model, train_data, criterion, optimizer, args)
            loss = evaluate(model, valid_data, criterion, args)
            lr = optimizer.param_groups[0]["lr"]
            print(
                f"epoch {epoch}   lr {lr:7.4f}   training {sum(losses) / len(losses):5.2f}   "
                f"validation {loss:5.2f}   ppl {math.exp(loss):8.2f}",
                flush=True,
            )
            if loss < best:
                torch.save(model.state_dict(), path)
                best = loss
            else:
                for group in optimizer.param_groups:
                    group["lr"] /= 4
        model.load_state_dict(torch.load(path))
    loss = evaluate(model, test_data, criterion, args)
    print(f"test loss {loss:5.2f}   ppl {math.exp(loss):8.2f}")


if __name__ == "__main__":
    main()
