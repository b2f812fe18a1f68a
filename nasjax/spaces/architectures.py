"""An architecture as a value: read from any text, printed, and saved as JSON.

    architecture = architectures.read("DARTS_V2")
    architecture.family, architecture.arch, architecture.printed

The entries of the array are indices of operations of the architecture's space.
"""

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import chex
import numpy as np

from nasjax.spaces import CellSpace, darts, genotypes, nas_bench_201, topology

# By family of networks, the space with every operation that they can be trained with;
# `nasjax.networks.families.register` adds more.
SPACES: dict[str, CellSpace] = {"darts": darts(none=True), "nb201": nas_bench_201()}


@dataclasses.dataclass(frozen=True, eq=False)
class Architecture:
    """An architecture and its space; `read` and `from_array` make one.

    Attributes:
      family: a key of SPACES: the family of networks that it can be trained in.
      space: the space whose operations `arch` indexes.
      arch: uint8 `[*space.arch_shape]`.
      printed: a genotype as the DARTS code prints it, or a string such as
        NAS-Bench-201's; `read` reads it back.
    """

    family: str
    space: CellSpace
    arch: np.ndarray
    printed: str

    def to_json(self) -> str | dict[str, Any]:
        """The field "genotype" of JSON files; `read` reads it back."""
        if self.space.inputs_per_node is None:
            return self.printed
        return genotypes.to_json(genotypes.parse(self.printed))

    def shape(self) -> dict[str, list | None]:
        """Width and depth of both DARTS cells; None in other spaces."""
        if self.space.edges != darts().edges:
            return {"width": None, "depth": None}
        return {
            "width": np.asarray(topology.width(self.space, self.arch)).tolist(),
            "depth": np.asarray(topology.depth(self.space, self.arch)).tolist(),
        }


def family_of(space: CellSpace) -> str:
    """The family of networks for the cells of a space.

    Raises:
      ValueError: no family in SPACES has the edges and operations of the space.
    """
    for family, known in SPACES.items():
        if (known.edges, known.cells) == (space.edges, space.cells) and set(
            space.operations
        ) <= set(known.operations):
            return family
    raise ValueError(
        f"no network is known for the space {space.name}: allowed are "
        f"{', '.join(SPACES)}"
    )


def from_array(space: CellSpace, arch: chex.Array) -> Architecture:
    """Makes an `Architecture` from an array, uint8 `[*space.arch_shape]`.

    Raises:
      ValueError: the space has no family, or the array is not valid in the space.
    """
    arch = np.asarray(arch)
    if space.inputs_per_node is None:
        printed = space.arch_string(arch)
    else:
        printed = str(genotypes.from_arch(arch, space))
    return Architecture(family_of(space), space, arch, printed)


def read(source: Any) -> Architecture:
    """Reads an architecture from a text, a file, or an entry of a JSON file.

    Args:
      source: a published name, a genotype or a file of one (see `genotypes.load`); a
        dict (see `genotypes.parse`); a string such as NAS-Bench-201's
        `|nor_conv_3x3~0|+|...|`, or a file of one; or lists of operation indices, also
        as text, read in the first space of SPACES with their shape.

    Raises:
      ValueError: the source is not valid, e.g. has an unknown operation.
    """
    if isinstance(source, list | tuple | np.ndarray):
        return _from_numbers(np.asarray(source))
    if isinstance(source, Mapping):
        genotype = genotypes.parse(source)
    else:
        source = str(source)
        text = source.lstrip()
        if text.startswith("["):
            return _from_numbers(_numbers(text))
        if not text.startswith(("|", "{", "Genotype")):
            # Otherwise it is a name, or `genotypes.load` raises the error.
            with contextlib.suppress(OSError, ValueError):
                text = Path(source).read_text(encoding="utf-8").lstrip()
        if text.startswith("|"):
            return _from_string(text)
        genotype = genotypes.load(source)
    space = SPACES["darts"]
    return Architecture(
        "darts", space, genotypes.to_arch(genotype, space), str(genotype)
    )


def _from_string(text: str) -> Architecture:
    """Reads the text in the first space that accepts it; else the first error."""
    errors = []
    for space in SPACES.values():
        if space.inputs_per_node is None:
            try:
                return from_array(space, space.parse_arch_string(text))
            except ValueError as error:
                errors.append(error)
    raise errors[0]


def _numbers(text: str) -> np.ndarray:
    try:
        return np.asarray(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no lists of operations' numbers: {error}") from error


def _from_numbers(arch: np.ndarray) -> Architecture:
    for space in SPACES.values():
        if arch.shape == space.arch_shape and arch.dtype.kind in "iu":
            if arch.min() < 0 or arch.max() > space.num_operations:
                raise ValueError(
                    f"operations of {space.name} are 0 to {space.num_operations}, "
                    f"got {arch.min()} to {arch.max()}"
                )
            return from_array(space, arch.astype(np.uint8))
    raise ValueError(f"{arch.dtype} {list(arch.shape)} is not an architecture")


def read_all(path: Path) -> list[tuple[Architecture, dict[str, Any]]]:
    """The architectures in a JSON list of objects, such as frontier.json.

    Args:
      path: of the file. The field "genotype" of an object is passed to `read`; older
        files of NAS-Bench-201's cells have "printed" instead.

    Returns:
      Pairs of an architecture and its object.

    Raises:
      ValueError: the file is not such a list, an entry is not valid (the message names
        it), or the architectures are of more than one family.
    """
    try:
        entries = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path} is not a list of objects with a genotype")
    pairs = []
    for i, entry in enumerate(entries):
        source = None
        if isinstance(entry, dict):
            source = entry.get("genotype", entry.get("printed"))
        if source is None:
            raise ValueError(f"{path}, entry {i}: no object with a genotype")
        if not isinstance(source, str | dict | list):
            raise ValueError(f"{path}, entry {i}: {source!r}")
        try:
            pairs.append((read(source), entry))
        except ValueError as error:
            raise ValueError(f"{path}, entry {i}: {error}") from error
    families = sorted({architecture.family for architecture, _ in pairs})
    if len(families) > 1:
        raise ValueError(f"{path} mixes spaces: {', '.join(families)}")
    return pairs
