"""Pictures of searches: the best so far against queries, and regret."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nasjax.analysis.plots.style import panels, pyplot


def anytime(
    path: Path,
    best: Mapping[str, np.ndarray],
    titles: Sequence[str],
    optima: Sequence[float] | None,
    *,
    x: Mapping[str, np.ndarray] | None = None,
    xlabel: str = "queries",
) -> None:
    """Best-so-far against queries: every seed faint, the mean with its 95% band.

    Args:
      path: file to write.
      best: per method, best so far [V, S, T] as fractions.
      titles: of the V panels.
      optima: best value of each table column, drawn as a line; None if not known.
      x: per method, [V, S, T] to draw against instead of the number of queries, such
        as simulated seconds; the mean is then taken on a common grid.
      xlabel: what the x axis shows.
    """
    figure, axes = panels(len(titles), (5.0, 3.6))
    for v, axis in enumerate(axes):
        known = [] if optima is None else [100 * optima[v]]
        lows, tops, start = [], list(known), []
        for color, (name, values) in enumerate(best.items()):
            y = 100 * values[v]
            S, T = y.shape
            at = np.arange(1, T + 1) * np.ones((S, 1)) if x is None else x[name][v]
            for seed in range(min(S, 30)):
                axis.plot(at[seed], y[seed], color=f"C{color}", alpha=0.15, lw=0.5)
            grid = at[0] if x is None else np.linspace(at[:, 0].max(), at[:, -1].min())
            on_grid = (
                y
                if x is None
                else np.array(
                    [
                        row[np.searchsorted(times, grid, side="right") - 1]
                        for times, row in zip(at, y, strict=True)
                    ]
                )
            )
            mean = on_grid.mean(axis=0)
            axis.plot(grid, mean, color=f"C{color}", lw=1.6, label=name)
            if S > 1:
                half = 1.96 * on_grid.std(axis=0, ddof=1) / np.sqrt(S)
                axis.fill_between(
                    grid, mean - half, mean + half, color=f"C{color}", alpha=0.25, lw=0
                )
            lows.append(mean[min(len(mean) - 1, len(mean) // 50)])
            tops.append(mean[-1])
            start.append(grid[min(len(grid) - 1, len(grid) // 100)])
        for best_known in known:
            axis.axhline(best_known, color="black", lw=0.8, ls=":")
        margin = max(max(tops) - min(lows), 1e-3)
        axis.set_ylim(min(lows) - 0.05 * margin, max(tops) + 0.08 * margin)
        axis.set_xscale("log")
        axis.set_xlim(left=max(min(start), 1e-9))
        axis.set_title(titles[v], fontsize=10)
        axis.set_xlabel(xlabel)
        axis.set_ylabel("best accuracy so far [%]")
    axes[0].legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=100)
    pyplot().close(figure)


def regret(path: Path, found: Mapping[str, np.ndarray], titles: Sequence[str]) -> None:
    """Regret against queries, logarithmic: the mean over seeds with its 95% band.

    Args:
      path: file to write.
      found: per method, [V, S, T].
      titles: of the V panels.
    """
    figure, axes = panels(len(titles), (5.0, 3.6))
    for v, axis in enumerate(axes):
        shown = {n: np.where(np.isfinite(x[v]), x[v], np.nan) for n, x in found.items()}
        lowest = [y[y > 0].min() for y in shown.values() if (y > 0).any()]
        floor = min(lowest, default=1.0) / 10  # a mean of zero is drawn there
        for color, (name, y) in enumerate(shown.items()):
            x, mean = np.arange(1, y.shape[1] + 1), y.mean(axis=0)
            style = "-" if color < 10 else "--"
            hue = f"C{color % 10}"
            axis.plot(x, np.maximum(mean, floor), style, color=hue, label=name)
            if len(y) > 1:
                half = 1.96 * y.std(axis=0, ddof=1) / np.sqrt(len(y))
                low, high = (np.maximum(mean + s * half, floor) for s in (-1, 1))
                axis.fill_between(x, low, high, color=hue, alpha=0.2, lw=0)
        axis.set_yscale("log")
        axis.set_xlabel("queries")
        axis.set_ylabel("regret")
        axis.set_title(titles[v], fontsize=10)
    lines, names = axes[0].get_legend_handles_labels()
    columns = min(len(names), 3 * min(len(titles), 3))
    figure.legend(lines, names, fontsize=8, ncols=columns, loc="outside lower center")
    figure.savefig(path, dpi=100)
    pyplot().close(figure)
