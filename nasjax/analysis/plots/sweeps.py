"""Pictures of sweeps: a measure against one hyper-parameter, or against two."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nasjax.analysis.plots.style import label, panels, save


def effects(
    path: Path,
    columns: Sequence[str],
    name: str,
    labels: Sequence[str],
    curves: Mapping[str, np.ndarray],
) -> None:
    """Means with their 95% intervals against the values of one hyper-parameter.

    Args:
      columns: V names, a panel each.
      name: of the hyper-parameter.
      labels: of its values, drawn at equal distances.
      curves: by measure, [V, 3, values]: mean, low, high. A row of panels each.
    """
    figure, axes = panels(len(curves) * len(columns), (3.0, 2.6), len(columns))
    x = np.arange(len(labels))
    for row, (measure, values) in enumerate(curves.items()):
        for v, column in enumerate(columns):
            axis = axes[row * len(columns) + v]
            mean, low, high = values[v]
            bars = np.nan_to_num([mean - low, high - mean])
            axis.errorbar(x, mean, bars, marker="o", ms=3, lw=1.2, capsize=2)
            axis.set_xticks(x, labels, rotation=45, ha="right", fontsize=7)
            label(axis, column, name, measure if v == 0 else "")
    save(figure, path)


def heat_maps(
    path: Path,
    columns: Sequence[str],
    names: Sequence[str],
    labels: Sequence[Sequence[str]],
    maps: Mapping[str, np.ndarray],
) -> None:
    """Means as colours and numbers against the values of two hyper-parameters.

    Args:
      columns: V names, a panel each.
      names: of the two.
      labels: of their values; the first hyper-parameter's run down.
      maps: by measure, [V, first, second]; NaN stays blank. A row of panels each.
    """
    down, right = map(len, labels)
    size = (1.2 + 0.5 * right, 1.2 + 0.35 * down)
    figure, axes = panels(len(maps) * len(columns), size, len(columns))
    for row, (measure, values) in enumerate(maps.items()):
        for v, column in enumerate(columns):
            axis = axes[row * len(columns) + v]
            axis.imshow(values[v], aspect="auto", cmap="viridis")
            known = values[v][np.isfinite(values[v])]
            middle = (known.min() + known.max()) / 2 if known.size else 0.0
            for (i, j), x in np.ndenumerate(values[v]):
                if np.isfinite(x):
                    color = "white" if x < middle else "black"
                    style = {"ha": "center", "va": "center", "fontsize": 6}
                    axis.text(j, i, f"{x:.2f}", color=color, **style)
            axis.set_xticks(range(right), labels[1], rotation=45, fontsize=6)
            axis.set_yticks(range(down), labels[0], fontsize=6)
            label(axis, f"{column}, {measure}", names[1], names[0] if v == 0 else "")
            axis.title.set_fontsize(7)
    save(figure, path)


def scores(
    path: Path, names: Sequence[str], score: np.ndarray, interval: np.ndarray
) -> None:
    """Log-likelihoods [N] with their intervals [N, 2], the likeliest on top."""
    order = np.argsort(score, kind="stable")
    height = 1.0 + 0.22 * len(order)
    figure, (axis,) = panels(1, (8.0, height))
    y = np.arange(len(order))
    axis.hlines(y, *interval[order].T, lw=1)
    axis.plot(score[order], y, "o", ms=4)
    axis.set_yticks(y, [names[n] for n in order], fontsize=7)
    label(axis, "", "log-likelihood of the printed table")
    save(figure, path)
