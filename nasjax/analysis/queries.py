"""Results of searches of a table: best so far, rank and regret by seed and column."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax.environments.cached import METRICS
from nasjax.runs.driven_search import SearchRun
from nasjax.runs.table_search import Result
from nasjax.search import Trace


def best_so_far(accuracy: np.ndarray) -> np.ndarray:
    """Running maximum over the last axis; failed evaluations are ignored.

    Args:
      accuracy: [..., T], not finite where an evaluation failed.

    Returns:
      [..., T], NaN before the first evaluation that succeeded.
    """
    accuracy = np.asarray(accuracy)
    return np.fmax.accumulate(
        np.where(np.isfinite(accuracy), accuracy, np.nan), axis=-1
    )


def rank(values: np.ndarray, value: np.ndarray) -> np.ndarray:
    """1 + the number of entries of `values` [A] strictly better than `value`.

    Entries that are not finite have failed and count as worst; every other entry is
    better than a `value` that is not finite.
    """
    values, value = np.asarray(values), np.asarray(value)
    ordered = np.sort(values[np.isfinite(values)])
    value = np.where(np.isfinite(value), value, -np.inf)
    return 1 + len(ordered) - np.searchsorted(ordered, value, side="right")


def first_optimum(index: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Queries until a row of the highest value is queried; float [V, S], inf if never.

    Args:
      index: int [V, S, T], rows of the table; -1 for none.
      values: [V, A], larger is better, NaN where an evaluation fails.
    """
    best = values == np.nanmax(values, axis=1, keepdims=True)
    hit = np.stack([row[i] & (i >= 0) for row, i in zip(best, index, strict=True)])
    return np.where(hit.any(-1), 1.0 + hit.argmax(-1), np.inf)


def running_distinct(labels: np.ndarray) -> np.ndarray:
    """Number of different labels up to each step; int [..., T]."""
    labels = np.asarray(labels)
    flat = labels.reshape(-1, labels.shape[-1])
    new = np.zeros(flat.shape, bool)
    for row, seen in zip(new, flat, strict=True):
        row[np.unique(seen, return_index=True)[1]] = True
    return np.cumsum(new, axis=-1).reshape(labels.shape)


def late_means(info: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Means of diagnostics [T] over the last 100 steps, for results files."""
    return {f"last_100_{key}": float(np.mean(x[-100:])) for key, x in info.items()}


def traces(runs: Sequence[SearchRun]) -> dict[str, np.ndarray]:
    """Every query of S searches of T steps, for results.npz: by name, [S, T, ...]."""
    trace = jax.tree.map(lambda *rows: np.stack(rows), *(run.trace for run in runs))
    columns = {name: getattr(trace, name) for name in ("arch", "accuracy", "loss")}
    return columns | trace.info | metrics(trace)


def metrics(result: Trace | Result) -> dict[str, np.ndarray]:
    """The metrics of a result's queries by the names of their arrays, for npz files."""
    return {f"{METRICS}{name}": x for name, x in result.metrics.items()}


class Best(NamedTuple):
    """The best query of each search after a number of queries; arrays [V, S]."""

    row: np.ndarray  # of the table
    observed: np.ndarray  # by the search; -inf if every query failed
    value: np.ndarray  # the table's value, the mean over trials
    rank: np.ndarray  # of `value` among all rows, 1 is best


def best_after(result: Result, values: np.ndarray, queries: int) -> Best:
    """Each search's best query, by the accuracies that it observed.

    Args:
      result: of one method.
      values: the table's columns, float32 [V, A].
      queries: number of queries that count.
    """
    seen = result.accuracy[..., :queries]
    seen = np.where(np.isfinite(seen), seen, -np.inf)
    at = seen.argmax(-1)[..., None]
    row = np.take_along_axis(result.arch_index, at, -1)[..., 0]
    value = np.take_along_axis(values, row, axis=1)
    ranks = [rank(column, v) for column, v in zip(values, value, strict=True)]
    observed = np.take_along_axis(seen, at, -1)[..., 0]
    return Best(row, observed, value, np.stack(ranks))


def incumbent(result: Result, values: np.ndarray) -> np.ndarray:
    """The table's value of the best query so far, float64 [V, S, T]; -inf for none.

    The best query is that with the highest observed accuracy; if observations are
    noisy, its value in the table may decrease.

    Args:
      result: of a search on the table; larger is better; NaN failed.
      values: [V, A].
    """
    seen = np.asarray(result.accuracy, np.float64)
    seen = np.where(np.isfinite(seen), seen, -np.inf)
    best = np.maximum.accumulate(seen, axis=-1)
    at = np.zeros(seen.shape, int)
    better = seen[..., 1:] > best[..., :-1]
    at[..., 1:] = np.where(better, np.arange(1, seen.shape[-1]), 0)
    at = np.maximum.accumulate(at, axis=-1)
    rows = np.take_along_axis(result.arch_index, at, -1)
    reached = np.stack([column[i] for column, i in zip(values, rows, strict=True)])
    return np.where(best > -np.inf, reached, -np.inf)


def late_policy(result: Result) -> np.ndarray | None:
    """Mean accuracy of the policy's own actions in the last 100 steps, [V, S].

    It shows whether the policy learnt, unlike the best so far. None for a method
    without a policy.
    """
    if "explored" not in result.info:
        return None
    seen = result.accuracy[..., -100:]
    own = ~result.info["explored"][..., -100:] & np.isfinite(seen)
    count = own.sum(-1)
    total = np.where(own, seen, 0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _number(x: np.ndarray) -> float | None:
    """The number, or None where it is not finite: JSON has no NaN."""
    return float(x) if np.isfinite(x) else None


def _entry(best: Best, v: int, s: int) -> dict[str, Any]:
    return {
        "best": _number(best.observed[v, s]),
        "rank": int(best.rank[v, s]),
        "arch_index": int(best.row[v, s]),
        "table_value": _number(best.value[v, s]),
    }


@dataclasses.dataclass(frozen=True)
class Searches:
    """Searches of V columns of a table by several methods, with S seeds each."""

    results: Mapping[str, Result]  # by method
    values: np.ndarray  # [V, A], larger is better; NaN where an evaluation fails
    columns: Sequence[str]  # names
    seeds: Sequence[int]
    budgets: Sequence[int]  # numbers of queries to report; the last is the whole search
    classes: np.ndarray  # int [A], isomorphism class of each row

    @property
    def optima(self) -> np.ndarray:
        """[V], the largest value of each column."""
        return np.nanmax(self.values, axis=1)

    @functools.cached_property
    def reached(self) -> dict[str, np.ndarray]:
        """By method, the table's value of the best query so far, see `incumbent`."""
        return {n: incumbent(x, self.values) for n, x in self.results.items()}

    def regret(self, method: str) -> np.ndarray:
        """r_t = optimum - value reached after t queries, float64 [V, S, T]."""
        return self.optima[:, None, None].astype(np.float64) - self.reached[method]

    def distinct(self, method: str) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of different rows and of isomorphism classes queried, int [V, S]."""
        index = self.results[method].arch_index
        rows, classes = map(running_distinct, (index, self.classes[index]))
        return rows[..., -1], classes[..., -1]

    def pick(self, columns: Sequence[int]) -> "Searches":
        """Some of the columns, by index."""
        at = list(columns)
        results = {
            name: result._replace(
                arch_index=result.arch_index[at],
                accuracy=result.accuracy[at],
                info={key: x[at] for key, x in result.info.items()},
                metrics={key: x[at] for key, x in result.metrics.items()},
                states={},
            )
            for name, result in self.results.items()
        }
        names = [self.columns[v] for v in at]
        rest = self.seeds, self.budgets, self.classes
        return Searches(results, self.values[at], names, *rest)

    def describe(self) -> dict[str, Any]:
        """The methods' part of results.json: the best value and its rank per seed."""
        return {method: self._describe(method) for method in self.results}

    def _describe(self, method: str) -> dict[str, Any]:
        result = self.results[method]
        bests = {n: best_after(result, self.values, n) for n in self.budgets}
        distinct, classes = self.distinct(method)
        late = late_policy(result)

        def search(v: int, s: int) -> dict[str, Any]:
            entry: dict[str, Any] = _entry(bests[self.budgets[-1]], v, s)
            entry["queries"] = {str(n): _entry(best, v, s) for n, best in bests.items()}
            entry["distinct"] = int(distinct[v, s])
            entry["distinct_non_isomorphic"] = int(classes[v, s])
            if late is not None:
                entry["late_policy_accuracy"] = _number(late[v, s])
            for key, x in result.info.items():
                entry[f"last_100_{key}"] = _number(np.mean(x[v, s, -100:]))
            return entry

        columns = {}
        for v, name in enumerate(self.columns):
            seeds = {str(seed): search(v, s) for s, seed in enumerate(self.seeds)}
            columns[name] = {"seeds": seeds}
        return {
            "compile_seconds": result.compile_seconds,
            "run_seconds": result.run_seconds,
            "columns": columns,
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """The content of results.npz: every query of every search."""
        seeds = np.array(self.seeds, np.int64)
        out = {"columns": np.array(self.columns), "seeds": seeds}
        for name, result in self.results.items():
            out[f"{name}__arch_index"] = result.arch_index.astype(np.int32)
            out[f"{name}__accuracy"] = result.accuracy.astype(np.float32)
            for key, x in {**result.info, **metrics(result)}.items():
                out[f"{name}__{key}"] = x
            for step, state in result.states.items():
                if isinstance(state, np.ndarray):
                    out[f"{name}__state_{step}"] = state
        return out
