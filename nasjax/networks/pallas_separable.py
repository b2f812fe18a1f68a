"""Separable convolutions with batch normalisation, by fused kernels on a GPU.

A block is ReLU, depthwise convolution, 1 x 1 convolution and batch normalisation; an
operation is one block or several. Forward a block is one kernel over its images, its
gradient two: of the 1 x 1 and of the depthwise convolution. Each normalises what it
reads. Other platforms compose the block of `primitives`, against which the kernels are
tested.
"""

import functools

import chex
import jax
import jax.numpy as jnp

from nasjax.networks import pallas_kernels, primitives
from nasjax.networks.pallas_tiles import Block
from nasjax.networks.platforms import by_platform


def _blocks(x, depth, dilation, stride):
    """The blocks of an operation; only the first has the stride."""
    blocks, shape = [], x.shape
    for index in range(len(depth)):
        step = stride if index == 0 else 1
        block = Block(index, shape, depth.shape[1], dilation, step)
        blocks.append(block)
        shape = block.out
    return blocks


def _joint(moments, axis_name):
    """Moments of the whole batch from those of a device's share."""
    if axis_name is None:
        return moments
    mean, variance = moments
    whole = jax.lax.pmean(mean, axis_name)
    return jnp.stack([whole, jax.lax.pmean(variance + (mean - whole) ** 2, axis_name)])


def _fused(x, depth, point, dilation, stride, axis_name, keep):
    """Outputs before their normalisation, moments, and depthwise results if kept."""
    outputs: list[chex.Array] = []
    moments: list[chex.Array] = []
    kept: list[chex.Array] = []
    for block in _blocks(x, depth, dilation, stride):
        y, new, more = pallas_kernels.forward(
            block,
            outputs[-1] if outputs else x,
            moments[-1:],
            depth,
            point,
            keep,
        )
        outputs.append(y)
        moments.append(_joint(new, axis_name))
        kept += more
    return outputs, moments, kept


def _sums(parts):
    """Sums over the first axes of arrays, stacked."""
    if len({part.shape for part in parts}) == 1:
        return jnp.sum(jnp.stack(parts), 1)
    return jnp.stack([jnp.sum(part, 0) for part in parts])


def _fused_gradient(saved, g, dilation, stride, axis_name):
    x, depth, point, outputs, moments, kept = saved
    blocks = _blocks(x, depth, dilation, stride)
    new = [pallas_kernels.gradient_means(blocks[-1], g, outputs[-1], moments[-1])]
    g_depth: list[chex.Array] = []
    g_point: list[chex.Array] = []
    for block in reversed(blocks):
        (means,) = new if axis_name is None else jax.lax.pmean(new, axis_name)
        t = block.number
        g, of_depth, of_point, new = pallas_kernels.backward(
            block,
            g,
            outputs[t],
            moments[t],
            means,
            kept[t],
            outputs[t - 1] if t else x,
            moments[t - 1 : t] if t else [],
            depth,
            point,
        )
        g_depth.insert(0, of_depth)
        g_point.insert(0, of_point)
    return g, _sums(g_depth).astype(depth.dtype), _sums(g_point).astype(point.dtype)


def _composed(x, depth, point, dilation, stride, axis_name, keep):
    """`_fused` of primitives, and the normalised output."""
    outputs, moments, kept = [], [], []
    for t in range(len(depth)):
        kept.append(
            primitives.depthwise(jax.nn.relu(x), depth[t], dilation, 1 if t else stride)
        )
        outputs.append(primitives.pointwise(kept[-1], point[t]))
        x, used = primitives.batch_norm(outputs[-1], axis_name)
        moments.append(used)
    return (outputs, moments, kept if keep else []), x


def unnormalized(
    x: chex.Array,
    depth: chex.Array,
    point: chex.Array,
    dilation: int = 1,
    stride: int = 1,
    axis_name: str | None = None,
    keep: bool = False,
) -> tuple[list[chex.Array], list[chex.Array], list[chex.Array]]:
    """The blocks of `separable` before their normalisation; no derivative.

    Returns:
      By block: [B, H', W', C], statistics float32 [2, C], and, with `keep`, the result
      of its depthwise convolution.
    """
    static = dilation, stride, axis_name, keep

    def fused(x, depth, point):
        return _fused(x, depth, point, *static)

    def composed(x, depth, point):
        return _composed(x, depth, point, *static)[0]

    return by_platform(fused, composed, x, depth, point)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def separable(
    x: chex.Array,
    depth: chex.Array,
    point: chex.Array,
    dilation: int = 1,
    stride: int = 1,
    axis_name: str | None = None,
) -> tuple[chex.Array, chex.Array]:
    """T blocks, each ReLU, depthwise and 1 x 1 convolution, batch normalisation.

    Args:
      x: [B, H, W, C].
      depth: [T, k, k, C], kernels of `primitives.depthwise`, k odd.
      point: [T, C, C], kernels of `primitives.pointwise`.
      dilation: of every block.
      stride: 1 or 2, of the first block.
      axis_name: see `primitives.batch_norm`.

    Returns:
      y [B, ceil(H / stride), ceil(W / stride), C], and float32 [T, 2, C]: mean and
      biased variance of each block, without a gradient.
    """
    return _separable_forward(x, depth, point, dilation, stride, axis_name)[0]


def _separable_forward(x, depth, point, dilation, stride, axis_name):
    static = dilation, stride, axis_name
    outputs, moments, kept = unnormalized(x, depth, point, *static, keep=True)
    y = primitives.normalize(outputs[-1], moments[-1])
    return (y, jnp.stack(moments)), (x, depth, point, outputs, moments, kept)


def _separable_backward(dilation, stride, axis_name, saved, cotangent):
    def fused(saved, g):
        return _fused_gradient(saved, g, dilation, stride, axis_name)

    def composed(saved, g):
        def operation(x, depth, point):
            return _composed(x, depth, point, dilation, stride, axis_name, False)[1]

        return jax.vjp(operation, *saved[:3])[1](g)

    return by_platform(fused, composed, saved, cotangent[0])


separable.defvjp(_separable_forward, _separable_backward)
