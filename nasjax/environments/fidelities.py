"""A benchmark table with several fidelities: a column and a cost for each level.

table = nb201.load(columns=["cifar10_valid_12ep", "cifar10_valid"])
env = fidelities.multi_fidelity(
    space,
    table,
    [("cifar10_valid_12ep", "cifar10_valid")],
    names=("12 epochs", "200 epochs"),
    cost=(12, 200),
)
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from nasjax.environments.tabular import TabularState, tabular
from nasjax.search import Environment, fidelity
from nasjax.spaces import CellSpace


def multi_fidelity(
    space: CellSpace,
    table: Any,
    columns: Sequence[Sequence[str]],
    *,
    cost: Sequence[Any],
    names: Sequence[str] | None = None,
    column: int = 0,
    trial: str = "mean",
) -> Environment:
    """`environments.tabular` with L levels of each column; see `search.fidelity`.

    Args:
      space, table: as there.
      columns: V tuples of L names, from the cheapest level to the one that counts.
      cost: of the L levels, not falling; or of each column, level and architecture,
        [V][L][A], whose means over columns and architectures are then the levels'.
      names: of the levels; by default their numbers.
      column: which of the V; may be traced, one per lane.
      trial: as there.

    Raises:
      ValueError: the columns have different numbers of levels, the costs have another
        shape, or as `environments.tabular` and `fidelity.levels`.
    """
    V, L = len(columns), len(columns[0]) if columns else 0
    if not L or any(len(x) != L for x in columns):
        raise ValueError(
            f"every column needs as many levels, got {[list(x) for x in columns]}"
        )
    if isinstance(column, int) and not 0 <= column < V:
        raise ValueError(f"column {column} of a table with {V}")
    flat = [name for levels in columns for name in levels]
    env = tabular(space, table, flat, trial=trial)
    A = env.params.values.shape[1]
    values = np.asarray(cost, np.float32)
    if values.shape == (L,):
        paid = np.tile(values, V)[:, None].repeat(A, axis=1)
    elif values.shape == (V, L, A):
        paid, values = values.reshape(V * L, -1), values.mean(axis=(0, 2))
    else:
        raise ValueError(
            f"costs of shape {list(values.shape)}; allowed: [{L}], of the levels, or "
            f"{[V, L, A]}, of each column, level and architecture"
        )
    levels = fidelity.levels(values.tolist(), names)
    metrics = {**env.params.metrics, fidelity.COST: jnp.asarray(paid)}
    lookup = env.evaluate

    def evaluate(key, params, state, arch, level):
        at = TabularState(state.column * L + level)
        return state, lookup(key, params, at, arch)[1]

    return dataclasses.replace(
        env,
        params=env.params._replace(metrics=metrics),
        state=TabularState(jnp.asarray(column, jnp.int32)),
        evaluate=evaluate,
        levels=levels,
    )
