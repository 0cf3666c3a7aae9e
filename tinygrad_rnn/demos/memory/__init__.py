"""Demos of memory: gates, long-range dependencies and the use of future context."""
