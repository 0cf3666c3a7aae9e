"""Baselines without neural networks: Markov chains and autoregression."""
