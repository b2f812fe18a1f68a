"""Architectures of either space, read from any text, and what they cost."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nasjax import spaces
from nasjax.spaces import costs, genotypes, topology
from nasjax.spaces.image_sizes import Size

SPACES = {"darts": spaces.darts(none=True), "nb201": spaces.nas_bench_201()}


class Architecture(NamedTuple):
    """An architecture to train."""

    kind: str  # darts or nb201, a key of SPACES
    arch: np.ndarray  # uint8 [*arch_shape]
    printed: str  # a genotype as the DARTS code prints it, or NAS-Bench-201's string


def read(source: str | Mapping) -> Architecture:
    """An architecture of either space.

    Args:
      source: what `genotypes.load` takes (a published name, a file, the text), a dict
        that `genotypes.parse` takes, or NAS-Bench-201's `|nor_conv_3x3~0|+|...|`, as
        text or in a file.

    Raises:
      ValueError: names the fault: an unknown operation, a wrong predecessor, ...
    """
    text = source
    if isinstance(source, str) and not source.lstrip().startswith(("|", "{", "Geno")):
        try:
            content = Path(source).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            content = ""  # a name, or an error that `genotypes.load` words
        text = content if content.startswith("|") else source
    if isinstance(text, str) and text.lstrip().startswith("|"):
        space = SPACES["nb201"]
        arch = space.parse_arch_string(text)
        return Architecture("nb201", arch, space.arch_string(arch))
    if isinstance(source, Mapping):
        genotype = genotypes.parse(source)
    else:
        genotype = genotypes.load(source)
    arch = genotypes.to_arch(genotype, SPACES["darts"])
    return Architecture("darts", arch, str(genotype))


def read_all(path: Path) -> list[tuple[Architecture, dict[str, Any]]]:
    """The architectures in a JSON list of objects, such as frontier.json.

    Args:
      path: of the file. An object's field "genotype" is what `read` takes; older files
        of NAS-Bench-201's cells have "printed" instead.

    Returns:
      Each architecture with its object.

    Raises:
      ValueError: no such list; an entry that is not valid, which is named; or
        architectures of more than one space.
    """
    try:
        entries = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path} is no list of objects with a genotype")
    pairs = []
    for i, entry in enumerate(entries):
        source = None
        if isinstance(entry, dict):
            source = entry.get("genotype", entry.get("printed"))
        if source is None:
            raise ValueError(f"{path}, entry {i}: no object with a genotype")
        if not isinstance(source, str | dict):
            raise ValueError(f"{path}, entry {i}: {source!r}")
        try:
            pairs.append((read(source), entry))
        except ValueError as error:
            raise ValueError(f"{path}, entry {i}: {error}") from error
    kinds = sorted({architecture.kind for architecture, _ in pairs})
    if len(kinds) > 1:
        raise ValueError(f"{path} mixes spaces: {', '.join(kinds)}")
    return pairs


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
    """Exact costs of a network, for one image; width and depth of its cells.

    Returns:
      `params`, `params_with_auxiliary`, `macs` (without the bias), and for DARTS cells
      `flops` (see `costs.flops`), `width` and `depth` of the normal and the reduction
      cell, None in NAS-Bench-201.

    Raises:
      ValueError: sizes that do not fit the network.
    """
    sizes: dict[str, Any] = {"channels": channels, "classes": classes}
    sizes["image_size"] = image_size
    sizes["image_channels"] = image_channels
    space, arch = SPACES[architecture.kind], architecture.arch
    if architecture.kind == "nb201":
        table = costs.nb201_network(cells_per_stage=cells, **sizes)
        shape: dict[str, Any] = {"flops": None, "width": None, "depth": None}
    else:
        table = costs.darts_network(space, cells=cells, stem=stem, **sizes)
        shape = {
            "flops": int(costs.flops(table, arch)),
            "width": np.asarray(topology.width(space, arch)).tolist(),
            "depth": np.asarray(topology.depth(space, arch)).tolist(),
        }
    params = int(costs.params(table, arch))
    return {
        "params": params,
        "params_with_auxiliary": params + int(table.auxiliary),
        "macs": int(costs.macs(table, arch)),
        **shape,
    }
