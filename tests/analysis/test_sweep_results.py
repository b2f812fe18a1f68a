"""Summaries of sweeps by hand: best, ranks, late policy, means, effects."""

import csv
import io

import numpy as np
import pytest

from nasjax.analysis import sweep_effects
from nasjax.analysis.statistics import interval
from nasjax.analysis.sweeps import Results, collect, own_actions
from nasjax.runs.settings import Setting, settings
from nasjax.runs.sweeps import Chunk, Lane, Queries
from nasjax.runs.table_search import Study

NAN = np.nan
TABLE = np.array([[0.1, 0.2, 0.3, 0.4], [0.8, 0.6, 0.7, NAN]], np.float32)
SETTINGS = settings("cadam", {"tau": [0.5, 0.9]})
STUDY = Study(None, None, None, ["x", "y"], [3, 5], 4)


def chunk(number, setting, column, seeds, rows, explored=None):
    lanes = [Lane(SETTINGS[setting].name, "xy"[column], seed) for seed in seeds]
    rows = np.array(rows)
    if explored is None:
        explored = np.zeros(rows.shape, bool)
    queries = Queries(rows, TABLE[column][rows], np.array(explored))
    return Chunk(f"chunk-{number}", lanes), queries


@pytest.fixture(scope="module")
def results():
    """After 2 and 4 queries; the second setting's seeds come in the other order."""
    chunks = [
        chunk(0, 0, 0, [3, 5], [[0, 1, 2, 3], [2, 2, 1, 0]]),
        chunk(1, 0, 1, [3, 5], [[3, 3, 1, 2], [0, 1, 1, 1]]),
        chunk(2, 1, 0, [5, 3], [[1, 1, 1, 1], [2, 3, 0, 0]]),
        chunk(3, 1, 1, [5, 3], [[2, 1, 2, 0], [1, 2, 2, 2]]),
    ]
    return collect(chunks, SETTINGS, STUDY, TABLE, budgets=[2, 4], late=3)


def test_best_and_rank_by_hand(results):
    """Settings x columns x seeds (3, 5) x budgets (2, 4)."""
    best = [
        [[[0.2, 0.4], [0.3, 0.3]], [[NAN, 0.7], [0.8, 0.8]]],
        [[[0.4, 0.4], [0.2, 0.2]], [[0.7, 0.7], [0.7, 0.8]]],
    ]
    np.testing.assert_allclose(results.best, best, rtol=1e-6)
    ranks = [
        [[[3, 1], [2, 2]], [[4, 2], [1, 1]]],
        [[[1, 1], [3, 3]], [[2, 2], [2, 1]]],
    ]
    np.testing.assert_array_equal(results.rank, ranks)
    after = [[[4, np.inf], [np.inf, 1]], [[2, np.inf], [np.inf, 4]]]
    np.testing.assert_array_equal(results.optimum_after, after)
    # Means of the ranks after all queries: 6 / 4 and 7 / 4.
    np.testing.assert_array_equal(results.mean_ranks(), [1.5, 1.75])
    np.testing.assert_array_equal(results.mean_ranks(2), [2.5, 2.0])


def test_the_late_policy_by_hand(results):
    """The last 3 queries; random ones and failures do not count."""
    np.testing.assert_allclose(results.late[0, 0, :, 1], [0.3, 0.2], rtol=1e-6)
    np.testing.assert_allclose(results.late[0, 1, 0], [NAN, 0.65], rtol=1e-6)
    explored = [[False, True, False, True], [True] * 4]
    _, queries = chunk(0, 0, 0, [1, 2], [[0, 1, 2, 3], [0, 1, 2, 3]], explored)
    np.testing.assert_allclose(own_actions(queries, 4, 3), [0.3, NAN], rtol=1e-6)
    np.testing.assert_allclose(own_actions(queries, 2, 100), [0.1, NAN], rtol=1e-6)


def test_one_row_per_search_and_budget(results):
    rows = list(csv.DictReader(io.StringIO(results.csv())))
    assert len(rows) == 2 * 2 * 2 * 2
    wanted = {
        "method": "cadam",
        "setting": "cadam tau=0.5",
        "column": "y",
        "seed": "3",
        "tau": "0.5",
        "queries": "2",
        "best_accuracy": "",
        "rank": "4",
        "late_policy_accuracy": "",
        "queries_to_optimum": "",
    }
    assert rows[4] == wanted
    assert rows[1]["queries_to_optimum"] == "4"
    assert rows[0]["queries_to_optimum"] == ""  # it took more than 2
    tidy = results.tidy()
    np.testing.assert_array_equal(tidy["tau"], 8 * [0.5] + 8 * [0.9])
    assert {len(x) for x in tidy.values()} == {16}
    other = Results([*SETTINGS[:1], Setting("random", None)], *vars_of(results))
    assert other.fields() == []  # one setting of each method: nothing differs


def vars_of(results):
    names = ("columns", "seeds", "budgets", "best", "rank", "late", "optimum_after")
    return [getattr(results, name) for name in names]


def test_intervals_by_hand(results):
    """Two seeds: 0.35 +- 12.706 x 0.05."""
    low, high = interval(np.array([0.3, 0.4]))
    assert (low, high) == pytest.approx((0.35 - 0.6353, 0.35 + 0.6353), abs=1e-4)
    assert np.isnan(interval(np.array([0.3, NAN]))).all()
    means = results.means(4).splitlines()
    assert "35.00 [-28.53, 98.53]" in means[2]
    with pytest.raises(ValueError, match="budget is 3; allowed: 2, 4"):
        results.means(3)


def test_comparisons_are_paired_over_seeds(results):
    """tau 0.9 - tau 0.5 on x: 0 and -10 points; on y: 0 and 0."""
    lines = results.compared(SETTINGS[0]).splitlines()
    assert lines[0].split()[:2] == ["minus", "cadam"]
    assert lines[2].split()[:6] == [
        "cadam",
        "x",
        "-5.00",
        "[-10.00,",
        "+0.00]",
        "1.000",
    ]
    assert lines[3].split()[2] == "+0.00"


def made(design, score, **values):
    """Results whose best is a function of the setting's values and the seed."""
    tried = settings("cadam", values, design=design)
    best = np.array([[[[score(s.config, e)] for e in (0, 1)]] for s in tried])
    shape = best.shape
    shared = ["x"], [1, 2], [4]
    ranks = np.ones(shape, int)
    return Results(tried, *shared, best, ranks, best / 2, np.ones(shape[:3]))


def test_effects_in_a_grid():
    """The mean over the other field, seed by seed; pairs are the table itself."""

    def score(config, seed):
        return config.tau / 2 + config.top_k / 100 + seed / 10

    grid = made("grid", score, top_k=[20, 10, 30], tau=[0.5, 0.25])
    found = sweep_effects.effect(grid, "cadam", ("tau",))
    assert found.labels == [["0.25", "0.5"]]
    np.testing.assert_allclose(found.values, [[[32.5, 45], [42.5, 55]]])
    late = sweep_effects.effect(grid, "cadam", ("tau",), "late")
    np.testing.assert_allclose(late.values, found.values / 2)
    pair = sweep_effects.effect(grid, "cadam", ("top_k", "tau"))
    assert pair.labels == [["10", "20", "30"], ["0.25", "0.5"]]
    first = [[22.5, 35], [32.5, 45], [42.5, 55]]
    np.testing.assert_allclose(pair.values, [[first, np.add(first, 10)]])


def test_effects_of_one_at_a_time():
    """Around the base alone: top_k = 64, tau = 0.9."""

    def score(config, seed):
        return config.tau * config.top_k / 100 + seed / 10

    one = made("one-at-a-time", score, top_k=[50, 100], tau=[0.5])
    tau = sweep_effects.effect(one, "cadam", ("tau",))
    np.testing.assert_allclose(tau.values[0, 0], [32, 57.6])
    top = sweep_effects.effect(one, "cadam", ("top_k",))
    assert top.labels == [["50", "64", "100"]]
    np.testing.assert_allclose(top.values[0, 0], [45, 57.6, 90])
    assert sweep_effects.effect(one, "cadam", ("top_k", "tau")) is None
