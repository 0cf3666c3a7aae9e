"""Loops over time: scan, ragged batches and checkpointing."""
