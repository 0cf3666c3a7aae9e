"""Demos on text and images."""
