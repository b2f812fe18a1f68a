"""An architecture as a value: read from any text, printed, and saved as JSON.

    architecture = architectures.read("DARTS_V2")
    architecture.family, architecture.arch, architecture.printed

The array numbers the operations of the architecture's space.
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

# By family, the space with every operation that architectures to train may hold;
# `nasjax.networks.families.register` adds more.
SPACES: dict[str, CellSpace] = {"darts": darts(none=True), "nb201": nas_bench_201()}


@dataclasses.dataclass(frozen=True, eq=False)
class Architecture:
    """An architecture and its space; `read` and `from_array` make one.

    Attributes:
      family: a key of SPACES: the networks that it can be trained in.
      space: whose operations the array numbers.
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
    """The family whose networks hold the cells of a space.

    Raises:
      ValueError: there is none.
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
    """The architecture of an array, uint8 `[*space.arch_shape]`.

    Raises:
      ValueError: no family holds the space, or the array is not of the space.
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
        `|nor_conv_3x3~0|+|...|`, or a file of one; or lists of operations' numbers,
        also as text, in the first space of SPACES that has their shape.

    Raises:
      ValueError: names the fault: an unknown operation, a wrong predecessor, ...
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
            # Else it is a name, or an error that `genotypes.load` words.
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
    """Of the first space that takes the text; else the error of NAS-Bench-201."""
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
    raise ValueError(f"{arch.dtype} {list(arch.shape)} is no architecture")


def read_all(path: Path) -> list[tuple[Architecture, dict[str, Any]]]:
    """The architectures in a JSON list of objects, such as frontier.json.

    Args:
      path: of the file. An object's field "genotype" is what `read` takes; older files
        of NAS-Bench-201's cells have "printed" instead.

    Returns:
      Each architecture with its object.

    Raises:
      ValueError: no such list; an entry that is not valid, which is named; or
        architectures of more than one family.
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
