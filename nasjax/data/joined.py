"""One table from several files of the same architectures."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nasjax.data import tables
from nasjax.data.tables import Table, TableFileError


def load(paths: Sequence[str | Path]) -> Table:
    """Reads tables and joins their columns; failed evaluations are NaN.

    Args:
      paths: as for `tables.load`; the first one's order of rows is kept.

    Raises:
      TableFileError: as `tables.load`; or the files have other architectures, other
        names of operations, or a column in common.
    """
    first, *others = (tables.load(path, failed="worst") for path in paths)
    for path, table in zip(paths[1:], others, strict=True):
        first = _joined(first, table, f"{paths[0]} and {path}")
    return first


def _joined(first: Table, second: Table, where: str) -> Table:
    if first.space.operations != second.space.operations and (
        not _unnamed(first) and not _unnamed(second)
    ):
        raise TableFileError(f"{where}: their op_names differ")
    if first.ops.shape != second.ops.shape:
        shapes = f"{list(first.ops.shape)} and {list(second.ops.shape)}"
        raise TableFileError(f"{where}: `ops` of shapes {shapes} cannot be joined")
    orders = [np.lexsort(table.ops.T[::-1]) for table in (first, second)]
    if not np.array_equal(first.ops[orders[0]], second.ops[orders[1]]):
        raise TableFileError(f"{where}: they have different architectures")
    if both := first.values.keys() & second.values.keys():
        raise TableFileError(f"{where}: both have columns {', '.join(sorted(both))}")
    row = np.empty(len(first.ops), int)  # of `second`, for each row of `first`
    row[orders[0]] = orders[1]
    return dataclasses.replace(
        second if _unnamed(first) else first,
        ops=first.ops,
        row=first.row,
        values={**first.values, **reordered(second, row).values},
        trials={},
        sha256=f"{first.sha256}+{second.sha256}",
        left_out={**first.left_out, **second.left_out},
    )


def reordered(table: Table, row: np.ndarray) -> Table:
    """The table with its rows in another order, without single trials."""
    values = {name: x[row] for name, x in table.values.items()}
    return dataclasses.replace(
        table, ops=table.ops[row], row=table.row[row], values=values, trials={}
    )


def _unnamed(table: Table) -> bool:
    """Whether the file had no `op_names`, so that its operations are op0, op1, ..."""
    names = table.space.operations
    return names == tuple(f"op{i}" for i in range(len(names)))


def picked(table: Table, columns: Sequence[str] | None, failed: str) -> Table:
    """The table with some of its columns (None: all).

    Args:
      failed: `absent` leaves out rows that failed in one of them; `worst` keeps these.

    Raises:
      TableFileError: a column is not there or cannot be used, or no row is left.
    """
    names = list(table.values) if columns is None else columns
    for name in names:
        if name not in table.values:
            why = table.left_out.get(name, f"there are {', '.join(table.values)}")
            raise TableFileError(f"the table has no column {name!r} to search: {why}")
    values = {name: table.values[name] for name in names}
    good = np.isfinite([*values.values()]).all(axis=0) | (failed != "absent")
    if not good.any():
        raise TableFileError(f"every row failed in one of {', '.join(names)}")
    return dataclasses.replace(
        table,
        ops=table.ops[good],
        row=table.row[good],
        values={name: x[good] for name, x in values.items()},
        complete=table.complete and bool(good.all()),
    )
