"""Weight-sharing supernets: `init` and `apply` on stacked weights.

One compiled program serves every architecture of the space: the architecture is a
traced integer array. Normalisations, except the stem's, have no learnt scale and shift;
by default they take the batch's own statistics, and running ones are an option for
evaluation.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from nasjax.networks.families import FAMILIES, Supernet
from nasjax.networks.supernet import cells, dense, operations, path
from nasjax.networks.supernet.config import SupernetConfig
from nasjax.spaces import image_sizes

Params = Any
Statistics = Any
MODES = ("path", "dense")


class Norms:
    """Normalisations at named places of a network; keeps the statistics used.

    An instance serves one trace.

    Args:
      axis_name: see `primitives.batch_norm`.
      fixed: statistics to normalise by, by place; None takes the batch's own.
      watch: see `watch_relus`.
    """

    def __init__(
        self,
        axis_name: str | None,
        fixed: Mapping[str, Any] | None,
        watch: Callable[[chex.Array], chex.Array] | None = None,
    ):
        self._axis_name, self._fixed, self._watch = axis_name, fixed, watch
        self.watched: Any = 0.0
        self.used: dict[str, Any] = {}

    def _at(self, name: str) -> Any:
        return None if self._fixed is None else self._fixed[name]

    def __call__(self, name: str, x: chex.Array) -> chex.Array:
        """Normalises a batch [B, H, W, C] at a place."""
        x, self.used[name] = operations.normalize(x, self._at(name), self._axis_name)
        return x

    def relu(self, x: chex.Array) -> chex.Array:
        """A ReLU outside of the cells."""
        if self._watch is not None:
            self.watched += self._watch(x)
        return jax.nn.relu(x)

    def cell(
        self, name: str, cell: cells.Cell, mode: str, weights, inputs, choice
    ) -> list[chex.Array]:
        """The nodes of a cell, computed by `path` or `dense` as `mode` says."""
        where = cell, weights, inputs, choice, self._at(name)
        if mode == "path":
            nodes, self.used[name] = path.path(*where)
        else:
            nodes, self.used[name], seen = dense.dense(*where, self._watch)
            self.watched += 0.0 if seen is None else seen
        return list(nodes)


def _network(config: SupernetConfig) -> Supernet:
    return FAMILIES[config.kind].supernet


def init(key: chex.PRNGKey, config: SupernetConfig) -> Params:
    """Random weights, drawn as `initializers` describes: dicts of float32 arrays.

    `params["cell3"]["edges"][group][operation][name]` is stacked over edges.
    """
    return _network(config).init(key, config)


def masks(config: SupernetConfig, choice: chex.Array) -> chex.Array:
    """Mask float32 [cells, E, O] of an architecture or mask; see `apply`.

    Raises:
      AssertionError: a choice of another shape.
    """
    space = config.space
    integers = jnp.issubdtype(jnp.asarray(choice).dtype, jnp.integer)
    alpha = space.one_hot(choice) if integers else choice
    # `reshape` alone would accept a transposed architecture.
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
      statistics: to normalise by, shaped like `initial_statistics`; None takes the
        batch's own.

    Returns:
      Logits float32 [B, classes], and the statistics used, without a gradient.

    Raises:
      ValueError: an unknown mode, a mask with `mode="path"`, or images of another rank
        or other channels, or whose sides are too small to be halved as often.
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


def watch_relus(
    params: Params,
    choice: chex.Array,
    images: chex.Array,
    config: SupernetConfig,
    watch: Callable[[chex.Array], chex.Array],
) -> chex.Array:
    """The sum of `watch(x)` over the inputs x [B, H, W, C] of all ReLUs.

    Those of an operation count as often as `choice` says.

    Args:
      params, choice, images, config: as for `apply` with `mode="dense"`.
      watch: returns arrays of one shape.
    """
    norms = Norms(config.axis_name, None, watch)
    choice, images = masks(config, choice), images.astype(config.dtype)
    _network(config).apply(params, choice, images, config, "dense", norms)
    return norms.watched


def initial_statistics(
    config: SupernetConfig, image_size: image_sizes.Size = 32
) -> Statistics:
    """Running statistics before the first update: mean 0, variance 1.

    Args:
      config: static.
      image_size: pixels a side, or (height, width).

    Returns:
      A dict of float32 [..., 2, C], mean and variance, by place; of a cell
      [E, O, 2, 2, C / parts], see `cells.no_statistics`.

    Raises:
      ValueError: an image size that does not fit the network.
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

    def start(shape):
        zeros = jnp.zeros((*shape.shape[:-2], 1, shape.shape[-1]))
        return jnp.concatenate([zeros, zeros + 1], axis=-2)

    return jax.tree.map(start, shapes)


def selected(config: SupernetConfig, choice: chex.Array) -> Params:
    """Mask of the weights that an architecture or mask selects.

    Returns:
      Bool arrays in the tree of `init`, which broadcast against its arrays: in the
      cells' edges [G, 1, ...], True where the mask is not zero; elsewhere True, all
      axes of size 1.
    """
    alpha = masks(config, choice)
    shapes = jax.eval_shape(lambda: init(jax.random.key(0), config))
    out = jax.tree.map(lambda x: jnp.ones((1,) * x.ndim, bool), shapes)
    for name, (place, cell) in _network(config).plan(config).items():
        edges = shapes[name]["edges"]
        out[name]["edges"] = cells.selected(cell, edges, alpha[place])
    return out


def update_statistics(
    config: SupernetConfig,
    running: Statistics,
    used: Statistics,
    choice: chex.Array,
    momentum: float = 0.1,
) -> Statistics:
    """Running statistics after a batch that `choice` was computed on.

    running <- (1 - momentum) running + momentum used

    The statistics of operations that `choice` does not select stay as they are.
    Variances are biased ones; PyTorch's are not, but over a batch of images the
    difference is negligible.
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
