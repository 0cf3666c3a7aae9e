"""Synthetic data of the demos."""
