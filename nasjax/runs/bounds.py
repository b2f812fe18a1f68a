"""Bounds on the costs of the networks searched: `--max-params`, `--max-macs`."""

import argparse
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax import search
from nasjax.data import joined, tables
from nasjax.spaces import CellSpace, costs, nas_bench_201

# Fields of config.json that runs without bounds and of earlier versions lack.
ABSENT: dict[str, Any] = {"max_params": None, "max_macs": None}
COLUMNS = ("params", "macs")  # of tables of other spaces
COUNTED = 100_000  # architectures at most, for a line of a report
UNITS = {"k": 10**3, "M": 10**6, "G": 10**9}


def number(text: str) -> int:
    """Reads `250000`, `1e6`, `300k`, `1.0M` or `2G`, as a `type` of `add_argument`."""
    unit = UNITS.get(text[-1:], 1)
    try:
        value = float(text[:-1] if unit > 1 else text) * unit
    except ValueError:
        value = math.nan
    if not 1 <= value < math.inf:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of at least 1; allowed: such as 250000, 1e6, 300k, "
            "1.0M, 2G"
        )
    return round(value)


def add(parser: argparse.ArgumentParser, network: str) -> None:
    """Adds the flags; `network` says whose costs they are, for the help text."""
    add = parser.add_argument_group(f"bounds: costs of {network}").add_argument
    text = "query no architecture with more parameters, such as 1.0M"
    add("--max-params", type=number, metavar="N", help=text)
    text = "query no architecture with more multiply-adds, such as 100M"
    add("--max-macs", type=number, metavar="N", help=text)


def record(args: argparse.Namespace) -> dict[str, int]:
    """The bounds, as config.json records them; empty without any."""
    limits = {name: getattr(args, name) for name in ABSENT}
    return {name: limit for name, limit in limits.items() if limit is not None}


def network(space: CellSpace) -> costs.CostTable | None:
    """Costs of networks trained from scratch, at the papers' size; None if unknown."""
    if space == nas_bench_201():
        return costs.nb201_network()
    return costs.darts_network(space) if space.name == "darts" else None


def constraint(
    args: argparse.Namespace, space: CellSpace, table: costs.CostTable | None
) -> search.FeasibleSet | None:
    """The feasible set of the flags; None without bounds.

    Args:
      args: of `add`.
      space: that is searched.
      table: costs of its networks; None if unknown.

    Raises:
      ValueError: the costs are unknown; as `search.bounded`.
    """
    if not record(args):
        return None
    if table is None:
        raise ValueError(
            f"--max-params, --max-macs: no costs are known of {space.name}"
        )
    return search.bounded(space, table, args.max_params, args.max_macs)


def rows(
    args: argparse.Namespace, space: CellSpace, ops: np.ndarray
) -> np.ndarray | None:
    """Rows of `ops` [A, *arch_shape] within the bounds; None without bounds."""
    meets = constraint(args, space, network(space))
    return None if meets is None else np.flatnonzero(meets.feasible(ops))


def table_rows(args: argparse.Namespace, table: tables.Table) -> np.ndarray | None:
    """Rows of a table within the bounds; None without bounds.

    Costs are those of NAS-Bench-201's networks in its space, else the columns `params`
    and `macs` of the files `args.table`.

    Raises:
      ValueError: the file lacks the column, or no row is within the bounds.
    """
    if not record(args) or table.space == nas_bench_201():
        return rows(args, table.space, table.ops)
    within = np.ones(len(table.ops), bool)
    for column, name in zip(COLUMNS, ABSENT, strict=True):
        if (limit := getattr(args, name)) is None:
            continue
        flag = f"--{name.replace('_', '-')} {limit:,}"
        try:
            loaded = joined.picked(joined.load(args.table), [column], "worst")
        except tables.TableFileError as error:
            raise ValueError(
                f"{flag}: this table is not NAS-Bench-201's space, so it needs a "
                f"column {column!r} of costs ({error})"
            ) from error
        cost = loaded.values[column][table.row]
        within &= cost <= limit
        if not within.any():
            raise ValueError(
                f"{flag}: no row is within the bounds; the smallest has "
                f"{np.nanmin(cost):,.0f}"
            )
    return np.flatnonzero(within)


def counted(count: int, of: int) -> str:
    """A line of a report: how many rows of a table are within the bounds."""
    text = f"within the bounds: {count:,} of {of:,} architectures"
    return f"{text}; optimum and ranks are among these"


def described(space: CellSpace, meets: search.FeasibleSet) -> str:
    """Likewise of a space; of one that is too large to count, a sample's share."""
    if space.inputs_per_node is None and space.size <= COUNTED:
        within = meets.feasible(space.from_index(jnp.arange(space.size)))
        return f"within the bounds: {within.sum():,} of {space.size:,} architectures"
    keys = jax.random.split(jax.random.key(0), COUNTED // 10)
    share = meets.feasible(jax.vmap(space.random)(keys)).mean()
    return f"within the bounds: {100 * share:.2g} % of random architectures"
