"""Metrics of searches by queries: best so far, ranks, exact baselines."""

import numpy as np


def best_so_far(accuracy: np.ndarray) -> np.ndarray:
    """Running maximum over the last axis; failed entries count as nothing found.

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
    hit = (accuracy >= target) & (accuracy < np.inf)
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
    """How many different labels were seen by each step; int [..., T]."""
    labels = np.asarray(labels)
    flat = labels.reshape(-1, labels.shape[-1])
    new = np.zeros(flat.shape, bool)
    for row, seen in zip(new, flat, strict=True):
        row[np.unique(seen, return_index=True)[1]] = True
    return np.cumsum(new, axis=-1).reshape(labels.shape)
