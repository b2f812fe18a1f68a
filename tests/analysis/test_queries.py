"""Searches by queries, by hand: best so far, ranks, regret."""

import itertools

import numpy as np
import pytest

from nasjax.analysis import queries, query_tables
from nasjax.analysis.queries import (
    best_so_far,
    expected_random_best,
    first_hit,
    rank,
    running_distinct,
)
from nasjax.runs.table_search import Result

INDEX = np.array([[[2, 0, 1], [0, 0, 2]]])
VALUES = np.array([[1.0, 5.0, 4.0]])


def result(index=INDEX):
    accuracy = VALUES[0][index]
    return Result(index, accuracy, {}, {}, 0.0, 0.0)


def test_regret_by_hand():
    reached = queries.incumbent(result(), VALUES)
    found = queries.regret(reached, VALUES.max(1))
    np.testing.assert_array_equal(found, [[[1, 1, 0], [4, 4, 1]]])


def test_noise_keeps_a_lucky_query():
    """The best is by observation, its value by the table; ties keep the first."""
    seen = np.array([[[3.0, 9.0, 8.0], [np.nan, 2.0, 2.5]]])
    found = queries.incumbent(result()._replace(accuracy=seen), VALUES)
    np.testing.assert_array_equal(found, [[[4, 1, 1], [-np.inf, 1, 4]]])


def test_first_optimum_counts_every_best_row():
    np.testing.assert_array_equal(queries.first_optimum(INDEX, VALUES), [[3, np.inf]])
    twice = np.array([[1.0, 5.0, 5.0]])
    np.testing.assert_array_equal(queries.first_optimum(INDEX, twice), [[1, 3]])
    outside = np.full((1, 1, 3), -1)  # not in the table: the last row is not meant
    np.testing.assert_array_equal(queries.first_optimum(outside, twice), [[np.inf]])


def test_texts():
    found = {"a": result(), "b": result(INDEX[:, ::-1])}
    assert "1/2" in query_tables.optimum_table(found, VALUES, ["x"])
    reached = {name: queries.incumbent(one, VALUES) for name, one in found.items()}
    text = query_tables.value_table(reached, ["x"], -VALUES.max(1), [1, 3], -1.0)
    assert "-2.5 ± 2.1" in text and "-4.5 ± 0.71" in text
    assert "a - b" in query_tables.comparison_table(reached, ["x"], [3], "a")


def test_failures():
    """A failed query finds nothing, whatever came before or after it."""
    values = np.array([[np.nan, 5.0, 4.0]])
    index = np.array([[[0, 2, 1], [0, 0, 0], [1, 0, 0]]])
    one = Result(index, values[0][index], {}, {}, 0.0, 0.0)
    reached = queries.incumbent(one, values)
    none = -np.inf
    np.testing.assert_array_equal(reached, [[[none, 4, 5], [none] * 3, [5, 5, 5]]])
    first = queries.first_optimum(index, values)
    np.testing.assert_array_equal(first, [[3, np.inf, 1]])
    text = query_tables.value_table({"a": reached}, ["x"], [5.0], [1, 3], 1.0)
    assert "5 (1/3)" in text and "5 ± 0.00 (2/3)" in text
    text = query_tables.comparison_table(
        {"a": reached, "b": reached}, ["x"], [1, 3], "a"
    )
    assert "none" in text and "+0" in text and "nan" not in text


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
