"""Pictures of DDAS: curves, Pareto fronts, widths (thesis Figs 3.2 to 3.5)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nasjax.analysis import frontier
from nasjax.analysis.frontier import Points
from nasjax.analysis.plots.style import panels, pyplot
from nasjax.spaces import CellSpace

_LABELS = {"flops": "GFLOPS", "parameters": "parameters [million]"}


def smooth(values: np.ndarray, window: int) -> np.ndarray:
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
      path: file to write.
      accuracy: per variant, [S, T] as fractions.
      one_shot: Acc(OS), drawn as a line.
      title: above the picture.
      window: steps of the moving average.

    Source: thesis Figs 3.2, 3.3.
    """
    figure, (axis,) = panels(1, (7.0, 4.2))
    for name, values in accuracy.items():
        y = 100 * smooth(values, min(window, values.shape[-1]))
        x = np.arange(1, y.shape[-1] + 1)
        (line,) = axis.plot(x, y.mean(0), lw=1.4, label=name)
        if len(y) > 1:
            axis.fill_between(
                x, y.min(0), y.max(0), color=line.get_color(), alpha=0.2, lw=0
            )
    if one_shot is not None:
        axis.axhline(100 * one_shot, color="black", ls=":", lw=1, label="one-shot")
    axis.set_xlabel("step")
    axis.set_ylabel(f"validation accuracy [%], mean of {window}")
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=8)
    _save(figure, path)


def fronts(
    path: Path, found: Mapping[str, Sequence[Points]], axis_name: str, title: str
) -> None:
    """Pareto fronts, one per search, with the step at each point.

    Args:
      path: file to write.
      found: per variant, each seed's points; the first seed's steps are written.
      axis_name: of `frontier.AXES`.
      title: above the picture.

    Source: thesis Fig. 3.4.
    """
    figure, (axis,) = panels(1, (7.5, 5.0))
    for color, (name, searches) in enumerate(found.items()):
        for seed, points in enumerate(searches):
            steps = frontier.front(points, axis_name)
            x, y = points.cost(axis_name)[steps], 100 * points.accuracy[steps]
            style = {"color": f"C{color}", "marker": "o", "ms": 3, "lw": 1.2}
            if seed:
                style |= {"alpha": 0.35, "ms": 2, "lw": 0.8}
            axis.step(x, y, where="post", label=None if seed else name, **style)
            for step, *place in zip(steps, x, y, strict=True):
                if not seed:
                    axis.annotate(str(step), place, fontsize=6, color=f"C{color}")
    axis.set_xlabel(_LABELS[axis_name])
    axis.set_ylabel("validation accuracy [%]")
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=8, loc="lower right")
    _save(figure, path)


def widths(
    path: Path, space: CellSpace, found: Mapping[str, Sequence[Points]], title: str
) -> None:
    """Widths of normal and of reduction cells among the best 5% (thesis Fig. 3.5)."""
    figure, axes = panels(2, (5.0, 3.6))
    edges = np.arange(-0.25, 4.5, 0.5)
    for cell, (axis, name) in enumerate(
        zip(axes, ("normal", "reduction"), strict=True)
    ):
        shares = []
        for searches in found.values():
            wide = frontier.top_widths(space, searches)[:, cell]
            shares.append(np.histogram(wide, edges)[0] / len(wide))
        bar = 0.45 / len(found)
        for i, (label, share) in enumerate(zip(found, shares, strict=True)):
            at = edges[:-1] + 0.25 + (i - (len(found) - 1) / 2) * bar
            axis.bar(at, 100 * share, bar, label=label)
        axis.set_title(f"{name} cells: {title}", fontsize=9)
        axis.set_xlabel("width [c]")
        axis.set_ylabel("share of the best 5% [%]")
    axes[0].legend(fontsize=8)
    _save(figure, path)


def hypervolumes(path: Path, volumes: Mapping[str, np.ndarray], title: str) -> None:
    """Share of the box dominated against queries, [S, T]: mean and range of seeds."""
    figure, (axis,) = panels(1, (6.0, 4.0))
    for name, values in volumes.items():
        x = np.arange(1, values.shape[-1] + 1)
        (line,) = axis.plot(x, values.mean(0), lw=1.4, label=name)
        axis.fill_between(
            x, values.min(0), values.max(0), color=line.get_color(), alpha=0.2, lw=0
        )
    axis.set_xlabel("queries")
    axis.set_ylabel("hypervolume, share of the box")
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=8, loc="lower right")
    _save(figure, path)


def _save(figure, path: Path) -> None:
    figure.savefig(path, dpi=100)
    pyplot().close(figure)
