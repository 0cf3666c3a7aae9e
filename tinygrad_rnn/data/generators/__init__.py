"""Generated data of the demos."""
