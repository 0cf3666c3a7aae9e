"""Time of a training step of a word language model, compared with PyTorch, on the CPU.

    python benchmarks/language_model_step.py [--threads 2] [--repeats 5] [--seconds 1] [--json FILE]

The model is the small Penn Treebank model of Zaremba et al. (2014, "Recurrent Neural Network
Regularization", arXiv:1409.2329): an embedding, a two-layer LSTM of 200 units and an output layer,
on batches of 20 sequences of 20 words. The words are random, drawn from a vocabulary of 10,000.

A step is the forward pass, the mean cross-entropy, the backward pass, clipping of the gradient norm
to 5 and an update by gradient descent with learning rate 1. It is float32, with the state carried
from one step to the next.
"""

import os
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import harness
import numpy as np


class Case(NamedTuple):
    """A model size, a vocabulary size, and the shape of a batch."""

    model: str
    vocabulary: int
    hidden: int
    layers: int
    T: int
    B: int


CASES = [
    Case("small", 10_000, 200, 2, 20, 20),
    Case("medium", 10_000, 650, 2, 35, 20),
]
MAX_NORM = 5.0
LEARNING_RATE = 1.0


class Steps(NamedTuple):
    """A training step, and the gradients at the initial parameters."""

    train: Callable[[], Any]
    gradients: Callable[[], dict[str, Any]]


def initial_parameters(case: Case) -> dict[str, Any]:
    """Return the same random parameters in every process, by their PyTorch names."""
    rng = np.random.default_rng(0)
    H = case.hidden
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (case.vocabulary, H)}
    for layer in range(case.layers):
        for name in ("ih", "hh"):
            shapes[f"lstm.weight_{name}_l{layer}"] = (4 * H, H)
            shapes[f"lstm.bias_{name}_l{layer}"] = (4 * H,)
    shapes |= {"output.weight": (case.vocabulary, H), "output.bias": (case.vocabulary,)}
    return {name: rng.uniform(-0.1, 0.1, s).astype(np.float32) for name, s in shapes.items()}


def build_training(case: Case, nn: Any, cross_entropy: Any, optim: Any, tensor: Any) -> Steps:
    """Return the steps of a model whose modules have PyTorch's names, as this project's do."""
    layers = {
        "embedding": nn.Embedding(case.vocabulary, case.hidden),
        "lstm": nn.LSTM(case.hidden, case.hidden, case.layers),
        "output": nn.Linear(case.hidden, case.vocabulary),
    }
    model = nn.ModuleDict(layers)
    parameters = list(model.parameters())
    optimizer = optim.SGD(parameters, lr=LEARNING_RATE)
    words = np.random.default_rng(1).integers(0, case.vocabulary, (case.T + 1, case.B))
    inputs, targets = tensor(words[:-1]), tensor(words[1:].reshape(-1))
    state: Any = None

    def loss() -> Any:
        nonlocal state
        hidden, (h, c) = layers["lstm"](layers["embedding"](inputs), state)
        state = h.detach(), c.detach()
        return cross_entropy(layers["output"](hidden).reshape(-1, case.vocabulary), targets)

    def train() -> None:
        optimizer.zero_grad()
        loss().backward()
        nn.utils.clip_grad_norm_(parameters, MAX_NORM)
        optimizer.step()

    def gradients() -> dict[str, Any]:
        nonlocal state
        state = None
        model.load_state_dict({n: tensor(p) for n, p in initial_parameters(case).items()})
        optimizer.zero_grad()
        loss().backward()
        return {name: p.grad.numpy() for name, p in model.named_parameters()}

    gradients()  # loads the initial parameters
    return Steps(train, gradients)


def tinygrad_rnn(case: Case) -> Steps:
    """Return the steps of this library."""
    import autograd as ag
    from tinygrad_rnn import nn, optim

    return build_training(case, nn, nn.functional.cross_entropy, optim, ag.tensor)


def pytorch(case: Case) -> Steps:
    """Return the steps of PyTorch, which does not always read the environment's thread count."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    return build_training(
        case, torch.nn, torch.nn.functional.cross_entropy, torch.optim, torch.from_numpy
    )


COMPETITORS = {harness.PROJECT: tinygrad_rnn, "PyTorch": pytorch}


@cache
def build_steps(name: str, case: Case) -> Steps:
    """Build each model once per process."""
    return COMPETITORS[name](case)


def measure(name: str, case: Case) -> harness.Result:
    """Return the milliseconds of each step of a repeat, and gradients to compare."""
    step = build_steps(name, case)
    milliseconds = 1e3 * harness.time_steps(step.train)
    return milliseconds, step.gradients()


if __name__ == "__main__":
    harness.run(
        str(__doc__).partition("\n")[0],
        "Milliseconds per step",
        CASES,
        list(COMPETITORS),
        measure,
        filters={"models": lambda case: case.model},
    )
