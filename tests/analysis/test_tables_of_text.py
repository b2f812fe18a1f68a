"""Numbers as tables print them."""

import numpy as np
import pytest

from nasjax.analysis.statistics import mean_std, p_value


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
