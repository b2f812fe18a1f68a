"""Mean and variance by channel of images [B, H, W, C]."""

import functools

import chex
import jax
import jax.numpy as jnp

from nasjax.networks.platforms import by_platform


def _mean(x, axis_name):
    mean = jnp.mean(x, axis=(0, 1, 2))
    return mean if axis_name is None else jax.lax.pmean(mean, axis_name)


def moments(x: chex.Array, axis_name: str | None = None) -> tuple:
    """Mean and biased variance [C], in two passes, of x [B, H, W, C].

    E[x^2] - E[x]^2 would lose (mean / deviation)^2 roundings.

    Args:
      x: float32.
      axis_name: of a mapped axis over which the batch is spread; the statistics are
        then those of the whole batch.
    """
    mean = _mean(x, axis_name)
    # The variance's derivative by this mean is zero.
    centred = x - jax.lax.stop_gradient(mean)
    return mean, _mean(centred * centred, axis_name)


def fast_moments(x: chex.Array, axis_name: str | None = None) -> tuple:
    """`moments` without a derivative; in one pass on a GPU, as exact in practice."""
    forms = (
        functools.partial(form, axis_name=axis_name)
        for form in (moments_in_one_pass, moments)
    )
    return by_platform(*forms, x)


def two_means(a: chex.Array, b: chex.Array, axis_name: str | None = None) -> tuple:
    """Means by channel of two arrays, without a derivative; on a GPU in one pass."""
    means = by_platform(_together, lambda a, b: (_mean(a, None), _mean(b, None)), a, b)
    return means if axis_name is None else jax.lax.pmean(means, axis_name)


def _together(a, b):
    """Two means by a single reduction: at most two kernels on a GPU, not four."""
    zero = jnp.zeros((), a.dtype)
    sums = jax.lax.reduce(
        (a, b), (zero, zero), lambda x, y: (x[0] + y[0], x[1] + y[1]), (0, 1, 2)
    )
    first, second = (total / (a.size // a.shape[-1]) for total in sums)
    return first, second


def moments_in_one_pass(x: chex.Array, axis_name: str | None = None) -> tuple:
    """`moments` around one pixel, which lies within a few deviations of the mean.

    A pixel in the middle: at the border, paddings move the values.
    """
    B, H, W, _ = x.shape
    pixel = x[B // 2, H // 2, W // 2]
    centred = x - pixel
    offset, square = _together(centred, centred * centred)
    mean, variance = pixel + offset, jnp.maximum(square - offset * offset, 0.0)
    if axis_name is None:
        return mean, variance
    whole = jax.lax.pmean(mean, axis_name)
    return whole, jax.lax.pmean(variance + (mean - whole) ** 2, axis_name)
