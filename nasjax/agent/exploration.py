"""Exploration: when to act at random, and noise on the actor's output."""

import chex
import jax
import jax.numpy as jnp

from nasjax.agent.draws import flat


def cosine_epsilon(
    step: chex.Numeric,
    start: chex.Numeric,
    stop: chex.Numeric,
    steps: chex.Numeric,
) -> chex.Array:
    """Cosine from `start` at step 0 to `stop` at step `steps`, then constant.

    epsilon(t) = stop + (start - stop) (1 + cos(pi min(t / steps, 1))) / 2.

    Source: thesis 4.2.1 (1.0 to 0.05 by step 175).
    """
    step = jnp.asarray(step, jnp.float32)
    fraction = jnp.where(steps > 0, step / jnp.maximum(steps, 1e-6), 1.0)
    fraction = jnp.minimum(fraction, 1.0)
    return stop + (start - stop) * 0.5 * (1 + jnp.cos(jnp.pi * fraction))


def warm_up(step: chex.Numeric, steps: chex.Numeric) -> chex.Array:
    """Probability of a random action: 1 before step `steps`, then 0 (thesis 4.1.2)."""
    return jnp.where(step < steps, 1.0, 0.0)


def uniform_noise(
    key: chex.PRNGKey, action: chex.Array, xi: chex.Numeric, low: float = 0.0
) -> chex.Array:
    """action + U(-xi, xi), clipped to [low, 1] (thesis Eq. 4.2)."""
    noise = flat(jax.random.uniform, key, action.shape, action.dtype, -1.0, 1.0)
    return jnp.clip(action + xi * noise, low, 1.0)


def gaussian_noise(
    key: chex.PRNGKey, action: chex.Array, deviation: chex.Numeric
) -> chex.Array:
    """action + N(0, deviation^2), clipped to [0, 1] (thesis Eq. 3.1)."""
    noise = deviation * flat(jax.random.normal, key, action.shape, action.dtype)
    return jnp.clip(action + noise, 0.0, 1.0)


def ornstein_uhlenbeck(
    key: chex.PRNGKey,
    noise: chex.Array,
    theta: chex.Numeric,
    sigma: chex.Numeric,
    dt: chex.Numeric,
) -> chex.Array:
    """The next value of a mean-reverting random walk around 0.

    x + theta (0 - x) dt + sigma sqrt(dt) N(0, 1), per entry. From x = 0 its deviation
    after n steps is about sigma sqrt(n dt) while n theta dt is small.

    Source: Uhlenbeck and Ornstein 1930; Lillicrap et al. 2016; thesis 3.1.3.
    """
    normal = flat(jax.random.normal, key, noise.shape, noise.dtype)
    kick = sigma * jnp.sqrt(dt) * normal
    return noise - theta * dt * noise + kick
