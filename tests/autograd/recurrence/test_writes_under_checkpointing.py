"""An in-place write to an input of a recomputed function is an error in the backward pass."""

from typing import Any

import pytest

import autograd as ag
from tinygrad_rnn import nn

T, N = 6, 2
MEMORY: list[dict[str, Any]] = [
    {"checkpoint": 2},
    {"checkpoint": 2, "compile": False},
    {"checkpoint": 4, "reverse": True},
    {"checkpoint": "sqrt", "lengths": [1, 6]},
    {"memory_budget": 2600, "compile": False},
]


def gradient(write: str, **options: Any) -> float:
    """Return a gradient of a scan that no operation saves an input of; write to an input first."""
    w = ag.tensor(0.5, requires_grad=True)
    h, x = ag.ones((2, N)), ag.ones((T, 2, N))
    last, _ = ag.scan(lambda h, x: (ag.tanh(h * 0.5 + x * 0.3) * w, None), h, x, **options)
    if write == "carry":
        h *= 0
    elif write == "part of the carry":
        h[1, 0] = 3.0
    elif write == "xs":
        x *= 0
    return float(ag.gradients(last.sum(), [w])[0].item())  # type: ignore[union-attr]


@pytest.mark.parametrize("write", ["carry", "part of the carry", "xs"])
@pytest.mark.parametrize("memory", MEMORY, ids=str)
def test_a_write_to_an_input_is_an_error(memory: dict[str, Any], write: str) -> None:
    assert gradient("nothing", **memory) == pytest.approx(
        gradient("nothing", **{k: v for k, v in memory.items() if k in ("reverse", "lengths")})
    )
    with pytest.raises(RuntimeError, match="was written in place"):
        gradient(write, **memory)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_write_to_the_state_of_a_layer_is_an_error(layer: Any, create_graph: bool) -> None:
    h = ag.ones((1, 3, N))
    hx = (h, ag.ones((1, 3, N))) if layer is nn.LSTM else h
    outputs, _ = layer(N, N, checkpoint=2)(ag.ones((T, 3, N)), hx)
    h *= 0
    with pytest.raises(RuntimeError, match="was written in place"):
        outputs.sum().backward(create_graph=create_graph)


@pytest.mark.parametrize("f", [lambda x, w: ag.tanh(x + 1) * w, lambda x, w: ag.tanh(x) * w])
def test_a_write_to_an_argument_of_a_checkpoint_is_an_error(f: Any) -> None:
    x, w = ag.ones(N), ag.tensor(0.5, requires_grad=True)
    y = ag.checkpoint(f)(x, w)
    x += 1
    with pytest.raises(RuntimeError, match="was written in place"):
        y.sum().backward()


def test_a_write_before_the_first_or_after_the_last_evaluation_is_allowed() -> None:
    x, w = ag.ones(N), ag.tensor(0.5, requires_grad=True)
    x += 1
    y = ag.checkpoint(lambda x: ag.tanh(x + 1) * w)(x)
    y.sum().backward()
    x += 1
    y = ag.checkpoint(lambda x: ag.tanh(x + 1) * w)(x)
    y.sum().backward()
    assert w.grad is not None
