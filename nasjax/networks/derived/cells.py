"""Operations and cells of derived networks, with weights of selected operations only.

All images are [B, H, W, C].

Source: Liu et al. 2019 and Dong and Yang 2020, as laid out in their public code.
"""

from collections.abc import Sequence

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from nasjax.networks import primitives
from nasjax.networks.derived.layers import (
    Convolution,
    Depthwise,
    DropPath,
    FactorizedReduce,
    Norm,
    ReluConvNorm,
)

Edges = tuple[tuple[int, int, str], ...]  # (source, target, operation)


class Operation(nn.Module):
    """The operation of an edge, by its name in either space.

    Pools have no normalisation; a skip of stride 2 is a factorized reduce. A dilated
    convolution is ReLU, depthwise of dilation 2, 1 x 1 and norm; a separable one is
    that twice without the dilation, and only the first has the stride.

    Attributes:
      operation: `sep_conv_3x3`, `nor_conv_1x1`, `none`, ...
      norm: makes a batch normalisation.
      stride: 1 or 2.

    Raises:
      ValueError: when called, if the name is not known.
    """

    operation: str
    norm: Norm
    stride: int = 1

    @nn.compact
    def __call__(self, x: chex.Array) -> chex.Array:
        C, s = x.shape[-1], self.stride
        match self.operation:
            case "none":
                return jnp.zeros_like(x[:, ::s, ::s])
            case "max_pool_3x3":
                return primitives.max_pool(x, s)
            case "avg_pool_3x3":
                return primitives.average_pool(x, s)
            case "skip_connect":
                return x if s == 1 else FactorizedReduce(C, self.norm)(x)
            case "nor_conv_1x1" | "nor_conv_3x3":
                return ReluConvNorm(C, int(self.operation[-1]), self.norm, s)(x)
            case "sep_conv_3x3" | "sep_conv_5x5":
                dilation, strides = 1, [s, 1]
            case "dil_conv_3x3" | "dil_conv_5x5":
                dilation, strides = 2, [s]
            case other:
                raise ValueError(f"operation {other!r} is not known")
        for stride in strides:
            x = Depthwise(int(self.operation[-1]), dilation, stride)(jax.nn.relu(x))
            x = self.norm()(Convolution(C, 1)(x))
        return x


class Cell(nn.Module):
    """The nodes of a cell, each the sum of its in-edges' outputs.

    Attributes:
      edges: sorted by target; inputs are the first nodes.
      norm: makes a batch normalisation.
      stride: of edges that leave an input.
      axis_name: see `DropPath`.
    """

    edges: Edges
    norm: Norm
    stride: int = 1
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, inputs: Sequence[chex.Array], drop_path: chex.Numeric | None
    ) -> list[chex.Array]:
        """The computed nodes, without the inputs; `drop_path` None drops nothing."""
        nodes = list(inputs)
        for source, target, operation in self.edges:
            stride = self.stride if source < len(inputs) else 1
            name = f"edge{source}{target}"
            x = nodes[source]
            y = Operation(operation, self.norm, stride, name=name)(x)
            identity = operation == "skip_connect" and stride == 1
            # Zeros stay zeros: they need no mask.
            if drop_path is not None and not identity and operation != "none":
                y = DropPath(self.axis_name, name=f"drop{source}{target}")(y, drop_path)
            if target < len(nodes):
                nodes[target] += y
            else:
                nodes.append(y)
        return nodes[len(inputs) :]


class DartsCell(nn.Module):
    """A DARTS cell: aligns the outputs of the two cells before, concatenates its nodes.

    Attributes:
      channels: C of each node; the output has 4 C.
      halved: whether the older input is twice as large as the newer one.
      edges, norm, stride, axis_name: see `Cell`.
    """

    channels: int
    halved: bool
    edges: Edges
    norm: Norm
    stride: int = 1
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, older: chex.Array, newer: chex.Array, drop_path: chex.Numeric | None
    ) -> chex.Array:
        C = self.channels
        if self.halved:
            first = FactorizedReduce(C, self.norm, name="older")(older)
        else:
            first = ReluConvNorm(C, 1, self.norm, name="older")(older)
        second = ReluConvNorm(C, 1, self.norm, name="newer")(newer)
        cell = Cell(self.edges, self.norm, self.stride, self.axis_name, name="edges")
        return jnp.concatenate(cell((first, second), drop_path), axis=-1)
