"""Levels of evaluation: what the loop passes, notes and counts."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax import search, searchers
from nasjax.environments import fidelities
from nasjax.search import fidelity
from nasjax.spaces import CellSpace

SPACE = CellSpace("small", edges=((0, 1),), operations=("a", "b", "c"))
CHEAP, TOP = np.array([0.1, 0.3, 0.2]), np.array([0.5, 0.6, 0.7])


def column(values):
    return types.SimpleNamespace(values=np.asarray(values, np.float32), trials=None)


TABLE = types.SimpleNamespace(
    ops=np.arange(3, dtype=np.uint8)[:, None],
    columns={"cheap": column(CHEAP), "top": column(TOP)},
)
PAID = np.array([[[1, 2, 3], [10, 20, 30]]])


def environment(cost=PAID):
    return fidelities.multi_fidelity(SPACE, TABLE, [("cheap", "top")], cost=cost)


def alternating(space=SPACE):
    """Architectures 0 1 2 0 1 2 ..., at levels 0 1 0 1 ..."""

    def ask(key, state, step):
        del key, state
        return jnp.int32(step), jnp.full(space.arch_shape, step % 3, jnp.uint8)

    def tell(key, state, step, arch, outcome):
        del key, step, arch
        return state, {"told": outcome.metrics["fidelity"]}

    return search.Searcher(
        lambda key, steps: jnp.int32(0),
        ask,
        tell,
        space=space,
        metrics=(fidelity.FIDELITY,),
        fidelity=lambda state: state % 2,
    )


def check(trace):
    assert np.asarray(trace.metrics["fidelity"]).tolist() == [0, 1, 0, 1, 0, 1]
    np.testing.assert_array_equal(trace.info["told"], trace.metrics["fidelity"])
    assert np.asarray(trace.metrics["cost"]).tolist() == [1, 20, 3, 10, 2, 30]
    np.testing.assert_allclose(trace.accuracy, [0.1, 0.6, 0.2, 0.5, 0.3, 0.7])


def test_the_level_that_the_searcher_chose_is_evaluated():
    key = jax.random.key(0)
    _, trace = search.run(key, alternating(), environment(), 6)
    check(trace)
    assert np.asarray(fidelity.spent(trace)).tolist() == [1, 21, 24, 34, 36, 66]
    assert np.asarray(fidelity.within(trace, 34)).tolist() == [1, 1, 1, 1, 0, 0]
    best = fidelity.best(trace, top=1)
    assert best.step == 5 and best.arch.tolist() == [2]
    assert fidelity.best(trace, top=1, budget=65).step == 1  # 0.6, not 0.3 or 0.2
    assert np.isnan(fidelity.best(trace, top=1, budget=20).accuracy)


def test_drive_agrees_and_counts_failures():
    key = jax.random.key(0)
    check(search.drive(key, alternating(), environment(), 6)[1])

    def evaluate(key, params, state, arch, level):
        del key, params
        if int(arch[0]) == 0:
            return state, float("nan")
        return state, search.Outcome(0.5, None, {"latency": 2.0})

    levels = fidelity.levels((1, 10), ("short", "long"))
    env = search.Environment((), (), evaluate, traceable=False, levels=levels)
    _, trace = search.drive(key, alternating(), env, 4)
    assert np.asarray(trace.metrics["cost"]).tolist() == [1, 10, 1, 10]
    assert np.asarray(trace.metrics["fidelity"]).tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(trace.metrics["latency"], [np.nan, 2, 2, np.nan])


def test_simulated_workers_evaluate_at_the_level_asked():
    key, env = jax.random.key(0), environment()
    _, trace, when = search.simulate(
        key, alternating(), env, 6, 1, lambda arch, level: env.levels.cost[level]
    )
    check(trace)
    assert np.asarray(when).tolist() == [2, 22, 24, 44, 46, 66]


def test_other_searchers_are_evaluated_at_the_top():
    key, searcher = jax.random.key(1), searchers.random_search(SPACE)
    _, trace = search.run(key, searcher, environment((12, 200)), 5)
    assert np.all(np.asarray(trace.metrics["fidelity"]) == 1)
    assert np.all(np.asarray(trace.metrics["cost"]) == 200)
    np.testing.assert_allclose(trace.accuracy, TOP[np.asarray(trace.arch)[:, 0]])


def test_a_searcher_that_chooses_levels_needs_them():
    env = search.black_box(lambda arch: 0.5)
    with pytest.raises(ValueError, match="the environment has no levels"):
        search.drive(jax.random.key(0), alternating(), env, 2)


def test_a_level_that_does_not_exist():
    """A failure where it is traced, an error where it is not."""
    searcher = alternating()._replace(fidelity=lambda state: state)
    key = jax.random.key(0)
    _, trace = search.run(key, searcher, environment(), 3)
    np.testing.assert_allclose(trace.accuracy, [0.1, 0.6, np.nan], rtol=1e-6)
    with pytest.raises(ValueError, match=r"query 2 .*chose level 2; .* has 0, 1"):
        search.drive(key, searcher, environment(), 3)


@pytest.mark.parametrize("cost", [(), (0, 1), (2, 1), (1, np.inf), (np.nan,)])
def test_costs_are_positive_and_do_not_fall(cost):
    with pytest.raises(ValueError, match="costs of levels"):
        fidelity.levels(cost)


def test_levels_and_costs_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="2 different names are needed"):
        fidelity.levels((1, 2), ("a", "a"))
    with pytest.raises(ValueError, match=r"costs of shape \[3\]"):
        environment((1, 2, 3))
    with pytest.raises(ValueError, match="as many levels"):
        fidelities.multi_fidelity(
            SPACE, TABLE, [("cheap", "top"), ("top",)], cost=(1, 2)
        )
