"""Recurrent layers: a cell, and the engine's `scan`.

Layers, directions, dropout, batch order, ragged batches and initial states are dealt with here,
once, for any cell. `LSTM` and its relatives only say which cell.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from functools import partial
from itertools import count
from typing import Any, TypeVar

from autograd import (
    Tensor,
    arange,
    broadcast_to,
    concatenate,
    enable_grad,
    expand_dims,
    flatten,
    full,
    gradients,
    ones_like,
    random,
    scan,
    stack,
    swapaxes,
    tensor,
    tree_map,
    where,
    zeros,
)
from autograd.runtime.context import ContextVariable

from ...scalars import check_probability, to_python
from .. import functional
from ..containers import ModuleList
from ..module import Module, Parameter, check_sizes, join_names
from .cell import Cell, check_input_size, check_state
from .packing import PackedSequence, pad_packed_sequence

Step = Callable[[Any, Any], tuple[Any, Any]]
T = TypeVar("T")

scan_interceptor: ContextVariable[Callable[..., tuple[Any, Any]] | None] = ContextVariable(
    "scan_interceptor", default=None
)
"""Who runs the cells of layers in place of `scan`, where somebody wants to see them run
(`tinygrad_rnn.insight`): called like it, after the layer and the number of its cell. Per thread."""


class Recurrent(Module):
    """Layers of a cell, run over time: `outputs, state = Recurrent(cell)(input)`.

    `cell` is the first layer's (forward) cell. The others are made by `cell.like(input_size)`:
    layer k > 0 reads the outputs of layer k - 1, those of both directions side by side if
    `bidirectional`. Parameters are named as PyTorch names them: the cell's "weight_ih" is
    "weight_ih_l0" in layer 0, "weight_ih_l0_reverse" in its backward direction.

    Regularisation, in training only: `dropout` is the probability for the outputs of each layer but
    the last. `variational` keeps one mask for all steps of a sequence, and `recurrent_dropout`,
    with such a mask, acts on what the gates see of the last output (Gal & Ghahramani 2016, "A
    theoretically grounded application of dropout in recurrent neural networks"). `zoneout` is the
    probability for each entry of the state to stay what it was at a step (Krueger et al. 2017,
    "Zoneout: regularizing RNNs by randomly preserving hidden activations"): one number, or one for
    each part of the state, (z_h, z_c); outside training the state is the expected one. An output
    that is a part of the new state (h, say) is that part after zoneout.

    `learn_initial_state` starts from parameters initial_0, initial_1, ..., (layers * directions,
    ...) for each part of the state, which start from the cell's own initial state. `detach_every`
    cuts the history of the state every so many steps: truncated back-propagation through time.
    `checkpoint` and `memory_budget` save memory for time, for each cell, and `compile` False has
    every step recorded instead of compiled (see `autograd.scan`).

    Raises ValueError for options that do not fit the cell or each other.
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
            raise TypeError(f"a recurrent layer is made of an nn.Cell, not of {cell!r}")
        check_sizes(num_layers=num_layers)
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, not {num_layers}")
        start = flatten(cell.initial_state(1))
        zoneout = to_python(zoneout)
        rates = zoneout if isinstance(zoneout, (list, tuple)) else (zoneout,) * len(start)
        if len(rates) != len(start):
            raise ValueError(
                f"zoneout={zoneout} must be one number, or one for each of the {len(start)} parts "
                f"of the state of {type(cell).__name__}"
            )
        dropout = check_probability("dropout", dropout)
        recurrent_dropout = check_probability("recurrent_dropout", recurrent_dropout)
        rates = tuple(check_probability("zoneout", rate) for rate in rates)
        if recurrent_dropout and not _sees_mask(cell):
            raise ValueError(
                f"recurrent_dropout={recurrent_dropout}, but {type(cell).__name__}.step does not "
                "pass its state through self.recurrent(h) or self.seen(h), where it would act"
            )
        if dropout and num_layers == 1:
            warnings.warn(
                f"dropout={dropout} acts between layers, so it does nothing with num_layers=1",
                stacklevel=3 if type(self) is not Recurrent else 2,
            )
        self.directions = 1 + bidirectional
        self.input_size, self.output_size = cell.input_size, self.directions * cell.output_size
        self.num_layers, self.batch_first = num_layers, batch_first
        self.dropout, self.variational = dropout, variational
        self.recurrent_dropout, self.zoneout = recurrent_dropout, rates
        self.scan_options: dict[str, Any] = {
            "detach_every": detach_every,
            "checkpoint": checkpoint,
            "memory_budget": memory_budget,
            "compile": compile,
        }
        sizes = [self.input_size] + [self.output_size] * (num_layers - 1)
        others = [size for size in sizes for _ in range(self.directions)][1:]
        self.cells = ModuleList([cell, *map(cell.like, others)])
        self.learn_initial_state = learn_initial_state
        for i, leaf in enumerate(start if learn_initial_state else ()):
            setattr(self, f"initial_{i}", Parameter(stack([leaf[0].detach()] * len(self.cells))))

    # --- names ------------------------------------------------------------------------------------

    def _places(
        self, own: Callable[[Module], Iterable[tuple[str, T]]]
    ) -> Iterator[tuple[str, Module, str, T]]:
        """What `own` gives for the cells: each one's name here, its module, its name there, itself.

        There are none while the layer is being made.
        """
        for k, cell in enumerate(vars(self).get("cells", ())):
            layer, backward = divmod(k, self.directions)
            suffix = f"_l{layer}" + ("_reverse" if backward else "")
            for path, module in cell.named_modules():
                for name, value in own(module):
                    yield join_names(path, name) + suffix, module, name, value

    def _named_members(
        self, own: Callable[[Module], Iterable[tuple[str, T]]], prefix: str = ""
    ) -> Iterator[tuple[str, T]]:
        for name, _, _, value in self._places(own):
            yield join_names(prefix, name), value
        for name, value in own(self):
            yield join_names(prefix, name), value

    def __getattr__(self, name: str) -> Any:
        for own, _, _, value in self._places(Module._direct_tensors):
            if own == name:
                return value
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        """Assigning to `weight_hh_l0` (to tie weights, say) sets the cell's own."""
        for own, module, inside, _ in self._places(Module._direct_tensors):
            if own == name:
                setattr(module, inside, value)
                return
        super().__setattr__(name, value)

    @property
    def hidden_size(self) -> int:
        return self.cells[0].hidden_size  # type: ignore[no-any-return, attr-defined]

    @property
    def bidirectional(self) -> bool:
        return self.directions == 2

    # --- the run over time ------------------------------------------------------------------------

    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> tuple[Any, Any]:
        """Run over `input` (T, B, I), (B, T, I) with batch_first, (T, I) without a batch, or a
        PackedSequence.

        `hx` is the initial state, each leaf (layers * directions, B, ...) (None: the learned one,
        or the cell's own); `lengths` the number of steps of each sequence of a ragged batch.
        Returns the outputs (T, B, directions * H), 0 beyond a sequence's end, in the form of
        `input`, and the last states in the form of `hx`: those after each sequence's own last step.
        Raises ValueError for shapes that do not fit.
        """
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise ValueError("a PackedSequence knows its lengths; leave out lengths=")
            xs, lengths = pad_packed_sequence(input)
            check_input_size(xs, self.input_size)
            ys, state = self._run(xs, hx, lengths)
            return input._replace(data=ys[input.places()]), state
        xs = input if isinstance(input, Tensor) else tensor(input)
        if xs.ndim not in (2, 3):
            raise ValueError(
                f"input must have 2 dimensions (without a batch) or 3, not shape {xs.shape}"
            )
        check_input_size(xs, self.input_size)
        if not xs.shape[1 if self.batch_first and xs.ndim == 3 else 0]:
            raise ValueError(
                f"Expected sequence length to be larger than 0, got input of shape {xs.shape}"
            )
        unbatched = xs.ndim == 2
        if unbatched:
            if lengths is not None:
                raise ValueError("lengths= are those of a batch, but input has none (2 dimensions)")
            cell: Any = self.cells[0]
            for leaf, one in zip(flatten(hx), flatten(cell.initial_state(1)), strict=False):
                if leaf.ndim != one.ndim:
                    raise ValueError(
                        f"For unbatched 2-D input, hx should also be {one.ndim}-D "
                        f"but got {leaf.ndim}-D tensor"
                    )
            xs = expand_dims(xs, 1)
            hx = tree_map(lambda leaf: expand_dims(leaf, 1), hx)
        elif self.batch_first:
            xs = swapaxes(xs, 0, 1)
        if lengths is not None:
            xs = _without_padding(xs, lengths)
        ys, state = self._run(xs, hx, lengths)
        if unbatched:
            return ys[:, 0], tree_map(lambda leaf: leaf[:, 0], state)
        return (ys.swapaxes(0, 1) if self.batch_first else ys), state

    def _run(self, xs: Tensor, hx: Any, lengths: Any) -> tuple[Tensor, Any]:
        """All layers, on (T, B, I)."""
        states = self._first_states(hx, xs.shape[1])
        last = []
        for layer in range(self.num_layers):
            if layer and self.variational and self.training:
                xs = functional.apply_mask(xs, _mask(xs[0], self.dropout))
            elif layer:
                xs = functional.dropout(xs, self.dropout, self.training)
            outputs = []
            for backward in range(self.directions):
                k = layer * self.directions + backward
                state, ys = self._run_cell(k, states[k], xs, lengths, bool(backward))
                outputs.append(ys)
                last.append(state)
            xs = outputs[0] if len(outputs) == 1 else concatenate(outputs, axis=-1)
        return xs, tree_map(lambda *leaves: stack(leaves), last[0], *last[1:])

    def _run_cell(
        self, k: int, state: Any, xs: Tensor, lengths: Any, reverse: bool
    ) -> tuple[Any, Tensor]:
        """The k-th cell in one direction, over all steps."""
        cell: Any = self.cells[k]
        if self.recurrent_dropout and self.training:
            cell = _with_mask(cell, _mask(flatten(state)[0], self.recurrent_dropout))
        step, precompute = cell.step, cell.precompute
        inputs: Any = xs
        if any(self.zoneout):
            step, precompute = _zoned(step, precompute)
            inputs = xs, self._keep(state, len(xs))
        watch = scan_interceptor.get()
        run = scan if watch is None else partial(watch, self, k)
        return run(
            step,
            state,
            inputs,
            lengths=lengths,
            reverse=reverse,
            precompute=precompute,
            **self.scan_options,
        )

    def _keep(self, state: Any, steps: int) -> Any:
        """For each step and each leaf of the state how much of it stays: in training a boolean for
        each entry, otherwise the probability.
        """
        rates = iter(self.zoneout)

        def keep(leaf: Tensor) -> Tensor:
            rate = next(rates)
            if not self.training:
                return full((steps, 1), rate, leaf.dtype, leaf.device)
            return random.default_generator.mask((steps, *leaf.shape), rate, leaf.device)

        return tree_map(keep, state)

    def _first_states(self, hx: Any, batch: int) -> list[Any]:
        """The initial state of each cell, checked."""
        own = [cell.initial_state(batch) for cell in self.cells if isinstance(cell, Cell)]
        if hx is not None:
            hx = check_state(hx, own[0], (len(own),))
        elif self.learn_initial_state:
            learned = (vars(self)[f"initial_{i}"] for i in count())
            hx = tree_map(lambda leaf: _for_all(next(learned), leaf.shape), own[0])
        else:
            return own
        return [tree_map(lambda leaf, k=k: leaf[k], hx) for k in range(len(own))]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"  # its cells are all like the first

    def extra_repr(self) -> str:
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
        compile = options["compile"]
        shown = [repr(cell) if type(self) is Recurrent else cell.extra_repr()]
        options["compile"] = None if compile is None else str(compile)  # False says something
        return ", ".join(shown + [f"{name}={value}" for name, value in options.items() if value])


def _without_padding(xs: Tensor, lengths: Any) -> Tensor:
    """`xs` (T, B, I) with 0 beyond each sequence's end: a nan there would reach the weights'
    gradient, since 0 * nan is nan."""
    lengths = tensor(lengths, device=xs.device)
    if lengths.shape != xs.shape[1:2]:
        raise ValueError(
            f"lengths must be one integer for each of the {xs.shape[1]} sequences, "
            f"not of shape {lengths.shape}"
        )
    running = expand_dims(arange(len(xs), device=xs.device), 1) < lengths
    masked: Tensor = where(expand_dims(running, 2), xs, 0)
    return masked


def _for_all(learned: Tensor, shape: tuple[int, ...]) -> Any:
    """A learned initial state (cells, ...) for every sequence: (cells, B, ...)."""
    return broadcast_to(expand_dims(learned, 1), (len(learned), *shape))


def _mask(like: Tensor, p: float) -> Tensor:
    """What dropout multiplies `like` with."""
    return functional.dropout(ones_like(like), p)


def _with_mask(cell: Any, mask: Tensor) -> Any:
    """A copy of the cell, of the same parameters, that sees its last output through a mask."""
    cell = copy(cell)
    cell.recurrent_mask = mask
    return cell


@enable_grad()
def _sees_mask(cell: Cell) -> bool:
    """Whether a step of the cell makes use of a mask."""
    state = cell.initial_state(1)
    h = flatten(state)[0]
    mask = ones_like(h).requires_grad_()
    masked = _with_mask(cell, mask)
    new, y = masked.step(state, masked.precompute(zeros((1, cell.input_size), h.dtype, h.device)))
    total: Any = sum(leaf.sum() for leaf in flatten((y, new)))
    slopes = gradients(total, [mask], allow_unused=True) if total.requires_grad else (None,)
    return slopes[0] is not None


def _mixed(keep: Tensor, old: Tensor, new: Tensor) -> Any:
    """Return the old state where a mask says so, or a mixture by a probability."""
    return where(keep, old, new) if keep.dtype == bool else keep * old + (1 - keep) * new


def _zoned(step: Step, precompute: Callable[[Any], Any]) -> tuple[Step, Callable[[Any], Any]]:
    """A cell's functions under zoneout; their x comes with what `_keep` says for the step."""

    def zoned_step(state: Any, x_and_keep: Any) -> tuple[Any, Any]:
        x, keep = x_and_keep
        new, y = step(state, x)
        mixed = tree_map(_mixed, keep, state, new)
        for n, m in zip(flatten(new), flatten(mixed), strict=True):
            if y is n:
                y = m
        return mixed, y

    return zoned_step, lambda xs_and_keep: (precompute(xs_and_keep[0]), xs_and_keep[1])
