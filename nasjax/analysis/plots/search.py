"""Pictures of searches: the best so far against queries, and regret."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasjax.analysis.plots.style import label, mean_of_seeds, panels, save

_SEEDS = 30  # drawn as lines of their own; more would make one grey area


def anytime(
    path: Path,
    best: Mapping[str, np.ndarray],
    titles: Sequence[str],
    optima: Sequence[float] | np.ndarray | None,
    *,
    x: Mapping[str, np.ndarray] | None = None,
    xlabel: str = "queries",
) -> None:
    """Best accuracy so far against queries: thin seeds, the mean with its 95% band.

    Args:
      best: per method, best so far [V, S, T] as fractions.
      titles: of the V panels.
      optima: [V], best accuracy of each panel's table column as a fraction, drawn as a
        line; None if not known.
      x: per method, [V, S, T] to draw against instead of the number of queries, such
        as simulated seconds; the mean is then taken on a common grid.
      xlabel: name of the x axis.
    """
    figure, axes = panels(len(titles), (5.0, 3.6))
    for v, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        lows, tops, starts = [], [], []
        for color, (name, values) in enumerate(best.items()):
            y = 100 * values[v]
            grid = np.arange(1.0, y.shape[1] + 1)
            at = np.tile(grid, (len(y), 1)) if x is None else x[name][v]
            for place, row in zip(at[:_SEEDS], y[:_SEEDS], strict=True):
                axis.plot(place, row, color=f"C{color}", alpha=0.15, lw=0.5)
            if x is not None:
                grid, y = _common_grid(at, y)
            mean = mean_of_seeds(axis, grid, y, name, color=f"C{color}")
            # The first queries would stretch both axes: y starts at the mean after
            # 1/50 of the queries, x after 1/100.
            seen = mean[len(mean) // 50 :]
            seen = seen[np.isfinite(seen)]  # NaN before the first score that counts
            lows.append(seen[0] if seen.size else 0.0)
            tops.append(seen[-1] if seen.size else 100.0)
            starts.append(grid[min(len(grid) - 1, len(grid) // 100)])
        if optima is not None:
            tops.append(100 * optima[v])
            axis.axhline(100 * optima[v], color="black", lw=0.8, ls=":")
        margin = max(max(tops) - min(lows), 1e-3)
        axis.set_ylim(min(lows) - 0.05 * margin, max(tops) + 0.08 * margin)
        axis.set_xscale("log")
        axis.set_xlim(left=max(min(starts), 1e-9))
        label(axis, title, xlabel, "best accuracy so far [%]")
    axes[0].legend(fontsize=8, loc="lower right")
    save(figure, path)


def _common_grid(at: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places [G] common to all seeds, and the steps y [S, T] at `at` on them [S, G]."""
    grid = np.linspace(at[:, 0].max(), at[:, -1].min())
    last = (np.searchsorted(times, grid, side="right") - 1 for times in at)
    return grid, np.stack([row[i] for row, i in zip(y, last, strict=True)])


def regret(
    path: Path, regrets: Mapping[str, np.ndarray], titles: Sequence[str]
) -> None:
    """Regret against queries, logarithmic: the mean over seeds with its 95% band.

    Args:
      regrets: per method, [V, S, T]; a step at which a seed's value is not finite
        is left out.
      titles: of the V panels.
    """
    figure, axes = panels(len(titles), (5.0, 3.6))
    for v, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        curves = {
            n: np.where(np.isfinite(x[v]), x[v], np.nan) for n, x in regrets.items()
        }
        lowest = [y[y > 0].min() for y in curves.values() if (y > 0).any()]
        floor = min(lowest, default=1.0) / 10  # a mean of zero is drawn there
        for color, (name, y) in enumerate(curves.items()):
            x = np.arange(1, y.shape[1] + 1)
            # Ten colours: a second round of them is dashed.
            style: dict[str, Any] = {
                "color": f"C{color % 10}",
                "ls": "-" if color < 10 else "--",
            }
            mean_of_seeds(axis, x, y, name, floor=floor, alpha=0.2, lw=1.5, **style)
        axis.set_yscale("log")
        label(axis, title, "queries", "regret")
    lines, names = axes[0].get_legend_handles_labels()
    columns = min(len(names), 3 * min(len(titles), 3))
    figure.legend(lines, names, fontsize=8, ncols=columns, loc="outside lower center")
    save(figure, path)
