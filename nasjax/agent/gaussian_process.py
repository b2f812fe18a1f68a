"""A Gaussian process on continuous parameters: a critic with calibrated uncertainty.

Every row of a continuous architecture `a` [E, O] is embedded linearly. The kernel mixes
a Gaussian of the distance between embeddings with a linear kernel, which models
functions that are sums over rows:

    k(a, b) = (1 - w) exp(-sum_e |(a_e - b_e) Phi_e|^2) + w sum_e a_e . b_e / E,
    Phi_e = Phi_0 + S + R_e.

It is defined between one-hot rows as well as on them, so that an actor can follow its
gradient. S is shared by all rows (an operation acts similarly on every edge of a cell),
R_e is specific to a row; both have Gaussian priors, so that few observations suffice.
With many rows hardly any two architectures are near, and only the sum can be learnt.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.scipy.special import logit, ndtri
from jax.scipy.stats import norm

from nasjax.agent.inverse_root import in_full_precision, inverse_root


class Kernel(NamedTuple):
    """The learned parameters: the embedding, the noise and the weight of the sum."""

    shared: chex.Array  # float32 [O, O], S
    own: chex.Array  # float32 [E, O, O], R
    log_noise: chex.Array  # float32 [], logarithm of the noise variance
    additive: chex.Array  # float32 [], w = sigmoid(additive)


class Prior(NamedTuple):
    """The prior of the kernel; its fields may be traced."""

    correlation: chex.Numeric  # exp(...) for two rows that differ, in (0, 1)
    shared: chex.Numeric  # standard deviation of the entries of S
    own: chex.Numeric  # standard deviation of the entries of R
    noise: chex.Numeric  # variance of the noise; its logarithm has deviation 1
    additive: chex.Numeric  # w, in (0, 1); its logit has deviation 1


class Points(NamedTuple):
    """Architectures in the coordinates that the kernel compares."""

    embedded: chex.Array  # float32 [..., F], F = E x O
    plain: chex.Array  # float32 [..., F], a / sqrt(E)


class Posterior(NamedTuple):
    """A process conditioned on observations in n slots; empty slots have no effect."""

    points: Points  # [n]
    weight: chex.Array  # float32 [n], L^-1 y
    root: chex.Array  # float32 [n, n], L^-1 of the covariance L L^T
    valid: chex.Array  # float32 [n], 1 in slots with an observation, else 0


def init(rows: int, operations: int, prior: Prior) -> Kernel:
    """The kernel at the mean of its prior, for `rows` rows of `operations` entries."""
    return Kernel(
        jnp.zeros((operations, operations), jnp.float32),
        jnp.zeros((rows, operations, operations), jnp.float32),
        jnp.log(jnp.asarray(prior.noise, jnp.float32)),
        logit(jnp.asarray(prior.additive, jnp.float32)),
    )


@in_full_precision
def embed(kernel: Kernel, prior: Prior, alpha: chex.Array) -> Points:
    """The points of continuous parameters [..., E, O].

    Phi_0 is a multiple of the identity: all operations are equally far apart.
    """
    scale = jnp.sqrt(-0.5 * jnp.log(jnp.asarray(prior.correlation, jnp.float32)))
    phi = (
        scale * jnp.eye(alpha.shape[-1], dtype=jnp.float32) + kernel.shared + kernel.own
    )
    embedded = jnp.einsum("...eo,eod->...ed", alpha, phi)
    shape = (*alpha.shape[:-2], -1)
    plain = alpha / jnp.sqrt(alpha.shape[-2])
    return Points(embedded.reshape(shape), plain.reshape(shape))


@in_full_precision
def covariance(kernel: Kernel, a: Points, b: Points) -> chex.Array:
    """k(a_i, b_j) of points [...] and [n], float32 [..., n]."""
    x, y = a.embedded, b.embedded
    square = jnp.sum(x * x, -1)[..., None] + jnp.sum(y * y, -1) - 2 * x @ y.T
    w = jax.nn.sigmoid(kernel.additive)
    return (1 - w) * jnp.exp(-jnp.maximum(square, 0.0)) + w * (a.plain @ b.plain.T)


def variance(kernel: Kernel, a: Points) -> chex.Array:
    """k(a_i, a_i) of points [...], float32 [...]; 1 where rows are one-hot."""
    w = jax.nn.sigmoid(kernel.additive)
    return 1 - w + w * jnp.sum(a.plain * a.plain, -1)


def noisy_covariance(kernel: Kernel, points: Points, valid: chex.Array) -> chex.Array:
    """Covariance [n, n] of observations at `points`; the identity in empty slots."""
    inside = covariance(kernel, points, points) * valid[:, None] * valid
    noise = jnp.where(valid > 0, jnp.exp(kernel.log_noise), 1.0)
    return inside + jnp.diag(noise)


@in_full_precision
def condition(
    kernel: Kernel,
    prior: Prior,
    alpha: chex.Array,
    score: chex.Array,
    valid: chex.Array,
) -> Posterior:
    """The process conditioned on observations.

    Args:
      alpha: float32 [n, E, O], the observed architectures.
      score: float32 [n], of mean 0 and deviation 1, such as `normal_scores`.
      valid: bool [n], True in slots with an observation.

    Source: Rasmussen and Williams 2006, Algorithm 2.1.
    """
    valid = valid.astype(jnp.float32)
    points = embed(kernel, prior, alpha)
    root = inverse_root(noisy_covariance(kernel, points, valid))
    return Posterior(points, root @ (score * valid), root, valid)


def unobserved(kernel: Kernel, prior: Prior, alpha: chex.Array) -> Posterior:
    """`condition` with n empty slots at `alpha` [n, E, O], without a factorisation."""
    none = jnp.zeros(len(alpha), jnp.float32)
    root = jnp.eye(len(alpha), dtype=jnp.float32)
    return Posterior(embed(kernel, prior, alpha), none, root, none)


@in_full_precision
def predict(
    posterior: Posterior, kernel: Kernel, prior: Prior, alpha: chex.Array
) -> tuple[chex.Array, chex.Array]:
    """Mean and standard deviation (without noise) [...] at `alpha` [..., E, O]."""
    points = embed(kernel, prior, alpha)
    near = covariance(kernel, points, posterior.points) * posterior.valid
    solved = near @ posterior.root.T
    left = variance(kernel, points) - jnp.sum(solved * solved, -1)
    # Rounding may leave a negative variance, and the root needs a finite gradient.
    return solved @ posterior.weight, jnp.sqrt(jnp.maximum(left, 1e-6))


@in_full_precision
def imagine(
    posterior: Posterior,
    kernel: Kernel,
    prior: Prior,
    alpha: chex.Array,
    valid: chex.Array,
    score: chex.Numeric | None = None,
) -> Posterior:
    """The posterior as if `alpha` [P, E, O] had been observed with a score.

    Args:
      valid: bool [P], True in slots that are in use.
      score: []; None for the mean of each: then the mean does not change, and the
        deviation shrinks near `alpha`.

    Source: Desautels et al. 2014 (GP-BUCB), section 4: hallucinated observations.
    """
    valid = valid.astype(jnp.float32)
    points = embed(kernel, prior, alpha)
    cross = covariance(kernel, points, posterior.points)
    cross = cross * valid[:, None] * posterior.valid
    below = cross @ posterior.root.T
    left = noisy_covariance(kernel, points, valid) - below @ below.T
    last = inverse_root(left)
    corner = -last @ (below @ posterior.root)
    weight = jnp.zeros_like(valid)
    if score is not None:
        weight = last @ (valid * (score - below @ posterior.weight))
    none = jnp.zeros((len(posterior.valid), len(valid)), posterior.root.dtype)
    return Posterior(
        jax.tree.map(lambda a, b: jnp.concatenate([a, b]), posterior.points, points),
        jnp.concatenate([posterior.weight, weight]),
        jnp.block([[posterior.root, none], [corner, last]]),
        jnp.concatenate([posterior.valid, valid]),
    )


def log_expected_improvement(
    mean: chex.Array, deviation: chex.Array, best: chex.Numeric
) -> chex.Array:
    """log E[max(f - best, 0)] for f ~ N(mean, deviation^2), any shape.

    log(deviation (u Phi(u) + phi(u))) with u = (mean - best) / deviation; for u < -4,
    where that cancels, its asymptote log(deviation phi(u) / (u^2 + 3)).

    Source: Jones et al. 1998.
    """
    u = (mean - best) / deviation
    low = u < -4
    near = jnp.where(low, 0.0, u)
    far = jnp.where(low, u, -4.0)
    inside = jnp.log(near * norm.cdf(near) + norm.pdf(near))
    outside = norm.logpdf(far) - jnp.log(far * far + 3)
    return jnp.log(deviation) + jnp.where(low, outside, inside)


@in_full_precision
def loss(
    kernel: Kernel,
    prior: Prior,
    alpha: chex.Array,
    score: chex.Array,
    valid: chex.Array,
) -> chex.Array:
    """A surrogate with the gradient of the kernel's negative log posterior.

    The negative log posterior, up to a constant, with y the scores, C the covariance
    with noise, t = (log noise, logit w) and t_0 its prior mean:

        (y^T C^-1 y + log det C) / 2
        + (|S / prior.shared|^2 + |R / prior.own|^2 + |t - t_0|^2) / 2

    Its first line has the derivative tr(G dC), G = (C^-1 - C^-1 y y^T C^-1) / 2; the
    surrogate uses sum(G * C) with G held constant. Arguments as for `condition`.

    Source: Rasmussen and Williams 2006, Eq. 5.9.
    """
    valid = valid.astype(jnp.float32)
    points = embed(kernel, prior, alpha)
    C = noisy_covariance(kernel, points, valid)
    root = inverse_root(jax.lax.stop_gradient(C))  # C^-1 = root^T root
    solved = root.T @ (root @ (score * valid))  # C^-1 y
    G = 0.5 * (root.T @ root - solved[:, None] * solved)
    E, O = kernel.own.shape[:2]
    mean = init(E, O, prior)
    off = [getattr(kernel, n) - getattr(mean, n) for n in ("log_noise", "additive")]
    return (
        jnp.sum(G * C)
        + 0.5 * jnp.sum(jnp.square(kernel.shared / prior.shared))
        + 0.5 * jnp.sum(jnp.square(kernel.own / prior.own))
        + 0.5 * sum(jnp.square(x) for x in off)
    )


def normal_scores(value: chex.Array, valid: chex.Array) -> chex.Array:
    """The normal quantile of each value's rank, float32 [n]; zero where not valid.

    Phi^-1((rank - 1/2) / n), ties take their mean rank. The result depends neither on
    the unit or offset of the values nor on a heavy tail of failures.
    """
    value = jnp.where(valid, value, jnp.inf)
    less = jnp.sum((value < value[:, None]) & valid, axis=1)
    same = jnp.sum((value == value[:, None]) & valid, axis=1)
    less, same = less.astype(jnp.float32), same.astype(jnp.float32)
    share = (less + 0.5 * same) / jnp.maximum(jnp.sum(valid), 1)
    # Keeps empty slots finite; it clips no rank among fewer than 5,000 values.
    return jnp.where(valid, ndtri(jnp.clip(share, 1e-4, 1 - 1e-4)), 0.0)
