"""What recurrent networks do: gates and states at each step, gradients through time, memory, what
an output looked at; as arrays and as pictures."""

from .flow import Flow, gradient_flow, jacobian, memory, saliency
from .pictures import coloured_text, draw_over_text, draw_over_time
from .watching import Run, watch

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
