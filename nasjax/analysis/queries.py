"""Searches by queries: best so far, ranks, regret, per seed and column."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nasjax.runs.table_search import Result


def best_so_far(accuracy: np.ndarray) -> np.ndarray:
    """Running maximum over the last axis; failed entries are passed over.

    Args:
      accuracy: [..., T], not finite where an evaluation failed.

    Returns:
      [..., T], NaN before the first that succeeded.
    """
    accuracy = np.asarray(accuracy)
    return np.fmax.accumulate(
        np.where(np.isfinite(accuracy), accuracy, np.nan), axis=-1
    )


def rank(values: np.ndarray, value: np.ndarray) -> np.ndarray:
    """1 + the number of entries of `values` [A] strictly better than `value`.

    Entries that are not finite have failed: they are better than nothing, and every
    one that succeeded is better than a `value` that is not finite.
    """
    values, value = np.asarray(values), np.asarray(value)
    ordered = np.sort(values[np.isfinite(values)])
    value = np.where(np.isfinite(value), value, -np.inf)
    return 1 + len(ordered) - np.searchsorted(ordered, value, side="right")


def first_hit(accuracy: np.ndarray, target: float) -> np.ndarray:
    """Queries until `target` is reached, counted from 1; infinity if never.

    Args:
      accuracy: [..., T], one value per query.
      target: e.g. the table's optimum.
    """
    accuracy = np.asarray(accuracy)
    return _first((accuracy >= target) & (accuracy < np.inf))


def first_optimum(index: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Queries until a row of the highest value is queried; float [V, S], inf if never.

    Args:
      index: int [V, S, T], rows of the table; -1 for none.
      values: [V, A], larger is better, NaN where an evaluation fails.
    """
    best = values == np.nanmax(values, axis=1, keepdims=True)
    return _first(
        np.stack([row[i] & (i >= 0) for row, i in zip(best, index, strict=True)])
    )


def _first(hit: np.ndarray) -> np.ndarray:
    """Place of the first True in [..., T], counted from 1; infinity for none."""
    return np.where(hit.any(-1), 1.0 + hit.argmax(-1), np.inf)


def expected_random_best(values: np.ndarray, queries: int) -> float:
    """Exact mean of the best of `queries` uniform draws with replacement.

    sum_i v_(i) [(i / n)^N - ((i - 1) / n)^N], v_(i) ascending. Entries that are not
    finite are drawn as well and never best: the mean is over draws with any other.
    """
    values = np.asarray(values, np.float64)
    ordered = np.sort(values[np.isfinite(values)])
    failed = len(values) - len(ordered)
    share = (np.arange(failed, len(values) + 1) / len(values)) ** queries
    best = ordered @ np.diff(share)
    return float(best / (1 - share[0]) if failed else best)


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


def select(result: Result, pick: Sequence[int]) -> Result:
    """The result of some of the columns, by index, without states."""
    at = list(pick)
    info = {key: x[at] for key, x in result.info.items()}
    return result._replace(
        arch_index=result.arch_index[at],
        accuracy=result.accuracy[at],
        info=info,
        states={},
    )


class Best(NamedTuple):
    """The best query of each search after a number of queries; arrays [V, S]."""

    row: np.ndarray  # of the table
    observed: np.ndarray  # by the search; -inf if every query failed
    value: np.ndarray  # the table's value, the mean over trials
    rank: np.ndarray  # of `value` among all rows, 1 is best


def best_after(result: Result, values: np.ndarray, queries: int) -> Best:
    """Picks each search's best query, by what the search observed.

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

    Best is by what was observed: with noise the table's value may fall.

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


def regret(reached: np.ndarray, optimum: np.ndarray) -> np.ndarray:
    """r_t = optimum - value reached after t queries, float64 [V, S, T].

    Args:
      reached: [V, S, T], from `incumbent`.
      optimum: [V], the largest value of each column.
    """
    return np.asarray(optimum, np.float64)[:, None, None] - reached


def late_policy(result: Result, last: int = 100) -> np.ndarray | None:
    """Mean accuracy of the policy's own actions in the last steps; [V, S] or None.

    It shows whether a policy learnt, which the best so far hardly does.
    """
    if "explored" not in result.info:
        return None
    seen = result.accuracy[..., -last:]
    own = ~result.info["explored"][..., -last:] & np.isfinite(seen)
    count = own.sum(-1)
    total = np.where(own, seen, 0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def describe_method(
    result: Result,
    values: np.ndarray,
    classes: np.ndarray,
    columns: Sequence[str],
    seeds: Sequence[int],
    budgets: Sequence[int],
) -> dict[str, Any]:
    """A method's part of results.json: the best value and its rank per seed.

    Args:
      result: of the method.
      values: [V, A].
      classes: int [A], isomorphism class of each row.
      columns, seeds: their names and numbers.
      budgets: numbers of queries to report; the last is the whole search.
    """
    bests = {budget: best_after(result, values, budget) for budget in budgets}
    distinct = running_distinct(result.arch_index)[..., -1]
    cells = running_distinct(classes[result.arch_index])[..., -1]
    late = late_policy(result)

    def search(v: int, s: int) -> dict[str, Any]:
        entry: dict[str, Any] = _entry(bests[budgets[-1]], v, s)
        entry["queries"] = {str(n): _entry(best, v, s) for n, best in bests.items()}
        entry["distinct"] = int(distinct[v, s])
        entry["distinct_non_isomorphic"] = int(cells[v, s])
        if late is not None:
            entry["late_policy_accuracy"] = _number(late[v, s])
        for key, x in result.info.items():
            entry[f"last_100_{key}"] = _number(np.mean(x[v, s, -100:]))
        return entry

    return {
        "compile_seconds": result.compile_seconds,
        "run_seconds": result.run_seconds,
        "columns": {
            name: {"seeds": {str(seed): search(v, s) for s, seed in enumerate(seeds)}}
            for v, name in enumerate(columns)
        },
    }


def _number(x: np.ndarray) -> float | None:
    """JSON has no NaN."""
    return float(x) if np.isfinite(x) else None


def _entry(best: Best, v: int, s: int) -> dict[str, Any]:
    return {
        "best": _number(best.observed[v, s]),
        "rank": int(best.rank[v, s]),
        "arch_index": int(best.row[v, s]),
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
        for step, state in result.states.items():
            if isinstance(state, np.ndarray):
                out[f"{name}__state_{step}"] = state
    return out
