"""Context variables that survive Ctrl-C, and the caller's line."""
