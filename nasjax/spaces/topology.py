"""Width and depth of DARTS cells."""

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


def _connected(space: CellSpace, arch: chex.Array) -> chex.Array:
    """bool `[..., 2, 14]`: the edge is present and its operation is not `none`."""
    check_darts(space)
    chex.assert_shape(arch, (..., *space.arch_shape))
    open_ = [name != "none" for name in space.operations]
    return jnp.array([*open_, False])[arch]
