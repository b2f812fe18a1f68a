"""Objectives and constraints: their texts, and the values of outcomes."""

import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.search import Constraint, Objective, Outcome, objectives


def test_texts():
    assert objectives.objective("accuracy") == Objective("accuracy", "max")
    assert objectives.objective("a:b:min") == Objective("a:b", "min")
    assert objectives.constraint("latency <= 5e-3") == Constraint("latency", "<=", 5e-3)
    assert str(objectives.constraint("accuracy>=0.9")) == "accuracy>=0.9"
    goals, bounds = objectives.read(["accuracy", "latency:min"], ["latency<=5"])
    assert [x.sign for x in (*goals, *bounds)] == [1, -1, -1]


@pytest.mark.parametrize("text", ["", ":max", "accuracy:most"])
def test_a_bad_objective_is_named(text):
    with pytest.raises(ValueError, match="allowed: NAME:max or NAME:min"):
        objectives.objective(text)


@pytest.mark.parametrize("text", ["", "latency", "a<5", "a<=low", "a<=nan", "<=5"])
def test_a_bad_constraint_is_named(text):
    with pytest.raises(ValueError, match="allowed: NAME<=NUMBER or NAME>=NUMBER"):
        objectives.constraint(text)


def test_a_search_needs_distinct_objectives():
    with pytest.raises(ValueError, match="at least one objective"):
        objectives.read([])
    with pytest.raises(ValueError, match="accuracy: named twice"):
        objectives.read(["accuracy", "accuracy:min"])


def test_a_text_is_no_list():
    with pytest.raises(ValueError, match="are lists, got 'accuracy:max'"):
        objectives.read("accuracy:max")
    with pytest.raises(ValueError, match="are lists, got 'latency<=5'"):
        objectives.read(["accuracy"], "latency<=5")


def test_values_are_oriented():
    terms = Objective("accuracy"), Constraint("latency", "<=", 5.0)
    outcome = Outcome(jnp.float32(0.5), jnp.float32(0), {"latency": jnp.float32(3)})
    np.testing.assert_array_equal(objectives.oriented(terms, outcome), [0.5, -3])
    for failed in (
        outcome._replace(accuracy=jnp.float32(jnp.inf)),
        outcome._replace(metrics={"latency": jnp.float32(jnp.nan)}),
    ):
        assert np.isnan(objectives.oriented(terms, failed)).all()
    with pytest.raises(KeyError, match="no metric 'energy'"):
        objectives.oriented((Objective("energy", "min"),), outcome)
