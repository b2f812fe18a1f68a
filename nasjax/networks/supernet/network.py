"""Weight-sharing supernets: `init` and `apply` on stacked weights.

One compiled program serves every architecture of the space: the architecture is a
traced integer array. A normalisation has no learnt scale but the stem's, and by default
takes the batch's own statistics; running ones are an option for evaluation.
"""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from nasjax.networks.families import FAMILIES, Supernet
from nasjax.networks.supernet import cells
from nasjax.networks.supernet.config import SupernetConfig
from nasjax.networks.supernet.norms import Norms
from nasjax.spaces import image_sizes

Params = Any
Statistics = Any
MODES = ("path", "dense")


def _network(config: SupernetConfig) -> Supernet:
    return FAMILIES[config.kind].supernet


def init(key: chex.PRNGKey, config: SupernetConfig) -> Params:
    """Random weights, drawn as today's PyTorch does: dicts of float32 arrays.

    Convolutions are U(-1 / sqrt(n), 1 / sqrt(n)), n the inputs of an output, scales 1.
    In DARTS's time (PyTorch 0.3) scales were U(0, 1), and n of a depthwise convolution
    counted all channels.

    `params["cell3"]["edges"][group][operation][name]` is stacked over edges.
    """
    return _network(config).init(key, config)


def masks(config: SupernetConfig, choice: chex.Array) -> chex.Array:
    """float32 [cells, E, O] from an architecture or mask; see `apply`."""
    space = config.space
    alpha = choice
    if jnp.issubdtype(jnp.asarray(choice).dtype, jnp.integer):
        alpha = space.one_hot(choice)
    # A transposed architecture has as many numbers.
    chex.assert_shape(alpha, space.alpha_shape)
    shape = (space.cells, space.num_edges, space.num_operations)
    return jnp.asarray(alpha, jnp.float32).reshape(shape)


def apply(
    params: Params,
    choice: chex.Array,
    images: chex.Array,
    config: SupernetConfig,
    *,
    mode: str = "path",
    statistics: Statistics | None = None,
) -> tuple[chex.Array, Statistics]:
    """Logits of a batch under an architecture or a mask.

    Args:
      params: from `init`.
      choice: an architecture, integers `[*arch_shape]`; or, with `mode="dense"` only,
        a mask alpha, float `[*arch_shape, O]` (all ones: the one-shot network).
      images: [B, H, W, image_channels], normalised; an odd side is rounded up where
        the network halves it.
      config: static.
      mode: `path` computes the selected operations; `dense` all, under the mask.
      statistics: to normalise by, as `initial_statistics` shapes them; None takes the
        batch's own.

    Returns:
      Logits float32 [B, classes], and the statistics used.

    Raises:
      ValueError: an unknown mode, a mask with `mode="path"`, or images of other
        channels or of fewer pixels than the network halves.
      AssertionError: a choice of another shape.
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; allowed: {', '.join(MODES)}")
    space = config.space
    if mode == "path":
        if not jnp.issubdtype(jnp.asarray(choice).dtype, jnp.integer):
            raise ValueError(
                "mode='path' needs an architecture of integers; a mask "
                "of numbers needs mode='dense'"
            )
        chex.assert_shape(choice, space.arch_shape)
        choice = jnp.asarray(choice).reshape(space.cells, space.num_edges)
    else:
        choice = masks(config, choice)
    image_sizes.check(images.shape, config.image_channels, config.halvings)
    norms = Norms(config.axis_name, statistics)
    images = images.astype(config.dtype)
    features = _network(config).apply(params, choice, images, config, mode, norms)
    pooled = [jnp.mean(x, axis=(1, 2), dtype=jnp.float32) for x in features]
    head = params["classifier"]
    return jnp.concatenate(pooled, -1) @ head["kernel"] + head["bias"], norms.used


def initial_statistics(
    config: SupernetConfig, image_size: image_sizes.Size = 32
) -> Statistics:
    """Running statistics before the first update: mean 0, variance 1.

    Args:
      config: static.
      image_size: pixels a side, or (height, width).
    """
    shape = (1, *image_sizes.sides(image_size), config.image_channels)
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    space = config.space
    arch = jax.ShapeDtypeStruct(space.arch_shape, jnp.uint8)
    params = jax.eval_shape(lambda: init(jax.random.key(0), config))
    alone = dataclasses.replace(config, axis_name=None)
    shapes = jax.eval_shape(
        lambda p, a, x: apply(p, a, x, alone)[1], params, arch, images
    )

    def start(shape):  # [..., 2, C]: mean and variance
        zeros = jnp.zeros((*shape.shape[:-2], 1, shape.shape[-1]))
        return jnp.concatenate([zeros, zeros + 1], axis=-2)

    return jax.tree.map(start, shapes)


def selected(config: SupernetConfig, choice: chex.Array) -> Params:
    """Which weights an architecture or mask selects.

    Returns:
      bool arrays like `init`'s parameters, with trailing axes of size 1: True outside
      the cells' edges, and in them where the mask is not zero.
    """
    alpha = masks(config, choice)
    shapes = jax.eval_shape(lambda: init(jax.random.key(0), config))

    def everything(tree):
        return jax.tree.map(lambda x: jnp.ones((1,) * x.ndim, bool), tree)

    out = dict(shapes)
    plan = _network(config).plan(config)
    for name, tree in shapes.items():
        if name not in plan:
            out[name] = everything(tree)
            continue
        place, cell = plan[name]
        rows = cells.selected(cell, alpha[place])
        out[name] = everything(tree) | {
            "edges": tuple(
                {
                    operation: jax.tree.map(
                        lambda x, used=row[operation]: used.reshape(
                            -1, *(1,) * (x.ndim - 1)
                        ),
                        weights,
                    )
                    for operation, weights in stack.items()
                }
                for stack, row in zip(tree["edges"], rows, strict=True)
            )
        }
    return out


def update_statistics(
    config: SupernetConfig,
    running: Statistics,
    used: Statistics,
    choice: chex.Array,
    momentum: float = 0.1,
) -> Statistics:
    """running <- (1 - momentum) running + momentum used, where something was computed.

    Variances are biased ones (PyTorch's are not; over a batch of images there is no
    difference to speak of).
    """
    alpha = masks(config, choice)
    plan = _network(config).plan(config)
    out = {}
    for name, new in used.items():
        moved = (1 - momentum) * running[name] + momentum * new
        if name in plan:
            seen = (alpha[plan[name][0]] != 0)[..., None, None, None]
            moved = jnp.where(seen, moved, running[name])
        out[name] = moved
    return out


def count(params: Params) -> int:
    """Number of parameters."""
    return sum(int(np.prod(x.shape)) for x in jax.tree.leaves(params))
