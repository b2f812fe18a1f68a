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
    keys = jax.random.split(jax.random.key(3), 2)
    wanted = jax.vmap(lambda key: sampler(key, shape, *args))(keys)
    drawn = jax.vmap(lambda key: flat(sampler, key, shape, *args))(keys)
    assert drawn.dtype == wanted.dtype
    np.testing.assert_array_equal(drawn, wanted)


def test_weights_have_them_too():
    key, bound = jax.random.key(5), 1 / 3
    wanted = jax.random.uniform(key, (2, 3, 4, 5), jnp.float32, -bound, bound)
    np.testing.assert_array_equal(
        initializers.uniform(key, (2, 3, 4, 5), inputs=9), wanted
    )
