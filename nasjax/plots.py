"""Pictures of searches. matplotlib is imported when one is drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nasjax import metrics
from nasjax.spaces import CellSpace


def pyplot():
    """matplotlib.pyplot, drawing to files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def panels(count: int, size: tuple[float, float]):
    """A figure and `count` axes of `size` inches, three in a row."""
    plt = pyplot()
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
    plt = pyplot()
    figure, axes = plt.subplots(
        len(rows),
        2,
        figsize=(8.0, 2.3 * len(rows)),
        squeeze=False,
        layout="constrained",
    )
    for pair, (title, *matrices) in zip(axes, rows, strict=True):
        for axis, label, matrix in zip(pair, labels, matrices, strict=True):
            _matrix(axis, space, matrix, f"{title}: {label}")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def training(path: Path, curves, true: np.ndarray | None = None) -> None:
    """A supernet's training: loss, accuracy of architectures, rank correlation.

    Args:
      path: file to write.
      curves: `nasjax.pretraining.Curves`.
      true: true accuracies [M] of the scored architectures, for the last panels.
    """
    figure, axes = panels(2 if true is None else 4, (4.6, 3.4))
    epochs = np.arange(1, len(curves.loss) + 1)
    axes[0].plot(epochs, curves.loss, label="cross-entropy")
    axes[0].plot(epochs, curves.accuracy, label="accuracy")
    axes[0].set_title("training batches", fontsize=10)
    axes[0].legend(fontsize=8)
    kinds = (("batch", curves.batch), ("running", curves.running))
    for color, (name, scores) in enumerate(kinds):
        low, middle, high = 100 * np.quantile(scores, (0, 0.5, 1), axis=1)
        axes[1].plot(curves.marks, middle, color=f"C{color}", marker=".", label=name)
        axes[1].fill_between(
            curves.marks, low, high, color=f"C{color}", alpha=0.2, lw=0
        )
    axes[1].set_title("validation accuracy of architectures [%]", fontsize=10)
    axes[1].legend(fontsize=8, title="statistics; median, range", title_fontsize=8)
    if true is not None:
        for name, scores in kinds:
            taus = [metrics.kendall(row, true) for row in scores]
            axes[2].plot(curves.marks, taus, marker=".", label=name)
        axes[2].axhline(0, color="black", lw=0.6)
        axes[2].set_title("Kendall's tau with the true table", fontsize=10)
        axes[2].legend(fontsize=8)
        axes[3].plot(100 * true, 100 * curves.batch[-1], ".", ms=3)
        axes[3].set_title("scores after the last epoch [%]", fontsize=10)
        axes[3].set_xlabel("true validation accuracy [%]")
    for axis in axes[:3]:
        axis.set_xlabel("epoch")
    figure.savefig(path, dpi=100)
    pyplot().close(figure)


def evaluation(
    path: Path,
    loss: np.ndarray,
    accuracy: np.ndarray,
    test: np.ndarray,
    baseline: float | None = None,
) -> None:
    """Training of derived networks: loss, accuracy; every seed faint, the mean.

    Args:
      path: file to write.
      loss, accuracy: of training batches, [S, epochs]; accuracies are fractions.
      test: accuracy on test images [S, epochs], NaN where not tested.
      baseline: accuracy of a linear classifier, drawn as a line.
    """
    figure, axes = panels(2, (4.6, 3.4))
    tested = np.isfinite(test).all(axis=0)
    epochs = np.arange(1, loss.shape[1] + 1)
    for axis, name, x, y in (
        (axes[0], "cross-entropy of training batches", epochs, loss),
        (axes[1], "training batches", epochs, 100 * accuracy),
        (axes[1], "test images", epochs[tested], 100 * test[:, tested]),
    ):
        (line,) = axis.plot(x, y.mean(axis=0), marker="." if len(x) < 30 else "")
        line.set_label(name)
        for row in y if len(y) > 1 else ():
            axis.plot(x, row, color=line.get_color(), alpha=0.3, lw=0.6)
    if baseline is not None:
        label = "logistic regression on the pixels, test"
        axes[1].axhline(100 * baseline, color="black", lw=0.8, ls=":", label=label)
    axes[0].set_title("cross-entropy of training batches", fontsize=10)
    axes[1].set_title("accuracy [%]", fontsize=10)
    axes[1].legend(fontsize=8)
    for axis in axes:
        axis.set_xlabel("epoch")
    figure.savefig(path, dpi=100)
    pyplot().close(figure)


def cell_states(path: Path, space: CellSpace, state: np.ndarray, title: str) -> None:
    """The searcher's state, one panel for each cell (Fig. 4.3).

    Args:
      path: file to write.
      space: any space of cells.
      state: float [*arch_shape, O], the share of each operation on each edge.
      title: above all.
    """
    plt = pyplot()
    panels = np.asarray(state).reshape(space.cells, space.num_edges, -1)
    figure, axes = plt.subplots(
        space.cells,
        figsize=(2.0 + 0.42 * space.num_edges, 0.5 + 3.1 * space.cells),
        squeeze=False,
        layout="constrained",
    )
    names = ("normal cell", "reduction cell") if space.cells == 2 else ("",)
    for axis, name, matrix in zip(axes[:, 0], names, panels, strict=True):
        _matrix(axis, space, matrix, name)
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def edge_names(space: CellSpace) -> list[str]:
    """`k-2→0` for cells with the two cells before as inputs, else `i→n1`."""
    if space.cells == 2:
        names = ["k-2", "k-1", "0", "1", "2", "3"]
    else:
        last = max(target for _, target in space.edges)
        names = ["i", *(f"n{node}" for node in range(1, last)), "o"]
    return [f"{names[source]}→{names[target]}" for source, target in space.edges]


def _matrix(axis, space: CellSpace, matrix: np.ndarray, title: str) -> None:
    """Operations x edges, with a bar where the next node's edges begin."""
    matrix = np.asarray(matrix)
    targets = [target for _, target in space.edges]
    axis.imshow(matrix.T, cmap="Greys", vmin=0, vmax=1)
    axis.set_xticks(range(space.num_edges), edge_names(space), fontsize=7)
    axis.set_yticks(range(space.num_operations), space.operations, fontsize=7)
    for edge in range(1, space.num_edges):
        if targets[edge] != targets[edge - 1]:
            axis.axvline(edge - 0.5, color="tab:red", lw=1)
    for (edge, operation), value in np.ndenumerate(matrix):
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
    axis.set_title(title, fontsize=8)


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
