"""Executors of loop programs.

`executable` compiles the graphs of a step for an executor: the interpreter calls array functions;
on a GPU, the executor "cuda" interprets the same program with fused kernels.
"""
