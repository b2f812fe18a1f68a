"""What a study found: per seed and column, as arrays and for results.json."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nasjax.analysis import query_metrics
from nasjax.runs.table_search import Result


class Best(NamedTuple):
    """The best query of each search after so many queries; arrays [V, S]."""

    index: np.ndarray  # row of the table
    observed: np.ndarray  # what the search saw; -inf if every query failed
    value: np.ndarray  # the table's value, the mean over trials
    rank: np.ndarray  # of `value` among all rows, 1 is best


def best_after(result: Result, values: np.ndarray, queries: int) -> Best:
    """Picks each search's best query.

    Args:
      result: of one method.
      values: the table's columns, float32 [V, A].
      queries: how many queries count.
    """
    seen = result.accuracy[..., :queries]
    seen = np.where(np.isfinite(seen), seen, -np.inf)
    at = seen.argmax(-1)[..., None]
    index = np.take_along_axis(result.arch_index, at, -1)[..., 0]
    value = np.take_along_axis(values, index, axis=1)
    rank = np.stack(
        [query_metrics.rank(row, v) for row, v in zip(values, value, strict=True)]
    )
    return Best(index, np.take_along_axis(seen, at, -1)[..., 0], value, rank)


def late_policy(result: Result, last: int = 100) -> np.ndarray | None:
    """Mean accuracy of the policy's own actions in the last steps; [V, S] or None.

    It shows whether a policy learnt, which the best so far hardly does.
    """
    if "explored" not in result.info:
        return None
    seen = result.accuracy[..., -last:]
    own = ~result.info["explored"][..., -last:] & np.isfinite(seen)
    accuracy = np.where(own, seen, np.nan)
    counted = own.sum(-1)
    total = np.nansum(accuracy, axis=-1)
    return np.where(counted > 0, total / np.maximum(counted, 1), np.nan)


def describe_column(column: Any, trial: str) -> dict[str, Any]:
    """Where a column came from and what it holds, for results files."""
    best = int(column.values.argmax())
    return {
        "source": column.source,
        "benchmark_version": column.version,
        "trials_version": column.trials_version,
        "sha256": column.sha256,
        "dataset": column.dataset,
        "split": column.split,
        "epochs": column.epochs,
        "trial": trial,
        "predicted": column.predicted,
        "optimum": float(column.values[best]),
        "optimum_index": best,
    }


def describe(
    result: Result,
    values: np.ndarray,
    classes: np.ndarray,
    columns: Sequence[str],
    seeds: Sequence[int],
    marks: Sequence[int],
) -> dict[str, Any]:
    """A method's part of results.json: the best value and its rank per seed.

    Args:
      result: of the method.
      values: [V, A].
      classes: int [A], isomorphism class of each row.
      columns, seeds: their names and numbers.
      marks: numbers of queries to report; the last is the whole search.
    """
    bests = {mark: best_after(result, values, mark) for mark in marks}
    distinct = query_metrics.running_distinct(result.arch_index)[..., -1]
    cells = query_metrics.running_distinct(classes[result.arch_index])[..., -1]
    late = late_policy(result)
    out: dict[str, Any] = {
        "compile_seconds": result.compile_seconds,
        "run_seconds": result.run_seconds,
        "columns": {},
    }
    for v, name in enumerate(columns):
        per_seed = {}
        for s, seed in enumerate(seeds):
            entry: dict[str, Any] = _entry(bests[marks[-1]], v, s)
            entry["queries"] = {str(m): _entry(bests[m], v, s) for m in marks}
            entry["distinct"] = int(distinct[v, s])
            entry["distinct_non_isomorphic"] = int(cells[v, s])
            if late is not None:
                entry["late_policy_accuracy"] = _number(late[v, s])
            for key, x in result.info.items():
                entry[f"last_100_{key}"] = _number(np.mean(x[v, s, -100:]))
            per_seed[str(seed)] = entry
        out["columns"][name] = {"seeds": per_seed}
    return out


def _number(x: np.ndarray) -> float | None:
    """JSON has no NaN."""
    return float(x) if np.isfinite(x) else None


def _entry(best: Best, v: int, s: int) -> dict[str, Any]:
    return {
        "best": _number(best.observed[v, s]),
        "rank": int(best.rank[v, s]),
        "arch_index": int(best.index[v, s]),
        "table_value": _number(best.value[v, s]),
    }


def arrays(
    results: Mapping[str, Result], columns: Sequence[str], seeds: Sequence[int]
) -> dict[str, np.ndarray]:
    """The content of results.npz: every query of every search."""
    out = {"columns": np.array(columns), "seeds": np.array(seeds, np.int64)}
    for name, result in results.items():
        out[f"{name}__arch_index"] = result.arch_index.astype(np.int32)
        out[f"{name}__accuracy"] = result.accuracy.astype(np.float32)
        for key, x in result.info.items():
            out[f"{name}__{key}"] = x
        for mark, state in result.states.items():
            if isinstance(state, np.ndarray):
                out[f"{name}__state_{mark}"] = state
    return out
