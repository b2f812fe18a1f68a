"""The style of pictures; matplotlib is imported when one is drawn."""

from pathlib import Path
from typing import Any

import numpy as np


def panels(
    count: int,
    size: tuple[float, float],
    across: int = 3,
    layout: Any = "constrained",
) -> tuple[Any, list[Any]]:
    """A figure and `count` axes.

    Args:
      count: number of axes.
      size: width and height of each, in inches.
      across: most axes in a row.
      layout: of matplotlib's figure.
    """
    from matplotlib.figure import Figure

    columns = min(count, across)
    rows = -(-count // columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout=layout)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes[:count]


def label(axis, title: str, x: str = "", y: str = "", legend: str = "") -> None:
    """Sets title, names of the axes and, at a place such as `lower right`, a legend."""
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    if legend:
        axis.legend(fontsize=8, loc=legend)


def mean_of_seeds(
    axis,
    x: np.ndarray,
    y: np.ndarray,
    name: str,
    *,
    extremes: bool = False,
    floor: float = -np.inf,
    alpha: float = 0.25,
    **style: Any,
) -> np.ndarray:
    """Draws and returns the mean of y [S, T] over seeds, with a band.

    Args:
      x: [T].
      y: [S, T].
      extremes: the band spans all seeds, instead of 1.96 standard errors on each side
        of the mean.
      floor: lower values are drawn there, for a logarithmic axis.
      alpha: opacity of the band.
      style: of the line, as for `axis.plot`.

    Returns:
      The mean, [T].
    """
    mean = y.mean(axis=0)
    style = {"lw": 1.6} | style
    (line,) = axis.plot(x, np.maximum(mean, floor), label=name, **style)
    if len(y) > 1:
        half = 1.96 * y.std(axis=0, ddof=1) / np.sqrt(len(y))
        band = (y.min(0), y.max(0)) if extremes else (mean - half, mean + half)
        low, high = (np.maximum(edge, floor) for edge in band)
        axis.fill_between(x, low, high, color=line.get_color(), alpha=alpha, lw=0)
    return mean


def save(figure, path: Path | str, dpi: int = 100) -> None:
    """Writes a figure to a file; its suffix chooses the format."""
    figure.savefig(path, dpi=dpi)
