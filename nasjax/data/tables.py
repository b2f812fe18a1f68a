"""Benchmark tables of any space: operations and values of each architecture.

An npz file with `ops` uint8 [n, E] (one row per architecture, entry e the operation on
edge e), optionally `op_names` [O], and value columns [n] of any unit; `NAME_trials`
[n, R] may hold single trials of the column NAME, NaN where there are fewer. The table
need not be complete. `edge_order` [E], such as `2<-0`, gives the edges of a cell whose
nodes are sums, so that isomorphic architectures are known.
"""

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nasjax import spaces
from nasjax.data import locations
from nasjax.data.nb201.cells import contradiction
from nasjax.spaces import CellSpace

RESERVED = ("ops", "op_names", "edge_order", "arch_str", "isomorphism_class")
TRIALS = "_trials"
# Endings of arrays that describe a column NAME, as `nasjax.data.nb201` writes them.
ABOUT = (TRIALS, "_source", "_version", "_trials_version", "_sha256")
FAILED = ("refuse", "worst", "absent")


class TableFileError(ValueError):
    """A table cannot be used; the message has the reason."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A checked table.

    Attributes:
      space: `nas_bench_201()` if the operations are its own, else a `table_space`; with
        the edges of that cell if the file has `edge_order`, or six edges and operations
        of NAS-Bench-201, `none` and `skip_connect` among them.
      ops: uint8 [n, E], in the order of the file.
      row: int64 [n], row of each architecture in the file.
      values: by column, float64 [n]; NaN where an evaluation failed.
      trials: by column, float64 [n, R], NaN for none; empty unless requested.
      complete: whether every architecture of the space has a row.
      sha256: checksum of the file.
      left_out: columns that were not requested and cannot be used, with the reasons.
      rows: number of rows in the file.
    """

    space: CellSpace
    ops: np.ndarray
    row: np.ndarray
    values: Mapping[str, np.ndarray]
    trials: Mapping[str, np.ndarray]
    complete: bool
    sha256: str
    left_out: Mapping[str, str]
    rows: int

    def take(self, rows: np.ndarray) -> "Table":
        """Some rows, by index."""
        return dataclasses.replace(
            self,
            ops=self.ops[rows],
            row=self.row[rows],
            values={name: x[rows] for name, x in self.values.items()},
            trials={name: x[rows] for name, x in self.trials.items()},
            complete=len(rows) == self.space.size,
        )


def load(
    path: str | Path,
    columns: Sequence[str] | None = None,
    trials: bool = False,
    failed: str = "refuse",
) -> Table:
    """Reads a table.

    Args:
      path: the npz file; if there is none, it is searched for in the folders that
        `$NASJAX_DATA` lists and in the user's cache.
      columns: names of value columns; None takes all that can be used.
      trials: whether single trials are needed; then `columns=None` takes the columns
        that have them.
      failed: meaning of values that are not finite. `refuse`: the column cannot be
        used; `worst`: a failed evaluation, NaN in `values`; `absent`: the row is left
        out for all columns.

    Raises:
      TableFileError: no such file or not an npz; rows that are ragged, not integers,
        repeated or contradict `arch_str`; a column that is missing, of another length,
        constant, not finite, beyond float32, or without the single trials needed.
      ValueError: `failed` is not in FAILED.
    """
    if failed not in FAILED:
        raise ValueError(f"failed is {failed!r}; allowed: {', '.join(FAILED)}")
    path = find(path)
    try:
        content = path.read_bytes()
        arrays = locations.read_npz(content, objects=True)
    except (OSError, ValueError) as error:
        raise TableFileError(f"{path} is not an npz table: {error}") from error
    ops = _operations(path, arrays)
    names = _names(path, arrays, ops)
    if (texts := arrays.get("arch_str")) is not None:
        known_names = names if "op_names" in arrays else None
        if (wrong := contradiction(ops, known_names, texts)) is not None:
            raise TableFileError(f"{path}: {wrong}")
    if trials and columns is None:
        columns = [name for name in arrays if name + TRIALS in arrays]
        if not columns:
            raise TableFileError(f"{path} has no single trials: no NAME{TRIALS}")
    values, left_out = _values(path, arrays, len(ops), columns, failed != "refuse")
    single = {n: _trials(path, arrays, n, x) for n, x in values.items() if trials}
    nb201 = spaces.nas_bench_201()
    edges = _edges(path, arrays, ops.shape[1])
    of_nb201 = {"none", "skip_connect"} <= {*names} <= {*nb201.operations}
    if edges is None and ops.shape[1] == nb201.num_edges and of_nb201:
        edges = nb201.edges
    space = spaces.table_space(ops.shape[1], names, path.stem, edges)
    if (ops.shape[1], names) == (nb201.num_edges, nb201.operations):
        space = nb201
    sha256 = hashlib.sha256(content).hexdigest()
    row, complete = np.arange(len(ops)), len(ops) == space.size
    table = Table(space, ops, row, values, single, complete, sha256, left_out, len(ops))
    if failed != "absent":
        return table
    row = np.flatnonzero(np.isfinite([*values.values()]).all(axis=0))
    if not len(row):
        raise TableFileError(f"{path}: every row failed in one of {', '.join(values)}")
    return table.take(row)


def find(path: str | Path) -> Path:
    """The path itself, or that file in a folder of `$NASJAX_DATA` or the user's cache.

    Raises:
      TableFileError: there is no such file; the message lists all places.
    """
    path = Path(path)
    folders = (*locations.listed(), locations.cache())
    # `folder / path` is `path` if it is absolute.
    places = dict.fromkeys([path, *(folder / path for folder in folders)])
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(map(str, places))
    raise TableFileError(f"no table {path}; looked at {looked}")


def _operations(path: Path, arrays: Mapping) -> np.ndarray:
    if "ops" not in arrays:
        raise TableFileError(
            f"{path} has no `ops` [n, E]; it has {', '.join(arrays) or 'nothing'}"
        )
    ops = arrays["ops"]
    if ops is None or ops.ndim != 2 or not ops.size:
        shape = "ragged" if ops is None else f"of shape {list(ops.shape)}"
        raise TableFileError(f"{path}: `ops` is {shape}; needs [n, E]")
    if not np.issubdtype(ops.dtype, np.integer):
        raise TableFileError(f"{path}: `ops` is {ops.dtype}; needs integers (uint8)")
    if ops.min() < 0 or ops.max() > 254:
        raise TableFileError(
            f"{path}: `ops` holds {ops.min()} to {ops.max()}; allowed: 0 to 254"
        )
    ops = ops.astype(np.uint8)
    _, first, counts = np.unique(ops, axis=0, return_index=True, return_counts=True)
    if counts.max() > 1:
        row = ops[first[counts.argmax()]]
        twice = np.flatnonzero((ops == row).all(1))
        raise TableFileError(
            f"{path}: rows {twice[0]} and {twice[1]} of `ops` are both {row.tolist()}"
        )
    return ops


def _names(path: Path, arrays: Mapping, ops: np.ndarray) -> tuple[str, ...]:
    count = max(int(ops.max()) + 1, 2)
    if "op_names" not in arrays:
        return tuple(f"op{i}" for i in range(count))
    names = arrays["op_names"]
    if names is None or names.ndim != 1 or len(names) < ops.max() + 1:
        raise TableFileError(
            f"{path}: `op_names` must name operations 0 to {ops.max()}, got "
            f"{'Python objects' if names is None else names.tolist()}"
        )
    names = tuple(map(str, names.astype(str)))  # also of bytes
    return names if len(names) > 1 else (*names, "op1")


def _edges(
    path: Path, arrays: Mapping, count: int
) -> tuple[tuple[int, int], ...] | None:
    """`(source, target)` of each edge; None if no `edge_order` is of this form."""
    order = arrays.get("edge_order")
    texts = [] if order is None else order.astype(str).reshape(-1).tolist()
    found = [re.fullmatch(r"\s*(\d+)\s*<-\s*(\d+)\s*", text) for text in texts]
    edges = tuple((int(x[2]), int(x[1])) for x in found if x)
    if not edges:
        return None
    forward = all(source < target for source, target in edges)
    if len(edges) != count or len(texts) != count or not forward:
        raise TableFileError(
            f"{path}: `edge_order` must list {count} edges such as '2<-0', each from a "
            f"node to a later one; got {texts}"
        )
    return edges


def _values(
    path: Path,
    arrays: Mapping,
    n: int,
    columns: Sequence[str] | None,
    may_fail: bool,
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The columns, and the reasons why others that were not requested are left out."""

    def fault(name: str) -> str | None:
        column = arrays[name]
        if column is None or column.dtype.kind not in "fiu":
            return "holds no numbers"
        if column.shape != (n,):
            return f"has shape {list(column.shape)}, `ops` has {n} rows"
        finite = np.isfinite(column.astype(np.float64))
        if not finite.any():
            return "holds no finite number"
        if not (may_fail or finite.all()):
            row = np.flatnonzero(~finite)[0]
            return f"is {column[row]} in row {row}"
        row = np.abs(np.where(finite, column, 0)).argmax()
        if abs(float(column[row])) > float(np.finfo(np.float32).max):
            return f"is {column[row]} in row {row}, beyond float32"
        if np.ptp(column[finite]) == 0:
            return f"is constant ({column[finite][0]})"
        return None

    offered = [name for name in arrays if name not in RESERVED]
    left_out = {}
    if columns is None:
        faults = {name: fault(name) for name in offered}
        columns = [name for name, reason in faults.items() if reason is None]
        # Arrays that describe another column, such as NAME_trials, are no columns.
        about = {name + suffix for name in offered for suffix in ABOUT}
        left_out = {
            name: reason
            for name, reason in faults.items()
            if reason and name not in about
        }
        if not columns:
            reasons = "; ".join(f"{x!r} {reason}" for x, reason in left_out.items())
            raise TableFileError(
                f"{path} has no column of {n} finite numbers: "
                f"{reasons or 'it has no other array'}"
            )
    for name in columns:
        if name not in offered:
            raise TableFileError(
                f"{path} has no column {name!r}; it has {', '.join(offered) or 'none'}"
            )
        if (reason := fault(name)) is not None:
            raise TableFileError(f"{path}: column {name!r} {reason}")
    values = {name: arrays[name].astype(np.float64) for name in columns}
    values = {name: np.where(np.isfinite(x), x, np.nan) for name, x in values.items()}
    return values, left_out


def _trials(path: Path, arrays: Mapping, name: str, values: np.ndarray) -> np.ndarray:
    n = len(values)
    if name + TRIALS not in arrays:
        having = [c for c in arrays if c + TRIALS in arrays]
        raise TableFileError(
            f"{path}: column {name!r} has no single trials ({name}{TRIALS}); "
            f"those that have: {', '.join(having) or 'none'}"
        )
    trials = arrays[name + TRIALS]
    if trials is None or trials.dtype.kind not in "fiu":
        raise TableFileError(f"{path}: {name}{TRIALS} holds no numbers")
    if trials.ndim != 2 or len(trials) != n:
        raise TableFileError(
            f"{path}: {name}{TRIALS} has shape {list(trials.shape)}; needs [{n}, R]"
        )
    trials = trials.astype(np.float64)
    there = np.isfinite(trials).any(1)
    wrong = np.flatnonzero((there != np.isfinite(values)) | np.isinf(trials).any(1))
    if len(wrong):
        row = wrong[0]
        raise TableFileError(
            f"{path}: {name}{TRIALS} is {trials[row].tolist()} in row {row}, where "
            f"{name} is {values[row]}"
        )
    return trials
