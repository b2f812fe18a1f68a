"""A benchmark table as an environment."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from nasjax.networks.platforms import by_platform
from nasjax.search import Environment, FeasibleSet, Outcome
from nasjax.spaces import CellSpace

TRIALS = ("mean", "random")


class TabularParams(NamedTuple):
    """A table of A architectures and V columns."""

    ops: chex.Array  # uint8 [A, E], rows in lexicographic order
    row: chex.Array  # int32 [A], the file's row number of each
    values: chex.Array  # float32 [V, A], by the file's row number
    trials: chex.Array  # float32 [V, A, R], NaN = no such trial; R = 0 without
    metrics: Mapping[str, chex.Array] = {}  # float32 [V, A] each, as `values`


class TabularState(NamedTuple):
    """The column that a lane is scored by."""

    column: chex.Array  # int32 []


def lookup(params: TabularParams, arch: chex.Array) -> chex.Array:
    """int32 []: the row number of `arch` in the file, -1 if it is not there.

    Any number of edges and operations, complete table or not.
    """
    key = arch.reshape(-1)
    chex.assert_shape(key, params.ops.shape[1:])
    return by_platform(among_all, by_halving, params.ops, params.row, key)


def among_all(ops: chex.Array, row: chex.Array, key: chex.Array) -> chex.Array:
    """`lookup` by comparing every row: two kernels on a GPU, where steps are dear."""
    return jnp.max(jnp.where(jnp.all(ops == key, axis=1), row, -1))


def by_halving(ops: chex.Array, row: chex.Array, key: chex.Array) -> chex.Array:
    """`lookup` by a binary search over the sorted rows."""
    A = len(ops)

    def less(row):  # row < key, lexicographically
        differs = row != key
        return jnp.any(differs) & (row < key)[jnp.argmax(differs)]

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) // 2
        right = less(ops[jnp.minimum(middle, A - 1)]) & (low < high)
        return jnp.where(right, middle + 1, low), jnp.where(right, high, middle)

    bounds = (jnp.int32(0), jnp.int32(A))
    low, _ = jax.lax.fori_loop(0, A.bit_length(), halve, bounds)
    at = jnp.minimum(low, A - 1)
    return jnp.where(jnp.all(ops[at] == key), row[at], -1)


def nearest(params: TabularParams, arch: chex.Array) -> chex.Array:
    """The architecture of the table that differs from `arch` on the fewest edges.

    Of several, that of the lowest row number in the file.

    Args:
      params: of A architectures.
      arch: uint8 [..., *arch_shape].

    Returns:
      uint8 [..., *arch_shape].
    """
    E = params.ops.shape[1]
    flat = arch.reshape(-1, E)

    def closest_to(row):
        distance = jnp.sum(params.ops != row, axis=-1)
        closest = distance == jnp.min(distance)
        return params.ops[jnp.argmin(jnp.where(closest, params.row, 2**31 - 1))]

    return jax.lax.map(closest_to, flat, batch_size=64).reshape(arch.shape)


def within(env: Environment, rows: np.ndarray) -> Environment:
    """The environment of some rows, by number, of a table; it lacks the others."""
    kept = np.isin(env.params.row, rows)
    ops, row = env.params.ops[kept], env.params.row[kept]
    params = env.params._replace(ops=ops, row=row)
    return dataclasses.replace(env, params=params)


def listed(space: CellSpace, params: TabularParams) -> FeasibleSet:
    """The architectures of the table, for `search.constrained`; see `nearest`."""

    def feasible(arch):
        flat = arch.reshape(-1, params.ops.shape[1])
        rows = jax.vmap(functools.partial(lookup, params))(flat)
        return (rows >= 0).reshape(arch.shape[: arch.ndim - len(space.arch_shape)])

    return FeasibleSet(feasible, functools.partial(nearest, params))


def _evaluate_mean(key, params, state, arch):
    del key
    row = lookup(params, arch)
    accuracy = _value(params.values, state, row)
    return state, Outcome(accuracy, 1.0 - accuracy, _metrics(params, state, row))


def _value(values, state, row):
    return jnp.where(row >= 0, values[state.column, row], jnp.nan)


def _metrics(params, state, row):
    return {name: _value(x, state, row) for name, x in params.metrics.items()}


def _evaluate_random(key, params, state, arch):
    row = lookup(params, arch)
    trials = params.trials[state.column, row]
    exists = ~jnp.isnan(trials)
    drawn = jax.random.uniform(key, trials.shape, jnp.float32)
    pick = jnp.argmax(jnp.where(exists, drawn, -1.0))
    accuracy = jnp.where(row >= 0, trials[pick], jnp.nan)
    return state, Outcome(accuracy, 1.0 - accuracy, _metrics(params, state, row))


def tabular(
    space: CellSpace,
    table: Any,
    columns: Sequence[str] | None = None,
    column: chex.Numeric = 0,
    trial: str = "mean",
) -> Environment:
    """Looks accuracies up in a table; architectures that are not in it score NaN.

    Args:
      space: the space the table's `ops` are encoded in.
      table: has `ops` uint8 [A, E] and `columns`, a mapping of names to objects with
        `values` float32 [A] (fractions) and `trials` float32 [A, R] or None, such as
        `nasjax.data.nb201.load()`.
      columns: names of the V columns to carry; all of the table's by default.
      column: int32 [], index into `columns`; may be traced, one per lane.
      trial: `mean` over trials, or `random`: one existing trial drawn per query.

    Raises:
      ValueError: shapes do not fit the space, a column is unknown, or has no trials.
    """
    if trial not in TRIALS:
        raise ValueError(f"trial is {trial!r}; allowed: {', '.join(TRIALS)}")
    names = list(table.columns) if columns is None else list(columns)
    unknown = [name for name in names if name not in table.columns]
    if unknown or not names:
        raise ValueError(
            f"unknown columns {unknown}; the table has {', '.join(table.columns)}"
        )
    chosen = [table.columns[name] for name in names]
    without = [n for n, c in zip(names, chosen, strict=True) if c.trials is None]
    if trial == "random" and without:
        raise ValueError(f"no single trials are known for {', '.join(without)}")
    trials = [c.trials for c in chosen] if trial == "random" else None
    values = [c.values for c in chosen]
    return from_arrays(space, table.ops, values, trials, column=column)


def from_arrays(
    space: CellSpace,
    ops: np.ndarray,
    values: Sequence[np.ndarray],
    trials: Sequence[np.ndarray] | None = None,
    *,
    column: chex.Numeric = 0,
    metrics: Mapping[str, Sequence[np.ndarray]] | None = None,
) -> Environment:
    """`tabular` from plain arrays: ops [A, E], values [V][A], trials [V][A, R].

    `metrics` [V][A] by name are returned beside the accuracy.

    Raises:
      ValueError: shapes or operation indices do not fit the space.
    """
    ops = np.asarray(ops)
    if not ops.size or not len(values):
        raise ValueError("the table is empty")
    flat = ops.reshape(len(ops), -1)
    if flat.shape[1] != int(np.prod(space.arch_shape)):
        raise ValueError(
            f"the table has {flat.shape[1]} edges, {space.name} has {space.arch_shape}"
        )
    absent = space.inputs_per_node is not None
    if flat.min() < 0 or flat.max() >= space.num_operations + absent:
        also = f" ({space.num_operations} = absent)" if absent else ""
        raise ValueError(
            f"operations {flat.min()}..{flat.max()} in the table; {space.name} has "
            f"0..{space.num_operations - 1}{also}"
        )
    means = np.stack([np.asarray(v, np.float32) for v in values])
    if means.shape[1:] != (len(ops),):
        raise ValueError(f"{means.shape[1:]} values for {len(ops)} architectures")
    measured = {name: np.asarray(x, np.float32) for name, x in (metrics or {}).items()}
    for name, x in measured.items():
        if x.shape != means.shape:
            raise ValueError(f"metric {name!r}: {x.shape} values for {means.shape}")
    if trials is None:
        stacked = np.zeros((len(values), len(ops), 0), np.float32)
    else:
        wrong = [t.shape for t in trials if t.ndim != 2 or len(t) != len(ops)]
        if wrong or len(trials) != len(values):
            raise ValueError(f"trials of shapes {wrong} for {len(ops)} architectures")
        most = max(t.shape[1] for t in trials)
        stacked = np.full((len(values), len(ops), most), np.nan, np.float32)
        for v, t in enumerate(trials):
            stacked[v, :, : t.shape[1]] = t
    if isinstance(column, int) and not 0 <= column < len(values):
        raise ValueError(f"column {column} of a table with {len(values)}")
    order = np.lexsort(flat.T[::-1])
    same = np.all(flat[order[1:]] == flat[order[:-1]], axis=1)
    if same.any():
        twice = order[1:][same][0]
        raise ValueError(f"row {twice} of the table, {flat[twice]}, occurs twice")
    params = TabularParams(
        ops=jnp.asarray(flat[order], jnp.uint8),
        row=jnp.asarray(order, jnp.int32),
        values=jnp.asarray(means),
        trials=jnp.asarray(stacked),
        metrics={name: jnp.asarray(x) for name, x in measured.items()},
    )
    evaluate = _evaluate_mean if trials is None else _evaluate_random
    return Environment(params, TabularState(jnp.asarray(column, jnp.int32)), evaluate)
