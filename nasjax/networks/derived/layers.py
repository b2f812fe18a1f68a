"""Layers of derived networks; weights and normalisation are as in PyTorch.

Convolutions have no bias; their kernels are cast to the images' type. All images are
[B, H, W, C].
"""

from collections.abc import Callable
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from nasjax.networks import halving, primitives
from nasjax.networks.initializers import uniform
from nasjax.networks.moments import moments

MOMENTUM = 0.1  # of running statistics, PyTorch's default

Norm = Callable[..., nn.Module]  # makes a batch normalisation


def wide(x: chex.Array) -> Any:
    """The dtype of an array, but at least float32."""
    return jnp.promote_types(x.dtype, jnp.float32)


class Convolution(nn.Module):
    """Dense k x k convolution, k = `size` odd, with zero padding k // 2."""

    features: int
    size: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: chex.Array) -> chex.Array:
        k, C, D = self.size, x.shape[-1], self.features
        kernel = self.param("kernel", uniform, (k, k, C, D), k * k * C).astype(x.dtype)
        if k > 1:
            return primitives.convolution(x, kernel, self.stride)
        x = x[:, :: self.stride, :: self.stride]
        # One matrix product: with its gradient 1.5 to 2.5 times as fast on CPU as an
        # einsum over the image, or as a convolution.
        return (x.reshape(-1, C) @ kernel[0, 0]).reshape(*x.shape[:-1], D)


class Depthwise(nn.Module):
    """Depthwise k x k convolution, k odd, with zero padding dilation * (k // 2)."""

    size: int
    dilation: int = 1
    stride: int = 1

    @nn.compact
    def __call__(self, x: chex.Array) -> chex.Array:
        k = self.size
        kernel = self.param("kernel", uniform, (k, k, x.shape[-1]), k * k)
        kernel = kernel.astype(x.dtype)
        return primitives.depthwise(x, kernel, self.dilation, self.stride)


class BatchNorm(nn.Module):
    """Batch normalisation with a learnt scale and shift.

    y = scale (x - mean) / sqrt(var + 1e-5) + bias

    In training by the batch's statistics, which move the running ones by a tenth (with
    the unbiased variance); otherwise by the running ones.

    Attributes:
      train: whether to use the batch's statistics.
      axis_name: of a mapped axis over which the batch is spread; the statistics are
        then those of the whole batch.
    """

    train: bool
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: chex.Array) -> chex.Array:
        C = x.shape[-1]
        scale = self.param("scale", lambda _: jnp.ones(C, jnp.float32))
        bias = self.param("bias", lambda _: jnp.zeros(C, jnp.float32))
        mean = self.variable("statistics", "mean", jnp.zeros, C, jnp.float32)
        variance = self.variable("statistics", "variance", jnp.ones, C, jnp.float32)
        # `primitives.batch_norm` would round differently, since its gradient is written
        # by hand, and it computes in float32; float64 images stay float64 here.
        pixels = x.astype(wide(x))
        if self.train:
            m, v, count = self._of_batch(pixels)
            if not self.is_initializing():
                unbiased = v * (count / max(count - 1, 1))
                mean.value += MOMENTUM * (jax.lax.stop_gradient(m) - mean.value)
                variance.value += MOMENTUM * (
                    jax.lax.stop_gradient(unbiased) - variance.value
                )
        else:
            m, v = mean.value, variance.value
        factor = scale * jax.lax.rsqrt(v + primitives.EPSILON)
        return ((pixels - m) * factor + bias).astype(x.dtype)

    def _of_batch(self, x):
        """Mean, biased variance, and the number of values of each channel."""
        # No axis is mapped while weights are initialised.
        axis_name = None if self.is_initializing() else self.axis_name
        count = x.size // x.shape[-1]
        if axis_name is not None:
            count *= jax.lax.axis_size(axis_name)
        return *moments(x, axis_name), count


class FactorizedReduce(nn.Module):
    """Factorized reduce: ReLU, two 1 x 1 convolutions of stride 2, norm.

    The second convolution reads one pixel further down and right. Odd sides are rounded
    up; see `halving.odd_pixels`.
    """

    features: int
    norm: Norm

    @nn.compact
    def __call__(self, x: chex.Array) -> chex.Array:
        x = jax.nn.relu(x)
        half = self.features // 2
        first = Convolution(half, 1, stride=2)(x)
        second = Convolution(half, 1)(halving.odd_pixels(x))
        return self.norm()(jnp.concatenate([first, second], axis=-1))


class ReluConvNorm(nn.Module):
    """ReLU, dense convolution, batch normalisation."""

    features: int
    size: int
    norm: Norm
    stride: int = 1

    @nn.compact
    def __call__(self, x: chex.Array) -> chex.Array:
        x = Convolution(self.features, self.size, self.stride)(jax.nn.relu(x))
        return self.norm()(x)


class DropPath(nn.Module):
    """Sets whole images to zero, each with probability `rate`.

    y = mask x / (1 - rate), mask ~ Bernoulli(1 - rate) for each image

    Needs the rng "drop_path". With `axis_name` it draws for the whole batch and takes
    the device's share, so that devices with the same key drop the images that a single
    device would drop.

    Source: Larsson et al. 2017, as in the public DARTS code.
    """

    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: chex.Array, rate: chex.Numeric) -> chex.Array:
        key, count = self.make_rng("drop_path"), len(x)
        if self.axis_name is None:
            mask = jax.random.bernoulli(key, 1 - rate, (count,))
        else:
            whole = count * jax.lax.axis_size(self.axis_name)
            mask = jax.random.bernoulli(key, 1 - rate, (whole,))
            start = jax.lax.axis_index(self.axis_name) * count
            mask = jax.lax.dynamic_slice_in_dim(mask, start, count)
        factor = (mask / (1 - rate)).astype(x.dtype)
        return x * factor[:, None, None, None]


class Linear(nn.Module):
    """Linear layer: [B, C] -> logits [B, classes], float32 or wider."""

    classes: int

    @nn.compact
    def __call__(self, x: chex.Array) -> chex.Array:
        C = x.shape[-1]
        kernel = self.param("kernel", uniform, (C, self.classes), C)
        bias = self.param("bias", uniform, (self.classes,), C)
        return x.astype(wide(x)) @ kernel + bias
