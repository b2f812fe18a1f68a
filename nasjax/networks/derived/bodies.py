"""Bodies of derived networks: from the images to the input of the last pool."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from nasjax.networks import halving
from nasjax.networks.derived.cells import Cell, DartsCell
from nasjax.networks.derived.config import DerivedConfig
from nasjax.networks.derived.layers import (
    Convolution,
    Linear,
    Norm,
    ReluConvNorm,
    wide,
)
from nasjax.networks.initializers import uniform


class AuxiliaryHead(nn.Module):
    """A second classifier on features [B, H, W, C] of about 8 x 8 pixels.

    ReLU; 5 x 5 average pool to 2 x 2; 1 x 1 convolution to 128 channels, norm, ReLU;
    2 x 2 convolution to 768, norm, ReLU; linear.

    Attributes:
      classes: number of classes.
      stem: for imagenet, the pool's stride is 2 and not 3, and the second convolution
        has no normalisation, as in the public code of DARTS and PC-DARTS.
      norm: makes a batch normalisation.

    Raises:
      ValueError: when called, if the pool's output would not be 2 x 2.
    """

    classes: int
    stem: str
    norm: Norm

    @nn.compact
    def __call__(self, x: chex.Array) -> chex.Array:
        imagenet = self.stem == "imagenet"
        stride = 2 if imagenet else 3
        if {(size - 5) // stride for size in x.shape[1:3]} != {1}:
            raise ValueError(
                f"the auxiliary head needs {5 + stride} to {4 + 2 * stride} pixels "
                f"after the second reduction, got {x.shape[1]} x {x.shape[2]}"
            )
        x = jax.nn.relu(x)
        starts = (0, stride)
        corners = [x[:, i : i + 5, j : j + 5] for i in starts for j in starts]
        means = [
            jnp.mean(corner, (1, 2), keepdims=True, dtype=wide(x)).astype(x.dtype)
            for corner in corners
        ]
        rows = [jnp.concatenate(means[i : i + 2], axis=2) for i in (0, 2)]
        x = Convolution(128, 1)(jnp.concatenate(rows, axis=1))
        x = jax.nn.relu(self.norm()(x))
        kernel = self.param("kernel", uniform, (2, 2, 128, 768), 4 * 128)
        x = x.reshape(len(x), -1) @ kernel.reshape(-1, 768).astype(x.dtype)
        if not imagenet:
            x = self.norm()(x[:, None, None])[:, 0, 0]
        return Linear(self.classes)(jax.nn.relu(x))


class DartsBody(nn.Module):
    """Stem and DARTS cells; see `families.Family.body`."""

    config: DerivedConfig
    norm: Norm
    train: bool

    @nn.compact
    def __call__(self, x, drop_path):
        config, norm, auxiliary = self.config, self.norm, None
        older, newer = self._stem(x)
        C = config.channels
        for i in range(config.cells):
            reduction = i in config.reductions
            C *= 2 if reduction else 1
            after_reduction = i - 1 in config.reductions
            cell = DartsCell(
                C,
                halved=after_reduction or (i == 0 and config.stem == "imagenet"),
                edges=config.edges(int(reduction)),
                norm=norm,
                stride=2 if reduction else 1,
                axis_name=config.axis_name,
                name=f"cell{i}",
            )
            older, newer = newer, cell(older, newer, drop_path)
            if self.train and config.auxiliary and i == config.reductions[-1]:
                head = AuxiliaryHead(
                    config.classes, config.stem, norm, name="auxiliary"
                )
                auxiliary = head(newer)
        return newer, auxiliary

    def _stem(self, x):
        C, norm = self.config.channels, self.norm
        if self.config.stem == "cifar":
            x = norm(name="stem_norm")(Convolution(3 * C, 3, name="stem")(x))
            return x, x
        x = Convolution(C // 2, 3, 2, name="stem0")(x)
        x = norm(name="stem0_norm")(x)
        older = ReluConvNorm(C, 3, norm, 2, name="stem1")(x)
        return older, ReluConvNorm(C, 3, norm, 2, name="stem2")(older)


class _ResidualBlock(nn.Module):
    """Residual block of stride 2; its shortcut is an average pool and a 1 x 1."""

    features: int
    norm: Norm

    @nn.compact
    def __call__(self, x):
        y = ReluConvNorm(self.features, 3, self.norm, 2)(x)
        y = ReluConvNorm(self.features, 3, self.norm)(y)
        return y + Convolution(self.features, 1)(halving.average_pool_2x2(x))


class NasBench201Body(nn.Module):
    """Stem and three stages of NAS-Bench-201 cells, a residual block between stages.

    It has no auxiliary head; see `families.Family.body`.
    """

    config: DerivedConfig
    norm: Norm
    train: bool

    @nn.compact
    def __call__(self, x, drop_path):
        config, norm = self.config, self.norm
        x = norm(name="stem_norm")(Convolution(config.channels, 3, name="stem")(x))
        for stage in range(3):
            if stage:
                C = config.channels * 2**stage
                x = _ResidualBlock(C, norm, name=f"block{stage}")(x)
            for i in range(config.cells):
                name = f"cell{stage}_{i}"
                cell = Cell(config.edges(), norm, 1, config.axis_name, name=name)
                x = cell((x,), drop_path)[-1]
        return jax.nn.relu(norm(name="last_norm")(x)), None
