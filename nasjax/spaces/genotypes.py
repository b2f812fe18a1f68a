"""Genotypes: architectures as the original DARTS code prints them, and published ones.

A genotype lists, for each of the four nodes of a cell, two pairs of an operation and
the predecessor that it reads: 0 and 1 are the two previous cells, 2 is the first node.
"""

import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nasjax.spaces import DARTS_OPERATIONS, CellSpace, check_darts

_CONCAT = (2, 3, 4, 5)

Pairs = tuple[tuple[str, int], ...]


class Genotype(NamedTuple):
    """A normal and a reduction cell; `str` prints it as the original code does."""

    normal: Pairs  # 8, two per node
    normal_concat: tuple[int, ...]
    reduce: Pairs  # 8
    reduce_concat: tuple[int, ...]

    def __str__(self) -> str:
        fields = []
        for name, value in self._asdict().items():
            concat = name.endswith("concat")
            printed = f"range({value[0]}, {value[-1] + 1})" if concat else list(value)
            fields.append(f"{name}={printed}")
        return f"Genotype({', '.join(fields)})"


def parse(source: str | Mapping) -> Genotype:
    """Reads a genotype from `Genotype(normal=[...], ...)`, JSON or a dict of it.

    The text is parsed and never evaluated.

    Args:
      source: the printed form, with concat as `range(2, 6)` or a list; or JSON
        `{"normal": [["sep_conv_3x3", 0], ...], "normal_concat": [2, 3, 4, 5], ...}`.

    Raises:
      ValueError: anything else, or a cell that is not in the space `darts(none=True)`.
    """
    if isinstance(source, str):
        source = _read(source)
    if set(source) != set(Genotype._fields):
        raise ValueError(
            f"a genotype has {', '.join(Genotype._fields)}; "
            f"got {', '.join(map(str, source)) or 'nothing'}"
        )
    for name, value in source.items():
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ValueError(f"{name} is not a list: {value!r}")
    genotype = Genotype(
        normal=tuple(map(_pair, source["normal"])),
        normal_concat=_start(source["normal_concat"]),
        reduce=tuple(map(_pair, source["reduce"])),
        reduce_concat=_start(source["reduce_concat"]),
    )
    _check(genotype, DARTS_OPERATIONS)
    return genotype


def _read(text: str) -> dict:
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"no JSON: {error}") from error
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"no genotype: {error}") from error
    if not isinstance(call, ast.Call) or ast.unparse(call.func) != "Genotype":
        raise ValueError(f"no Genotype(...): {text.strip()[:60]!r}")
    if call.args:
        raise ValueError("Genotype(...) takes its fields by name")
    return {str(item.arg): _value(item.value) for item in call.keywords}


def _value(node: ast.expr) -> object:
    """A literal, or `range(...)` of literals."""
    try:
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "range":
            return range(*map(ast.literal_eval, node.args))
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"neither a list nor a range: {error}") from error


def _start(concat: Sequence) -> tuple:
    """The first 9 entries, as a range may be too large for memory."""
    return tuple(concat[:9])


def _pair(item: object) -> tuple[str, int]:
    match item:
        case [str(operation), int(predecessor)] if not isinstance(predecessor, bool):
            return operation, predecessor
    raise ValueError(f"{item!r} is not a pair of an operation and its predecessor")


def _check(genotype: Genotype, operations: Sequence[str]) -> None:
    for name in ("normal", "reduce"):
        pairs = getattr(genotype, name)
        concat = getattr(genotype, f"{name}_concat")
        if tuple(concat) != _CONCAT:
            raise ValueError(f"{name}_concat is {concat}: allowed is {_CONCAT}")
        if len(pairs) != 8:
            raise ValueError(f"{name} has {len(pairs)} pairs: 8, two for each node")
        for index, (operation, predecessor) in enumerate(pairs):
            node = index // 2
            where = f"{name} cell, node {node}"
            if operation not in operations:
                raise ValueError(
                    f"{where}: operation {operation!r}, allowed are "
                    f"{', '.join(operations)}"
                )
            if not 0 <= predecessor <= node + 1:
                raise ValueError(
                    f"{where}: predecessor {predecessor}, allowed are 0..{node + 1}"
                )
            if index % 2 and predecessor == pairs[index - 1][1]:
                raise ValueError(
                    f"{where}: predecessor {predecessor} twice, needs two different"
                )


def to_json(genotype: Genotype) -> dict:
    """The genotype for `json.dumps`; `parse` reads it back."""
    return {
        name: [list(item) if isinstance(item, tuple) else item for item in value]
        for name, value in genotype._asdict().items()
    }


def to_arch(genotype: Genotype, space: CellSpace) -> np.ndarray:
    """uint8 [2, 14] of the genotype, O where an edge is absent.

    Args:
      genotype: its cells; the order of the two pairs of a node does not matter.
      space: `darts(...)`.

    Raises:
      ValueError: another space, an operation that is not in the space, or a wrong
        number of pairs, predecessor or concat.
    """
    check_darts(space)
    _check(genotype, space.operations)
    arch = np.full(space.arch_shape, space.num_operations, np.uint8)
    for row, pairs in zip(arch, (genotype.normal, genotype.reduce), strict=True):
        for index, (operation, predecessor) in enumerate(pairs):
            edge = space.edges.index((predecessor, index // 2 + 2))
            row[edge] = space.operations.index(operation)
    return arch


def from_arch(arch: np.ndarray, space: CellSpace) -> Genotype:
    """The genotype of an architecture, pairs in the order of their predecessors.

    Raises:
      ValueError: another space or shape, or a node does not have two in-edges.
    """
    check_darts(space)
    arch = np.asarray(arch)
    if arch.shape != space.arch_shape:
        raise ValueError(f"shape {arch.shape}, allowed is {space.arch_shape}")
    cells = []
    for row in arch:
        present = [
            (edge, operation)
            for edge, operation in zip(space.edges, row.tolist(), strict=True)
            if 0 <= operation < space.num_operations
        ]
        targets = [target for (_, target), _ in present]
        if targets != [2, 2, 3, 3, 4, 4, 5, 5]:
            raise ValueError(
                f"{row.tolist()} gives nodes 0-3 "
                f"{[targets.count(node) for node in _CONCAT]} in-edges: needs 2 each"
            )
        cells.append(tuple((space.operations[o], source) for (source, _), o in present))
    return Genotype(cells[0], _CONCAT, cells[1], _CONCAT)


def load(source: str | Path) -> Genotype:
    """Reads a genotype from a name in PUBLISHED, from a file, or from its text.

    Raises:
      ValueError: none of these, or a text that `parse` rejects.
    """
    text = str(source)
    if text in PUBLISHED:
        return PUBLISHED[text]
    if text.lstrip().startswith(("Genotype", "{")):
        return parse(text)
    try:
        text = Path(source).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{text[:60]!r} is no genotype, no file of one ({error}) and no name: "
            f"names are {', '.join(PUBLISHED)}"
        ) from error
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


_SHORT = {
    "Z": "none",
    "M": "max_pool_3x3",
    "A": "avg_pool_3x3",
    "K": "skip_connect",
    "S3": "sep_conv_3x3",
    "S5": "sep_conv_5x5",
    "D3": "dil_conv_3x3",
    "D5": "dil_conv_5x5",
}


def _short(normal: str, reduce: str) -> Genotype:
    cells = [
        tuple(
            (_SHORT[operation], int(predecessor))
            for operation, predecessor in (
                pair.split("-") for pair in cell.replace("|", " ").split()
            )
        )
        for cell in (normal, reduce)
    ]
    return Genotype(cells[0], _CONCAT, cells[1], _CONCAT)


# The first five from the public code of DARTS, PC-DARTS and P-DARTS. The last two from
# Figs 8 and 9 of Mills et al. 2021 (thesis Figs 3.8 and 3.9): the best of DDAS on
# CIFAR-10 (step 833, noiseless) and on CIFAR-100 (step 1483).
PUBLISHED = {
    "DARTS_V1": _short(
        "S3-1 S3-0 | K-0 S3-1 | K-0 S3-1 | S3-0 K-2",
        "M-0 M-1 | K-2 M-0 | M-0 K-2 | K-2 A-0",
    ),
    "DARTS_V2": _short(
        "S3-0 S3-1 | S3-0 S3-1 | S3-1 K-0 | K-0 D3-2",
        "M-0 M-1 | K-2 M-1 | M-0 K-2 | K-2 M-1",
    ),
    "PC_DARTS_cifar": _short(
        "S3-1 K-0 | S3-0 D3-1 | S5-0 S3-1 | A-0 D3-1",
        "S5-1 M-0 | S5-1 S5-2 | S3-0 S3-3 | S3-1 S3-2",
    ),
    "PC_DARTS_image": _short(
        "K-1 S3-0 | S3-0 K-1 | S3-1 S3-3 | S3-1 D5-4",
        "S3-0 K-1 | D5-2 M-1 | S3-2 S3-1 | S5-0 S3-3",
    ),
    "PDARTS": _short(
        "K-0 D3-1 | K-0 S3-1 | S3-1 S3-3 | S3-0 D5-4",
        "A-0 S5-1 | S3-0 D5-2 | M-0 D3-1 | D3-1 D5-3",
    ),
    "DDAS-NL": _short(
        "A-0 S3-1 | K-0 S5-1 | D3-1 D3-2 | M-3 A-4",
        "S5-0 A-1 | M-0 D5-2 | M-1 D3-3 | S5-0 S5-2",
    ),
    "DDAS-4S": _short(
        "A-0 Z-1 | K-0 S3-1 | M-0 D3-1 | S5-0 M-3",
        "A-0 S3-1 | S3-0 D5-2 | K-1 D3-3 | Z-1 D3-4",
    ),
}
