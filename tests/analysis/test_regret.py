"""Regret and queries to the optimum, by hand."""

import numpy as np

from nasjax.analysis import regret
from nasjax.runs.table_search import Result

INDEX = np.array([[[2, 0, 1], [0, 0, 2]]])
VALUES = np.array([[1.0, 5.0, 4.0]])


def result(index=INDEX):
    accuracy = VALUES[0][index]
    return Result(index, accuracy, {}, {}, 0.0, 0.0)


def test_regret_by_hand():
    reached = regret.incumbent(result(), VALUES)
    found = regret.regret(reached, VALUES.max(1))
    np.testing.assert_array_equal(found, [[[1, 1, 0], [4, 4, 1]]])


def test_noise_keeps_a_lucky_query():
    """What was observed decides, what the table says counts; ties keep the first."""
    seen = np.array([[[3.0, 9.0, 8.0], [np.nan, 2.0, 2.5]]])
    found = regret.incumbent(result()._replace(accuracy=seen), VALUES)
    np.testing.assert_array_equal(found, [[[4, 1, 1], [-np.inf, 1, 4]]])


def test_first_optimum_counts_every_best_row():
    np.testing.assert_array_equal(regret.first_optimum(INDEX, VALUES), [[3, np.inf]])
    twice = np.array([[1.0, 5.0, 5.0]])
    np.testing.assert_array_equal(regret.first_optimum(INDEX, twice), [[1, 3]])
    outside = np.full((1, 1, 3), -1)  # not in the table: the last row is not meant
    np.testing.assert_array_equal(regret.first_optimum(outside, twice), [[np.inf]])


def test_texts():
    found = {"a": result(), "b": result(INDEX[:, ::-1])}
    assert "1/2" in regret.optimum_text(found, VALUES, ["x"])
    reached = {name: regret.incumbent(one, VALUES) for name, one in found.items()}
    text = regret.best_text(reached, ["x"], -VALUES.max(1), [1, 3], -1.0)
    assert "-2.5 ± 2.1" in text and "-4.5 ± 0.71" in text
    assert "a - b" in regret.paired_text(reached, ["x"], [3], "a")


def test_failures():
    """A failed query finds nothing, whatever came before or after it."""
    values = np.array([[np.nan, 5.0, 4.0]])
    index = np.array([[[0, 2, 1], [0, 0, 0], [1, 0, 0]]])
    one = Result(index, values[0][index], {}, {}, 0.0, 0.0)
    reached = regret.incumbent(one, values)
    none = -np.inf
    np.testing.assert_array_equal(reached, [[[none, 4, 5], [none] * 3, [5, 5, 5]]])
    first = regret.first_optimum(index, values)
    np.testing.assert_array_equal(first, [[3, np.inf, 1]])
    text = regret.best_text({"a": reached}, ["x"], [5.0], [1, 3], 1.0)
    assert "5 (1/3)" in text and "5 ± 0.00 (2/3)" in text
    text = regret.paired_text({"a": reached, "b": reached}, ["x"], [1, 3], "a")
    assert "none" in text and "+0" in text and "nan" not in text
