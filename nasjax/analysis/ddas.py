"""Searches of DDAS: files, pictures and tables of accuracy against cost."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nasjax.analysis import frontier, plots
from nasjax.runs.driven_search import Driven
from nasjax.runs.folder import Folder
from nasjax.spaces import CellSpace, costs

NETWORK = {"cells": 6, "channels": 16}  # whose FLOPS and parameters are drawn


class Searches(NamedTuple):
    """Each variant's searches with their costs."""

    space: CellSpace
    seeds: Sequence[int]
    runs: Mapping[str, Sequence[Driven]]
    points: Mapping[str, Sequence[frontier.Points]]
    reference: frontier.ReferencePoint
    volumes: frontier.Volumes
    described: Mapping[str, Any]  # per variant and seed, for results.json
    fronts: Sequence[Mapping[str, Any]]  # for frontier.json

    def pairs(self) -> dict[str, dict[str, float]]:
        """Each variant against random search, for results.json."""
        return {
            f"{name} - rs, {axis}": pair._asdict()
            for name, by_axis in frontier.paired_volumes(self.volumes).items()
            for axis, pair in by_axis.items()
        }

    def tables(self) -> str:
        """See `frontier.tables`."""
        pairs = frontier.paired_volumes(self.volumes)
        return frontier.tables(self.volumes, self.described, pairs)

    def arrays(self) -> dict[str, np.ndarray]:
        """For results.npz: every step of every search, [S, T, ...]."""
        arrays = {"seeds": np.array(self.seeds, np.int64)}
        for name, runs in self.runs.items():
            traces = [run.trace for run in runs]
            for key in ("arch", "accuracy", "loss"):
                arrays[f"{name}__{key}"] = np.stack([getattr(t, key) for t in traces])
            for axis in frontier.AXES:
                sizes = [getattr(points, axis) for points in self.points[name]]
                arrays[f"{name}__{axis}"] = np.stack(sizes)
                arrays[f"{name}__hypervolume_{axis}"] = self.volumes[name][axis]
            for key in traces[0].info:
                arrays[f"{name}__{key}"] = np.stack([t.info[key] for t in traces])
        return arrays

    def draw(self, folder: Folder, one_shot: float, dataset: str, title: str) -> None:
        """The pictures of Figs 3.2 to 3.5, 3.8 and 3.9.

        Args:
          folder: of the run.
          one_shot: Acc(OS).
          dataset: its name.
          title: above the pictures.
        """
        accuracy = {
            n: np.stack([p.accuracy for p in x]) for n, x in self.points.items()
        }
        plots.curves(folder.file("curves.png"), accuracy, one_shot, title)
        for axis in frontier.AXES:
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
    runs: Mapping[str, Sequence[Driven]],
    seeds: Sequence[int],
) -> Searches:
    """Costs, hypervolumes and fronts of each variant's searches.

    Args:
      space: `darts(...)`.
      classes: of the data set.
      runs: by variant, one search per seed.
      seeds: the S seeds.
    """
    cells, channels = NETWORK["cells"], NETWORK["channels"]
    table = costs.darts_network(space, cells=cells, channels=channels, classes=classes)
    reference = frontier.reference_point(table, space, classes)
    points = {
        name: [frontier.points(table, x.trace.arch, x.trace.accuracy) for x in rows]
        for name, rows in runs.items()
    }
    volumes = {}
    for name, rows in points.items():
        each = [frontier.hypervolumes(row, reference) for row in rows]
        volumes[name] = {a: np.stack([v[a] for v in each]) for a in frontier.AXES}
    described = frontier.describe_variants(space, runs, points, volumes, seeds)
    fronts = [
        entry
        for name, rows in points.items()
        for seed, row in zip(seeds, rows, strict=True)
        for entry in frontier.entries(space, row, {"variant": name, "seed": seed})
    ]
    return Searches(space, seeds, runs, points, reference, volumes, described, fronts)
