"""Pictures of searches with several objectives: hypervolume and fronts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nasjax.analysis.plots.style import label, mean_of_seeds, panels, save

_ROWS = 4000  # of a table, drawn as dots
_SEEDS = 10  # drawn as lines of their own


def hypervolume_shares(
    path: Path, shares: Mapping[str, np.ndarray], titles: Sequence[str]
) -> None:
    """Share of the exact hypervolume against queries: mean over seeds, 95% band.

    Args:
      shares: per method, [V, S, T].
      titles: of the V panels.
    """
    figure, axes = panels(len(titles), (4.5, 3.2))
    for v, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        lows = []
        for name, share in shares.items():
            y = 100 * share[v]
            x = np.arange(1, y.shape[1] + 1)
            mean = mean_of_seeds(axis, x, y, name)
            lows.append(mean[min(len(mean) - 1, 9)])
        axis.set_ylim(min(lows) - 1, 100.5)
        label(axis, title, "queries", "hypervolume [%]")
    axes[0].legend(fontsize=8, loc="lower right")
    save(figure, path)


def reached_fronts(
    path: Path,
    tasks: Sequence[tuple[np.ndarray, np.ndarray, Mapping[str, Sequence[np.ndarray]]]],
    titles: Sequence[str],
    names: Sequence[str],
) -> None:
    """Fronts that searches reached, over the exact one and the rows of the table.

    Args:
      tasks: of each panel the table's values [A, 2], the exact front [F, 2], and per
        method the front [f, 2] of each seed, of which the first ten are drawn.
      titles: of the panels.
      names: of the two objectives.
    """
    figure, axes = panels(len(titles), (4.5, 3.6))
    for axis, title, (rows, exact, reached) in zip(axes, titles, tasks, strict=True):
        shown = rows[:: -(-len(rows) // _ROWS)]
        axis.plot(shown[:, 1], shown[:, 0], ".", color="0.85", ms=1, zorder=0)
        for color, (name, lines) in enumerate(reached.items()):
            for s, line in enumerate(lines[:_SEEDS]):
                text = name if s == 0 else None
                style = {"color": f"C{color}", "lw": 0.7, "alpha": 0.6}
                axis.plot(line[:, 1], line[:, 0], ".-", ms=2, label=text, **style)
        axis.plot(exact[:, 1], exact[:, 0], "k.-", lw=1, ms=3, label="exact front")
        low, high = exact.min(axis=0), exact.max(axis=0)
        margin = 0.15 * np.maximum(high - low, 1e-9)
        axis.set_xlim(low[1] - margin[1], high[1] + 2 * margin[1])
        axis.set_ylim(low[0] - 2 * margin[0], high[0] + margin[0])
        label(axis, title, names[1], names[0])
    axes[0].legend(fontsize=8)
    save(figure, path)
