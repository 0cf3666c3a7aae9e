"""What a training run may be told: every option once, with its default, its limits and its words.

The command line, its help, `config.json` and the checks all read this table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ...errors import InputError
from ...models.language_model import RECURRENT_LAYERS
from ...scalars import to_python
from ...training.session import Limits


@dataclass(frozen=True)
class Rule:
    """What an option's value may be: its type, a test of the value, and both in words."""

    kind: type
    allows: Callable[[Any], bool]
    words: str

    def parse(self, option: str, text: str) -> Any:
        """The value that `text` means, as typed after `--option`."""
        try:
            value = self.kind(text)
        except ValueError:
            value = text
        return self.check(option, value)

    def check(self, option: str, value: Any) -> Any:
        """`value` itself, or InputError with the option, the value and what is allowed."""
        fits = isinstance(value, (int, float) if self.kind is float else self.kind)
        if not fits or isinstance(value, bool) or not self.allows(value):
            raise InputError(f"{flag(option)} {value}: expected {self.words}")
        return value


def flag(option: str) -> str:
    """The option as it is typed: `seq_len` is `--seq-len`."""
    return "--" + option.replace("_", "-")


def one_of(*names: str) -> Rule:
    return Rule(str, lambda value: value in names, " or ".join(names))


def count_to(most: int) -> Rule:
    return Rule(int, lambda n: 1 <= n <= most, f"a whole number from 1 to {most:,}")


COUNT = count_to(10**12)
SIZE = count_to(10**6)  # of arrays: beyond it no machine has the memory
SEED = Rule(int, lambda n: 0 <= n < 2**63, "a whole number from 0 to 2**63 - 1")
POSITIVE = Rule(float, lambda x: 0 < x < math.inf, "a number above 0")
NOT_NEGATIVE = Rule(float, lambda x: 0 <= x < math.inf, "a number of at least 0")
PROBABILITY = Rule(float, lambda x: 0 <= x < 1, "a number from 0 to below 1")
FACTOR = Rule(float, lambda x: 0 < x <= 1, "a number above 0 and up to 1")
CELL = one_of(*RECURRENT_LAYERS)
DEVICE = Rule(
    str,
    lambda name: name in ("cpu", "cuda") or (name[:5] == "cuda:" and name[5:].isdecimal()),
    "cpu, cuda or cuda:N",
)


def _option(default: Any, rule: Rule, words: str) -> Any:
    return field(default=default, metadata={"rule": rule, "help": words})


@dataclass(frozen=True)
class Options:
    """A character language model and its training. InputError names a value that is not allowed."""

    model: str = _option("lstm", CELL, "recurrent cell")
    hidden: int = _option(192, SIZE, "units of each recurrent layer")
    layers: int = _option(1, count_to(1000), "recurrent layers on top of each other")
    embed: int = _option(128, SIZE, "numbers that stand for one character")
    dropout: float = _option(0.0, PROBABILITY, "share of units silenced while training")
    batch: int = _option(32, SIZE, "places of the text that are read at once")
    seq_len: int = _option(64, SIZE, "characters that gradients reach back")
    epochs: int = _option(6, COUNT, "passes over the text, at most")
    max_steps: int | None = _option(None, COUNT, "updates of the weights, at most")
    max_seconds: float | None = _option(
        None, POSITIVE, "training time, at most, all resumed parts together"
    )
    lr: float = _option(0.005, POSITIVE, "learning rate of Adam at the start")
    lr_decay: float = _option(0.7, FACTOR, "what the learning rate is multiplied with per epoch")
    clip: float = _option(1.0, POSITIVE, "largest norm of the gradient")
    seed: int = _option(0, SEED, "seed of everything random")
    threads: int = _option(
        1,
        count_to(1024),
        "threads of matrix products; more pay for large models on an idle machine",
    )
    device: str = _option("cpu", DEVICE, "where to compute")

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = to_python(getattr(self, entry.name))
            object.__setattr__(self, entry.name, value)
            if value is not None or entry.default is not None:
                entry.metadata["rule"].check(entry.name, value)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def typed(self, name: str, times: int = 1) -> str:
        """A limit as it is typed, or its multiple: `--max-steps 100`."""
        return f"{flag(name)} {times * getattr(self, name):.15g}"

    def limits(self) -> Limits:
        """What ends the run."""
        return Limits(**{name: getattr(self, name) for name in LIMITS})

    def prolonged(self, given: Mapping[str, Any]) -> Options:
        """These options with the larger limits of `given`; InputError if it contradicts them."""
        contradictions = [
            f"{flag(name)} {value} (the run has {'no limit' if own is None else own})"
            for name, value in given.items()
            for own in [getattr(self, name)]
            if value != own and not (name in LIMITS and own is not None and value > own)
        ]
        if contradictions:
            limits = ", ".join(map(flag, LIMITS))
            raise InputError(
                f"--resume goes on with the run's own options, which contradict "
                f"{', '.join(contradictions)}; only {limits} may be given, and larger"
            )
        return replace(self, **given)


LIMITS = ("epochs", "max_steps", "max_seconds")
"""The options that end a run, whichever comes first. They do not touch the numbers on the way."""
