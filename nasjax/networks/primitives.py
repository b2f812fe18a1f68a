"""Convolutions, pools and normalisation that compile to fast programs.

XLA's grouped convolution is slow on CPU and GPU alike; a depthwise convolution written
as a padded sum of shifted products is one elementwise kernel. Its gradients, and those
of the pools, are written by hand: automatic ones scatter.

All images are [B, H, W, C]; with stride s they become [B, ceil(H / s), ceil(W / s), C].
Strides and dilations are static.
"""

import functools
import itertools
from collections.abc import Iterable

import chex
import jax
import jax.numpy as jnp

from nasjax.networks.moments import fast_moments, sums, two_means
from nasjax.networks.platforms import by_platform

EPSILON = 1e-5


def _pad(x, padding, value=0.0):
    """Padded images; on a GPU they are stored, not fused into their readers.

    A fused padding tests its bounds at every tap, which takes five to seven times the
    instructions of the taps themselves.
    """
    sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = jnp.pad(x, sides, constant_values=value)
    return by_platform(jax.lax.optimization_barrier, lambda x: x, padded)


def _window(padded, row, column, height, width, stride):
    """Strided window [B, height, width, C] of padded images, from (row, column) on."""
    bottom, right = row + (height - 1) * stride, column + (width - 1) * stride
    stop = (padded.shape[0], bottom + 1, right + 1, padded.shape[-1])
    return jax.lax.slice(padded, (0, row, column, 0), stop, (1, stride, stride, 1))


def _spread(g, shape, stride):
    """Gradient of strided outputs at the inputs' resolution, with zeros between."""
    if stride == 1:
        return g
    high = [shape[i] - ((g.shape[i] - 1) * stride + 1) for i in (1, 2)]
    sides = ((0, 0, 0), (0, high[0], stride - 1), (0, high[1], stride - 1), (0, 0, 0))
    return jax.lax.pad(g, jnp.zeros((), g.dtype), sides)


def _shifted_sum(x, kernel, dilation, stride):
    k = kernel.shape[0]
    padding = dilation * (k // 2)
    height, width = -(-x.shape[1] // stride), -(-x.shape[2] // stride)
    padded = _pad(x, padding)
    total = None
    for i, j in itertools.product(range(k), range(k)):
        term = kernel[i, j] * _window(
            padded, i * dilation, j * dilation, height, width, stride
        )
        total = term if total is None else total + term
    return total


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise(
    x: chex.Array, kernel: chex.Array, dilation: int = 1, stride: int = 1
) -> chex.Array:
    """Depthwise convolution with zero padding dilation * (k // 2).

    y[b, h, w, c] = sum_ij kernel[i, j, c]
                    x[b, s h + d (i - k // 2), s w + d (j - k // 2), c]

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C], k odd.
      dilation, stride: d and s.
    """
    return _shifted_sum(x, kernel, dilation, stride)


def _depthwise_forward(x, kernel, dilation, stride):
    return _shifted_sum(x, kernel, dilation, stride), (x, kernel)


def _depthwise_backward(dilation, stride, saved, g):
    x, kernel = saved
    # The input's gradient is the same sum with the kernel turned by 180 degrees.
    spread = _spread(g, x.shape, stride)
    gradient_x = _shifted_sum(spread, kernel[::-1, ::-1], dilation, 1)
    k = kernel.shape[0]
    padded = _pad(x, dilation * (k // 2))
    height, width = g.shape[1:3]
    # The kernel's gradient. Summing a few groups of images first is elementwise and
    # fast; what the reduction after the barrier gets is too small for its slow form to
    # matter.
    terms = max(n for n in range(1, 9) if len(x) % n == 0)
    groups = [
        slice(n * len(x) // terms, (n + 1) * len(x) // terms) for n in range(terms)
    ]
    products = tuple(
        sum(
            _window(padded[n], i * dilation, j * dilation, height, width, stride) * g[n]
            for n in groups
        )
        for i, j in itertools.product(range(k), range(k))
    )
    total = sums(*products)
    return gradient_x, total.reshape(kernel.shape).astype(kernel.dtype)


depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def _windows_of_pool(x, stride, value):
    height, width = -(-x.shape[1] // stride), -(-x.shape[2] // stride)
    padded = _pad(x, 1, value)
    return [
        _window(padded, i, j, height, width, stride)
        for i, j in itertools.product(range(3), range(3))
    ]


def _index_of_largest(x, stride):
    """Index of each window's largest entry among its nine, the first of equal ones."""
    best, *others = _windows_of_pool(x, stride, -jnp.inf)
    index = jnp.zeros(best.shape, jnp.int8)
    for tap, value in enumerate(others, 1):
        index = jnp.where(value > best, jnp.int8(tap), index)
        best = jnp.maximum(best, value)
    return index


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def max_pool(x: chex.Array, stride: int = 1) -> chex.Array:
    """3 x 3 max pool, padding 1; of equal entries the first gets the gradient."""
    return functools.reduce(jnp.maximum, _windows_of_pool(x, stride, -jnp.inf))


def _max_pool_forward(x, stride):
    return max_pool(x, stride), x


def _max_pool_backward(stride, x, g):
    index = _index_of_largest(x, stride)
    g = _pad(_spread(g, x.shape, stride), 1)
    # Zeros of `_spread` carry no gradient, so which tap they name does not matter.
    index = _pad(_spread(index, x.shape, stride), 1)
    height, width = x.shape[1:3]
    total = jnp.zeros(x.shape, g.dtype)
    for tap, (i, j) in enumerate(itertools.product(range(3), range(3))):
        at = (2 - i, 2 - j, height, width, 1)
        total += jnp.where(_window(index, *at) == tap, _window(g, *at), 0)
    return (total,)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def _inside(height, width, stride, dtype):
    """Number of each window's entries that lie in the image, [height', width', 1]."""
    ones = jnp.ones((1, height, width, 1), dtype)
    return sum(_windows_of_pool(ones, stride, 0.0))[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def average_pool(x: chex.Array, stride: int = 1) -> chex.Array:
    """3 x 3 average pool, padding 1; padded entries are not counted."""
    total = sum(_windows_of_pool(x, stride, 0.0))
    return total / _inside(x.shape[1], x.shape[2], stride, x.dtype)


def _average_pool_forward(x, stride):
    return average_pool(x, stride), jnp.zeros((0, *x.shape[1:3]), x.dtype)


def _average_pool_backward(stride, empty, g):
    _, height, width = empty.shape
    g = g / _inside(height, width, stride, g.dtype)
    shape = (g.shape[0], height, width, g.shape[3])
    return (sum(_windows_of_pool(_spread(g, shape, stride), 1, 0.0)),)


average_pool.defvjp(_average_pool_forward, _average_pool_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def batch_norm(
    x: chex.Array, axis_name: str | None = None
) -> tuple[chex.Array, chex.Array]:
    """Batch normalisation by the batch's own statistics, without scale and shift.

    y = (x - mean) / sqrt(var + 1e-5), computed in float32

    Args:
      x: [B, H, W, C].
      axis_name: of a mapped axis over which the batch is spread; the statistics are
        then those of the whole batch.

    Returns:
      y, shaped and typed like x, and float32 [2, C]: mean and biased variance, without
      a gradient.
    """
    return _batch_norm_forward(x, axis_name)[0]


def batch_statistics(x: chex.Array, axis_name: str | None = None) -> chex.Array:
    """float32 [2, C], mean and biased variance of `batch_norm`; no derivative."""
    return jnp.stack(fast_moments(x.astype(jnp.float32), axis_name))


def affine(statistics: chex.Array) -> chex.Array:
    """float32 [2, C], mean and scale 1 / sqrt(var + 1e-5), from mean and variance."""
    mean, variance = statistics
    return jnp.stack([mean, jax.lax.rsqrt(variance + EPSILON)])


def apply_affine(x: chex.Array, affine: Iterable[chex.Array]) -> chex.Array:
    """(x - mean) * scale in float32, like x [B, H, W, C]."""
    mean, scale = affine
    return ((x.astype(jnp.float32) - mean) * scale).astype(x.dtype)


def _batch_norm_forward(x, axis_name):
    mean, variance = fast_moments(x.astype(jnp.float32), axis_name)
    scale = jax.lax.rsqrt(variance + EPSILON)
    y = apply_affine(x, (mean, scale))
    return (y, jnp.stack([mean, variance])), (x, mean, scale)


def _batch_norm_backward(axis_name, saved, cotangent):
    x, mean, scale = saved
    g = cotangent[0].astype(jnp.float32)
    y = (x.astype(jnp.float32) - mean) * scale
    along, straight = two_means(g * y, g, axis_name)
    out = scale * (g - straight - y * along)
    return (out.astype(x.dtype),)


batch_norm.defvjp(_batch_norm_forward, _batch_norm_backward)


def normalize(x: chex.Array, statistics: chex.Array) -> chex.Array:
    """`batch_norm` of [B, H, W, C] by fixed statistics, float32 [2, C]."""
    return apply_affine(x, affine(statistics))


def pointwise(x: chex.Array, kernel: chex.Array) -> chex.Array:
    """1 x 1 convolution of [B, H, W, C] by a kernel [C, D]: [B, H, W, D]."""
    return jnp.einsum("bhwc,cd->bhwd", x, kernel)


def _convolve(x, kernel, stride, padding):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolution(x: chex.Array, kernel: chex.Array, stride: int = 1) -> chex.Array:
    """Dense convolution by a kernel [k, k, C, D], k odd, with zero padding k // 2."""
    return _convolve(x, kernel, stride, len(kernel) // 2)


def _convolution_forward(x, kernel, stride):
    return convolution(x, kernel, stride), (x, kernel)


def _convolution_backward(stride, saved, g):
    x, kernel = saved
    padding = len(kernel) // 2

    def automatic(x, kernel, g):
        forward = functools.partial(_convolve, stride=stride, padding=padding)
        return jax.vjp(forward, x, kernel)[1](g)

    def by_convolutions(x, kernel, g):
        # XLA:CPU finds its fast convolution for these forms everywhere; for automatic
        # gradients not inside a loop or a conditional, where they take 17 to 70 times
        # as long (jax 0.12).
        turned = jnp.swapaxes(kernel[::-1, ::-1], 2, 3)
        images, filters = x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3)
        g_kernel = _convolve(images, filters, 1, padding).transpose(1, 2, 0, 3)
        return _convolve(g, turned, 1, padding), g_kernel

    if stride > 1:
        return automatic(x, kernel, g)
    forms = {"cpu": by_convolutions, "default": automatic}
    return jax.lax.platform_dependent(x, kernel, g, **forms)


convolution.defvjp(_convolution_forward, _convolution_backward)
