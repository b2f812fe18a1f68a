"""Paths through cells: width and depth of DARTS cells, live edges, longest paths."""

import chex
import jax.numpy as jnp
import numpy as np

from nasjax.spaces import CellSpace, check_darts


def width(space: CellSpace, arch: chex.Array) -> chex.Array:
    """Width of each cell: (edges from the two cell inputs) / 2, in units of channels.

    Args:
      space: `darts(...)`; static.
      arch: uint8 `[..., 2, 14]`. Edges that hold `none` do not count.

    Returns:
      float32 `[..., 2]`.

    Raises:
      ValueError: another space.

    Source: Shu et al. 2020; thesis 3.5.
    """
    check_darts(space)
    from_input = np.array([source < 2 for source, _ in space.edges])
    return jnp.sum(_connected(space, arch) & from_input, -1) / jnp.float32(2)


def depth(space: CellSpace, arch: chex.Array) -> chex.Array:
    """Depth of each cell: connections on the longest path from an input to the output.

    d_k = 1 + max of d over the predecessors of node k, d = 0 at the inputs; the
    connection from a node to the output adds 1. A node that no input reaches is on no
    path; a cell without a path has depth 0.

    Args, errors and source: as `width`.

    Returns:
      int32 `[..., 2]`.
    """
    check_darts(space)
    connected = _connected(space, arch)
    # Low enough that no path of edges adds up to a depth above 0.
    unreached = -space.num_edges
    depths = [jnp.zeros(connected.shape[:-1], jnp.int32)] * 2
    depths += [jnp.full(connected.shape[:-1], unreached)] * 4
    for edge, (source, target) in enumerate(space.edges):
        path = jnp.where(connected[..., edge], depths[source] + 1, unreached)
        depths[target] = jnp.maximum(depths[target], path)
    deepest = jnp.max(jnp.stack(depths), axis=0)
    return jnp.where(deepest > 0, deepest + 1, 0)


def live(space: CellSpace, arch: chex.Array) -> chex.Array:
    """Edges that change a cell's output: on a path from an input to it, without `none`.

    The output is the last node, or all nodes where they keep some of their in-edges.

    Args:
      space: any cell space; static.
      arch: uint8 `[..., *arch_shape]`.

    Returns:
      bool `[..., *arch_shape]`.
    """
    open_, inputs, targets = _cells(space, arch)
    reached = inputs | dict.fromkeys(targets, False)
    for e, (source, target) in _in_order(space):
        reached[target] |= open_[..., e] & reached[source]
    ends = targets if space.inputs_per_node else targets[-1:]
    leads = {node: node in ends for node in reached}
    for e, (source, target) in reversed(_in_order(space)):
        leads[source] |= open_[..., e] & leads[target]
    edges = [
        open_[..., e] & reached[source] & leads[target]
        for e, (source, target) in enumerate(space.edges)
    ]
    return jnp.stack(edges, -1).reshape(arch.shape)


def operations_in_sequence(space: CellSpace, arch: chex.Array) -> chex.Array:
    """Most operations on a path through each cell; `skip_connect` is none.

    Args:
      space, arch: as for `live`.

    Returns:
      int32 `[..., cells]`; 0 also where no path leads through the cell.
    """
    alive = live(space, arch)
    counted = [name != "skip_connect" for name in space.operations]
    length = jnp.array([*counted, False])[arch] & alive
    alive, length = (_by_cell(space, x) for x in (alive, length.astype(jnp.int32)))
    start = jnp.zeros(alive.shape[:-1], jnp.int32)
    longest = dict.fromkeys({node for edge in space.edges for node in edge}, start)
    for e, (source, target) in _in_order(space):
        through = jnp.where(alive[..., e], longest[source] + length[..., e], 0)
        longest[target] = jnp.maximum(longest[target], through)
    return jnp.max(jnp.stack([*longest.values()]), axis=0)


def _cells(space, arch):
    """Open edges bool `[..., cells, E]`, the inputs (all True) and computed nodes."""
    targets = sorted({target for _, target in space.edges})
    inputs = {source: True for source, _ in space.edges if source not in targets}
    return _by_cell(space, _connected(space, arch)), inputs, targets


def _by_cell(space, x):
    lead = x.shape[: x.ndim - len(space.arch_shape)]
    return x.reshape(*lead, space.cells, space.num_edges)


def _in_order(space):
    """Edges (number, ends) in an order in which nodes can be computed."""
    return sorted(enumerate(space.edges), key=lambda edge: edge[1][1])


def _connected(space: CellSpace, arch: chex.Array) -> chex.Array:
    """bool `[..., *arch_shape]`: the edge is present, its operation is not `none`."""
    chex.assert_shape(arch, (..., *space.arch_shape))
    open_ = [name != "none" for name in space.operations]
    return jnp.array([*open_, False])[arch]
