"""Demos on text: language models, classification and translation."""
