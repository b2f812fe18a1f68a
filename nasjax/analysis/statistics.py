"""Statistics: means and deviations, rank correlations, lines, paired comparisons."""

from typing import NamedTuple

import numpy as np
import scipy.stats


class Summary(NamedTuple):
    """Mean and deviation of the values that are finite."""

    mean: float  # NaN for none
    deviation: float | None  # with n - 1; None for fewer than two
    finite: int  # number of finite values
    total: int  # number of values

    def to_json(self) -> dict[str, float | None]:
        """`mean` and `deviation`, for results files."""
        return {"mean": self.mean, "deviation": self.deviation}


def describe(values: np.ndarray) -> Summary:
    """Summarises values [n]; those that are not finite are left out."""
    values = np.asarray(values, np.float64)
    good = values[np.isfinite(values)]
    mean = float(good.mean()) if good.size else np.nan
    deviation = float(good.std(ddof=1)) if good.size > 1 else None
    return Summary(mean, deviation, good.size, values.size)


def interval(values: np.ndarray) -> tuple[float, float]:
    """95% interval of the mean of values [n], by Student's t; NaN for fewer than two.

    Values that are not finite are left out.
    """
    summary = describe(values)
    if summary.deviation is None:
        return np.nan, np.nan
    t = scipy.stats.t.ppf(0.975, summary.finite - 1)
    half = float(t) * summary.deviation / np.sqrt(summary.finite)
    return summary.mean - half, summary.mean + half


def mean_std(
    values: np.ndarray, scale: float = 100.0, digits: int | None = None
) -> str:
    """Mean ± deviation as text: `94.11 ± 0.16`, or `94.11` for a single value.

    If some values are not finite, the finite ones are counted: `94.11 ± 0.16 (2/3)`.

    Args:
      values: [n].
      scale: 100 shows fractions in percent.
      digits: significant digits of the mean, with two of the deviation, for values of
        any unit; None shows two decimals of both.
    """
    summary = describe(scale * np.asarray(values, np.float64))
    if not summary.finite:
        return "none"
    mean, deviation = summary.mean, summary.deviation
    text = f"{mean:.2f}" if digits is None else f"{mean:.{digits}g}"
    if deviation is not None:
        # The deviation of equal values is rounding error, shown as 0.00.
        decimals = digits is None or deviation <= 1e-12 * abs(mean)
        text += f" ± {deviation:.2f}" if decimals else f" ± {deviation:.2g}"
    failed = summary.finite < summary.total
    return f"{text} ({summary.finite}/{summary.total})" if failed else text


def p_value(p: float) -> str:
    """A p-value as tables print it: `0.031`, or `< 0.001`."""
    if not np.isfinite(p):
        return "none"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def kendall(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau-b of two scores [A]; 0 where one of them is constant."""
    tau = scipy.stats.kendalltau(a, b).statistic
    return 0.0 if np.isnan(tau) else float(tau)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two scores [A]; 0 where one is constant."""
    if not (np.ptp(a) and np.ptp(b)):
        return 0.0
    return float(scipy.stats.spearmanr(a, b).statistic)


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Normal quantiles of the ranks of values [A]; ties take their mean rank."""
    rank = scipy.stats.rankdata(values)
    return scipy.stats.norm.ppf((rank - 0.5) / len(rank))


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
    line = scipy.stats.linregress(x, y)
    # The correlation with a constant is 0 by convention; scipy has NaN.
    return Slope(float(line.slope), float(line.rvalue) if np.ptp(y) else 0.0)


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
