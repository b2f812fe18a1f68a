"""Mean and variance of images [B, H, W, C], by channel."""

import functools

import chex
import jax
import jax.numpy as jnp

from nasjax.networks.platforms import by_platform


def _mean(x, axis_name):
    mean = jnp.mean(x, axis=(0, 1, 2))
    return mean if axis_name is None else jax.lax.pmean(mean, axis_name)


def moments(x: chex.Array, axis_name: str | None = None) -> tuple:
    """Mean and biased variance of each channel, in two passes.

    E[x^2] - E[x]^2 would multiply rounding errors by (mean / deviation)^2.

    Args:
      x: [B, H, W, C], at least float32.
      axis_name: of a mapped axis over which the batch is spread; the statistics are
        then those of the whole batch.

    Returns:
      Mean [C] and variance [C].
    """
    mean = _mean(x, axis_name)
    # The variance's derivative by this mean is zero: nothing is lost.
    centred = x - jax.lax.stop_gradient(mean)
    return mean, _mean(centred * centred, axis_name)


def fast_moments(x: chex.Array, axis_name: str | None = None) -> tuple:
    """`moments` without a derivative: one pass on a GPU, as exact in practice."""
    forms = (
        functools.partial(form, axis_name=axis_name)
        for form in (moments_in_one_pass, moments)
    )
    return by_platform(*forms, x)


def two_means(a: chex.Array, b: chex.Array, axis_name: str | None = None) -> tuple:
    """Means [C] of two arrays of one shape, without a derivative: one pass on a GPU."""
    means = by_platform(_together, lambda a, b: (_mean(a, None), _mean(b, None)), a, b)
    return means if axis_name is None else jax.lax.pmean(means, axis_name)


def _together(a, b):
    """Two means by one reduction, so that a GPU runs at most two kernels, not four."""
    zero = jnp.zeros((), a.dtype)
    sums = jax.lax.reduce(
        (a, b), (zero, zero), lambda x, y: (x[0] + y[0], x[1] + y[1]), (0, 1, 2)
    )
    first, second = (total / (a.size // a.shape[-1]) for total in sums)
    return first, second


def sums(*arrays: chex.Array) -> chex.Array:
    """float32 [n, C]: sums of n arrays [B, H, W, C], which are stored first.

    On a GPU together, by one reduction; elsewhere that would only copy them.
    """

    def together(*arrays):
        stacked = jax.lax.optimization_barrier(jnp.stack(arrays))
        return jnp.sum(stacked, (1, 2, 3), jnp.float32)

    def apart(*arrays):
        stored = jax.lax.optimization_barrier(arrays)
        return jnp.stack([jnp.sum(x, (0, 1, 2), jnp.float32) for x in stored])

    return by_platform(together, apart, *arrays)


def moments_in_one_pass(x: chex.Array, axis_name: str | None = None) -> tuple:
    """`moments` by deviations from one pixel, without a derivative.

    The pixel lies within a few deviations of the mean, so that little precision is
    lost. It is in the middle of an image: at the border, padding shifts the values.
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
