"""Trainable spaces: their networks and costs.

A space of cells becomes trainable when its `Family` is registered:

    families.register(Family("toy", space=..., supernet=..., body=..., ...))

Its definition may lie anywhere; those of nasjax are `nasjax.networks.darts` and
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
      operations: by name, `supernet.operations.Operation`; every name in the space.
      plan: `config -> {name: (row, cells.Cell)}`, the cells in order; `row` is the row
        of an architecture that a cell follows, 0 if the space has one.
      init: `(key, config) -> params`, a dict with an entry for each cell of the plan,
        which has `edges` from `cells.init`, and a `classifier`.
      apply: `(params, choice, images, config, mode, norms) -> features`, a list of
        [B, H, W, C]; it computes cells by `norms.cell` and normalises by `norms`.
    """

    operations: Mapping[str, Any]
    plan: Callable[..., Mapping[str, tuple[int, Any]]]
    init: Callable[..., Any]
    apply: Callable[..., list[Any]]


class Variant(NamedTuple):
    """A supernet of a family as `--space` names it.

    Attributes:
      config: makes a `SupernetConfig` from its fields, of which `kind` and `space` are
        known; its argument `none` asks for the operation `none`.
      fixed: settings that the variant does not have, by their only value: of `parts`,
        `none` and `stem`.
    """

    config: Callable[..., Any]
    fixed: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Family:
    """A trainable space.

    Attributes:
      name: a key of FAMILIES; a config's `kind`, and a preset's.
      space: with every operation that networks may hold; spaces of some of these
        operations belong to the family, too.
      supernet: the weight-sharing network.
      variants: supernets by the name of `--space`; usually one, named as the family.
      body: `(config, norm, train, name=...)`, a `flax.linen.Module` of `DerivedConfig`;
        it maps `(images, drop_path)` to the input of the last pool, [B, H, W, C], and
        to the auxiliary logits or None.
      halvings: `config -> int`, the number of times that a supernet or derived network
        halves an image; reads `cells` and `stem`.
      check: raises ValueError if a `SupernetConfig` or a `DerivedConfig` does not fit.
      cost_table: `space -> costs.CostTable` of a derived network; by keyword it takes
        `cells, channels, classes, stem, image_size, image_channels`.
      flops: whether `costs.flops` is defined for it.
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
        raise ValueError(f"the space {min(taken)} is there already")
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
    """Exact costs of a network per image; width and depth of its cells.

    Returns:
      `params`, `params_with_auxiliary`, `macs` (without the bias), and for DARTS cells
      `flops` (see `costs.flops`), `width` and `depth` of the normal and the reduction
      cell, None in other spaces.

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
