"""Options of language-model training: defaults, allowed values and help texts in one table.

The command line, `--help`, `config.json` and the validation of values use this table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from autograd.runtime.deprecation import RenamedAttribute

from ...errors import InputError
from ...models.language_model import RECURRENT_LAYERS
from ...scalars import to_python
from ...training.session import Limits


@dataclass(frozen=True)
class Rule:
    """Type and allowed values of an option.

    Attributes
    ----------
    kind
        The type.
    is_valid
        Returns True for allowed values.
    expected
        Description of the allowed values in error messages.
    """

    kind: type
    is_valid: Callable[[Any], bool]
    expected: str

    def parse(self, option: str, text: str) -> Any:
        """Return the value of an option from its text on the command line."""
        try:
            value = self.kind(text)
        except ValueError:
            value = text
        return self.check(option, value)

    def check(self, option: str, value: Any) -> Any:
        """Return `value`; raise InputError with the option's name if it is not allowed."""
        has_type = isinstance(value, (int, float) if self.kind is float else self.kind)
        if not has_type or isinstance(value, bool) or not self.is_valid(value):
            raise InputError(f"{flag(option)} {value}: expected {self.expected}")
        return value


def flag(option: str) -> str:
    """Return the command-line flag of an option: `--seq-len` for `seq_len`."""
    return "--" + option.replace("_", "-")


def one_of(*names: str) -> Rule:
    return Rule(str, lambda value: value in names, " or ".join(names))


def integer_up_to(maximum: int) -> Rule:
    return Rule(int, lambda n: 1 <= n <= maximum, f"an integer from 1 to {maximum:,}")


COUNT = integer_up_to(10**12)
SIZE = integer_up_to(10**6)
SEED = Rule(int, lambda n: 0 <= n < 2**63, "an integer from 0 to 2**63 - 1")
POSITIVE = Rule(float, lambda x: 0 < x < math.inf, "a number > 0")
NON_NEGATIVE = Rule(float, lambda x: 0 <= x < math.inf, "a number >= 0")
DROPOUT = Rule(float, lambda x: 0 <= x < 1, "a number >= 0 and < 1")
POSITIVE_FRACTION = Rule(float, lambda x: 0 < x <= 1, "a number > 0 and <= 1")
LAYER_TYPE = one_of(*RECURRENT_LAYERS)
DEVICE = Rule(
    str,
    lambda name: name in ("cpu", "cuda") or (name[:5] == "cuda:" and name[5:].isdecimal()),
    "cpu, cuda or cuda:N",
)


def _option(default: Any, rule: Rule, help_text: str) -> Any:
    return field(default=default, metadata={"rule": rule, "help": help_text})


@dataclass(frozen=True)
class Options:
    """Hyperparameters of a character language model and its training.

    Parameters
    ----------
    model : str
        Type of the recurrent layers.
    hidden : int
        Hidden size of each recurrent layer.
    layers : int
        Number of stacked recurrent layers.
    embed : int
        Embedding dimension.
    dropout : float
        Dropout probability.
    batch : int
        Batch size: the number of text streams that are read in parallel.
    seq_len : int
        Sequence length of truncated backpropagation through time, in characters.
    epochs : int
        Maximum number of epochs.
    max_steps : int or None
        Maximum number of optimizer steps.
    max_seconds : float or None
        Maximum training time in seconds, including the time before a resume.
    lr : float
        Initial learning rate of Adam.
    lr_decay : float
        Factor by which the learning rate decays per epoch.
    clip : float
        Gradient clipping: maximum norm of the gradient.
    seed : int
        Random seed.
    threads : int
        Number of CPU threads.
    device : str
        Device: `cpu`, `cuda` or `cuda:N`.

    Raises
    ------
    InputError
        If a value is not allowed.
    """

    model: str = _option("lstm", LAYER_TYPE, "type of the recurrent layers")
    hidden: int = _option(192, SIZE, "hidden size of each recurrent layer")
    layers: int = _option(1, integer_up_to(1000), "number of stacked recurrent layers")
    embed: int = _option(128, SIZE, "embedding dimension")
    dropout: float = _option(0.0, DROPOUT, "dropout probability")
    batch: int = _option(32, SIZE, "batch size")
    seq_len: int = _option(64, SIZE, "sequence length of truncated BPTT, in characters")
    epochs: int = _option(6, COUNT, "maximum number of epochs")
    max_steps: int | None = _option(None, COUNT, "maximum number of optimizer steps")
    max_seconds: float | None = _option(
        None, POSITIVE, "maximum training time in seconds, including resumed parts"
    )
    lr: float = _option(0.005, POSITIVE, "initial learning rate of Adam")
    lr_decay: float = _option(0.7, POSITIVE_FRACTION, "learning rate decay factor per epoch")
    clip: float = _option(1.0, POSITIVE, "gradient clipping: maximum gradient norm")
    seed: int = _option(0, SEED, "random seed")
    threads: int = _option(
        1,
        integer_up_to(1024),
        "number of CPU threads; more than 1 helps large models on an idle machine",
    )
    device: str = _option("cpu", DEVICE, "device")

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = to_python(getattr(self, entry.name))
            object.__setattr__(self, entry.name, value)
            if value is not None or entry.default is not None:
                entry.metadata["rule"].check(entry.name, value)

    def as_dict(self) -> dict[str, Any]:
        """Return the options as a dict of JSON values.

        Returns
        -------
        dict
            Values by name.
        """
        return asdict(self)

    prolonged = RenamedAttribute("with_limits")
    typed = RenamedAttribute("format_limit")

    def format_limit(self, name: str, factor: int = 1) -> str:
        """Return a limit as it is written on the command line.

        Parameters
        ----------
        name : str
            Name of the limit.
        factor : int, default 1
            Factor of the limit.

        Returns
        -------
        str
            The flag and the value, such as `--max-steps 100`.
        """
        return f"{flag(name)} {factor * getattr(self, name):.15g}"

    def limits(self) -> Limits:
        """Return the limits of training.

        Returns
        -------
        Limits
            Numbers of epochs and steps, and seconds.
        """
        return Limits(**{name: getattr(self, name) for name in LIMITS})

    def with_limits(self, values: Mapping[str, Any]) -> Options:
        """Return these options with higher limits.

        Parameters
        ----------
        values : mapping
            New limits. Other options may be repeated.

        Returns
        -------
        Options
            The new options.

        Raises
        ------
        InputError
            If a limit is lower, or another option differs.
        """
        conflicts = [
            f"{flag(name)} {value} (the run has {'no limit' if saved is None else saved})"
            for name, value in values.items()
            for saved in [getattr(self, name)]
            if value != saved and not (name in LIMITS and saved is not None and value > saved)
        ]
        if conflicts:
            limits = ", ".join(map(flag, LIMITS))
            raise InputError(
                f"--resume continues with the saved options, which conflict with "
                f"{', '.join(conflicts)}; only {limits} may change, to higher values"
            )
        return replace(self, **values)


LIMITS = ("epochs", "max_steps", "max_seconds")
"""Options that limit training. They do not affect the results up to the limit."""
