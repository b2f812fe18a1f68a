"""A Gaussian process over several tasks, such as data sets or lengths of training.

Observations of task s at `a` and of task t at `b` have the covariance

    k((a, s), (b, t)) = B[s, t] k(a, b) + [same observation] noise_s,
    B[s, t] = exp(-|u_s - u_t|^2),

with k of `gaussian_process`. A task is embedded, u_s, as the operations of a row are: B
has a unit diagonal and is positive definite, and starts with one correlation between
all tasks. So a task is a further row of every architecture in the Gaussian part of k.

Source: Bonilla et al. 2008, Eq. 1 (the intrinsic model of coregionalisation); Swersky
et al. 2013 (search with it).
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from nasjax.agent import gaussian_process as gp
from nasjax.agent.inverse_root import in_full_precision, inverse_root


class Kernel(NamedTuple):
    """The learned parameters; L tasks."""

    base: gp.Kernel  # its noise is not used
    task: chex.Array  # float32 [L, L], the tasks' embedding, less that of the prior
    log_noise: chex.Array  # float32 [L], logarithm of each task's noise variance


class Prior(NamedTuple):
    """The prior of the kernel; its fields may be traced."""

    base: gp.Prior  # its noise is that of each task
    correlation: chex.Numeric  # of two tasks, in (0, 1)
    task: chex.Numeric  # standard deviation of the entries of the tasks' embedding


class Posterior(NamedTuple):
    """A process conditioned on observations in n slots; empty slots have no effect."""

    points: gp.Points  # [n]
    task: chex.Array  # int32 [n]
    weight: chex.Array  # float32 [n], L^-1 y
    root: chex.Array  # float32 [n, n], L^-1 of the covariance L L^T
    valid: chex.Array  # float32 [n], 1 in slots with an observation, else 0


def init(rows: int, operations: int, tasks: int, prior: Prior) -> Kernel:
    """The kernel at the mean of its prior."""
    base = gp.init(rows, operations, prior.base)
    return Kernel(
        base,
        jnp.zeros((tasks, tasks), jnp.float32),
        jnp.broadcast_to(base.log_noise, (tasks,)),
    )


def correlations(kernel: Kernel, prior: Prior) -> chex.Array:
    """B, float32 [L, L]; all tasks of the prior's mean are equally far apart."""
    scale = jnp.sqrt(-0.5 * jnp.log(jnp.asarray(prior.correlation, jnp.float32)))
    u = scale * jnp.eye(len(kernel.task), dtype=jnp.float32) + kernel.task
    return jnp.exp(-jnp.sum(jnp.square(u[:, None] - u), -1))


def noisy_covariance(
    kernel: Kernel,
    prior: Prior,
    points: gp.Points,
    task: chex.Array,
    valid: chex.Array,
) -> chex.Array:
    """Covariance [n, n] of observations at `points`; the identity in empty slots."""
    B = correlations(kernel, prior)[task][:, task]
    inside = B * gp.covariance(kernel.base, points, points) * valid[:, None] * valid
    noise = jnp.where(valid > 0, jnp.exp(kernel.log_noise)[task], 1.0)
    return inside + jnp.diag(noise)


@in_full_precision
def condition(
    kernel: Kernel,
    prior: Prior,
    alpha: chex.Array,
    task: chex.Array,
    score: chex.Array,
    valid: chex.Array,
) -> Posterior:
    """The process conditioned on observations.

    Args:
      alpha: float32 [n, E, O], the observed architectures.
      task: int32 [n], the task of each observation.
      score: float32 [n], such as `scores`.
      valid: bool [n], True in slots with an observation.
    """
    valid = valid.astype(jnp.float32)
    points = gp.embed(kernel.base, prior.base, alpha)
    root = inverse_root(noisy_covariance(kernel, prior, points, task, valid))
    return Posterior(points, task, root @ (score * valid), root, valid)


def unobserved(
    kernel: Kernel, prior: Prior, alpha: chex.Array, task: chex.Array
) -> Posterior:
    """`condition` with n empty slots, without its factorisation."""
    points, *rest = gp.unobserved(kernel.base, prior.base, alpha)
    return Posterior(points, task, *rest)


@in_full_precision
def predict(
    posterior: Posterior,
    kernel: Kernel,
    prior: Prior,
    alpha: chex.Array,
    task: chex.Array,
) -> tuple[chex.Array, chex.Array]:
    """Mean and standard deviation (without noise) [...] of a task at `alpha`.

    Args:
      alpha: float32 [..., E, O].
      task: int32 [].
    """
    points = gp.embed(kernel.base, prior.base, alpha)
    B = correlations(kernel, prior)[task, posterior.task] * posterior.valid
    near = gp.covariance(kernel.base, points, posterior.points) * B
    solved = near @ posterior.root.T
    left = gp.variance(kernel.base, points) - jnp.sum(solved * solved, -1)
    # Rounding may leave a negative variance, and the root needs a finite gradient.
    return solved @ posterior.weight, jnp.sqrt(jnp.maximum(left, 1e-6))


@in_full_precision
def loss(
    kernel: Kernel,
    prior: Prior,
    alpha: chex.Array,
    task: chex.Array,
    score: chex.Array,
    valid: chex.Array,
) -> chex.Array:
    """A surrogate with the gradient of the kernel's negative log posterior.

    As `gaussian_process.loss`, with the prior of the tasks' embedding and noise:
    |u - u_0|^2 / prior.task^2 / 2 and |log noise - log prior.base.noise|^2 / 2.
    Arguments as for `condition`.
    """
    valid = valid.astype(jnp.float32)
    base = kernel.base
    points = gp.embed(base, prior.base, alpha)
    C = noisy_covariance(kernel, prior, points, task, valid)
    root = inverse_root(jax.lax.stop_gradient(C))  # C^-1 = root^T root
    solved = root.T @ (root @ (score * valid))  # C^-1 y
    G = 0.5 * (root.T @ root - solved[:, None] * solved)
    E, O = base.own.shape[:2]
    mean = init(E, O, len(kernel.task), prior)
    squares = (
        jnp.sum(jnp.square(base.shared / prior.base.shared)),
        jnp.sum(jnp.square(base.own / prior.base.own)),
        jnp.square(base.additive - mean.base.additive),
        jnp.sum(jnp.square(kernel.log_noise - mean.log_noise)),
        jnp.sum(jnp.square(kernel.task / prior.task)),
    )
    return jnp.sum(G * C) + 0.5 * sum(squares)


def matched(value: chex.Array, reference: chex.Array, valid: chex.Array) -> chex.Array:
    """The references in the order of the values, float32 [n]; zero where not valid.

    The lowest value gets the lowest reference, and so on; ties get the mean of the
    lowest and the highest that they share.
    """
    ascending = jnp.sort(jnp.where(valid, reference, jnp.inf))
    value = jnp.where(valid, value, jnp.inf)
    less = jnp.sum((value < value[:, None]) & valid, axis=1)
    same = jnp.sum((value == value[:, None]) & valid, axis=1)
    last = jnp.maximum(less + same - 1, 0)
    mean = 0.5 * (ascending[less] + ascending[last])
    return jnp.where(valid, mean, 0.0)


def scores(
    kernel: Kernel,
    prior: Prior,
    alpha: chex.Array,
    task: chex.Array,
    value: chex.Array,
    valid: chex.Array,
) -> chex.Array:
    """Values of all tasks on one scale, float32 [n]; zero where not valid.

    The first task's are its normal scores. A later task may have been observed at good
    architectures only, where ranks alone would start from zero again: its values take,
    in their order, the scores that the tasks before it predict at these architectures.
    Only ranks within each task are used, so tasks may have different units.

    Args:
      alpha: float32 [n, E, O].
      task: int32 [n].
      value: float32 [n], larger is better.
      valid: bool [n], True in slots with an observation.
    """
    first = valid & (task == 0)
    score = gp.normal_scores(value, first)
    for t in range(1, len(kernel.task)):
        known = valid & (task < t)
        posterior = condition(kernel, prior, alpha, task, score, known)
        reference, _ = predict(posterior, kernel, prior, alpha, jnp.int32(t))
        now = valid & (task == t)
        score = jnp.where(now, matched(value, reference, now), score)
    return score
