"""Pictures of CADAM's state."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nasjax.analysis.plots.style import panels, save
from nasjax.spaces import CellSpace


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
    figure, axes = panels(2 * len(rows), (4.0, 2.3), across=2)
    places = iter(axes)
    for title, *matrices in rows:
        for label, matrix in zip(labels, matrices, strict=True):
            _matrix(next(places), space, matrix, f"{title}: {label}")
    save(figure, path)


def cell_states(path: Path, space: CellSpace, state: np.ndarray, title: str) -> None:
    """The searcher's state, one panel for each cell (Fig. 4.3).

    Args:
      path: file to write.
      space: any space of cells.
      state: float [*arch_shape, O], the share of each operation on each edge.
      title: above all.
    """
    matrices = np.asarray(state).reshape(space.cells, space.num_edges, -1)
    figure, axes = panels(space.cells, (2.0 + 0.42 * space.num_edges, 3.4), across=1)
    names = ("normal cell", "reduction cell") if space.cells == 2 else ("",)
    for axis, name, matrix in zip(axes, names, matrices, strict=True):
        _matrix(axis, space, matrix, name)
    figure.suptitle(title, fontsize=9)
    save(figure, path, dpi=120)


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
    style = {"ha": "center", "va": "center", "fontsize": 6}
    for (edge, operation), value in np.ndenumerate(matrix):
        if value >= 0.005:  # less would be printed as 0.00
            color = "white" if value > 0.5 else "black"
            axis.text(edge, operation, f"{value:.2f}", color=color, **style)
    axis.set_title(title, fontsize=8)
