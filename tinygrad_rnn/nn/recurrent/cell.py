"""The base class of recurrent cells.

A cell computes one time step:

    state, y = cell.step(state, cell.precompute(x))

`precompute` is the part of the step that does not depend on the state. A layer computes it for all
time steps in one matrix product. Cells are pure functions of state, input and parameters.
`Recurrent` runs them over time.
"""

from __future__ import annotations

import inspect
import math
from itertools import islice
from typing import Any, ClassVar, Self

from autograd import Tensor, flatten, linear, tree_map, zeros
from autograd.runtime.deprecation import RenamedAttribute

from ...compatibility import renamed_state
from .. import init
from ..functional import apply_mask
from ..module import Module, to_model_device
from ..parameter import Parameter, check_sizes, zero_parameter


class Cell(Module):
    """Base class of recurrent cells. A subclass sets `gates` and defines `step`.

    The weights consist of one block of H = hidden_size rows per gate or candidate. `step` receives
    W_ih x + b_ih + b_hh as its input and obtains W_hh h from `self.recurrent(h)`. The default state
    is h (B, R), initially zero. A subclass may override `more_parameters`, `precompute`,
    `initial_state` and `__init__`, which must set `input_size` and `output_size`.

    Parameters
    ----------
    input_size : int
        Number I of input features.
    hidden_size : int
        Number H of hidden units.
    bias : bool, default True
        False omits the biases.
    device : str, optional
        Device of the parameters.
    dtype : dtype, optional
        Floating-point dtype of the parameters.
    output_size : int, optional
        Size R of the output that is fed back. The default is H.

    Attributes
    ----------
    gates : int
        Number G of blocks of H rows in the weights, one per gate or candidate (class attribute).
    pure : bool
        True declares that the methods are pure functions of their arguments, of the tensors of the
        cell and its child modules, and of attributes that are numbers or strings (class attribute).
        A layer then calls them only once for each kind of input, which makes short sequences
        faster. The declaration holds for the class itself, not for subclasses, and has no effect
        for a cell with other attributes, methods that were replaced, or hooks.
    weight_ih : Parameter, shape (G * H, I)
        Input weights. All parameters are initialized from U(-1/sqrt(H), 1/sqrt(H)).
    weight_hh : Parameter, shape (G * H, R)
        Recurrent weights.
    bias_ih, bias_hh : Parameter of shape (G * H,), or None
        Biases.

    Examples
    --------
    >>> class LeakyCell(nn.Cell):
    ...     gates = 2
    ...     pure = True
    ...
    ...     def step(self, h, x):
    ...         a, n = ag.split(x + self.recurrent(h), 2, axis=-1)
    ...         h = h + ag.sigmoid(a) * (ag.tanh(n) - h)
    ...         return h, h
    >>> layer = nn.Recurrent(LeakyCell(3, 4), num_layers=2)
    """

    gates = 1
    pure: ClassVar[bool] = False
    input_size: int
    hidden_size: int
    output_size: int
    recurrent_mask: Tensor | None = None
    """Mask of recurrent dropout. `Recurrent` sets it in a copy of the cell."""

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Store the constructor's arguments, with which `like` creates other cells."""
        cell = super().__new__(cls)
        cell._constructor_arguments = args, options
        return cell

    _constructor_arguments: tuple[tuple[Any, ...], dict[str, Any]]
    __setstate__ = renamed_state(_made_from="_constructor_arguments")

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
        """Create further parameters, or initialize or delete the two weights and their biases.

        The constructor calls this method last; the default does nothing.

        Parameters
        ----------
        bias : bool
            False if the cell has no biases.
        """

    def uniform(self, *shape: int) -> Parameter:
        """Create a parameter that is initialized from U(-1/sqrt(H), 1/sqrt(H)).

        Parameters
        ----------
        *shape : int
            Shape of the parameter.

        Returns
        -------
        Parameter
        """
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size else 0.0
        parameter = zero_parameter(*shape, **self._placement)
        init.uniform_(parameter, -bound, bound)
        return parameter

    def constant(self, value: float, *shape: int) -> Parameter:
        """Create a parameter that is initialized with a constant.

        Parameters
        ----------
        value : float
            The constant.
        *shape : int
            Shape of the parameter.

        Returns
        -------
        Parameter
        """
        parameter = zero_parameter(*shape, **self._placement)
        init.constant_(parameter, value)
        return parameter

    # --- one step ---------------------------------------------------------------------------------

    def initial_state(self, batch: int) -> Any:
        """Return the state before the first step.

        Parameters
        ----------
        batch : int
            Batch size B.

        Returns
        -------
        Tensor or nested structure of Tensors
            Each Tensor has the batch as first axis.
        """
        return self.zeros(batch, self.output_size)

    def zeros(self, *shape: int) -> Tensor:
        """Return zeros with the dtype and device of the weights.

        Parameters
        ----------
        *shape : int
            Shape of the result.

        Returns
        -------
        Tensor
        """
        return zeros(shape, self.weight_ih.dtype, self.weight_ih.device)

    def precompute(self, xs: Any) -> Any:
        """Compute the part of the step that does not depend on the state.

        Parameters
        ----------
        xs : Tensor, shape (..., I)
            Inputs of any number of time steps.

        Returns
        -------
        Tensor or nested structure of Tensors
            By default W_ih x + b_ih + b_hh, of shape (..., G * H).
        """
        return self.add_bias(linear(xs, self.weight_ih))

    def add_bias(self, gates: Any) -> Any:
        """Return gates + b_ih + b_hh, or the gates if the cell has no biases.

        Parameters
        ----------
        gates : Tensor, shape (..., G * H)
            The gates.

        Returns
        -------
        Tensor, shape (..., G * H)
        """
        if self.bias_ih is None or self.bias_hh is None:
            return gates
        return gates + (self.bias_ih + self.bias_hh)

    def step(self, state: Any, x: Any) -> tuple[Any, Tensor]:
        """Compute one time step.

        Parameters
        ----------
        state : Tensor or nested structure of Tensors
            The state, in the form of `initial_state`.
        x : Tensor or nested structure of Tensors
            One time step of the result of `precompute`.

        Returns
        -------
        state
            The new state.
        output : Tensor, shape (B, output_size)
        """
        raise NotImplementedError(f"{type(self).__name__} does not define step(state, x)")

    def recurrent(self, h: Tensor) -> Tensor:
        """Return W_hh h, the contribution of the last output to the gates.

        Parameters
        ----------
        h : Tensor, shape (B, R)
            The last output.

        Returns
        -------
        Tensor, shape (B, G * H)
        """
        return linear(self.apply_recurrent_dropout(h), self.weight_hh)  # type: ignore[no-any-return]

    def apply_recurrent_dropout(self, h: Tensor) -> Tensor:
        """Return h times the mask of recurrent dropout, if the layer uses it.

        A step that does not call `recurrent` applies this to the h that enters its gates.

        Parameters
        ----------
        h : Tensor, shape (B, R)
            The last output.

        Returns
        -------
        Tensor, shape (B, R)
        """
        return h if self.recurrent_mask is None else apply_mask(h, self.recurrent_mask)

    seen = RenamedAttribute("apply_recurrent_dropout")
    biased = RenamedAttribute("add_bias")

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Compute one time step, as PyTorch's cells do.

        Parameters
        ----------
        input : Tensor or array_like, shape (B, I) or (I,)
            Input, with or without a batch axis.
        hx : Tensor or nested structure of Tensors, optional
            The state. The default is the initial state.

        Returns
        -------
        Tensor or nested structure of Tensors
            The new state.

        Raises
        ------
        ValueError
            If shapes do not match.
        """
        x = to_model_device(self, input)
        if x.ndim not in (1, 2):
            raise ValueError(
                f"input must have 1 dimension (without a batch) or 2, got shape {x.shape}"
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

    # --- further cells of the same kind -----------------------------------------------------------

    def _bound_arguments(self) -> inspect.BoundArguments:
        args, options = self._constructor_arguments
        return inspect.signature(type(self).__init__).bind(self, *args, **options)

    def like(self, input_size: int) -> Self:
        """Create a cell with the same arguments except for the input size.

        `Recurrent` creates the cells of further layers and directions with this method. The new
        cell has the current device and dtype of this cell.

        Parameters
        ----------
        input_size : int
            Number of input features of the new cell.

        Returns
        -------
        Cell

        Raises
        ------
        TypeError
            If the constructor has no parameter `input_size`.
        """
        bound = self._bound_arguments()
        if "input_size" not in bound.signature.parameters:
            raise TypeError(
                f"{type(self).__name__}() has no argument input_size, which is required to create "
                "the cells of further layers and directions; add it or override like(input_size)"
            )
        bound.arguments["input_size"] = input_size
        cell = type(self)(*bound.args[1:], **bound.kwargs)
        for parameter in islice(self.parameters(), 1):
            cell.to(parameter.device).to(parameter.dtype)
        return cell

    def extra_repr(self) -> str:
        """Return the constructor's arguments that differ from the defaults.

        Returns
        -------
        str
        """
        bound = self._bound_arguments()
        items = []
        for name, value in list(bound.arguments.items())[1:]:
            default = bound.signature.parameters[name].default
            if default is inspect.Parameter.empty:
                items.append(repr(value))
            elif value != default and name not in ("device", "dtype"):
                items.append(f"{name}={value!r}")
        return ", ".join(items)


def check_input_size(x: Tensor, input_size: int) -> None:
    """Raise ValueError, with PyTorch's message, if the last axis is not `input_size`."""
    if x.shape[-1] != input_size:
        raise ValueError(
            f"input.size(-1) must be equal to input_size. Expected {input_size}, got {x.shape[-1]}"
        )


def check_state(state: Any, expected: Any, leading: tuple[int, ...]) -> Any:
    """Return a state after checking its structure and shapes; a list may replace a tuple.

    Raise ValueError if the structure differs from `expected`, or if the shape of a Tensor is not
    `leading` followed by the shape of its counterpart in `expected`.
    """
    if isinstance(state, list) and isinstance(expected, tuple):
        state = tuple(state)
    try:
        tree_map(lambda *_: None, expected, state)
    except ValueError as error:
        raise ValueError(
            f"the state does not have the structure of the cell's state (an LSTM's state is a pair "
            f"(h, c)): {error}"
        ) from None
    leaves = flatten(expected)
    for i, (leaf, expected_leaf) in enumerate(zip(flatten(state), leaves, strict=True)):
        shape = (*leading, *expected_leaf.shape)
        if leaf.shape != shape:
            name = f"hidden[{i}]" if len(leaves) > 1 else "hidden"
            raise ValueError(f"Expected {name} size {shape}, got {leaf.shape}")
    return state
