"""Scores of untrained networks that tell something of their accuracy after training.

They are functions of one architecture on shared random weights, so that `jax.vmap`
scores thousands by one program:

    params = supernet.init(key, config)
    score = functools.partial(zero_cost.naswot, config, params)
    scores = jax.jit(jax.vmap(score, (0, None)))(arch, images)

Larger is better; -inf where no path leads through a cell, and nothing can be learnt.
Edges that change no output are left out, so isomorphic cells with the same edges in use
have the same scores.
"""

import chex
import jax
import jax.numpy as jnp

from nasjax.networks import supernet
from nasjax.networks.supernet import SupernetConfig, network
from nasjax.spaces import topology

NAMES = ("naswot", "synflow", "jacobian_covariance")


def naswot(
    config: SupernetConfig, params: network.Params, arch: chex.Array, images: chex.Array
) -> chex.Array:
    """log det K, K_ij = number of units that the ReLUs treat alike in images i and j.

    Args:
      config: static.
      params: from `supernet.init`.
      arch: uint8 [*arch_shape].
      images: float [B, H, W, image_channels], normalised, no two alike.

    Returns:
      float32 [].

    Source: Mellor et al. 2021.
    """
    alpha = config.space.one_hot(arch) * topology.live(config.space, arch)[..., None]
    return log_determinant(
        network.watch_relus(params, alpha, images, config, units_alike)
    )


def synflow(
    config: SupernetConfig,
    params: network.Params,
    arch: chex.Array,
    image_size: tuple[int, int] = (32, 32),
) -> chex.Array:
    """log sum_w |w dR / dw|, R the sum of logits for an image of ones.

    The network has absolute weights and no normalisation; w runs over the weights of
    convolutions and of the linear layer. R grows exponentially with depth: a float32
    overflows in networks of some 50 convolutions.

    Args:
      config, params, arch: as for `naswot`.
      image_size: (height, width).

    Returns:
      float32 [].

    Source: Tanaka et al. 2020, for networks as in Abdelfattah et al. 2021.
    """
    images = jnp.ones((1, *image_size, config.image_channels))
    params = jax.tree.map(jnp.abs, params)
    # Mean 0 and variance 1: each place only divides by sqrt(1 + 1e-5).
    none = supernet.initial_statistics(config, image_size)

    def total(params):
        return jnp.sum(supernet.apply(params, arch, images, config, statistics=none)[0])

    gradient = jax.grad(total)(params)
    # Scales, shifts and biases are vectors at the root of the network's places.
    terms = [
        jnp.sum(w * g)
        for w, g in zip(jax.tree.leaves(params), jax.tree.leaves(gradient), strict=True)
        if w.ndim > 1
    ]
    return jnp.log(sum(terms))


def jacobian_covariance(
    config: SupernetConfig, params: network.Params, arch: chex.Array, images: chex.Array
) -> chex.Array:
    """-sum_i log(v_i + k) + 1 / (v_i + k), v the eigenvalues of a correlation matrix.

    It correlates the images' gradients, of the sum of all logits, across pixels and
    channels; k = 1e-5.

    Args:
      config, params, arch, images: as for `naswot`.

    Returns:
      float32 [].

    Source: Mellor et al. 2020 (version 1); Abdelfattah et al. 2021.
    """

    def total(images):
        return jnp.sum(supernet.apply(params, arch, images, config)[0])

    return decorrelation(jax.grad(total)(images).reshape(len(images), -1))


def units_alike(x: chex.Array) -> chex.Array:
    """Units that a ReLU passes for both of two images or for neither.

    Args:
      x: [B, ...], its input.

    Returns:
      float32 [B, B]; exact below 2^24 units.
    """
    sign = jnp.where(x > 0, 1.0, -1.0).reshape(len(x), -1)
    return (sign.shape[1] + jnp.matmul(sign, sign.T, precision="highest")) / 2


def log_determinant(kernel: chex.Array) -> chex.Array:
    """log |det K| of [B, B], -inf where it is singular; float32 []."""
    return jnp.linalg.slogdet(kernel)[1]


def decorrelation(rows: chex.Array, k: float = 1e-5) -> chex.Array:
    """-sum_i log(v_i + k) + 1 / (v_i + k) of the correlations of rows [B, P].

    -inf where a row is constant.
    """
    rows = rows - jnp.mean(rows, axis=1, keepdims=True)
    length = jnp.linalg.norm(rows, axis=1, keepdims=True)
    defined = jnp.all(length > 0)
    rows = jnp.where(defined, rows / jnp.where(length > 0, length, 1), 0)
    values = jnp.linalg.eigvalsh(jnp.matmul(rows, rows.T, precision="highest"))
    values = jnp.maximum(values, 0) + k  # rounding may leave a negative one
    return jnp.where(defined, -jnp.sum(jnp.log(values) + 1 / values), -jnp.inf)
