"""Pictures of cells as graphs, and of CADAM's state as a table of shares."""

from collections.abc import Sequence
from pathlib import Path

import chex
import numpy as np

from nasjax.analysis.plots.style import panels, save
from nasjax.spaces import CellSpace, darts
from nasjax.spaces.topology import depth, width

# The picture is a staircase: a line leaves the bottom of its source, falls to a row of
# its own and enters its target from the left, so no line runs through a label.
# Inches: width of a column, height of a row, half the width of a box, its margin above
# and below its rows.
_COLUMN, _ROW, _HALF, _EDGE = 1.3, 0.3, 0.22, 0.1


def cell(axis, space: CellSpace, arch: chex.Array, title: str = "") -> None:
    """Draws one cell: a box for each node, a labelled arrow for each operation.

    Lines have the colour of the node they leave; those to the output of a DARTS cell
    are black. An edge that holds `none` is dotted grey, an absent edge is left out. One
    unit of the axis is an inch.

    Args:
      axis: matplotlib's axes.
      space: with edges from lower to higher nodes.
      arch: uint8 [E], one cell.
    """
    chex.assert_shape(arch, (space.num_edges,))
    present = [
        (source, target, space.operations[int(operation)])
        for (source, target), operation in zip(space.edges, arch, strict=True)
        if operation < space.num_operations
    ]
    targets = {target for _, target in space.edges}
    middle, top, bottom, x, y = {}, {}, {}, 0.0, 0.0
    for node in range(max(targets) + 1):
        rows = max(sum(target == node for _, target, _ in present), 1)
        x += _COLUMN if node in targets else 3 * _HALF
        middle[node], top[node], bottom[node] = x, y, y - (rows - 1) * _ROW
        y -= (rows + 0.4) * _ROW
    names = ["in", *(f"n{node}" for node in range(1, max(targets))), "out"]
    if space.edges == darts().edges:  # the output is all nodes, not the last one
        names = ["$c_{k-2}$", "$c_{k-1}$", "0", "1", "2", "3"]
        x += 4 * _HALF
        _box(axis, x, top[2], bottom[5], "$c_k$")
        for node in targets:
            level = (top[node] + bottom[node]) / 2
            _arrow(axis, [middle[node] + _HALF, x - _HALF], [level] * 2, "black")
        x += _HALF
    for node, name in enumerate(names):
        _box(axis, middle[node], top[node], bottom[node], name)
    row = dict(top)
    for source, target, operation in present:
        end, level = middle[target] - _HALF, row[target]
        row[target] -= _ROW
        color = "0.55" if operation == "none" else f"C{source}"
        path = [middle[source]] * 2 + [end], [bottom[source] - _EDGE, level, level]
        _arrow(axis, *path, color, dotted=operation == "none")
        label = {"ha": "right", "va": "bottom", "fontsize": 8, "color": color}
        axis.text(end - 0.1, level + 0.01, operation, **label)
    axis.set_aspect("equal")
    axis.set_xlim(middle[0] - _HALF - _EDGE, x + _HALF + _EDGE)
    axis.set_ylim(y, _ROW)
    axis.set_axis_off()
    axis.set_title(title, fontsize=10)


def _box(axis, x: float, top: float, bottom: float, name: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner, tall = (x - _HALF, bottom - _EDGE), top - bottom + 2 * _EDGE
    style = "round,pad=0,rounding_size=0.05"
    box = FancyBboxPatch(corner, 2 * _HALF, tall, style, fc="0.95", ec="black")
    axis.add_patch(box)
    box.set_zorder(3)
    centre = {"ha": "center", "va": "center", "fontsize": 9, "zorder": 4}
    axis.text(x, (top + bottom) / 2, name, **centre)


def _arrow(axis, x: list, y: list, color: str, dotted: bool = False) -> None:
    style = {"ls": ":" if dotted else "-", "zorder": 0 if dotted else 1}
    axis.plot([*x[:-1], x[-1] - 0.05], y, color=color, lw=1.3, **style)
    head = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", (x[-1], y[-1]), (x[-1] - 0.1, y[-1]), arrowprops=head)


def cells(
    path: str | Path, space: CellSpace, arch: chex.Array, title: str = ""
) -> None:
    """Writes a picture of all cells of an architecture, with width and depth.

    Args:
      space: as for `cell`; width and depth are of DARTS cells.
      arch: uint8 [*arch_shape].
    """
    arch = np.asarray(arch)
    chex.assert_shape(arch, space.arch_shape)
    captions = [""]
    if space.cells == 2:
        wide, deep = width(space, arch), depth(space, arch)
        captions = [
            f"{name} cell: {wide[row]:g}c / {deep[row]}"
            for row, name in enumerate(("normal", "reduction"))
        ]
    figure, axes = panels(space.cells, (1.0, 1.0), across=1, layout=None)
    rows = arch.reshape(space.cells, -1)
    for axis, row, caption in zip(axes, rows, captions, strict=True):
        cell(axis, space, row, caption)
    # As large as the cells are, so that labels keep their proportion to the gaps.
    tall = sum(np.ptp(axis.get_ylim()) + 0.25 for axis in axes) + 0.35
    figure.set_size_inches(np.ptp(axes[0].get_xlim()), tall)
    figure.subplots_adjust(0, 0, 1, 1 - 0.6 / tall, hspace=0.1)
    figure.suptitle(title, fontsize=11, y=1 - 0.1 / tall)
    save(figure, path, dpi=120)


def states(
    path: Path,
    space: CellSpace,
    rows: Sequence[tuple[str, np.ndarray, np.ndarray]],
    labels: tuple[str, str],
) -> None:
    """The searcher's final state beside that of the truly best architectures.

    Args:
      space: a space of one cell.
      rows: `(title, state [E, O], truth [E, O])` for each row of the picture: the share
        of each operation on each edge.
      labels: captions of the two panels of a row.

    Source: thesis Fig. 4.2.
    """
    figure, axes = panels(2 * len(rows), (4.0, 2.3), across=2)
    places = iter(axes)
    for title, *matrices in rows:
        for label, matrix in zip(labels, matrices, strict=True):
            _matrix(next(places), space, matrix, f"{title}: {label}")
    save(figure, path)


def cell_states(path: Path, space: CellSpace, state: np.ndarray, title: str) -> None:
    """The searcher's state, one panel for each cell.

    Args:
      space: any space of cells.
      state: float [*arch_shape, O], the share of each operation on each edge.

    Source: thesis Fig. 4.3.
    """
    matrices = np.asarray(state).reshape(space.cells, space.num_edges, -1)
    figure, axes = panels(space.cells, (2.0 + 0.42 * space.num_edges, 3.4), across=1)
    names = ("normal cell", "reduction cell") if space.cells == 2 else ("",)
    for axis, name, matrix in zip(axes, names, matrices, strict=True):
        _matrix(axis, space, matrix, name)
    figure.suptitle(title, fontsize=9)
    save(figure, path, dpi=120)


def _edge_names(space: CellSpace) -> list[str]:
    """Such as `k-2→0` for cells whose inputs are the two cells before, else `i→n1`."""
    if space.cells == 2:
        names = ["k-2", "k-1", "0", "1", "2", "3"]
    else:
        last = max(target for _, target in space.edges)
        names = ["i", *(f"n{node}" for node in range(1, last)), "o"]
    return [f"{names[source]}→{names[target]}" for source, target in space.edges]


def _matrix(axis, space: CellSpace, matrix: np.ndarray, title: str) -> None:
    """Draws [E, O] with edges along x, and a bar where the next node's edges begin."""
    matrix = np.asarray(matrix)
    targets = [target for _, target in space.edges]
    axis.imshow(matrix.T, cmap="Greys", vmin=0, vmax=1)
    axis.set_xticks(range(space.num_edges), _edge_names(space), fontsize=7)
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
