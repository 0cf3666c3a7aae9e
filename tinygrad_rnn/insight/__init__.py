"""What recurrent networks do: gates and states at each step, gradients through time, memory, what
an output looked at; as arrays and as pictures."""

from .capture import Run, watch
from .gradient_flow import Flow, gradient_flow, jacobian, memory, saliency
from .plots import coloured_text, draw_over_text, draw_over_time

__all__ = [
    "Flow",
    "Run",
    "coloured_text",
    "draw_over_text",
    "draw_over_time",
    "gradient_flow",
    "jacobian",
    "memory",
    "saliency",
    "watch",
]
