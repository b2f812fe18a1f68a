"""What fixes a derived network's shapes."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from nasjax import spaces
from nasjax.networks.families import FAMILIES
from nasjax.spaces import CellSpace, architectures

DTYPES = ("float32", "bfloat16")
STEMS = ("cifar", "imagenet")


@dataclasses.dataclass(frozen=True)
class DerivedConfig:
    """A network of one architecture; hashable, so static under jit.

    Attributes:
      space: the cells' space, `darts(...)` or `nas_bench_201()`.
      arch: integers of `space.arch_shape` (arrays become tuples), O where an edge is
        absent.
      channels: C of the first cells.
      cells: how many; of each of the three stages in NAS-Bench-201.
      classes: of the classifier.
      image_channels: of the images: 3 for colours, 1 for grey.
      stem: cifar, or imagenet: three convolutions that divide the image's side by 8.
      auxiliary: a second classifier after the second reduction, in training only.
      dtype: of activations and of weights where they are used; weights are stored, and
        statistics, logits and losses computed, in float32. float64 images stay what
        they are under float32.
      axis_name: of a mapped axis (`shard_map`, `pmap`) over which a batch is spread;
        batch statistics are then those of the whole batch.

    Raises:
      ValueError: names the value and what is allowed.
    """

    space: CellSpace
    arch: Any  # of integers
    channels: int = 36
    cells: int = 20
    classes: int = 10
    stem: str = "cifar"
    auxiliary: bool = False
    dtype: str = "float32"
    axis_name: str | None = None
    image_channels: int = 3

    def __post_init__(self):
        object.__setattr__(self, "arch", _tuples(self.arch))
        for name in ("channels", "cells", "classes", "image_channels"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, got {getattr(self, name)}"
                )
        for name, allowed in (("stem", STEMS), ("dtype", DTYPES)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}"
                )
        FAMILIES[self.kind].check(self)
        _check(self.space, self.arch)

    @property
    def kind(self) -> str:
        """The family, a key of FAMILIES: the network around the cells."""
        return architectures.family_of(self.space)

    @property
    def reductions(self) -> tuple[int, ...]:
        """The cells that halve the image and double the channels (DARTS)."""
        return tuple(sorted({self.cells // 3, 2 * self.cells // 3}))

    @property
    def halvings(self) -> int:
        """How often the network halves an image."""
        return FAMILIES[self.kind].halvings(self)

    def edges(self, cell: int = 0) -> tuple[tuple[int, int, str], ...]:
        """(source, target, operation) of the present edges; cell 1 is the reduction."""
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
    found = np.array(arch)
    if found.shape != space.arch_shape or not np.issubdtype(found.dtype, np.integer):
        raise ValueError(
            f"an architecture of {space.name} is {list(space.arch_shape)} integers, "
            f"got {found.dtype} {list(found.shape)}"
        )
    wanted, O = space.inputs_per_node, space.num_operations
    last = O - (wanted is None)
    if found.min() < 0 or found.max() > last:
        raise ValueError(
            f"the architecture holds {found.min()} to {found.max()}; allowed: 0 to "
            f"{last}"
        )
    if wanted is None:
        return
    targets = np.array([target for _, target in space.edges])
    for row in found.reshape(space.cells, -1):
        kept = [int((row[targets == node] < O).sum()) for node in np.unique(targets)]
        if set(kept) != {wanted}:
            raise ValueError(f"nodes have {kept} in-edges; each needs {wanted}")


def darts(arch: Sequence, none: bool = True, **settings: Any) -> DerivedConfig:
    """DARTS cells: 20 of 36 channels, as trained on CIFAR.

    Args:
      arch: integers [2, 14] of `spaces.darts(none=none)`.
      none: whether `none` is an operation of that space (then it is number 0).
      settings: other fields of `DerivedConfig`.

    Source: Liu et al. 2019; thesis 3.4.3 and 4.4.4.
    """
    return DerivedConfig(spaces.darts(none=none), arch, **settings)


def nas_bench_201(arch: Sequence, **settings: Any) -> DerivedConfig:
    """NAS-Bench-201: three stages of 5 cells from 16 channels on.

    Source: Dong and Yang 2020.
    """
    settings = {"channels": 16, "cells": 5} | settings
    return DerivedConfig(spaces.nas_bench_201(), arch, **settings)
