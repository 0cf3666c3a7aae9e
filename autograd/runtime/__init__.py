"""Support code without arrays: context variables, deprecated names, and the user's line of code."""
