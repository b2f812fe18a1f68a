"""Configurations of supernets."""

import dataclasses
from typing import Any

from nasjax import spaces
from nasjax.networks.config import NetworkConfig, check_positive
from nasjax.networks.families import FAMILIES


@dataclasses.dataclass(frozen=True, kw_only=True)
class SupernetConfig(NetworkConfig):
    """A weight-sharing network; fields and errors also as `NetworkConfig`.

    Attributes:
      kind: the family, a key of FAMILIES: the network around the cells.
      parts: K; operations see 1 / K of the channels (PC-DARTS).
      pallas: on a GPU, `mode="path"` computes DARTS's separable and dilated
        convolutions by fused Pallas kernels where it normalises by the batch. They are
        compiled for an H100 and interpreted in tests, but have not run on a GPU yet;
        they need Pallas's form for Triton, which JAX 0.12 deprecates. Values differ in
        rounding. Elsewhere it changes nothing.

    Raises:
      ValueError: `channels` is no multiple of 2 K, or the family lacks an operation of
        the space.
    """

    kind: str = dataclasses.field(default="darts", kw_only=False)
    channels: int = 16
    cells: int = 8
    parts: int = 1
    pallas: bool = False

    def __post_init__(self):
        check_positive(self, "parts")
        if self.channels % (2 * self.parts):
            raise ValueError(
                f"channels must be a multiple of 2 x parts = {2 * self.parts}, "
                f"got {self.channels}"
            )
        super().__post_init__()
        known = FAMILIES[self.kind].supernet.operations
        if unknown := set(self.space.operations) - set(known):
            raise ValueError(f"kind {self.kind} has no operation {min(unknown)}")


def darts(none: bool = False, **settings: Any) -> SupernetConfig:
    """DARTS: 8 cells from 16 channels on, 7 operations (8 with `none`).

    Source: Liu et al. 2019; thesis 4.2.2 and, with `none=True, cells=6`, 3.4.1.
    """
    return SupernetConfig(spaces.darts(none=none), "darts", **settings)


def pc_darts(none: bool = False, parts: int = 4, **settings: Any) -> SupernetConfig:
    """PC-DARTS: operations see 1 / K of the channels, K = `parts`.

    Architectures select edges, so there are no edge weights (thesis 4.1.3).

    Source: Xu et al. 2020, with K = 4 on CIFAR and K = 2 on ImageNet.
    """
    return SupernetConfig(spaces.darts(none=none), "darts", parts=parts, **settings)


def nas_bench_201(**settings: Any) -> SupernetConfig:
    """NAS-Bench-201: three stages of 5 cells, with 16, 32 and 64 channels.

    Source: Dong and Yang 2020.
    """
    settings = {"cells": 5} | settings
    return SupernetConfig(spaces.nas_bench_201(), "nb201", **settings)
