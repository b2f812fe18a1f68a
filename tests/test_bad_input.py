"""Values that used to pass and then break something later."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax import lanes, search
from nasjax.agent import exploration
from nasjax.environments.tabular import from_arrays

SPACE = nasjax.table_space(2, ("a", "b"))
OPS = np.array([[0, 0], [0, 1], [1, 0]])
VALUES = [np.array([0.1, 0.2, 0.3])]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("beta1", 1.0),
        ("beta2", 1.0),
        ("reward_base", -1.0),
        ("xi", float("inf")),
        ("actor_lr", float("nan")),
    ],
)
def test_cadam_config(field, value):
    with pytest.raises(ValueError, match=field):
        nasjax.cadam(SPACE, nasjax.CadamConfig(**{field: value}))


@pytest.mark.parametrize(("field", "value"), [("momentum", 1.0), ("learning_rate", -1)])
def test_reinforce_config(field, value):
    with pytest.raises(ValueError, match=field):
        nasjax.reinforce(SPACE, nasjax.ReinforceConfig(**{field: value}))


@pytest.mark.parametrize(
    ("ops", "values", "kwargs", "words"),
    [
        (OPS[:0], VALUES, {}, "empty"),
        (OPS - 1, VALUES, {}, "-1..0"),
        (np.array([[0, 0], [1, 1], [0, 0]]), VALUES, {}, "row 2 .* twice"),
        (OPS, VALUES, {"column": 1}, "column 1"),
        (OPS, VALUES, {"trials": [np.zeros((2, 3))]}, r"\(2, 3\)"),
    ],
)
def test_tables(ops, values, kwargs, words):
    with pytest.raises(ValueError, match=words):
        from_arrays(SPACE, ops, values, **kwargs)


def test_nothing_left_to_drive():
    env = from_arrays(SPACE, OPS, VALUES)
    with pytest.raises(ValueError, match=r"0\.\.4, got 5"):
        search.drive(jax.random.key(0), nasjax.random_search(SPACE), env, 5, first=5)


def test_no_lanes():
    with pytest.raises(ValueError, match="no lanes"):
        lanes.Runner(None, (), jax.random.key(0)[None][:0], (), steps=3)


def test_no_string_for_an_absent_edge(space):
    with pytest.raises(ValueError, match=r"0\.\.4"):
        space.arch_string(jnp.full(6, 5, jnp.uint8))


def test_a_schedule_without_steps_is_at_its_end():
    assert exploration.cosine_epsilon(0, 1.0, 0.05, 0) == pytest.approx(0.05)
