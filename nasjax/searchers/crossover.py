"""Offspring of two architectures: uniform crossover and mutation."""

import chex
import jax
import jax.numpy as jnp

from nasjax.agent.draws import flat
from nasjax.searchers.bayesian_proposals import discretize, rows_shape
from nasjax.spaces import CellSpace


def offspring(
    key: chex.PRNGKey,
    space: CellSpace,
    first: chex.Array,
    second: chex.Array,
    crossed: chex.Array,
    rate: chex.Array,
) -> chex.Array:
    """Architectures uint8 [n, *arch_shape], each of two parents.

    An edge is that of the second parent with probability 1/2 where `crossed`, and has a
    random operation with probability `rate`. Where nodes select edges, those of the
    highest scores remain: a parent's edge scores up to 1, a mutated one up to 2.

    Args:
      first, second: uint8 [n, *arch_shape].
      crossed: bool [n].
      rate: float32 [n], in [0, 1].
    """
    E, O = rows_shape(space)
    n = len(first)
    a, b = (space.one_hot(x).reshape(n, E, O) for x in (first, second))
    key_share, key_change, key_new = jax.random.split(key, 3)
    share = flat(jax.random.uniform, key_share, (n, E, 1), jnp.float32)
    share = jnp.where(crossed[:, None, None], share, 0.0)
    change = flat(jax.random.uniform, key_change, (n, E, 1), jnp.float32)
    new = 2 * flat(jax.random.uniform, key_new, (n, E, O), jnp.float32)
    scores = (1 - share) * a + share * b
    return discretize(space, jnp.where(change < rate[:, None, None], new, scores))
