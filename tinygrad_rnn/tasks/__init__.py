"""Tasks: one package per application, with its data, model, training and evaluation."""
