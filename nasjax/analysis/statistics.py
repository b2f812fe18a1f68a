"""Statistics: rank correlations, lines, paired comparisons, means and deviations."""

from typing import NamedTuple

import numpy as np
import scipy.stats


def mean_std(
    values: np.ndarray, scale: float = 100.0, digits: int | None = None
) -> str:
    """`94.11 ± 0.16`, with n - 1 in the deviation; a single value without it.

    Args:
      values: [n]; what is not finite has failed, is left out and counted.
      scale: 100 shows fractions in percent.
      digits: so many significant ones of the mean and two of the deviation, for values
        of any unit; None shows two decimals of both.
    """
    values = scale * np.asarray(values, np.float64)
    good = values[np.isfinite(values)]
    if not good.size:
        return "none"
    text = f"{good.mean():.2f}" if digits is None else f"{good.mean():.{digits}g}"
    if good.size > 1:
        deviation = good.std(ddof=1)
        # Equal values: what is left is rounding.
        exact = digits is None or deviation <= 1e-12 * np.abs(good).max()
        text += f" ± {deviation:.2f}" if exact else f" ± {deviation:.2g}"
    return text if good.size == values.size else f"{text} ({good.size}/{values.size})"


def p_value(p: float) -> str:
    """A p-value as tables print it: `0.031`, or `< 0.001`."""
    if not np.isfinite(p):
        return "none"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


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
