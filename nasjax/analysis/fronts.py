"""Results of searches with several objectives or constraints: hypervolume, fronts.

The hypervolume is measured from the worst value of each objective over the table, as a
share of that of all its rows. Only rows that succeed and keep the constraints count.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.analysis.pareto import exact_hypervolume
from nasjax.runs.table_objectives import Tasks
from nasjax.runs.table_search import Result
from nasjax.search import pareto

SHARES = (0.9, 0.95, 0.99)


def hypervolumes(points: np.ndarray) -> np.ndarray:
    """Hypervolume above 0 of the first 1, 2, ... points; float64 [S, T].

    Args:
      points: [S, T, M], -inf where a point does not count.
    """
    points = np.maximum(points, 0)
    if points.shape[-1] == 1:
        return np.maximum.accumulate(points[..., 0], axis=-1)
    if points.shape[-1] == 2:
        return np.asarray(_of_two(jnp.asarray(points, jnp.float32)), np.float64)
    return np.stack([_one_by_one(row) for row in points])


@jax.jit
def _of_two(points):
    return jax.vmap(lambda x: pareto.running_hypervolume(x, jnp.zeros(2)))(points)


def _one_by_one(points: np.ndarray) -> np.ndarray:
    """As `hypervolumes` of [T, M]; only a point above the front changes it."""
    volume, front = 0.0, np.zeros((0, points.shape[1]))
    volumes = []
    for point in points:
        if not (front >= point).all(axis=1).any():
            front = front[~(front <= point).all(axis=1)]
            front = np.concatenate([front, point[None]])
            volume = exact_hypervolume(front)
        volumes.append(volume)
    return np.array(volumes)


def whole_front(points: np.ndarray) -> np.ndarray:
    """Indices of the non-dominated rows of [A, M], best in the first objective first.

    Equal rows count once; rows of -inf never.
    """
    order = np.lexsort(-points.T[::-1])
    order = order[np.isfinite(points[order]).all(axis=1)]
    # What comes earlier in this order can dominate, what comes later cannot.
    if points.shape[1] == 2:
        before = np.maximum.accumulate(points[order, 1])
        return order[np.diff(before, prepend=-np.inf) > 0]
    kept: list[int] = []
    for i in order:
        if not (points[kept] >= points[i]).all(axis=1).any():
            kept.append(i)
    return np.array(kept, int)


@dataclasses.dataclass(frozen=True)
class Fronts:
    """Searches of V tasks by several methods, with S seeds each."""

    tasks: Tasks
    results: Mapping[str, Result]  # by method
    seeds: Sequence[int]
    budgets: Sequence[int]  # numbers of queries to report
    rows: np.ndarray  # int [A], row of each architecture in the file

    @functools.cached_property
    def exact(self) -> list[np.ndarray]:
        """Indices of each task's exact front."""
        return [whole_front(task.scaled) for task in self.tasks.tasks]

    @functools.cached_property
    def share(self) -> dict[str, np.ndarray]:
        """By method, the share of the exact hypervolume after each query, [V, S, T]."""
        wholes = [
            hypervolumes(task.scaled[front][None])[0, -1]
            for task, front in zip(self.tasks.tasks, self.exact, strict=True)
        ]
        return {
            name: np.stack(
                [
                    np.minimum(hypervolumes(task.scaled[index]) / whole, 1.0)
                    for task, index, whole in zip(
                        self.tasks.tasks, result.arch_index, wholes, strict=True
                    )
                ]
            )
            for name, result in self.results.items()
        }

    def queries_to(self, method: str, share: float) -> np.ndarray:
        """Queries until a share of the hypervolume, float [V, S]; inf if never."""
        reached = self.share[method] >= share
        return np.where(reached.any(-1), 1.0 + reached.argmax(-1), np.inf)

    def queries_to_optimum(self, method: str) -> np.ndarray:
        """Queries until a feasible row of the best first objective; [V, S]."""
        first = []
        for task, index in zip(
            self.tasks.tasks, self.results[method].arch_index, strict=True
        ):
            value = np.where(task.feasible, task.value[:, 0], -np.inf)
            hit = (value == value.max())[index]
            first.append(np.where(hit.any(-1), 1.0 + hit.argmax(-1), np.inf))
        return np.stack(first)

    def front_of(self, method: str, v: int, s: int) -> np.ndarray:
        """Indices of the front that a search reached."""
        index = np.unique(self.results[method].arch_index[v, s])
        return index[whole_front(self.tasks.tasks[v].scaled[index])]

    def describe(self) -> dict[str, Any]:
        """The searches' part of results.json; rows are those of the file."""
        tasks = {}
        for task, front in zip(self.tasks.tasks, self.exact, strict=True):
            tasks[task.name] = {
                "columns": dict(task.columns),
                "bounds": dict(
                    zip(map(str, self.tasks.bounds), task.bounds, strict=True)
                ),
                "feasible": int(task.feasible.sum()),
                "front": self.rows[front].tolist(),
            }
        methods = {name: self._describe(name) for name in self.results}
        return {"tasks": tasks, "methods": methods}

    def _describe(self, method: str) -> dict[str, Any]:
        result, share = self.results[method], self.share[method]
        firsts = {f"{100 * x:g}%": self.queries_to(method, x) for x in SHARES}
        if self.tasks.bounds:
            firsts["optimum"] = self.queries_to_optimum(method)
        columns: dict[str, Any] = {}
        for v, task in enumerate(self.tasks.tasks):
            columns[task.name] = {
                str(seed): {
                    "hypervolume": {str(n): share[v, s, n - 1] for n in self.budgets},
                    "queries_to": {k: _count(x[v, s]) for k, x in firsts.items()},
                    "front": self.rows[self.front_of(method, v, s)].tolist(),
                }
                for s, seed in enumerate(self.seeds)
            }
        return {
            "compile_seconds": result.compile_seconds,
            "run_seconds": result.run_seconds,
            "tasks": columns,
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """The content of results.npz: rows of the file, and shares, of every query."""
        names = np.array([task.name for task in self.tasks.tasks])
        out = {"tasks": names, "seeds": np.array(self.seeds, np.int64)}
        for name, result in self.results.items():
            out[f"{name}__arch_index"] = self.rows[result.arch_index].astype(np.int32)
            out[f"{name}__hypervolume"] = self.share[name].astype(np.float32)
        return out


def _count(x: float) -> int | None:
    return int(x) if np.isfinite(x) else None
