"""Failed evaluations teach: searchers come to ask fewer of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax import search
from nasjax.environments.tabular import from_arrays
from nasjax.searchers.ddas import DdasConfig

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(5, ("a", "b", "c"))
OPS = np.asarray(SPACE.from_index(jnp.arange(243)))
VALUES = np.random.default_rng(0).uniform(0.3, 0.9, 243).astype(np.float32)
FAILS = OPS[:, 0] == 0
TABLE = from_arrays(SPACE, OPS, [np.where(FAILS, np.nan, VALUES)])
SEARCHERS = {
    "cadam": nasjax.cadam(
        SPACE, nasjax.CadamConfig(hidden=(32,), actor_lr=1e-3, critic_lr=1e-2)
    ),
    "ddas": nasjax.ddas(
        SPACE, DdasConfig(hidden=(32, 32), explore=50, actor_lr=1e-3, critic_lr=1e-2)
    ),
    "evolution": nasjax.evolution(SPACE),
    "reinforce": nasjax.reinforce(SPACE, nasjax.ReinforceConfig(learning_rate=0.05)),
    "bayesian-actor-critic": nasjax.bayesian_actor_critic(
        SPACE,
        nasjax.BayesianActorCriticConfig(
            actor_proposals=32, random_proposals=32, hidden=(16,), capacity=64
        ),
    ),
}


@pytest.mark.parametrize("name", SEARCHERS)
def test_fewer_failures_than_chance(name):
    """A third of the table fails; of the last queries less than a fifth do."""
    steps = 60 if name == "bayesian-actor-critic" else 200
    keys = jax.vmap(jax.random.key)(jnp.arange(6))
    run = jax.vmap(lambda key: search.run(key, SEARCHERS[name], TABLE, steps)[1])
    trace = jax.jit(run)(keys)
    failed = np.isnan(trace.accuracy)
    np.testing.assert_array_equal(failed, FAILS[SPACE.index(trace.arch)])
    assert failed[:, :10].mean() > 0.15
    assert failed[:, steps // 2 :].mean() < 0.2
    best = search.best(trace)
    np.testing.assert_array_equal(best.accuracy, np.nanmax(trace.accuracy, axis=1))
    np.testing.assert_array_equal(VALUES[SPACE.index(best.arch)], best.accuracy)
