"""Demos of how recurrent networks work: backpropagation through time, its cost and its limits."""
