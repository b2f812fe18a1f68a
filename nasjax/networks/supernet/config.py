"""What fixes a supernet's shapes."""

import dataclasses
from typing import Any

from nasjax import spaces
from nasjax.networks.families import FAMILIES
from nasjax.spaces import CellSpace

STEMS = ("cifar", "imagenet")


@dataclasses.dataclass(frozen=True)
class SupernetConfig:
    """What fixes a supernet's shapes.

    Attributes:
      space: the cells' space.
      kind: the family, a key of FAMILIES: the network around the cells.
      channels: C of the first cells.
      cells: how many; of each of the three stages for nb201.
      classes: of the classifier.
      image_channels: of the images: 3 for colours, 1 for grey.
      parts: K; operations see 1 / K of the channels (PC-DARTS).
      stem: cifar, or imagenet: three convolutions that divide the image's side by 8.
      dtype: of activations and of weights where they are used; weights are stored,
        and statistics, logits and losses computed, in float32.
      axis_name: of a mapped axis (`shard_map`, `pmap`) over which the batch is spread.
    """

    space: CellSpace
    kind: str = "darts"
    channels: int = 16
    cells: int = 8
    classes: int = 10
    parts: int = 1
    stem: str = "cifar"
    dtype: str = "float32"
    axis_name: str | None = None
    image_channels: int = 3

    def __post_init__(self):
        for name in ("channels", "cells", "classes", "parts", "image_channels"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, got {getattr(self, name)}"
                )
        for name, allowed in (
            ("kind", tuple(FAMILIES)),
            ("stem", STEMS),
            ("dtype", ("float32", "bfloat16")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}"
                )
        if self.channels % (2 * self.parts):
            raise ValueError(
                f"channels must be a multiple of 2 x parts = {2 * self.parts}, "
                f"got {self.channels}"
            )
        family = FAMILIES[self.kind]
        family.check(self)
        unknown = set(self.space.operations) - set(family.supernet.operations)
        if unknown:
            raise ValueError(f"kind {self.kind} has no operation {min(unknown)}")

    @property
    def halvings(self) -> int:
        """How often the network halves an image."""
        return FAMILIES[self.kind].halvings(self)


def darts(none: bool = False, **settings: Any) -> SupernetConfig:
    """DARTS: 8 cells of 16 channels, 7 operations (8 with `none`).

    Source: Liu et al. 2019; thesis 4.2.2 and, with `none=True, cells=6`, 3.2.
    """
    return SupernetConfig(spaces.darts(none=none), "darts", **settings)


def pc_darts(none: bool = False, parts: int = 4, **settings: Any) -> SupernetConfig:
    """PC-DARTS: operations see 1 / K of the channels, K = `parts`.

    Source: Xu et al. 2020; edges are selected, so there are no edge weights (thesis
    4.1.3). K = 4 on CIFAR, K = 2 with `stem="imagenet"`.
    """
    return SupernetConfig(spaces.darts(none=none), "darts", parts=parts, **settings)


def nas_bench_201(**settings: Any) -> SupernetConfig:
    """NAS-Bench-201: three stages of 5 cells, residual blocks between them.

    Source: Dong and Yang 2020.
    """
    settings = {"cells": 5} | settings
    return SupernetConfig(spaces.nas_bench_201(), "nb201", **settings)
