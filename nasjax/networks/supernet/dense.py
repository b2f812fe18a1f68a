"""All operations on all edges of a cell, summed under a mask."""

from collections.abc import Callable, Sequence
from typing import Any

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
    statistics: chex.Array | None = None,
    watch: Callable[[chex.Array], chex.Array] | None = None,
) -> tuple[tuple[chex.Array, ...], chex.Array, chex.Array | None]:
    """The nodes of the cell with all operations on all edges.

    node_j = sum over edges (i, j) and operations o of alpha[(i, j), o] o(node_i)

    Args:
      cell, weights, inputs, statistics: see `path.path`.
      alpha: float [E, O]: one-hot rows, zeros for absent edges, or any soft mask. The
        channels that PC-DARTS leaves untouched count once where a row is not zero.
      watch: a function of each ReLU's input.

    Returns:
      As `path.path`, with statistics of all operations; and the sum of what `watch`
      returns, weighted by `alpha`, or None without it.
    """
    features = cells.initial_features(cell, inputs)
    used, ends = cells.no_statistics(cell), np.array(cell.edges, np.int32)
    watched: Any = 0.0
    for group, stack in zip(cell.groups, weights, strict=True):
        at = np.array(group.edges)

        def edge(features, slot, group=group):
            weights, alpha, source, target, fixed = slot
            x = cells.read(cell, group, features, source)
            norms = [
                Norm(None if fixed is None else fixed[o], cell.axis_name, watch=watch)
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
            new = jnp.stack([norm.statistics(cell.seen) for norm in norms])
            seen = None
            if watch is not None:
                seen = sum(
                    a * norm.watched for a, norm in zip(alpha, norms, strict=True)
                )
            return cells.add(cell, features, target, y), (new, seen)

        slots = (
            stack,
            alpha.astype(features.nodes.dtype)[at],
            ends[at, 0],
            ends[at, 1],
        )
        fixed = None if statistics is None else statistics[at]
        features, (new, seen) = jax.lax.scan(edge, features, (*slots, fixed))
        used = used.at[at].set(new)
        if watch is not None:
            watched = watched + jnp.sum(seen, 0)
    nodes = cells.computed(cell, features.nodes)
    return nodes, used, None if watch is None else watched
