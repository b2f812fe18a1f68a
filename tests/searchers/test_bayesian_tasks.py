"""The search of several tasks: schedules, levels, and that sharing helps."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax import search
from nasjax.environments import multi_fidelity
from nasjax.searchers.bayesian_tasks import turn

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(4, ("a", "b", "c"))
OPS = np.asarray(SPACE.from_index(jnp.arange(81)))
RNG = np.random.default_rng(3)
WEIGHT = RNG.normal(size=(4, 3))
TOP = sum(WEIGHT[e, OPS[:, e]] for e in range(4)) + 0.5 * RNG.normal(size=81)
CHEAP = TOP + 0.2 * RNG.normal(size=81)
COLUMNS = {"cheap": CHEAP, "top": TOP}
TABLE = types.SimpleNamespace(
    ops=OPS,
    columns={
        name: types.SimpleNamespace(values=np.float32(x), trials=None)
        for name, x in COLUMNS.items()
    },
)
SMALL = nasjax.BayesianTasksConfig(
    first=10, warm_up=4, actor_proposals=16, random_proposals=8, hidden=(8,)
)
STEPS = 30


def environment(columns=TABLE.columns, cost=(1, 10)):
    table = types.SimpleNamespace(ops=OPS, columns=columns)
    return multi_fidelity(SPACE, table, [("cheap", "top")], cost=cost)


def searches(config, cost=(1, 10)):
    searcher = nasjax.bayesian_tasks(SPACE, config, cost=cost)

    def lane(key, env):
        return search.run(key, searcher, env, STEPS)[1]

    return jax.jit(jax.vmap(lane, in_axes=(0, None)))


KEYS = jax.vmap(jax.random.key)(jnp.arange(2))


@pytest.fixture(scope="module")
def compiled(quick_compile):
    return searches(SMALL)


@pytest.fixture(scope="module")
def fidelities(compiled):
    return compiled(KEYS, environment())


def test_turns():
    def turns(*args):
        target, number = turn(*args, jnp.arange(7))
        return np.asarray(target).tolist(), np.asarray(number).tolist()

    assert turns("fidelities", 3, 2) == ([0, 0, 2, 2, 2, 2, 2], [0, 1, 2, 3, 4, 5, 6])
    assert turns("together", 3, 9) == ([0, 1, 2, 0, 1, 2, 0], [0, 0, 0, 1, 1, 1, 2])
    assert turns("transfer", 3, 2) == ([0, 0, 1, 2, 1, 2, 1], [0, 1, 0, 0, 1, 1, 2])
    assert turns("transfer", 1, 2)[0] == [0] * 7


def test_an_architecture_climbs_the_levels_and_none_is_queried_twice(fidelities):
    level = np.asarray(fidelities.metrics["fidelity"])
    index = np.asarray(SPACE.index(fidelities.arch))
    assert np.all(level[:, :10] == 0)
    assert np.all((level[:, 10:] == 1).sum(1) >= 5)
    for seed in range(2):
        known = set()
        for arch, at in zip(index[seed], level[seed], strict=True):
            assert (arch, at) not in known
            assert at == 0 or (arch, 0) in known
            known.add((arch, at))


def test_tasks_take_turns():
    go = searches(SMALL.replace(schedule="together"), cost=(1, 1))
    trace = go(KEYS, environment(cost=(1, 1)))
    level = np.asarray(trace.metrics["fidelity"])
    np.testing.assert_array_equal(level, np.tile([0, 1], (2, STEPS // 2)))
    values = np.float32(np.stack([CHEAP, TOP]))
    index = np.asarray(SPACE.index(trace.arch))
    np.testing.assert_array_equal(trace.accuracy, values[level.astype(int), index])


def test_units_of_the_tasks_do_not_matter(compiled, fidelities):
    """The cheap level in another unit: the same queries."""
    cheap = types.SimpleNamespace(values=np.float32(100 * CHEAP - 7), trials=None)
    env = environment({**TABLE.columns, "cheap": cheap})
    np.testing.assert_array_equal(compiled(KEYS, env).arch, fidelities.arch)


def test_values_that_are_refused():
    with pytest.raises(ValueError, match="schedule is 'all'; allowed: fidelities, "):
        nasjax.bayesian_tasks(SPACE, SMALL.replace(schedule="all"))
    with pytest.raises(ValueError, match="costs of levels"):
        nasjax.bayesian_tasks(SPACE, SMALL, cost=())
    with pytest.raises(ValueError, match="between must lie in"):
        nasjax.bayesian_tasks(SPACE, SMALL.replace(between=1.0))
    with pytest.raises(ValueError, match="project and listed go together"):
        nasjax.bayesian_tasks(SPACE, listed=jnp.asarray(OPS))
