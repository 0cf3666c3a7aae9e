"""Results of a run: comparison with Markov models, and the loss curve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...data.vocabulary import Ids
from ...models import LanguageModel, markov_table
from ...plotting import subplots, to_png
from ...training.files import write_file
from .options import Options
from .training import bits_per_character


def compare_with_markov(
    model: LanguageModel, options: Options, train_ids: Ids, ids: Ids
) -> dict[str, float]:
    """Return the bits per character of a text by model name: `model` first, then Markov models."""
    markov = markov_table(train_ids, ids, model.embedding.num_embeddings)
    name = f"{options.model.upper()}, {options.hidden} units"
    return {name: bits_per_character(model, ids)} | {
        f"Markov, order {order}": bits for order, bits in markov.items()
    }


def draw_loss(path: Path, records: list[dict[str, Any]], markov: Mapping[str, float]) -> None:
    """Save a plot of the bits per character of updates and evaluations.

    Parameters
    ----------
    path
        File to write (PNG).
    records
        Records of `metrics.jsonl`.
    markov
        Bits per character of Markov models by name. The lowest becomes a dashed line.
    """
    from matplotlib.ticker import EngFormatter

    updates = [r for r in records if r["event"] == "update"]
    evaluations = [r for r in records if r["event"] == "evaluation" and r["step"]]
    figure, axes = subplots()
    if updates:
        x, y = _columns(updates)
        axes.plot(x, y, color="#9ecae1", linewidth=0.6)
        axes.plot(x, smooth(y), color="#3182bd", linewidth=1.6, label="training")
    if evaluations:
        x, y = _columns(evaluations)
        axes.plot(x, y, "o-", color="#e6550d", markersize=3.5, linewidth=1.6, label="validation")
    best = min(markov, key=lambda name: markov[name])
    axes.axhline(
        markov[best],
        color="#636363",
        linestyle="--",
        linewidth=1.2,
        label=f"{best} (best): {markov[best]:.2f}",
    )
    axes.set_xlabel("training characters")
    axes.set_ylabel("bits per character")
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.set_xlim(left=0)
    unigram = max(markov.values())  # the first seconds of training lie above
    if min(axes.dataLim.y0, markov[best]) < unigram < axes.dataLim.y1:
        axes.set_ylim(top=unigram)
    axes.legend(frameon=False)
    write_file(path, to_png(figure))


def _columns(records: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of characters and the bits per character, (N,) each."""
    table = np.array([(r["characters"], r["bits_per_character"]) for r in records])
    return table[:, 0], table[:, 1]


def smooth(values: np.ndarray) -> np.ndarray:
    """Return the moving average (N,) over a centered window of 2% of the values."""
    half_width = max(len(values) // 100, 1)
    sums = np.cumsum(np.insert(values, 0, 0.0))
    center = np.arange(len(values))
    start = np.maximum(center - half_width, 0)
    end = np.minimum(center + half_width + 1, len(values))
    means: np.ndarray = (sums[end] - sums[start]) / (end - start)
    return means
