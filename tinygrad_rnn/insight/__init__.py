"""Analysis of recurrent networks: traces of gates and states, gradient flow, saliency, plots."""

from autograd.runtime.deprecation import moved_names

from .capture import LayerTrace, capture
from .gradient_flow import Flow, gradient_flow, jacobian, memory, saliency
from .plots import colored_text, draw_over_text, draw_over_time

__all__ = [
    "Flow",
    "LayerTrace",
    "capture",
    "colored_text",
    "draw_over_text",
    "draw_over_time",
    "gradient_flow",
    "jacobian",
    "memory",
    "saliency",
]

__getattr__ = moved_names(
    __name__,
    {
        "Run": "tinygrad_rnn.insight.LayerTrace",
        "coloured_text": "tinygrad_rnn.insight.colored_text",
        "watch": "tinygrad_rnn.insight.capture",
    },
)
