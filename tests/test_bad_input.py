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


@pytest.mark.parametrize("steps", [1.5, "3", None, True, 0])
def test_steps_that_are_no_number_of_steps(steps):
    env, searcher = from_arrays(SPACE, OPS, VALUES), nasjax.random_search(SPACE)
    key = jax.random.key(0)
    state = search.init(key, searcher, env, 3)
    for go in (
        lambda: search.init(key, searcher, env, steps),
        lambda: search.run(key, searcher, env, steps),
        lambda: search.drive(key, searcher, env, steps),
        lambda: search.grow(key, searcher, state, steps),
    ):
        with pytest.raises(ValueError, match="steps must be"):
            go()


def test_first_and_length_are_integers():
    env, searcher = from_arrays(SPACE, OPS, VALUES), nasjax.random_search(SPACE)
    key = jax.random.key(0)
    state = search.init(key, searcher, env, 5)
    with pytest.raises(ValueError, match=r"first must be an integer, got 0\.5"):
        search.advance(key, searcher, env, state, 0.5, 2)
    with pytest.raises(ValueError, match=r"length must be an integer, got 2\.0"):
        search.advance(key, searcher, env, state, 0, 2.0)
    with pytest.raises(ValueError, match=r"first must be an integer, got 1\.0"):
        search.drive(key, searcher, env, 5, state, 1.0)


@pytest.mark.parametrize(
    ("make", "config"),
    [
        (nasjax.cadam, nasjax.CadamConfig(top_k=2.5)),
        (nasjax.cadam, nasjax.CadamConfig(hidden=(8.5,))),
        (nasjax.cadam, nasjax.CadamConfig(hidden=8)),
        (nasjax.cadam, nasjax.CadamConfig(tau="0.9")),
        (nasjax.cadam, nasjax.CadamConfig(xi=None)),
        (nasjax.ddas, nasjax.DdasConfig(explore=1.5)),
        (nasjax.evolution, nasjax.EvolutionConfig(population=2.5)),
        (nasjax.local_search, nasjax.LocalSearchConfig(initial=0)),
        (
            nasjax.bayesian_actor_critic,
            nasjax.BayesianActorCriticConfig(capacity=10.5),
        ),
    ],
)
def test_configs_of_another_type(make, config):
    with pytest.raises(
        ValueError, match=r"must (be an integer|be a number|list|be at)"
    ):
        make(SPACE, config)


def test_lanes_past_their_budget():
    env, searcher = from_arrays(SPACE, OPS, VALUES), nasjax.random_search(SPACE)
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    runner = lanes.Runner(
        lambda shared, lane: (searcher, env.replace(params=shared)),
        env.params,
        keys,
        np.zeros(2, np.int32),
        steps=6,
    )
    with pytest.raises(ValueError, match=r"step 6 .* made for 6 steps"):
        runner.advance(None, 4, 3)


def test_a_table_of_more_operations_than_the_space():
    """Where every edge holds one, the number after the last stands for nothing."""
    with pytest.raises(ValueError, match=r"0\.\.2 in the table; table has 0\.\.1$"):
        from_arrays(SPACE, OPS * 2, VALUES)
