"""Regret and queries to the optimum, by hand."""

import numpy as np

from nasjax import regret
from nasjax.study import Result

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
