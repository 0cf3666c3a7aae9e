"""Demos of how recurrent networks work."""
