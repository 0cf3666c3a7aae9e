"""What a run has come to: bits per character beside those of Markov models, and its curve."""

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


def comparison(
    model: LanguageModel, options: Options, train_ids: Ids, ids: Ids
) -> dict[str, float]:
    """Bits per character of a text under `model`, which comes first, and Markov models, by name."""
    markov = markov_table(train_ids, ids, model.embedding.num_embeddings)
    ours = f"{options.model.upper()}, {options.hidden} units"
    return {ours: bits_per_character(model, ids)} | {
        f"Markov, order {order}": bits for order, bits in markov.items()
    }


def draw_loss(path: Path, records: list[dict[str, Any]], markov: Mapping[str, float]) -> None:
    """Write loss.png: bits per character while training, over characters read.

    records: as in metrics.jsonl. markov: bits per character by name; the best is a dashed line.
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
        label=f"{best} (the best): {markov[best]:.2f}",
    )
    axes.set_xlabel("characters read")
    axes.set_ylabel("bits per character")
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.set_xlim(left=0)
    unigram = max(markov.values())  # what lies above is learned within seconds
    if min(axes.dataLim.y0, markov[best]) < unigram < axes.dataLim.y1:
        axes.set_ylim(top=unigram)
    axes.legend(frameon=False)
    write_file(path, to_png(figure))


def _columns(records: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Characters read and bits per character of each record, shape (n,) each."""
    table = np.array([(r["characters"], r["bits_per_character"]) for r in records])
    return table[:, 0], table[:, 1]


def smooth(values: np.ndarray) -> np.ndarray:
    """The mean over a window of a fiftieth of the curve around each value, shape (n,)."""
    reach = max(len(values) // 100, 1)
    sums = np.cumsum(np.insert(values, 0, 0.0))
    middle = np.arange(len(values))
    start, end = np.maximum(middle - reach, 0), np.minimum(middle + reach + 1, len(values))
    means: np.ndarray = (sums[end] - sums[start]) / (end - start)
    return means
