"""Observations that a Gaussian process imagines, where outcomes are pending."""

import chex
import jax
import jax.numpy as jnp

from nasjax.agent import gaussian_process as gp


def imagine(
    posterior: gp.Posterior,
    kernel: gp.Kernel,
    prior: gp.Prior,
    alpha: chex.Array,
    valid: chex.Array,
    score: chex.Numeric | None = None,
) -> gp.Posterior:
    """The posterior as if `alpha` [P, E, O] had been observed with a score.

    Args:
      valid: bool [P], slots that are in use.
      score: []; None for the mean of each. The mean then stays what it is everywhere;
        what is near is known better.

    Source: Desautels et al. 2014 (GP-BUCB), section 4: hallucinated observations.
    """
    valid = valid.astype(jnp.float32)
    points = gp.embed(kernel, prior, alpha)
    cross = gp.covariance(kernel, points, posterior.points)
    cross = cross * valid[:, None] * posterior.valid
    below = cross @ posterior.root.T
    left = gp.noisy_covariance(kernel, points, valid) - below @ below.T
    last = gp.inverse_root(left)
    corner = -last @ (below @ posterior.root)
    weight = jnp.zeros_like(valid)
    if score is not None:
        weight = last @ (valid * (score - below @ posterior.weight))
    n = len(posterior.valid)
    none = jnp.zeros((n, len(valid)), posterior.root.dtype)
    return gp.Posterior(
        jax.tree.map(lambda a, b: jnp.concatenate([a, b]), posterior.points, points),
        jnp.concatenate([posterior.weight, weight]),
        jnp.block([[posterior.root, none], [corner, last]]),
        jnp.concatenate([posterior.valid, valid]),
    )
