"""Configurations of derived networks."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from nasjax import spaces
from nasjax.networks.config import NetworkConfig
from nasjax.spaces import CellSpace


@dataclasses.dataclass(frozen=True, kw_only=True)
class DerivedConfig(NetworkConfig):
    """The network of one architecture; fields and errors also as `NetworkConfig`.

    With the dtype float32, float64 images are still computed in float64.

    Attributes:
      arch: integers of `space.arch_shape` (arrays become tuples), O where an edge is
        absent.
      auxiliary: a second classifier after the last reduction, in training only.

    Raises:
      ValueError: `arch` has another shape or type, an integer that is no operation, or
        a node with another number of in-edges than `space.inputs_per_node`.
    """

    arch: Any = dataclasses.field(kw_only=False)
    channels: int = 36
    cells: int = 20
    auxiliary: bool = False

    def __post_init__(self):
        object.__setattr__(self, "arch", _tuples(self.arch))
        super().__post_init__()
        _check(self.space, self.arch)

    @property
    def reductions(self) -> tuple[int, ...]:
        """The cells that halve the image and double the channels (DARTS)."""
        return tuple(sorted({self.cells // 3, 2 * self.cells // 3}))

    def edges(self, cell: int = 0) -> tuple[tuple[int, int, str], ...]:
        """Present edges as (source, target, operation); cell 1 is the reduction."""
        row = self.arch if self.space.cells == 1 else self.arch[cell]
        return tuple(
            (source, target, self.space.operations[operation])
            for (source, target), operation in zip(self.space.edges, row, strict=True)
            if operation < self.space.num_operations
        )


def _tuples(arch: Any) -> Any:
    def plain(rows):
        return tuple(map(plain, rows)) if isinstance(rows, list) else rows

    return plain(np.asarray(arch).tolist())


def _check(space: CellSpace, arch: Any) -> None:
    rows = np.array(arch)
    if rows.shape != space.arch_shape or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(
            f"an architecture of {space.name} is {list(space.arch_shape)} integers, "
            f"got {rows.dtype} {list(rows.shape)}"
        )
    inputs, O = space.inputs_per_node, space.num_operations
    last = O - (inputs is None)
    if rows.min() < 0 or rows.max() > last:
        raise ValueError(
            f"the architecture holds {rows.min()} to {rows.max()}; allowed: 0 to {last}"
        )
    if inputs is None:
        return
    targets = np.array([target for _, target in space.edges])
    for row in rows.reshape(space.cells, -1):
        kept = [int((row[targets == node] < O).sum()) for node in np.unique(targets)]
        if set(kept) != {inputs}:
            raise ValueError(f"nodes have {kept} in-edges; each needs {inputs}")


def darts(arch: Sequence, none: bool = True, **settings: Any) -> DerivedConfig:
    """DARTS cells: 20 of 36 channels, as trained on CIFAR.

    Args:
      arch: integers [2, 14] of `spaces.darts(none=none)`.
      none: whether `none` is an operation of that space, then number 0.
      settings: other fields of `DerivedConfig`.

    Source: Liu et al. 2019; thesis 3.4.3 and 4.4.4.
    """
    return DerivedConfig(spaces.darts(none=none), arch, **settings)


def nas_bench_201(arch: Sequence, **settings: Any) -> DerivedConfig:
    """NAS-Bench-201: three stages of 5 cells, with 16, 32 and 64 channels.

    Args:
      arch: integers [6] of `spaces.nas_bench_201()`.
      settings: other fields of `DerivedConfig`.

    Source: Dong and Yang 2020.
    """
    settings = {"channels": 16, "cells": 5} | settings
    return DerivedConfig(spaces.nas_bench_201(), arch, **settings)
