"""Demos of long-term memory."""
