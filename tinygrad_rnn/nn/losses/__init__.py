"""Loss functions, and the modules that hold their options."""
