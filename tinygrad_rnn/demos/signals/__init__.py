"""Demos on signals and other sequences."""
