import itertools

import numpy as np
import pytest
import scipy.stats

from nasjax.analysis.query_metrics import (
    best_so_far,
    expected_random_best,
    first_hit,
    rank,
    running_distinct,
)
from nasjax.analysis.statistics import paired, slope


def test_rank_counts_the_strictly_better():
    values = np.array([0.5, 0.9, 0.7, 0.9])
    ranks = rank(values, np.array([0.9, 0.7, 0.5, 0.95, 0.1]))
    assert ranks.tolist() == [1, 3, 4, 1, 5]


def test_expected_random_best_by_enumeration():
    values = np.array([3.0, 1.0, 2.0, 2.0])
    draws = [max(d) for d in itertools.product(values, repeat=3)]
    assert expected_random_best(values, 3) == pytest.approx(np.mean(draws))


def test_best_so_far_passes_over_nan():
    seen = np.array([[np.nan, 2.0, 1.0, np.nan, 3.0]])
    best = best_so_far(seen)
    np.testing.assert_array_equal(best, [[np.nan, 2, 2, 2, 3]])


def test_first_hit_counts_from_one():
    seen = np.array([[0.1, 0.5, 0.5], [0.1, 0.2, 0.3]])
    assert first_hit(seen, 0.5).tolist() == [2.0, np.inf]


def test_running_distinct():
    labels = np.array([[[5, 5, 7, 5, 8]]])
    assert running_distinct(labels).tolist() == [[[1, 1, 2, 2, 3]]]


def test_paired_agrees_with_scipy_and_brackets_the_difference():
    rng = np.random.default_rng(1)
    b = rng.normal(size=20)
    a = b + 0.5 + 0.1 * rng.normal(size=20)
    p = paired(a, b)
    assert p.difference == pytest.approx(np.mean(a - b))
    assert p.low < p.difference < p.high
    assert p.low > 0.4 and p.high < 0.6
    assert p.p_value == pytest.approx(scipy.stats.wilcoxon(a - b).pvalue)
    assert paired(a, a) == (0.0, 0.0, 0.0, 1.0)


def test_slope_by_hand():
    """Points (0, 1), (1, 3), (2, 2): slope 1/2, correlation 1/2."""
    found = slope([0, 1, 2], [1, 3, 2])
    assert found.slope == pytest.approx(0.5)
    assert found.correlation == pytest.approx(0.5)
    assert slope([1, 2], [3, 3]) == (0.0, 0.0)
    with pytest.raises(ValueError, match="two different points"):
        slope([2, 2], [0, 1])


def test_failed_evaluations_are_the_worst():
    nan, inf = np.nan, np.inf
    best = best_so_far(np.array([inf, 0.2, -inf, 0.3]))
    np.testing.assert_array_equal(best, [nan, 0.2, 0.2, 0.3])
    values = np.array([0.5, nan, 0.7, nan])
    assert rank(values, np.array([0.7, 0.5, nan, inf])).tolist() == [1, 2, 3, 3]
    assert first_hit(np.array([inf, 0.2, 0.5]), 0.5) == 3


def test_expected_random_best_of_a_table_with_failures():
    """Over the draws in which anything succeeded, by enumeration."""
    values = np.array([3.0, np.nan, 2.0, np.nan])
    draws = [d for d in itertools.product(values, repeat=3) if np.isfinite(d).any()]
    wanted = np.mean([np.nanmax(d) for d in draws])
    assert expected_random_best(values, 3) == pytest.approx(wanted)
