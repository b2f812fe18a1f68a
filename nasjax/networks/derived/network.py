"""Networks of one architecture that are trained from scratch."""

import functools
from collections.abc import Mapping
from typing import Any

import chex
import flax.linen as nn
import jax.numpy as jnp

from nasjax.networks.derived.config import DerivedConfig
from nasjax.networks.derived.layers import BatchNorm, Linear, wide
from nasjax.networks.families import FAMILIES
from nasjax.spaces import image_sizes


class Network(nn.Module):
    """A classifier of one architecture.

    Its variables are `params` and `statistics` (running means and variances); only
    operations that the architecture selects have weights.

    Attributes:
      config: static.

    Source: NetworkCIFAR and NetworkImageNet of the public DARTS code (Liu et al. 2019);
      TinyNetwork of NAS-Bench-201's (Dong and Yang 2020).
    """

    config: DerivedConfig

    @nn.compact
    def __call__(
        self, images: chex.Array, train: bool, drop_path: chex.Numeric = 0.0
    ) -> tuple[chex.Array, chex.Array | None]:
        """Logits of a batch.

        Args:
          images: [B, H, W, image_channels], normalised; an odd side is rounded up where
            the network halves it.
          train: static; True normalises by the batch's statistics and moves the running
            ones (apply with `mutable=["statistics"]`), False normalises by the latter.
          drop_path: probability [] that an image's output of an operation becomes zero
            in training, identity skips excepted; needs the rng "drop_path" in training
            unless it is the number 0.

        Returns:
          Logits [B, classes], float32 (float64 of float64 images); and those of the
          auxiliary head in training if the network has one, else None.

        Raises:
          ValueError: images of another rank or other channels, or whose sides are too
            small for the network, or too small or large for the auxiliary head.
        """
        config = self.config
        image_sizes.check(images.shape, config.image_channels, config.halvings)
        if config.dtype == "bfloat16":
            images = images.astype(jnp.bfloat16)
        off = not train or (isinstance(drop_path, int | float) and drop_path == 0)
        norm = functools.partial(BatchNorm, train, config.axis_name)
        body = FAMILIES[config.kind].body(config, norm, train, name="body")
        x, auxiliary = body(images, None if off else drop_path)
        pooled = jnp.mean(x, (1, 2), dtype=wide(x))
        return Linear(config.classes, name="classifier")(pooled), auxiliary


def init(
    key: chex.PRNGKey, config: DerivedConfig, image_size: image_sizes.Size = 32
) -> Mapping[str, Any]:
    """Random variables `{"params": ..., "statistics": ...}`, float32.

    Weights are drawn as `nasjax.networks.initializers` describes; scales are 1, shifts
    and means 0, variances 1.

    Args:
      key: consumed once.
      config: static.
      image_size: pixels a side, or (height, width); static.

    Raises:
      ValueError: an image size that does not fit the network or its auxiliary head.
    """
    images = jnp.zeros((1, *image_sizes.sides(image_size), config.image_channels))
    return Network(config).init(key, images, train=True)
