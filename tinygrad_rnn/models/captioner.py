"""Something seen, a sequence written about it: captions of pictures, descriptions of films."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from autograd import Tensor, flatten, mean, tree_map

from .. import nn
from .decoder import Decoder


class Captioner(Decoder):
    """Writes a sequence of symbols about a picture. `reader` makes a vector v (B, C) of it, from
    which a cell starts (Vinyals et al. 2015, "Show and tell: a neural image caption generator"):

        s_0 = W_b v + b_b, for each part of the cell's state

    With `attention`, a class, the reader makes vectors of R regions, (R, B, C), which each symbol
    looks at anew; v is their mean (Xu et al. 2015, "Show, attend and tell: neural image caption
    generation with visual attention", section 3.1.2). The other equations are those of `Decoder`;
    there, as in Luong et al., it is the new state that looks.

    `reader` is any module: of a picture, of regions of one, of a film (one's own, that hands on a
    recurrent layer's outputs). `picture_size` is C (None: the output_size or out_features of the
    last module in the reader that has one). `cell` says what the cell that writes is like, and that
    symbols are embedded in vectors of its input_size. `dropout` acts on the embedded symbols and
    before the scores. With `batch_first`, symbols and scores are (B, T') and (B, T', V), regions
    (B, R, C).

    To write: `state = model.encode(picture)`, and then `sample` or `beam_search` (in `models`) with
    `model.step`. Raises ValueError where C is not to be found.
    """

    def __init__(
        self,
        reader: nn.Module,
        symbols: int,
        cell: nn.Cell,
        attention: Callable[[int, int], nn.Attention] | None = None,
        dropout: float = 0.0,
        *,
        picture_size: int | None = None,
        batch_first: bool = False,
    ) -> None:
        C = _width(reader) if picture_size is None else picture_size
        if C is None:
            raise ValueError(
                f"how wide are the vectors that {type(reader).__name__} makes of a picture? "
                "Nothing in it has an output_size or out_features: give picture_size="
            )
        self.reader, self.picture_size, self.batch_first = reader, C, batch_first
        shapes = [leaf.shape[1:] for leaf in flatten(cell.initial_state(1))]
        self.bridges = nn.ModuleList(nn.Linear(C, math.prod(shape)) for shape in shapes)
        super().__init__(symbols, cell, 1, C, attention, dropout)

    def forward(self, picture: Any, target: Any) -> Tensor:
        """Scores (T', B, V) of what follows each symbol of `target` (T', B), a start symbol and
        then what should be written: teacher forcing. `picture` is what the reader takes.
        """
        return self.written(self.encode(picture), target)[0]

    def alignment(self, picture: Any, target: Any) -> Tensor:
        """The weights of the attention (B, T', R): how much the symbol that follows each one of the
        target looks at each region. ValueError without attention."""
        return self.look(self.encode(picture), target)

    def encode(self, picture: Any) -> Any:
        """The state from which to write: the regions, and (s_0, z_0). Every leaf of it has the
        batch first. ValueError if what the reader makes is of another shape than it should be.
        """
        v = self.reader(picture)
        axes = ("B", "C") if self.attention is None else ("R", "B", "C")
        if v.ndim != len(axes) or v.shape[-1] != self.picture_size:
            raise ValueError(
                f"a reader {'without' if self.attention is None else 'with'} attention makes of "
                f"pictures ({', '.join(axes)}) with C = picture_size = {self.picture_size}, "
                f"not shape {v.shape}"
            )
        regions = v if self.attention is None else self.turned(v)
        v = v if self.attention is None else mean(regions, 0)
        cell: Any = self.cells[0]
        bridges = iter(self.bridges)
        s = tree_map(lambda leaf: next(bridges)(v).reshape(leaf.shape), cell.initial_state(len(v)))
        return self.begin([s], regions)


def _width(module: Any) -> int | None:
    """How wide the vectors are that a module makes, if it or the last module in it says so."""
    for name in ("output_size", "out_features"):
        if hasattr(module, name):
            return int(getattr(module, name))
    widths = [width for width in map(_width, module.children()) if width is not None]
    return widths[-1] if widths else None
