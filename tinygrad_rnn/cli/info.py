"""`tinygrad-rnn info`: versions, devices and threads."""

from __future__ import annotations

from ..training.environment import blas_threads, devices, versions
from .argparsing import PROGRAM, Parser


def main(argv: list[str]) -> int:
    Parser(
        prog=f"{PROGRAM} info",
        description="Show versions, available devices and the number of CPU threads.",
    ).parse(argv)
    rows = versions() | {"threads": f"{blas_threads()} (train uses --threads)"}
    rows |= {f"device {name}": description for name, description in devices().items()}
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:{width}}   {value}")
    return 0
