"""Pictures of DDAS: curves, Pareto fronts, widths (thesis Figs 3.2 to 3.7)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasjax.analysis import frontier, pareto, retrained
from nasjax.analysis.frontier import Points
from nasjax.analysis.plots.style import label, mean_of_seeds, panels, save
from nasjax.spaces import CellSpace

_LABELS = {"flops": "GFLOPS", "parameters": "parameters [million]"}
_SIZES = {"gflops": "GFLOPS", "millions": "parameters with auxiliary head [million]"}

# The mean of a few seeds, with a band that spans them all.
_RANGE: dict[str, Any] = {"extremes": True, "alpha": 0.2, "lw": 1.4}


def _smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Mean over the last `window` entries of [..., T], fewer at the start."""
    total = np.cumsum(values, axis=-1, dtype=np.float64)
    lagged = np.concatenate([np.zeros_like(total[..., :window]), total], axis=-1)
    lagged = lagged[..., : total.shape[-1]]
    many = np.minimum(np.arange(1, total.shape[-1] + 1), window)
    return (total - lagged) / many


def curves(
    path: Path,
    accuracy: Mapping[str, np.ndarray],
    one_shot: float | None,
    title: str,
    window: int = 25,
) -> None:
    """Validation accuracy against steps: mean over seeds, and their range.

    Args:
      accuracy: per variant, [S, T] as fractions.
      one_shot: Acc(OS), accuracy of the whole supernet as a fraction, drawn as a line;
        None if not known.
      window: number of steps in the moving average.

    Source: thesis Figs 3.2, 3.3.
    """
    figure, (axis,) = panels(1, (7.0, 4.2))
    for name, values in accuracy.items():
        y = 100 * _smooth(values, min(window, values.shape[-1]))
        mean_of_seeds(axis, np.arange(1, y.shape[-1] + 1), y, name, **_RANGE)
    if one_shot is not None:
        axis.axhline(100 * one_shot, color="black", ls=":", lw=1, label="one-shot")
    label(axis, title, "step", f"validation accuracy [%], mean of {window}", "best")
    save(figure, path)


def fronts(
    path: Path, searches: Mapping[str, Sequence[Points]], axis_name: str, title: str
) -> None:
    """Pareto fronts, one per search, with the step at each point.

    Args:
      searches: per variant, each seed's points; the first seed's steps are written.
      axis_name: the cost, of `frontier.AXES`.

    Source: thesis Fig. 3.4.
    """
    figure, (axis,) = panels(1, (7.5, 5.0))
    for color, (name, rows) in enumerate(searches.items()):
        for seed, points in enumerate(rows):
            steps = frontier.front(points, axis_name)
            x, y = points.cost(axis_name)[steps], 100 * points.accuracy[steps]
            style = {"color": f"C{color}", "marker": "o", "ms": 3, "lw": 1.2}
            if seed:
                style |= {"alpha": 0.35, "ms": 2, "lw": 0.8}
            axis.step(x, y, where="post", label=None if seed else name, **style)
            for step, *place in zip(steps, x, y, strict=True):
                if not seed:
                    axis.annotate(str(step), place, fontsize=6, color=f"C{color}")
    label(axis, title, _LABELS[axis_name], "validation accuracy [%]", "lower right")
    save(figure, path)


def widths(
    path: Path, space: CellSpace, searches: Mapping[str, Sequence[Points]], title: str
) -> None:
    """Histogram of the widths of normal and of reduction cells among the best 5%.

    Args:
      space: of DARTS cells.
      searches: per variant, each seed's points.
      title: after the name of the cell.

    Source: thesis Fig. 3.5.
    """
    figure, axes = panels(2, (5.0, 3.6))
    edges = np.arange(-0.25, 4.5, 0.5)
    bar = 0.45 / len(searches)
    for cell, name in enumerate(("normal", "reduction")):
        for i, (variant, rows) in enumerate(searches.items()):
            wide = frontier.top_widths(space, rows)[:, cell]
            share = np.histogram(wide, edges)[0] / len(wide)
            at = edges[:-1] + 0.25 + (i - (len(searches) - 1) / 2) * bar
            axes[cell].bar(at, 100 * share, bar, label=variant)
        title_of_cell = f"{name} cells: {title}"
        label(axes[cell], title_of_cell, "width [c]", "share of the best 5% [%]")
    axes[0].legend(fontsize=8)
    save(figure, path)


def hypervolumes(path: Path, volumes: Mapping[str, np.ndarray], title: str) -> None:
    """Hypervolume [S, T] of each variant against queries: mean and range of seeds."""
    figure, (axis,) = panels(1, (6.0, 4.0))
    for name, values in volumes.items():
        x = np.arange(1, values.shape[-1] + 1)
        mean_of_seeds(axis, x, values, name, **_RANGE)
    label(axis, title, "queries", "hypervolume, share of the box", "lower right")
    save(figure, path)


def retrained_fronts(
    path: Path, group: Sequence[retrained.Evaluation], title: str
) -> None:
    """Test accuracy of retrained networks against FLOPS and parameters, with fronts.

    Args:
      group: networks whose accuracies can be compared.

    Source: thesis Figs 3.6, 3.7.
    """
    figure, axes = panels(2, (5.5, 4.2))
    for color, (search, networks) in enumerate(retrained.searches_of(group).items()):
        values = retrained.arrays(networks)
        for axis, (size, name) in zip(axes, _SIZES.items(), strict=True):
            x, y = values[size], values["test"]
            on_front = np.flatnonzero(np.asarray(pareto.front(x, y)))
            on_front = on_front[np.argsort(x[on_front])]
            axis.plot(x, y, "o", ms=3, alpha=0.4, color=f"C{color}")
            style = {"where": "post", "color": f"C{color}", "marker": "o"}
            style["label"] = f"{search[0]}, seed {search[1]}"
            axis.step(x[on_front], y[on_front], ms=4, lw=1.2, **style)
            label(axis, "", name, "test accuracy [%]", "lower right")
    figure.suptitle(title, fontsize=10)
    save(figure, path)
