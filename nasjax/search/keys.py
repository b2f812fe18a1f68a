"""The keys of a search: all are folded from one, so that none is carried."""

import chex
import jax


def of_init(key: chex.PRNGKey) -> chex.PRNGKey:
    """Folded, not split: the caller's key serves `init` and every later chunk."""
    return jax.random.fold_in(key, 0)


def of_steps(key: chex.PRNGKey) -> chex.PRNGKey:
    """The key from which those of every step are folded."""
    return jax.random.fold_in(key, 1)


def of_step(key_steps: chex.PRNGKey, step: chex.Numeric) -> chex.PRNGKey:
    """Three keys of one step: to ask, to evaluate and to tell."""
    return jax.random.split(jax.random.fold_in(key_steps, step), 3)
