"""Models with random weights, and a training loop, for the tests of several models."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from recurrences import make_case

from tinygrad_rnn import models, nn, optim
from tinygrad_rnn.nn import functional as F

seeds = st.integers(0, 2**32 - 1)


def randomized(model: Any, seed: int = 0) -> Any:
    """Return the model in float64 with random weights."""
    rng = np.random.default_rng(seed)
    model.double()
    model.load_state_dict({n: rng.uniform(-1, 1, p.shape) for n, p in model.named_parameters()})
    return model


def make_layer(kind: str, **options: Any) -> nn.Recurrent:
    """Return a layer with input size 2 and hidden size 3."""
    return make_case(kind, I=2, H=3, **options).layer


def train(model: nn.Module, batch: Any, updates: int, lr: float) -> float:
    """Train and return the last loss; a batch consists of logits and classes."""
    optimizer = optim.Adam(model.parameters(), lr=lr)
    for _ in range(updates):
        scores, labels = batch(model)
        loss = F.cross_entropy(scores.reshape(-1, scores.shape[-1]), labels.ravel())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return loss.item()


ATTENTIONS: dict[str, Any] = {"none": None, "additive": nn.AdditiveAttention}


def make_captioner(kind: str = "LSTM", attention: str = "none", **options: Any) -> Any:
    """Return a captioner with 4 symbols; images are (B, 2), or with attention (R, B, 2)."""
    reader = nn.Sequential(nn.Linear(2, 4), nn.Tanh())
    cell: Any = make_layer(kind).cells[0]
    return randomized(models.Captioner(reader, 4, cell, ATTENTIONS[attention], **options))


def symbols(T: int = 4, B: int = 3) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 4, (T, B))
