"""A model that describes an input, such as an image or a video, by a sequence of symbols."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from autograd import Tensor, flatten, mean, tree_map
from autograd.runtime.deprecation import RenamedAttribute, renamed_parameters

from .. import nn
from ..compatibility import renamed_state
from .decoder import Decoder


class Captioner(Decoder):
    """Image captioning model, optionally with attention.

    The encoder `reader` maps an image to a feature vector v (B, C), from which the state of the
    decoder's cell is initialized:

        s_0 = W_b v + b_b, for each component of the cell's state

    With attention, the encoder returns one feature vector per region, (R, B, C). Each step attends
    to the regions, and v is their mean (Xu et al. 2015, section 3.1.2). `Decoder` lists the other
    equations: the query is the new state, as in Luong et al. 2015.

    To generate, call `state = model.encode(image)` and then `models.sample` or `models.beam_search`
    with `model.step`.

    Parameters
    ----------
    reader : nn.Module
        The encoder of images, or of other inputs: a recurrent layer's outputs encode videos.
    symbols : int
        Size V of the vocabulary.
    cell : nn.Cell
        The decoder's cell; its input size is the embedding dimension.
    attention : callable, optional
        A class, such as `nn.AdditiveAttention`; `attention(query_size, memory_size)` creates the
        attention.
    dropout : float, default 0.0
        Dropout probability after the embedding and before the output layer.
    feature_size : int, optional
        Size C of the feature vectors. The default is `output_size` or `out_features` of the last
        module in `reader` that has such an attribute.
    batch_first : bool, default False
        Use shapes (B, T') for symbols, (B, T', V) for logits and (B, R, C) for regions.

    Raises
    ------
    ValueError
        If `feature_size` is None and no module in `reader` has an output size.

    References
    ----------
    Vinyals et al. 2015, "Show and tell: a neural image caption generator".

    Xu et al. 2015, "Show, attend and tell: neural image caption generation with visual attention".
    """

    @renamed_parameters(picture_size="feature_size")
    def __init__(
        self,
        reader: nn.Module,
        symbols: int,
        cell: nn.Cell,
        attention: Callable[[int, int], nn.Attention] | None = None,
        dropout: float = 0.0,
        *,
        feature_size: int | None = None,
        batch_first: bool = False,
    ) -> None:
        C = _output_size(reader) if feature_size is None else feature_size
        if C is None:
            raise ValueError(
                "the size of the feature vectors is unknown, since no module in "
                f"{type(reader).__name__} has an output_size or out_features: pass feature_size="
            )
        self.reader, self.feature_size, self.batch_first = reader, C, batch_first
        shapes = [leaf.shape[1:] for leaf in flatten(cell.initial_state(1))]
        self.bridges = nn.ModuleList(nn.Linear(C, math.prod(shape)) for shape in shapes)
        super().__init__(symbols, cell, 1, C, attention, dropout)

    picture_size = RenamedAttribute("feature_size")
    __setstate__ = renamed_state(picture_size="feature_size")

    @renamed_parameters(picture="image")
    def forward(self, image: Any, target: Any) -> Tensor:
        """Compute the logits of target sequences by teacher forcing.

        Parameters
        ----------
        image : Any
            A batch of inputs of the encoder.
        target : array_like of int, shape (T', B)
            The captions, which begin with a start symbol.

        Returns
        -------
        Tensor, shape (T', B, V)
            The logits of the symbol after each target symbol.
        """
        return self.decode(self.encode(image), target)[0]

    @renamed_parameters(picture="image")
    def alignment(self, image: Any, target: Any) -> Tensor:
        """Return the attention weights.

        Parameters
        ----------
        image : Any
            A batch of inputs of the encoder.
        target : array_like of int, shape (T', B)
            The captions, which begin with a start symbol.

        Returns
        -------
        Tensor, shape (B, T', R)
            The weights on each region when the symbol after each target symbol is predicted.
        """
        return self.attention_weights(self.encode(image), target)

    @renamed_parameters(picture="image")
    def encode(self, image: Any) -> Any:
        """Encode images.

        Parameters
        ----------
        image : Any
            A batch of inputs of the encoder.

        Returns
        -------
        tuple
            The initial state of the decoder. The batch is the first axis of every leaf.

        Raises
        ------
        ValueError
            If the shape of the encoder's output is wrong.
        """
        v = self.reader(image)
        axes = ("B", "C") if self.attention is None else ("R", "B", "C")
        if v.ndim != len(axes) or v.shape[-1] != self.feature_size:
            raise ValueError(
                f"{'without' if self.attention is None else 'with'} attention the reader must "
                f"return shape ({', '.join(axes)}) with C = feature_size = {self.feature_size}, "
                f"got shape {v.shape}"
            )
        regions = v if self.attention is None else self.swap_batch_axis(v)
        v = v if self.attention is None else mean(regions, 0)
        cell: Any = self.cells[0]
        bridges = iter(self.bridges)
        s = tree_map(lambda leaf: next(bridges)(v).reshape(leaf.shape), cell.initial_state(len(v)))
        return self.initial_state([s], regions)


def _output_size(module: Any) -> int | None:
    """Return the output size of a module or of its last child with an output size, or None."""
    for name in ("output_size", "out_features"):
        if hasattr(module, name):
            return int(getattr(module, name))
    sizes = [size for size in map(_output_size, module.children()) if size is not None]
    return sizes[-1] if sizes else None
