"""Recurrent layers, which run cells over time with `scan`.

`Recurrent` implements stacked layers, directions, dropout, the order of axes, ragged batches and
initial states for any cell. The classes in `layers` choose the cell.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count
from typing import Any, TypeVar

from autograd import (
    Tensor,
    arange,
    broadcast_to,
    concatenate,
    expand_dims,
    flatten,
    scan,
    stack,
    swapaxes,
    tensor,
    tree_map,
    where,
)
from autograd.runtime.context import ContextVariable

from ...scalars import check_probability, to_python
from .. import functional
from ..containers import ModuleList
from ..module import Module, join_names, to_model_device
from ..parameter import Parameter, check_sizes
from .cell import Cell, check_input_size, check_state
from .packing import PackedSequence, pad_packed_sequence
from .pure import declare_pure
from .regularization import (
    dropout_mask,
    uses_recurrent_mask,
    with_recurrent_mask,
    with_zoneout,
    zoneout_masks,
)

T = TypeVar("T")

scan_interceptor: ContextVariable[Callable[..., tuple[Any, Any]] | None] = ContextVariable(
    "scan_interceptor", default=None
)
"""Function that layers call instead of `scan`. Its first arguments are the layer and the index of
the cell; the arguments of `scan` follow. `tinygrad_rnn.insight` sets it to capture the steps."""


class Recurrent(Module):
    """Recurrent network of one or more layers of any cell.

    Layer k > 0 reads the outputs of layer k - 1, with both directions concatenated if
    `bidirectional`. The parameters have PyTorch's names: "weight_ih" of a cell is "weight_ih_l0" in
    layer 0 and "weight_ih_l0_reverse" in its backward direction.

    Parameters
    ----------
    cell : Cell
        The forward cell of the first layer. `cell.like(input_size)` creates the others.
    num_layers : int, default 1
        Number of layers.
    batch_first : bool, default False
        If True, inputs and outputs are (B, T, ...) instead of (T, B, ...). States are unaffected.
    dropout : float, default 0.0
        Dropout probability of the outputs of each layer but the last.
    bidirectional : bool, default False
        If True, each layer also has a cell that runs backward in time.
    variational : bool, default False
        If True, `dropout` uses one mask for all steps of a sequence [1]_.
    recurrent_dropout : float, default 0.0
        Dropout probability of the last output where it enters the gates, with one mask for all
        steps of a sequence [1]_.
    zoneout : float or tuple of float, default 0.0
        Probability that an element of the state is preserved at a step [2]_: one number, or one for
        each part of the state, (z_h, z_c). In evaluation the state is the expected value.
    learn_initial_state : bool, default False
        If True, the initial state is learned: parameters initial_0, initial_1, ... for each part of
        the state, of shape (num_layers * directions, ...), initialized with the cell's state.
    detach_every : int, optional
        Detach the state every `detach_every` steps: truncated backpropagation through time.
    checkpoint : int or "sqrt", optional
        Gradient checkpointing, see `autograd.scan`: recompute steps in the backward pass to save
        memory.
    memory_budget : int, optional
        Bytes that the residuals of a cell may occupy, see `autograd.scan`.
    compile : bool, optional
        False disables the compiler, see `autograd.scan`.

    Raises
    ------
    TypeError
        If `cell` is not a Cell.
    ValueError
        If an option is out of range or not supported by the cell.

    Warns
    -----
    UserWarning
        If `dropout` has no effect because there is one layer.

    References
    ----------
    .. [1] Gal & Ghahramani 2016, "A theoretically grounded application of dropout in recurrent
       neural networks".
    .. [2] Krueger et al. 2017, "Zoneout: regularizing RNNs by randomly preserving hidden
       activations".

    Examples
    --------
    >>> layer = nn.Recurrent(nn.MGUCell(3, 4), num_layers=2, bidirectional=True)
    >>> outputs, h_n = layer(ag.zeros((7, 5, 3)))
    >>> outputs.shape, h_n.shape
    ((7, 5, 8), (4, 5, 4))
    """

    def __init__(
        self,
        cell: Cell,
        num_layers: int = 1,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float | tuple[float, ...] = 0.0,
        learn_initial_state: bool = False,
        detach_every: int | None = None,
        checkpoint: int | str | None = None,
        memory_budget: int | None = None,
        compile: bool | None = None,
    ) -> None:
        if not isinstance(cell, Cell):
            raise TypeError(f"cell must be an nn.Cell, got {cell!r}")
        check_sizes(num_layers=num_layers)
        if num_layers < 1:
            raise ValueError(f"num_layers must be a positive integer, got {num_layers}")
        start = flatten(cell.initial_state(1))
        dropout = check_probability("dropout", dropout)
        recurrent_dropout = check_probability("recurrent_dropout", recurrent_dropout)
        if recurrent_dropout and not uses_recurrent_mask(cell):
            raise ValueError(
                f"recurrent_dropout={recurrent_dropout} has no effect: {type(cell).__name__}.step "
                "must pass the last output through self.recurrent(h) or "
                "self.apply_recurrent_dropout(h)"
            )
        if dropout and num_layers == 1:
            warnings.warn(
                f"dropout={dropout} has no effect with num_layers=1: it acts between layers; "
                "set dropout=0 to silence this warning",
                stacklevel=3 if type(self) is not Recurrent else 2,
            )
        self.directions = 1 + bidirectional
        self.input_size, self.output_size = cell.input_size, self.directions * cell.output_size
        self.num_layers, self.batch_first = num_layers, batch_first
        self.dropout, self.variational = dropout, variational
        self.recurrent_dropout = recurrent_dropout
        self.zoneout = _zoneout_rates(zoneout, len(start), type(cell).__name__)
        self.scan_options: dict[str, Any] = {
            "detach_every": detach_every,
            "checkpoint": checkpoint,
            "memory_budget": memory_budget,
            "compile": compile,
        }
        layer_inputs = [self.input_size] + [self.output_size] * (num_layers - 1)
        cell_inputs = [size for size in layer_inputs for _ in range(self.directions)]
        self.cells = ModuleList([cell, *map(cell.like, cell_inputs[1:])])
        self.learn_initial_state = learn_initial_state
        for i, leaf in enumerate(start if learn_initial_state else ()):
            setattr(self, f"initial_{i}", Parameter(stack([leaf[0].detach()] * len(self.cells))))

    # --- names of the parameters ------------------------------------------------------------------

    def _cell_members(
        self, members: Callable[[Module], Iterable[tuple[str, T]]]
    ) -> Iterator[tuple[str, Module, str, T]]:
        """Iterate over the members of the cells: name in the layer, module, name there, value.

        The iterator is empty until the constructor has assigned the cells.
        """
        for k, cell in enumerate(vars(self).get("cells", ())):
            layer, backward = divmod(k, self.directions)
            suffix = f"_l{layer}" + ("_reverse" if backward else "")
            for path, module in cell.named_modules():
                for name, value in members(module):
                    yield join_names(path, name) + suffix, module, name, value

    def _named_members(
        self, members: Callable[[Module], Iterable[tuple[str, T]]], prefix: str = ""
    ) -> Iterator[tuple[str, T]]:
        for name, _, _, value in self._cell_members(members):
            yield join_names(prefix, name), value
        for name, value in members(self):
            yield join_names(prefix, name), value

    def __getattr__(self, name: str) -> Any:
        for full_name, _, _, value in self._cell_members(Module._direct_tensors):
            if full_name == name:
                return value
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute. A name such as `weight_hh_l0` sets the parameter of the cell."""
        for full_name, module, local_name, _ in self._cell_members(Module._direct_tensors):
            if full_name == name:
                setattr(module, local_name, value)
                return
        super().__setattr__(name, value)

    @property
    def hidden_size(self) -> int:
        """Number of hidden units of each cell."""
        return self.cells[0].hidden_size  # type: ignore[no-any-return, attr-defined]

    @property
    def bidirectional(self) -> bool:
        """True if each layer has a backward direction."""
        return self.directions == 2

    # --- forward pass -----------------------------------------------------------------------------

    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> tuple[Any, Any]:
        """Run the layers over a batch of sequences.

        Parameters
        ----------
        input : Tensor, array_like or PackedSequence, shape (T, B, I)
            Inputs; (B, T, I) with batch_first, or (T, I) without a batch.
        hx : Tensor or nested structure of Tensors, optional
            Initial state, each Tensor (num_layers * directions, B, ...). The default is the learned
            initial state or the initial state of the cells.
        lengths : Tensor or array_like of int, shape (B,), optional
            Number of steps of each sequence of a ragged batch. Later inputs have no influence.

        Returns
        -------
        outputs : Tensor or PackedSequence, shape (T, B, directions * output_size)
            Outputs of the last layer in the form of the input, 0 beyond the length of a sequence.
        state : Tensor or nested structure of Tensors
            State after the last step of each sequence, in the form of `hx`.

        Raises
        ------
        ValueError
            If shapes do not match.
        """
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx, lengths)
        xs = to_model_device(self, input)
        if xs.ndim not in (2, 3):
            raise ValueError(
                f"input must have 2 dimensions (without a batch) or 3, got shape {xs.shape}"
            )
        check_input_size(xs, self.input_size)
        if not xs.shape[1 if self.batch_first and xs.ndim == 3 else 0]:
            raise ValueError(
                f"Expected sequence length to be larger than 0, got input of shape {xs.shape}"
            )
        if xs.ndim == 2:
            return self._forward_unbatched(xs, hx, lengths)
        if self.batch_first:
            xs = swapaxes(xs, 0, 1)
        if lengths is not None:
            xs = _without_padding(xs, lengths)
        ys, state = self._run(xs, hx, lengths)
        return (ys.swapaxes(0, 1) if self.batch_first else ys), state

    def _forward_packed(self, input: PackedSequence, hx: Any, lengths: Any) -> tuple[Any, Any]:
        if lengths is not None:
            raise ValueError("a PackedSequence contains its lengths; omit lengths=")
        xs, lengths = pad_packed_sequence(input)
        check_input_size(xs, self.input_size)
        ys, state = self._run(xs, hx, lengths)
        return input._replace(data=ys[input.positions()]), state

    def _forward_unbatched(self, xs: Tensor, hx: Any, lengths: Any) -> tuple[Any, Any]:
        if lengths is not None:
            raise ValueError(
                f"lengths= requires a batch, got input without a batch of shape {xs.shape}"
            )
        cell: Any = self.cells[0]
        for leaf, expected in zip(flatten(hx), flatten(cell.initial_state(1)), strict=False):
            if leaf.ndim != expected.ndim:
                raise ValueError(
                    f"For unbatched 2-D input, hx should also be {expected.ndim}-D "
                    f"but got {leaf.ndim}-D tensor"
                )
        hx = tree_map(lambda leaf: expand_dims(leaf, 1), hx)
        ys, state = self._run(expand_dims(xs, 1), hx, None)
        return ys[:, 0], tree_map(lambda leaf: leaf[:, 0], state)

    def _run(self, xs: Tensor, hx: Any, lengths: Any) -> tuple[Tensor, Any]:
        """Run all layers over inputs (T, B, I)."""
        cells: list[Any] = list(self.cells)
        states = self._initial_states(cells, hx, xs.shape[1])
        last_states = []
        for layer in range(self.num_layers):
            if layer and self.variational and self.training:
                xs = functional.apply_mask(xs, dropout_mask(xs[0], self.dropout))
            elif layer:
                xs = functional.dropout(xs, self.dropout, self.training)
            outputs = []
            for backward in range(self.directions):
                k = layer * self.directions + backward
                state, ys = self._run_cell(k, cells[k], states[k], xs, lengths, bool(backward))
                outputs.append(ys)
                last_states.append(state)
            xs = outputs[0] if len(outputs) == 1 else concatenate(outputs, axis=-1)
        return xs, tree_map(_stack, last_states[0], *last_states[1:])

    def _run_cell(
        self, k: int, cell: Any, state: Any, xs: Tensor, lengths: Any, reverse: bool
    ) -> tuple[Any, Tensor]:
        """Run cell k over all steps."""
        if self.recurrent_dropout and self.training:
            mask = dropout_mask(flatten(state)[0], self.recurrent_dropout)
            cell = with_recurrent_mask(cell, mask)
        inputs: Any = xs
        functions = _functions
        if any(self.zoneout):
            functions = _functions_with_zoneout
            inputs = xs, zoneout_masks(self.zoneout, self.training, state, len(xs))
        run, interceptor = scan, scan_interceptor.get()
        if interceptor is None:
            step, precompute = declare_pure(functions, (cell,), key=functions)
        else:
            run = partial(interceptor, self, k)
            step, precompute = functions((cell,))
        return run(
            step,
            state,
            inputs,
            lengths=lengths,
            reverse=reverse,
            precompute=precompute,
            **self.scan_options,
        )

    def _initial_states(self, cells: list[Any], hx: Any, batch: int) -> list[Any]:
        """Return the initial state of each cell, after checking `hx`."""
        states = [cell.initial_state(batch) for cell in cells]
        if hx is not None:
            hx = check_state(hx, states[0], (len(states),))
        elif self.learn_initial_state:
            parameters = (vars(self)[f"initial_{i}"] for i in count())
            hx = tree_map(lambda leaf: _expand_batch(next(parameters), leaf.shape), states[0])
        else:
            return states
        return [tree_map(lambda leaf, k=k: leaf[k], hx) for k in range(len(states))]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"  # without the cells, which are similar

    def extra_repr(self) -> str:
        """Return the arguments of the first cell and the options that differ from the defaults.

        Returns
        -------
        str
        """
        cell = self.cells[0]
        options = {
            "num_layers": self.num_layers if self.num_layers > 1 else None,
            "batch_first": self.batch_first,
            "dropout": self.dropout,
            "bidirectional": self.bidirectional,
            "variational": self.variational,
            "recurrent_dropout": self.recurrent_dropout,
            "zoneout": self.zoneout if any(self.zoneout) else None,
            "learn_initial_state": self.learn_initial_state,
            **self.scan_options,
        }
        if self.scan_options["compile"] is False:
            options["compile"] = "False"
        items = [repr(cell) if type(self) is Recurrent else cell.extra_repr()]
        items += [f"{name}={value}" for name, value in options.items() if value]
        return ", ".join(items)


def _functions(cells: Any, tensors: Any = ()) -> Any:
    (cell,) = cells
    return cell.step, cell.precompute


def _functions_with_zoneout(cells: Any, tensors: Any = ()) -> Any:
    return with_zoneout(*_functions(cells))


def _zoneout_rates(zoneout: Any, parts: int, cell_name: str) -> tuple[float, ...]:
    """Return one probability for each part of the state."""
    zoneout = to_python(zoneout)
    rates = zoneout if isinstance(zoneout, (list, tuple)) else (zoneout,) * parts
    if len(rates) != parts:
        raise ValueError(
            f"zoneout must be one number, or one for each of the {parts} parts of the state of "
            f"{cell_name}, got {zoneout}"
        )
    return tuple(check_probability("zoneout", rate) for rate in rates)


def _without_padding(xs: Tensor, lengths: Any) -> Tensor:
    """Return `xs` (T, B, I) with 0 beyond the length of each sequence.

    A nan there would reach the gradient of the weights, since 0 * nan is nan. The state and the
    outputs are masked by `autograd.recurrence.ragged`.
    """
    lengths = tensor(lengths, device=xs.device)
    if lengths.shape != xs.shape[1:2]:
        raise ValueError(
            f"lengths must be one integer for each of the {xs.shape[1]} sequences, "
            f"got shape {lengths.shape}"
        )
    mask = expand_dims(arange(len(xs), device=xs.device), 1) < lengths
    zeroed: Tensor = where(expand_dims(mask, 2), xs, 0)
    return zeroed


def _stack(*leaves: Tensor) -> Tensor:
    """Return the stacked states of all cells; of a single cell without a copy."""
    state: Tensor = stack(leaves) if leaves[1:] else leaves[0].reshape(1, *leaves[0].shape)
    return state


def _expand_batch(initial: Tensor, shape: tuple[int, ...]) -> Any:
    """Broadcast a learned initial state (cells, ...) to the batch: (cells, B, ...)."""
    return broadcast_to(expand_dims(initial, 1), (len(initial), *shape))
