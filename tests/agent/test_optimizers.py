"""Adam against optax's and against its paper."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nasjax.agent import adam

PARAMS = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}


def gradients(step):
    """Of sizes from 1e-4 to 1e4, and some always zero."""
    rng = np.random.default_rng(step)
    scale = 10.0 ** np.array([[-4, 4], [-2, 2], [0, 0]])
    return {
        "w": jnp.asarray(rng.normal(size=(3, 2)) * scale, jnp.float32),
        "b": jnp.array([0.0, 1.0]),
    }


@pytest.mark.parametrize("b1, b2", [(0.9, 0.99), (0.9, 0.999), (0.0, 0.5)])
def test_equals_optax(b1, b2):
    ours, theirs = adam(1e-2, b1, b2), optax.adam(1e-2, b1, b2)
    states = [ours.init(PARAMS), theirs.init(PARAMS)]
    updates = [jax.jit(ours.update), jax.jit(theirs.update)]
    for step in range(30):
        ours, wanted = (
            update(gradients(step), state)
            for update, state in zip(updates, states, strict=True)
        )
        states = [ours[1], wanted[1]]
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-4, atol=1e-9),
            ours[0],
            wanted[0],
        )
    assert int(states[0].count) == 30


def test_first_step_by_hand():
    """The moments' corrections cancel: -lr g / (|g| + eps)."""
    grads = {"w": jnp.full((3, 2), -4.0), "b": jnp.array([0.0, 1e-8])}
    update, _ = adam(0.1).update(grads, adam(0.1).init(PARAMS))
    np.testing.assert_allclose(update["w"], 0.1, rtol=1e-5)
    np.testing.assert_allclose(update["b"], [0.0, -0.05], rtol=1e-4)


def test_learning_rate_is_traced():
    grads = gradients(0)

    @jax.jit
    @jax.vmap
    def go(rate):
        optimizer = adam(rate, 0.9, 0.99)
        return optimizer.update(grads, optimizer.init(PARAMS))[0]["w"]

    none, one, two = go(jnp.array([0.0, 1.0, 2.0]))
    np.testing.assert_array_equal(none, 0)
    np.testing.assert_allclose(two, 2 * one, rtol=1e-6)
