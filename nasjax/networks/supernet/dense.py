"""All operations on all edges of a cell, summed under a mask."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from nasjax.networks.supernet import cells, operations
from nasjax.networks.supernet.operations import Norm


def dense(
    cell: cells.Cell,
    weights: cells.Weights,
    inputs: Sequence[chex.Array],
    alpha: chex.Array,
    given: chex.Array | None = None,
) -> tuple[tuple[chex.Array, ...], chex.Array]:
    """The nodes of the cell with all operations on all edges.

    node_j = sum over edges (i, j) and operations o of alpha[(i, j), o] o(node_i)

    Args:
      cell, weights, inputs, given: see `path`.
      alpha: float [E, O]: one-hot rows, zeros for absent edges, or any soft mask. The
        channels that PC-DARTS passes by count once where a row is not zero.

    Returns:
      See `path`.
    """
    features = cells.initial_features(cell, inputs)
    ends = np.array(cell.edges, np.int32)
    rows = []
    for group, stack in zip(cell.groups, weights, strict=True):
        at = np.array(group.edges)

        def edge(features, slot, group=group):
            weights, alpha, source, target, given = slot
            x = cells.read(cell, group, features, source)
            norms = [
                Norm(None if given is None else given[o], cell.axis_name)
                for o in range(len(cell.names))
            ]
            cast = jax.tree.map(lambda w: w.astype(x.dtype), weights)

            def mixed(seen):
                return sum(
                    alpha[o] * op.apply(cast[name], seen, group.stride, norms[o])
                    for o, (name, op) in enumerate(cell.table.items())
                )

            y = operations.partially(mixed, x, cell.parts, group.stride)
            y = y * jnp.any(alpha != 0).astype(y.dtype)
            used = jnp.stack([norm.statistics(cell.seen) for norm in norms])
            return cells.add_target(cell, features, target, y), used

        slots = (
            stack,
            alpha.astype(features.nodes.dtype)[at],
            ends[at, 0],
            ends[at, 1],
        )
        known = None if given is None else given[at]
        features, used = jax.lax.scan(edge, features, (*slots, known))
        rows.append((at, used))
    statistics = cells.no_statistics(cell)
    for at, used in rows:
        statistics = statistics.at[at].set(used)
    return cells.computed(cell, features.nodes), statistics
