"""Results of DDAS searches: files, plots and tables of accuracy against cost."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nasjax.analysis import frontier, plots, queries, statistics
from nasjax.analysis.frontier import AXES, Points, ReferencePoint
from nasjax.analysis.text import paired_table, text_table
from nasjax.runs.driven_search import SearchRun
from nasjax.runs.folder import Folder
from nasjax.spaces import CellSpace, costs

# The network whose FLOPS and parameters are reported (thesis 3.2.1).
NETWORK: dict[str, Any] = {"cells": 6, "channels": 16}


class Searches(NamedTuple):
    """Each variant's searches with their costs."""

    space: CellSpace
    seeds: Sequence[int]
    runs: Mapping[str, Sequence[SearchRun]]
    points: Mapping[str, Sequence[Points]]
    reference: ReferencePoint
    volumes: Mapping[str, Mapping[str, np.ndarray]]  # by variant and axis, [S, T]

    def fronts(self) -> list[dict[str, Any]]:
        """The content of frontier.json."""
        entries = []
        for name, rows in self.points.items():
            for seed, row in zip(self.seeds, rows, strict=True):
                origin = {"variant": name, "seed": seed}
                entries += frontier.entries(self.space, row, origin)
        return entries

    def describe(self) -> dict[str, Any]:
        """The variants' part of results.json, by variant and seed."""
        return {
            name: {
                str(seed): self._search(name, s) for s, seed in enumerate(self.seeds)
            }
            for name in self.runs
        }

    def _search(self, name: str, s: int) -> dict[str, Any]:
        run, points = self.runs[name][s], self.points[name][s]
        best = int(points.accuracy.argmax())
        last = {axis: float(x[s, -1]) for axis, x in self.volumes[name].items()}
        return {
            "best_step": best,
            "best": frontier.entry(self.space, points, best),
            "hypervolume": last,
            "last_100_accuracy": float(points.accuracy[-100:].mean()),
            "distinct": len(np.unique(points.arch, axis=0)),
            "seconds": run.seconds,
            **queries.late_means(run.trace.info),
        }

    def pairs(self) -> dict[tuple[str, str], statistics.Paired]:
        """Final hypervolumes against those of `rs`, in points, by variant and axis.

        Empty without `rs`, without another variant, or with one seed.
        """
        if "rs" not in self.volumes or len(self.seeds) < 2:
            return {}
        last = {
            n: {a: 100 * x[a][:, -1] for a in AXES} for n, x in self.volumes.items()
        }
        return {
            (f"{name} - rs", axis): statistics.paired(volumes[axis], last["rs"][axis])
            for name, volumes in last.items()
            for axis in AXES
            if name != "rs"
        }

    def text(self) -> str:
        """Tables of the variants, and of each against random search."""
        rows = []
        for name, points in self.points.items():
            best = np.array([row.accuracy.max() for row in points])
            late = np.array([row.accuracy[-100:].mean() for row in points])
            last = (self.volumes[name][axis][:, -1] for axis in AXES)
            distinct = np.mean([len(np.unique(row.arch, axis=0)) for row in points])
            means = map(statistics.mean_std, (best, late, *last))
            rows.append([name, *means, f"{distinct:.0f}"])
        header = ["variant [%]", "best accuracy", "last 100 steps"]
        header += ["hypervolume, FLOPS", "hypervolume, parameters", "distinct"]
        text = text_table(header, rows)
        if pairs := self.pairs():
            header = ["hypervolume, paired over seeds", "axis"]
            text += "\n\n" + paired_table(header, list(pairs.items()))
        return text

    def arrays(self) -> dict[str, np.ndarray]:
        """For results.npz: every step of every search, [S, T, ...]."""
        arrays = {"seeds": np.array(self.seeds, np.int64)}
        for name, runs in self.runs.items():
            columns = queries.traces(runs)
            for axis in AXES:
                costs_of_seeds = [getattr(row, axis) for row in self.points[name]]
                columns[axis] = np.stack(costs_of_seeds)
                columns[f"hypervolume_{axis}"] = self.volumes[name][axis]
            arrays |= {f"{name}__{key}": x for key, x in columns.items()}
        return arrays

    def draw(self, folder: Folder, one_shot: float, dataset: str, title: str) -> None:
        """Draws Figs 3.2 to 3.5, 3.8 and 3.9 of the thesis for these searches.

        Args:
          one_shot: Acc(OS), a fraction.
        """
        accuracy = {
            name: np.stack([points.accuracy for points in rows])
            for name, rows in self.points.items()
        }
        plots.curves(folder.file("curves.png"), accuracy, one_shot, title)
        for axis in AXES:
            plots.fronts(folder.file(f"front-{axis}.png"), self.points, axis, title)
        plots.widths(folder.file("widths.png"), self.space, self.points, dataset)
        flops = {name: by_axis["flops"] for name, by_axis in self.volumes.items()}
        plots.hypervolumes(folder.file("hypervolume.png"), flops, title)
        for name, rows in accuracy.items():
            s = int(rows.max(axis=1).argmax())
            step = int(rows[s].argmax())
            text = f"{name}, seed {self.seeds[s]}, step {step}: "
            text += f"{100 * rows[s, step]:.2f} %"
            path, arch = folder.file(f"cells-{name}.png"), self.points[name][s].arch
            plots.cells(path, self.space, arch[step], text)


def searches(
    space: CellSpace,
    classes: int,
    runs: Mapping[str, Sequence[SearchRun]],
    seeds: Sequence[int],
) -> Searches:
    """Costs and hypervolumes of each variant's searches.

    Args:
      space: `darts(...)`.
      classes: of the data set.
      runs: by variant, one search per seed.
      seeds: the S seeds.
    """
    table = costs.darts_network(space, classes=classes, **NETWORK)
    reference = frontier.reference_point(table, space, classes)
    points = {
        name: [frontier.points(table, x.trace.arch, x.trace.accuracy) for x in rows]
        for name, rows in runs.items()
    }
    volumes = {}
    for name, rows in points.items():
        each = [frontier.hypervolumes(row, reference) for row in rows]
        volumes[name] = {a: np.stack([v[a] for v in each]) for a in AXES}
    return Searches(space, seeds, runs, points, reference, volumes)
