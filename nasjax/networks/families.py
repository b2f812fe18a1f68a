"""Registry of trainable spaces, with their networks and costs.

A space of cells becomes trainable when its `Family` is registered:

    families.register(Family("toy", space=..., supernet=..., body=..., ...))

It may be defined anywhere; those of nasjax are defined in `nasjax.networks.darts` and
`nasjax.networks.nb201`, which `nasjax.networks` imports.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from nasjax.spaces import CellSpace, architectures, costs
from nasjax.spaces.architectures import Architecture
from nasjax.spaces.costs import CostTable
from nasjax.spaces.image_sizes import Size


class Supernet(NamedTuple):
    """The weight-sharing network around a family's cells.

    Attributes:
      operations: a `supernet.operations.Operation` for every name in the space.
      plan: `config -> {name: (row, cells.Cell)}`, the cells in order; `row` is the row
        of an architecture that a cell follows, 0 if the space has only one.
      init: `(key, config) -> params`, a dict with a `classifier` and an entry for each
        cell of the plan, which has `edges` from `cells.init`.
      apply: `(params, choice, images, config, mode, norms) -> features`, a list of
        [B, H, W, C] that are pooled for the classifier; it computes cells by
        `norms.cell` and normalises by `norms`.
    """

    operations: Mapping[str, Any]
    plan: Callable[..., Mapping[str, tuple[int, Any]]]
    init: Callable[..., Any]
    apply: Callable[..., list[Any]]


class Variant(NamedTuple):
    """A supernet of a family, as `--space` names it.

    Attributes:
      config: makes a `SupernetConfig` from its fields, except `kind` and `space`, which
        are known; where `none` is not fixed, it is an argument: whether the space
        has the operation `none`.
      fixed: those of `parts`, `none` and `stem` that cannot be chosen, with their
        values.
    """

    config: Callable[..., Any]
    fixed: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Family:
    """A trainable space.

    Attributes:
      name: a key of FAMILIES; a config's `kind`, and a preset's.
      space: the space with every operation that networks may hold; spaces of some of
        these operations also belong to the family.
      supernet: the weight-sharing network.
      variants: supernets by the name of `--space`; usually one, named as the family.
      body: `(config, norm, train, name=...)`, with a `DerivedConfig`, makes a
        `flax.linen.Module`; it maps `(images, drop_path)` to the input of the last
        pool, [B, H, W, C], and to the auxiliary logits or None.
      halvings: `config -> int`, the number of times that a supernet or derived network
        halves an image; reads `cells` and `stem`.
      check: raises ValueError if a `SupernetConfig` or a `DerivedConfig` does not fit.
      cost_table: `space -> costs.CostTable` of a derived network, for a space of the
        family; its keywords are `cells, channels, classes, stem, image_size,
        image_channels`.
      flops: whether `costs.flops` is defined for its networks.
    """

    name: str
    space: CellSpace
    supernet: Supernet
    variants: Mapping[str, Variant]
    body: Callable[..., Any]
    halvings: Callable[[Any], int]
    check: Callable[[Any], None]
    cost_table: Callable[..., CostTable]
    flops: bool = False


FAMILIES: dict[str, Family] = {}


def register(family: Family) -> None:
    """Makes a space trainable, under its name and the names of its variants.

    Raises:
      ValueError: a name is taken, or the supernet lacks an operation of the space.
    """
    taken = {*FAMILIES, *variants()} & {family.name, *family.variants}
    if taken:
        raise ValueError(f"a space named {min(taken)} is registered already")
    if missing := set(family.space.operations) - set(family.supernet.operations):
        raise ValueError(f"kind {family.name} has no operation {min(missing)}")
    FAMILIES[family.name] = family
    architectures.SPACES.setdefault(family.name, family.space)


def variants() -> dict[str, Variant]:
    """Supernets of all families, by the name of `--space`."""
    return {
        name: variant
        for family in FAMILIES.values()
        for name, variant in family.variants.items()
    }


def describe(
    architecture: Architecture,
    *,
    cells: int,
    channels: int,
    classes: int,
    stem: str = "cifar",
    image_size: Size = 32,
    image_channels: int = 3,
) -> dict[str, Any]:
    """Exact costs of a derived network per image; width and depth of its cells.

    Args:
      architecture: from `nasjax.spaces.architectures`.
      cells, channels, classes, stem, image_channels: see `NetworkConfig`.
      image_size: pixels a side, or (height, width).

    Returns:
      `params`, `params_with_auxiliary`, `macs` (without the classifier's bias), and for
      DARTS cells `flops` (see `costs.flops`), `width` and `depth` of the normal and the
      reduction cell, None in other spaces.

    Raises:
      ValueError: sizes that do not fit the network.
    """
    family, arch = FAMILIES[architecture.family], architecture.arch
    table = family.cost_table(
        architecture.space,
        cells=cells,
        channels=channels,
        classes=classes,
        stem=stem,
        image_size=image_size,
        image_channels=image_channels,
    )
    params = int(costs.params(table, arch))
    return {
        "params": params,
        "params_with_auxiliary": params + int(table.auxiliary),
        "macs": int(costs.macs(table, arch)),
        "flops": int(costs.flops(table, arch)) if family.flops else None,
        **architecture.shape(),
    }
