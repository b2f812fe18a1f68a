"""Metrics of searches: ranks, regret, exact baselines, paired comparisons."""

from typing import NamedTuple

import numpy as np
import scipy.stats


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


def kendall(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau-b of two scores [A]; 0 where one of them is constant."""
    found = scipy.stats.kendalltau(a, b).statistic
    return 0.0 if np.isnan(found) else float(found)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two scores [A]; 0 where one is constant."""
    ranks = [scipy.stats.rankdata(x) for x in (a, b)]
    if min(np.ptp(r) for r in ranks) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


class Slope(NamedTuple):
    """A straight line through points."""

    slope: float
    correlation: float  # Pearson's


def slope(x: np.ndarray, y: np.ndarray) -> Slope:
    """Least squares y = a + slope x, and the linear correlation.

    Raises:
      ValueError: fewer than two points, or x is constant.
    """
    x, y = (np.asarray(values, np.float64) for values in (x, y))
    if len(x) < 2 or np.ptp(x) == 0:
        raise ValueError(f"a line needs two different points, got x = {x.tolist()}")
    dx, dy = x - x.mean(), y - y.mean()
    correlation = dx @ dy / np.sqrt((dx @ dx) * (dy @ dy)) if dy.any() else 0.0
    return Slope(float(dx @ dy / (dx @ dx)), float(correlation))


class Paired(NamedTuple):
    """A comparison of two methods on the same seeds."""

    difference: float  # mean of a - b
    low: float  # bootstrap 95% interval of that mean
    high: float
    p_value: float  # two-sided Wilcoxon signed-rank test


def paired(a: np.ndarray, b: np.ndarray, resamples: int = 10_000) -> Paired:
    """Compares a [S] with b [S] seed by seed.

    Wilcoxon's signed-rank test and a percentile bootstrap of the mean difference
    (fixed seed). Seeds without any difference give p = 1.
    """
    gap = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    draws = np.random.default_rng(0).integers(0, len(gap), (resamples, len(gap)))
    low, high = np.quantile(gap[draws].mean(axis=1), (0.025, 0.975))
    p_value = 1.0 if not gap.any() else scipy.stats.wilcoxon(gap).pvalue
    return Paired(float(gap.mean()), float(low), float(high), float(p_value))
