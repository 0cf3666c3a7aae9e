"""What every recurrent cell is: one step in time.

    state, y = cell.step(state, cell.precompute(x))

`precompute` is what does not depend on the state, so that it can be had for all time steps in one
product. Cells are pure functions of state, input and parameters; everything over time is done by
`Recurrent`.
"""

from __future__ import annotations

import inspect
import math
from itertools import islice
from typing import Any, Self

from autograd import Tensor, flatten, linear, tensor, tree_map, zeros

from .. import init
from ..functional import apply_mask
from ..module import Module, Parameter, check_sizes, parameter


class Cell(Module):
    """Derive from this to write a cell: say how many `gates` it has, and write `step`.

    A gate is a block of H = hidden_size rows in weight_ih (gates * H, I), weight_hh (gates * H, R)
    and, with `bias`, in bias_ih and bias_hh (gates * H). R is the width of the output that is fed
    back, `output_size` (None: H). All start from U(-1/sqrt(H), 1/sqrt(H)); x reaches `step` as
    W_ih x + b_ih + b_hh. The state is h (B, R), from 0 on.

    A cell that needs something else overrides it: `more_parameters`; `precompute`; `initial_state`
    (nested tuples of tensors whose first axis is the batch); or `__init__`, which then has to set
    input_size and output_size.
    """

    gates = 1
    input_size: int
    hidden_size: int
    output_size: int
    recurrent_mask: Tensor | None = None
    """The mask of recurrent dropout, while `Recurrent` runs a copy of the cell."""

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Remembers the arguments, from which `like` makes the cells of the other layers."""
        cell = super().__new__(cls)
        cell._constructor_arguments = args, options
        return cell

    _constructor_arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: str | None = None,
        dtype: Any = None,
        *,
        output_size: int | None = None,
    ) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.output_size = hidden_size if output_size is None else output_size
        check_sizes(input_size=input_size, hidden_size=hidden_size, output_size=self.output_size)
        self._placement = {"device": device, "dtype": dtype}
        rows = self.gates * hidden_size
        self.weight_ih = self.uniform(rows, input_size)
        self.weight_hh = self.uniform(rows, self.output_size)
        self.bias_ih = self.uniform(rows) if bias else None
        self.bias_hh = self.uniform(rows) if bias else None
        self.more_parameters(bias)

    def more_parameters(self, bias: bool) -> None:
        """Make what the cell has besides the two weights and their biases."""

    def uniform(self, *shape: int) -> Parameter:
        """A new parameter from U(-1/sqrt(H), 1/sqrt(H))."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size else 0.0
        made = parameter(*shape, **self._placement)
        init.uniform_(made, -bound, bound)
        return made

    def constant(self, value: float, *shape: int) -> Parameter:
        """A new parameter that is `value` everywhere."""
        made = parameter(*shape, **self._placement)
        init.constant_(made, value)
        return made

    # --- one step ---------------------------------------------------------------------------------

    def initial_state(self, batch: int) -> Any:
        """The state before the first step, for so many sequences."""
        return self.zeros(batch, self.output_size)

    def zeros(self, *shape: int) -> Tensor:
        """Zeros beside the weights and of their dtype."""
        return zeros(shape, self.weight_ih.dtype, self.weight_ih.device)

    def precompute(self, xs: Any) -> Any:
        """What does not depend on the state; xs (..., input_size)."""
        return self.biased(linear(xs, self.weight_ih))

    def biased(self, gates: Any) -> Any:
        """gates + b_ih + b_hh, with biases."""
        if self.bias_ih is None or self.bias_hh is None:
            return gates
        return gates + (self.bias_ih + self.bias_hh)

    def step(self, state: Any, x: Any) -> tuple[Any, Tensor]:
        """The new state, and the output (B, output_size); x is one time step of `precompute`."""
        raise NotImplementedError(f"{type(self).__name__} has no step(state, x)")

    def recurrent(self, h: Tensor) -> Tensor:
        """W_hh h: what the last output contributes to the gates."""
        return linear(self.seen(h), self.weight_hh)  # type: ignore[no-any-return]

    def seen(self, h: Tensor) -> Tensor:
        """h as the gates see it: the place where recurrent dropout acts."""
        return h if self.recurrent_mask is None else apply_mask(h, self.recurrent_mask)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """One step from input (B, I), or (I) without a batch, and the state `hx` (None: the initial
        one), as PyTorch's cells are called; returns the new state. Raises ValueError for shapes
        that do not fit.
        """
        x = input if isinstance(input, Tensor) else tensor(input)
        if x.ndim not in (1, 2):
            raise ValueError(
                f"input must have 1 dimension (without a batch) or 2, not shape {x.shape}"
            )
        if x.ndim == 1:
            if hx is not None:
                hx = check_state(hx, tree_map(lambda leaf: leaf[0], self.initial_state(1)), ())
            hx = tree_map(lambda leaf: leaf.reshape(1, *leaf.shape), hx)
            return tree_map(lambda leaf: leaf[0], self.forward(x.reshape(1, -1), hx))
        check_input_size(x, self.input_size)
        start = self.initial_state(x.shape[0])
        state = start if hx is None else check_state(hx, start, ())
        return self.step(state, self.precompute(x))[0]

    # --- another one like it ----------------------------------------------------------------------

    def _arguments(self) -> inspect.BoundArguments:
        args, options = self._constructor_arguments
        return inspect.signature(type(self).__init__).bind(self, *args, **options)

    def like(self, input_size: int) -> Self:
        """A new cell, made with the same arguments as this one but for `input_size`, and moved to
        where this one is.
        """
        bound = self._arguments()
        if "input_size" not in bound.signature.parameters:
            raise TypeError(
                f"{type(self).__name__}() has no argument input_size, so that cells for further "
                "layers and directions cannot be made: add it, or override like(input_size)"
            )
        bound.arguments["input_size"] = input_size
        cell = type(self)(*bound.args[1:], **bound.kwargs)
        for here in islice(self.parameters(), 1):
            cell.to(here.device).to(here.dtype)
        return cell

    def extra_repr(self) -> str:
        """The arguments that are no defaults."""
        bound = self._arguments()
        shown = []
        for name, value in list(bound.arguments.items())[1:]:
            default = bound.signature.parameters[name].default
            if default is inspect.Parameter.empty:
                shown.append(repr(value))
            elif value != default and name not in ("device", "dtype"):
                shown.append(f"{name}={value!r}")
        return ", ".join(shown)


def check_input_size(x: Tensor, input_size: int) -> None:
    """Raise ValueError, in the words that users know, if the last axis is not `input_size`."""
    if x.shape[-1] != input_size:
        raise ValueError(
            f"input.size(-1) must be equal to input_size. Expected {input_size}, got {x.shape[-1]}"
        )


def check_state(given: Any, like: Any, stacked: tuple[int, ...]) -> Any:
    """A given state, a tuple where it came as a list; ValueError if it is not nested like another,
    or a leaf of it is not of that one's shape behind the axes `stacked`."""
    if isinstance(given, list) and isinstance(like, tuple):
        given = tuple(given)
    try:
        tree_map(lambda *_: None, like, given)
    except ValueError as error:
        raise ValueError(
            f"the state is not of this cell's form (an LSTM's is a pair (h, c)): {error}"
        ) from None
    leaves = flatten(like)
    for i, (leaf, one) in enumerate(zip(flatten(given), leaves, strict=True)):
        if leaf.shape != (*stacked, *one.shape):
            which = f"hidden[{i}]" if len(leaves) > 1 else "hidden"
            raise ValueError(f"Expected {which} size {(*stacked, *one.shape)}, got {leaf.shape}")
    return given
