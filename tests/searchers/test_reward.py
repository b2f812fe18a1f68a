"""CADAM's rewards: a power of the accuracy, or relative to another environment's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax import search
from nasjax.environments.tabular import from_arrays
from nasjax.searchers.cadam import reward

RELATIVE = nasjax.CadamConfig(reward="relative", env_accuracy=0.5)


def test_by_hand():
    """Thesis Eq. 4.1, and L2NAS Eq. 7: 100^(Acc / 0.5) / 100 - 1."""
    accuracy = jnp.array([0, 0.25, 0.5, 1])
    power = reward(nasjax.CadamConfig(), accuracy)
    np.testing.assert_allclose(power, [1, 10**0.5, 10, 100], rtol=1e-5)
    relative = reward(RELATIVE, accuracy)
    np.testing.assert_allclose(relative, [-0.99, -0.9, 0, 99], rtol=1e-5, atol=1e-6)


def test_the_accuracy_of_the_environment_is_traced():
    count = []

    @jax.jit
    def go(config):
        count.append(1)
        return reward(config, jnp.float32(0.5))

    values = [go(RELATIVE.replace(env_accuracy=x)) for x in (0.25, 0.5, 1.0)]
    np.testing.assert_allclose(values, [99, 0, -0.9], rtol=1e-5, atol=1e-6)
    assert len(count) == 1


@pytest.mark.parametrize(
    ("name", "value"), [("reward", "log"), ("env_accuracy", 0.0), ("env_accuracy", -1)]
)
def test_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        nasjax.cadam(nasjax.darts(), RELATIVE.replace(**{name: value}))


def test_scaled_scores_of_any_unit_search_the_same_way():
    """An affine map of all scores changes nothing; without scaling it would."""
    space = nasjax.table_space(4, ("a", "b", "c"))
    ops = np.asarray(space.from_index(jnp.arange(81)))
    values = np.random.default_rng(0).random(81)
    config = nasjax.CadamConfig(
        reward="scaled", hidden=(8,), batch_size=4, max_cycles=2, epsilon_steps=5,
        actor_lr=1e-2, critic_lr=1e-2,
    )  # fmt: skip

    def trace(scores):
        env = from_arrays(space, ops, [scores])
        run = jax.jit(lambda key: search.run(key, nasjax.cadam(space, config), env, 40))
        return run(jax.random.key(0))[1]

    fractions, degrees = trace(values), trace(64 * values - 512)
    np.testing.assert_array_equal(fractions.arch, degrees.arch)
    assert np.isfinite(degrees.info["critic_loss"]).all()
    assert len(np.unique(space.index(fractions.arch))) > 10
