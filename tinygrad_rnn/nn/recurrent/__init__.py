"""Recurrent cells, the layers that run them over time, and packed sequences."""
