"""Applications: data, model, training and evaluation of one kind of problem each."""
