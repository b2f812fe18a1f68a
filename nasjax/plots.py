"""Pictures of searches. matplotlib is imported when one is drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nasjax.spaces import CellSpace


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def _grid(count: int, size: tuple[float, float]):
    plt = _pyplot()
    across = min(count, 3)
    down = -(-count // across)
    figure, axes = plt.subplots(
        down,
        across,
        figsize=(size[0] * across, size[1] * down),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, axes.flat[:count]


def anytime(
    path: Path,
    best: Mapping[str, np.ndarray],
    titles: Sequence[str],
    optima: Sequence[float],
    *,
    x: Mapping[str, np.ndarray] | None = None,
    xlabel: str = "queries",
) -> None:
    """Best-so-far against queries: every seed faint, the mean with its 95% band.

    Args:
      path: file to write.
      best: per method, best so far [V, S, T] as fractions.
      titles: of the V panels.
      optima: best value of each table column, drawn as a line.
      x: per method, [V, S, T] to draw against instead of the number of queries, such
        as simulated seconds; the mean is then taken on a common grid.
      xlabel: what the x axis shows.
    """
    figure, axes = _grid(len(titles), (5.0, 3.6))
    for v, axis in enumerate(axes):
        lows, tops, start = [], [100 * optima[v]], []
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
        best_known = 100 * optima[v]
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
    _pyplot().close(figure)


def states(
    path: Path,
    space: CellSpace,
    rows: Sequence[tuple[str, np.ndarray, np.ndarray]],
    labels: tuple[str, str],
) -> None:
    """The searcher's final state beside the true best architectures (Fig. 4.2).

    Args:
      path: file to write.
      space: a space of one cell.
      rows: `(title, state [E, O], truth [E, O])` of each column.
      labels: captions of the two panels.
    """
    plt = _pyplot()
    figure, axes = plt.subplots(
        len(rows),
        2,
        figsize=(8.0, 2.3 * len(rows)),
        squeeze=False,
        layout="constrained",
    )
    last = max(target for _, target in space.edges)

    def node(number):
        return "i" if number == 0 else ("o" if number == last else f"n{number}")

    names = [f"{node(source)}→{node(target)}" for source, target in space.edges]
    targets = [target for _, target in space.edges]
    for pair, (title, *matrices) in zip(axes, rows, strict=True):
        for axis, label, matrix in zip(pair, labels, matrices, strict=True):
            axis.imshow(np.asarray(matrix).T, cmap="Greys", vmin=0, vmax=1)
            axis.set_xticks(range(space.num_edges), names, fontsize=7)
            axis.set_yticks(range(space.num_operations), space.operations, fontsize=7)
            for edge in range(1, space.num_edges):
                if targets[edge] != targets[edge - 1]:
                    axis.axvline(edge - 0.5, color="tab:red", lw=1)
            for (edge, operation), value in np.ndenumerate(np.asarray(matrix)):
                if value >= 0.005:
                    axis.text(
                        edge,
                        operation,
                        f"{value:.2f}",
                        ha="center",
                        va="center",
                        fontsize=6,
                        color="white" if value > 0.5 else "black",
                    )
            axis.set_title(f"{title}: {label}", fontsize=8)
    figure.savefig(path, dpi=100)
    plt.close(figure)
