"""The likelihood of a printed table under a sweep's settings, by hand."""

import math

import numpy as np
import pytest

from nasjax.analysis import printed
from nasjax.analysis.printed import Printed, log_densities, scores, standardised
from nasjax.analysis.sweeps import Results
from nasjax.data.nb201 import COLUMNS
from nasjax.runs.settings import settings


def test_the_table_as_printed():
    table = printed.table_4_1(COLUMNS)
    assert (table.budgets, table.seeds) == ((500, 1000), 10)
    assert table.mean.shape == table.deviation.shape == (6, 2)
    np.testing.assert_array_equal(table.mean[0], [91.36, 91.47])
    np.testing.assert_array_equal(table.deviation[5], [0.39, 0.27])
    one = printed.table_4_1(["imagenet16_test"])
    np.testing.assert_array_equal(one.mean, [[46.74, 47.03]])


def test_one_entry_by_hand():
    """Seeds 91.0 and 91.2: mean 91.1, variance 0.02, besides rounding's 1e-4 / 12.

    The densities of t(10) and F(9, 1) are written out, with Gamma(11/2) =
    945 sqrt(pi) / 32, Gamma(5) = 24, and B(9/2, 1/2) = 105 pi / 16 / 24.
    """
    table = Printed((5,), np.array([[91.2]]), np.array([[0.15]]), 10)
    values = np.array([[[91.0], [91.2]]])
    variance = 0.02 + 1e-4 / 12
    scale = math.sqrt((9 * 0.15**2 + variance) / 10 * (1 / 10 + 1 / 2))
    t = math.log(945 * math.sqrt(math.pi) / 32 / 24) - math.log(10 * math.pi) / 2
    t -= 5.5 * math.log(1 + (0.1 / scale) ** 2 / 10) + math.log(scale)
    f = 0.15**2 / variance
    ratio = 4.5 * math.log(9 * f) - 5 * math.log(9 * f + 1) - math.log(f)
    ratio -= math.log(105 * math.pi / 16 / 24)
    wanted = t, ratio + math.log(2 * 0.15 / variance)
    assert wanted == pytest.approx((0.81694, 1.11380), abs=1e-4)
    np.testing.assert_allclose(log_densities(table, values).ravel(), wanted, rtol=1e-9)
    z = -0.1 / math.sqrt(0.15**2 / 10 + 0.02 / 2)
    np.testing.assert_allclose(standardised(table, values), [z])
    # Of three equal columns: 3 z / sqrt(3).
    three = Printed((5,), np.full((3, 1), 91.2), np.full((3, 1), 0.15), 10)
    both = standardised(three, np.tile(values, (3, 1, 1)))
    np.testing.assert_allclose(both, [math.sqrt(3) * z])


def test_many_seeds_are_a_normal_and_a_chi():
    """Mean 0, deviation 1: m ~ N(0, 1 / 10), 3 d ~ chi(9)."""
    values = np.tile([-1.0, 1.0], 100_000)[None, :, None]
    table = Printed((5,), np.array([[0.2]]), np.array([[1.2]]), 10)
    mean, deviation = log_densities(table, values).ravel()
    wanted = math.log(10 / (2 * math.pi)) / 2 - 0.2**2 * 10 / 2
    assert mean == pytest.approx(wanted, abs=1e-3)
    # 3 u^8 exp(-u^2 / 2) / (2^(7/2) Gamma(9/2)) at u = 3.6.
    gamma = 105 * math.sqrt(math.pi) / 16
    wanted = math.log(3) + 8 * math.log(3.6) - 3.6**2 / 2
    wanted -= 3.5 * math.log(2) + math.log(gamma)
    assert deviation == pytest.approx(wanted, abs=1e-3)


def drawn(shifts, seeds=20, budgets=(500, 1000)):
    """Settings whose bests are the printed means plus a shift, in deviations."""
    table = printed.table_4_1(COLUMNS)
    noise = np.random.default_rng(0).standard_normal((len(shifts), 6, seeds, 2))
    shifts = np.reshape(shifts, (-1, 1, 1, 1))
    values = table.mean[:, None] + table.deviation[:, None] * (noise + shifts)
    tried = settings("cadam", {"tau": np.linspace(0.1, 0.9, len(shifts)).tolist()})
    nothing = np.zeros(values.shape)
    after = np.zeros(values.shape[:3])
    shared = COLUMNS, range(seeds), budgets, values / 100, nothing, nothing, after
    return Results(tried, *shared), table


def test_the_true_setting_is_the_likeliest():
    results, table = drawn([-1.0, 0.0, 0.5])
    found = scores(results, table, resamples=50)
    assert found.order.tolist() == [1, 2, 0]
    assert found.best_share[1] > 0.9
    assert found.best_share.sum() == pytest.approx(1)
    each = [log_densities(table, 100 * x).sum() for x in results.best]
    np.testing.assert_allclose(found.score, each)
    assert np.all(found.interval[:, 0] < found.interval[:, 1])
    # -1 deviation is -1 / sqrt(1 / 10 + 1 / 20) standard errors, times sqrt(6).
    assert found.z[0] == pytest.approx(-math.sqrt(6 / 0.15), abs=3)
    assert np.abs(found.z[1]).max() < 3
    lines = found.report().splitlines()
    assert lines[0].split()[-2:] == ["z", "after"] or "z after" in lines[0]
    assert lines[3].startswith(results.names[1])
    assert list(found.to_json()) == [results.names[n] for n in found.order]


@pytest.mark.parametrize(("seeds", "budgets"), [(20, (100, 1000)), (1, (500, 1000))])
def test_what_cannot_be_scored(seeds, budgets):
    results, table = drawn([0.0], seeds, budgets)
    with pytest.raises(ValueError, match="needs results after"):
        scores(results, table)
