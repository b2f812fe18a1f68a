"""The keys of a search, all folded from one key, so that no state holds a key."""

import chex
import jax


def of_init(key: chex.PRNGKey) -> chex.PRNGKey:
    """The key of `init`; folded, as the caller's key is used again in every chunk."""
    return jax.random.fold_in(key, 0)


def of_steps(key: chex.PRNGKey) -> chex.PRNGKey:
    """The key from which the keys of each step are folded."""
    return jax.random.fold_in(key, 1)


def of_step(key_steps: chex.PRNGKey, step: chex.Numeric) -> chex.PRNGKey:
    """Three keys of one step, for ask, evaluate and tell."""
    return jax.random.split(jax.random.fold_in(key_steps, step), 3)
