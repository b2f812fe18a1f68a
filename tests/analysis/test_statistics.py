"""Statistics by hand, and numbers as tables print them."""

import numpy as np
import pytest
import scipy.stats

from nasjax.analysis.statistics import (
    describe,
    mean_std,
    normal_scores,
    p_value,
    paired,
    slope,
    spearman,
)
from nasjax.analysis.text import paired_table


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
    line = slope([0, 1, 2], [1, 3, 2])
    assert line.slope == pytest.approx(0.5)
    assert line.correlation == pytest.approx(0.5)
    assert slope([1, 2], [3, 3]) == (0.0, 0.0)
    with pytest.raises(ValueError, match="two different points"):
        slope([2, 2], [0, 1])


def test_ranks_of_ties_and_of_constants():
    """Ranks 1.5 1.5 3 against 1 2 3: 1.5 / sqrt(1.5 x 2)."""
    assert spearman([5, 5, 9], [1, 2, 3]) == pytest.approx(0.75**0.5)
    assert spearman([5, 5], [1, 2]) == 0


def test_description_for_results_files():
    assert describe([1.0, np.nan, 3.0]).to_json() == {"mean": 2.0, "deviation": 2**0.5}
    assert describe([1.0]) == (1.0, None, 1, 1)


def test_paired_table():
    rows = [(["a - b", "x"], paired([2.0, 3.0], [1.0, 2.0])), (["a - c", "x"], None)]
    text = paired_table(["who", "where"], rows, unit="gain")
    first, _, second, third = (" ".join(line.split()) for line in text.splitlines())
    assert first == "who where gain 95% interval Wilcoxon p"
    assert second == "a - b x +1.00 [+1.00, +1.00] 0.500"
    assert third == "a - c x none none none"


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0, "< 0.001"), (9.9e-4, "< 0.001"), (0.001, "0.001"), (1, "1.000")],
)
def test_p_values(p, text):
    assert p_value(p) == text


def test_mean_and_deviation():
    assert mean_std([0.5]) == "50.00"
    assert mean_std([0.9411, 0.9427]) == "94.19 ± 0.11"
    assert mean_std([1234.5678, 1235.5678], 1.0, 6) == "1235.07 ± 0.71"
    # Equal values: their mean is not one of them to the last bit.
    assert np.std([0.1] * 3, ddof=1) > 0
    assert mean_std([0.1] * 3, 1.0, 6) == "0.1 ± 0.00"
    assert mean_std([0.0, 0.0], 1.0, 6) == "0 ± 0.00"


def test_failures_are_counted_and_left_out():
    assert mean_std([0.1, np.nan, 0.3]) == "20.00 ± 14.14 (2/3)"
    assert mean_std([0.1, -np.inf], 1.0, 6) == "0.1 (1/2)"
    assert mean_std([np.nan]) == "none" and p_value(np.nan) == "none"


def test_normal_scores_by_hand():
    """Ranks 1, 2.5, 2.5, 4 of four: quantiles at 1/8, 1/2, 1/2, 7/8."""
    scores = normal_scores([-np.inf, 5, 5, 70])
    np.testing.assert_allclose(scores, [-1.1503494, 0, 0, 1.1503494], atol=1e-6)
