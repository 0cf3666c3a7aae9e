"""Demos of how recurrent networks work: back-propagation through time, its cost and its limits."""
