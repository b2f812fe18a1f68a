"""A supernet's training: accuracies of architectures as it goes on, and their ranks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasjax.analysis import statistics
from nasjax.analysis.text import text_table
from nasjax.runs.supernets import Curves


def scores(curves: Curves, true: np.ndarray | None = None) -> list[dict[str, Any]]:
    """Accuracies after each scoring; with the true ones, rank correlations too.

    Args:
      curves: of a training.
      true: [M], true accuracies of the scored architectures.

    Returns:
      A row for each scoring: `epoch`; mean and best accuracy by batch statistics and by
      running ones; accuracy and loss of the whole network if it was scored; Kendall's
      tau and Spearman's rho of both accuracies with the true ones.
    """
    rows = []
    for i, epoch in enumerate(curves.marks):
        row: dict[str, Any] = {"epoch": int(epoch)}
        by_statistics = {"batch": curves.batch[i], "running": curves.running[i]}
        for name, accuracies in by_statistics.items():
            row[f"{name}_mean"] = float(accuracies.mean())
            row[f"{name}_best"] = float(accuracies.max())
        if not np.isnan(curves.one_shot).all():
            accuracy, loss = curves.one_shot[i].tolist()
            row |= {"one_shot_accuracy": accuracy, "one_shot_loss": loss}
        if true is not None:
            for name, accuracies in by_statistics.items():
                row[f"kendall_{name}"] = statistics.kendall(accuracies, true)
                row[f"spearman_{name}"] = statistics.spearman(accuracies, true)
        rows.append(row)
    return rows


def text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `scores` as a table."""
    names = list(rows[0])
    cells = [
        [str(row["epoch"]), *(f"{row[name]:.3f}" for name in names[1:])] for row in rows
    ]
    return text_table([name.replace("_", " ") for name in names], cells)
