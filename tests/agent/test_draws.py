"""Draws along a single axis have the bits of draws of several axes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.agent.draws import flat
from nasjax.networks import initializers

SAMPLERS = {
    "uniform": (jax.random.uniform, (jnp.float32, -1.0, 1.0)),
    "normal": (jax.random.normal, (jnp.float32,)),
    "gumbel": (jax.random.gumbel, (jnp.float32,)),
    "randint": (jax.random.randint, (0, 7, jnp.int32)),
}


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("shape", [(), (5,), (4, 3, 2)], ids=str)
def test_the_same_bits(name, shape):
    sampler, args = SAMPLERS[name]

    def keys():
        return jax.vmap(jax.random.key)(np.arange(2))

    # Programs of this test alone: an earlier one may have compiled in another way.
    wanted = jax.jit(jax.vmap(lambda key: sampler(key, shape, *args)))(keys())
    drawn = jax.jit(jax.vmap(lambda key: flat(sampler, key, shape, *args)))(keys())
    assert drawn.dtype == wanted.dtype
    np.testing.assert_array_equal(drawn, wanted)


def test_weights_have_them_too():
    shape, bound = (2, 3, 4, 5), 1 / 3

    @jax.jit
    def wanted(key):
        return jax.random.uniform(key, shape, jnp.float32, -bound, bound)

    weights = jax.jit(lambda key: initializers.uniform(key, shape, inputs=9))
    key = jax.random.key
    np.testing.assert_array_equal(weights(key(5)), wanted(key(5)))
