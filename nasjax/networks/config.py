"""Fields and checks that the configurations of networks share."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from nasjax.networks.families import FAMILIES
from nasjax.spaces import CellSpace, architectures

STEMS = ("cifar", "imagenet")
DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The shapes of a network; hashable, so static under jit.

    Attributes:
      space: the cells' space.
      channels: C of the first cells.
      cells: number of cells; in NAS-Bench-201, of each of its three stages.
      classes: number of classes.
      image_channels: channels of the images: 3 for colours, 1 for gray.
      stem: cifar, or imagenet: three convolutions that divide the image's sides by 8.
      dtype: of activations and of weights where they are used; weights are stored, and
        statistics, logits and losses computed, in float32.
      axis_name: of a mapped axis (`shard_map`, `pmap`) over which a batch is spread;
        batch statistics are then those of the whole batch.

    Raises:
      ValueError: a field is not allowed, or no family has the edges and operations of
        the space; the message names the value and what is allowed.
    """

    space: CellSpace = dataclasses.field(kw_only=False)
    channels: int
    cells: int
    classes: int = 10
    image_channels: int = 3
    stem: str = "cifar"
    dtype: str = "float32"
    axis_name: str | None = None

    def __post_init__(self):
        check_positive(self, "channels", "cells", "classes", "image_channels")
        check_choice(self, "kind", tuple(FAMILIES))
        check_choice(self, "stem", STEMS)
        check_choice(self, "dtype", DTYPES)
        FAMILIES[self.kind].check(self)

    @property
    def kind(self) -> str:
        """The family, a key of FAMILIES: the network around the cells."""
        return architectures.family_of(self.space)

    @property
    def halvings(self) -> int:
        """Number of times that the network halves an image."""
        return FAMILIES[self.kind].halvings(self)


def check_positive(config: Any, *names: str) -> None:
    """ValueError if a field of these names is below 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}")


def check_choice(config: Any, name: str, allowed: Sequence[str]) -> None:
    """ValueError if a field is not one of the allowed values."""
    value = getattr(config, name)
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")
