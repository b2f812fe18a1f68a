"""Searches by queries, by hand: best so far, ranks, regret."""

import numpy as np

from nasjax.analysis import queries, query_tables
from nasjax.analysis.queries import best_so_far, rank, running_distinct
from nasjax.runs.table_search import Result

INDEX = np.array([[[2, 0, 1], [0, 0, 2]]])
VALUES = np.array([[1.0, 5.0, 4.0]])


def result(index=INDEX, values=VALUES):
    return Result(index, values[0][index], {}, {}, 0.0, 0.0)


def searches(results, values=VALUES):
    columns, seeds, budgets = ["x"], [1, 2], [1, 3]
    return queries.Searches(results, values, columns, seeds, budgets, np.arange(3))


def test_regret_by_hand():
    regret = searches({"a": result()}).regret("a")
    np.testing.assert_array_equal(regret, [[[1, 1, 0], [4, 4, 1]]])


def test_noise_keeps_a_lucky_query():
    """The best is by observation, its value by the table; ties keep the first."""
    seen = np.array([[[3.0, 9.0, 8.0], [np.nan, 2.0, 2.5]]])
    reached = queries.incumbent(result()._replace(accuracy=seen), VALUES)
    np.testing.assert_array_equal(reached, [[[4, 1, 1], [-np.inf, 1, 4]]])


def test_first_optimum_counts_every_best_row():
    np.testing.assert_array_equal(queries.first_optimum(INDEX, VALUES), [[3, np.inf]])
    twice = np.array([[1.0, 5.0, 5.0]])
    np.testing.assert_array_equal(queries.first_optimum(INDEX, twice), [[1, 3]])
    outside = np.full((1, 1, 3), -1)  # not in the table: the last row is not meant
    np.testing.assert_array_equal(queries.first_optimum(outside, twice), [[np.inf]])


def test_texts():
    both = searches({"a": result(), "b": result(INDEX[:, ::-1])})
    assert "1/2" in query_tables.optimum_table(both)
    text = query_tables.value_table(both, -1.0)
    assert "-2.5 ± 2.1" in text and "-4.5 ± 0.71" in text
    assert "a - b" in query_tables.comparison_table(both, "a", [3])


def test_failures():
    """A failed query counts for nothing, whatever came before or after it."""
    values = np.array([[np.nan, 5.0, 4.0]])
    index = np.array([[[0, 2, 1], [0, 0, 0], [1, 0, 0]]])
    both = searches(dict.fromkeys("ab", result(index, values)), values)
    none = -np.inf
    for reached in both.reached.values():
        np.testing.assert_array_equal(reached, [[[none, 4, 5], [none] * 3, [5, 5, 5]]])
    first = queries.first_optimum(index, values)
    np.testing.assert_array_equal(first, [[3, np.inf, 1]])
    text = query_tables.value_table(both, 1.0)
    assert "5 (1/3)" in text and "5 ± 0.00 (2/3)" in text
    text = query_tables.comparison_table(both, "a", [1, 3])
    assert "none" in text and "+0" in text and "nan" not in text


def test_rank_counts_the_strictly_better():
    values = np.array([0.5, 0.9, 0.7, 0.9])
    ranks = rank(values, np.array([0.9, 0.7, 0.5, 0.95, 0.1]))
    assert ranks.tolist() == [1, 3, 4, 1, 5]


def test_best_so_far_passes_over_nan():
    seen = np.array([[np.nan, 2.0, 1.0, np.nan, 3.0]])
    best = best_so_far(seen)
    np.testing.assert_array_equal(best, [[np.nan, 2, 2, 2, 3]])


def test_running_distinct():
    labels = np.array([[[5, 5, 7, 5, 8]]])
    assert running_distinct(labels).tolist() == [[[1, 1, 2, 2, 3]]]


def test_failed_evaluations_are_the_worst():
    nan, inf = np.nan, np.inf
    best = best_so_far(np.array([inf, 0.2, -inf, 0.3]))
    np.testing.assert_array_equal(best, [nan, 0.2, 0.2, 0.3])
    values = np.array([0.5, nan, 0.7, nan])
    assert rank(values, np.array([0.7, 0.5, nan, inf])).tolist() == [1, 2, 3, 3]
