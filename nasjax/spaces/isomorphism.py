"""Cells that are one network under several names.

Nodes may be numbered in another order, an edge may leave a node that nothing reaches,
and a skip connection makes two nodes one. A benchmark trains such cells one by one, but
they compute the same functions.
"""

import functools
from collections.abc import Callable

import chex
import jax.numpy as jnp
import numpy as np

from nasjax.spaces.cell_space import CellSpace

LISTED = 2**17  # spaces of at most so many architectures are listed
_PHI = 0x9E3779B9


def fingerprint(space: CellSpace, arch: chex.Array) -> chex.Array:
    """A number that isomorphic architectures share; others do with probability 2^-32.

    A node's number is the sum of the numbers of its in-edges. An edge's is

        0           of `none`, of an absent edge and where x is 0,
        x           of `skip_connect`, unless it is a layer (from a reduction cell's
                    input, where it halves the side),
        h(x + k_o)  of another operation o,

    where x is the source's number, h mixes bits and k_o is a constant. The cell's
    number is that of the last node, or, if nodes keep some of their in-edges and all
    are concatenated, the sum of all nodes' mixed ones.

    Args:
      space: with `sums`; static.
      arch: uint8 [..., *arch_shape], a JAX or a NumPy array.

    Returns:
      uint32 [...].

    Raises:
      ValueError: the nodes of the space are no sums.

    Source: Dong and Yang 2020, who count 6,466 classes in NAS-Bench-201. These rules
    give 4,930, each a union of theirs, which tell a sum from the same sum plus 0.
    """
    if not space.sums:
        raise ValueError(f"nodes of the space {space.name} are no sums")
    lead = arch.shape[: arch.ndim - len(space.arch_shape)]
    cells = arch.reshape(*lead, space.cells, space.num_edges)
    number = cells[..., 0, 0].astype(np.uint32) * np.uint32(0)
    with np.errstate(over="ignore"):  # of scalars, which wrap as arrays do
        for cell in range(space.cells):
            number = _mixed(number + _of_cell(space, cells[..., cell, :], cell == 1))
    return number


def _of_cell(space, arch, reduction):
    """uint32 [...] of one cell's operations [..., E]."""
    xp = np if isinstance(arch, np.ndarray) else jnp
    names = (*space.operations, "absent", "not queried yet")
    key = np.random.default_rng(0).integers(1, 2**32, len(names), dtype=np.uint32)
    none, skip = np.isin(names, ("none", "absent")), np.isin(names, ("skip_connect",))
    key, none, skip = (xp.asarray(x)[arch] for x in (key, none, skip))
    zero = arch[..., 0].astype(np.uint32) * np.uint32(0)
    targets = sorted({target for _, target in space.edges})
    node = {
        source: zero + np.uint32(_PHI * (source + 1) % 2**32)
        for source, _ in space.edges
        if source not in targets
    }
    inputs = set(node)
    for target in targets:
        node[target] = zero
        for e, (source, end) in enumerate(space.edges):
            if end != target:
                continue
            x = node[source]
            number = _mixed(x + key[..., e])
            if not (reduction and source in inputs):
                number = xp.where(skip[..., e], x, number)
            nothing = none[..., e] | (x == 0)
            node[target] = node[target] + xp.where(nothing, zero, number)
    if space.inputs_per_node is None:
        return node[targets[-1]]
    return sum((_mixed(node[target]) for target in targets), start=zero)


def _mixed(x):
    """A bijection of uint32 that spreads every bit (C. Wellons 2018, lowbias32)."""
    x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * np.uint32(0x846CA68B)
    return x ^ (x >> 16)


def representative(space: CellSpace) -> Callable[[chex.Array], chex.Array] | None:
    """Maps architectures [..., *arch_shape] to one per class of isomorphic ones.

    That is the last in lexicographic order. None for a space without `sums`, or one
    that is too large to be listed (more than LISTED architectures, or nodes that select
    edges).
    """
    if not space.sums or space.inputs_per_node is not None or space.size > LISTED:
        return None
    last = _last_of_class(space)
    return lambda arch: space.from_index(jnp.asarray(last)[space.index(arch)])


def of_class(space: CellSpace, arch: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The value of each architecture's class, by `space.index`; NaN where it has none.

    Args:
      space: one that `representative` lists; static.
      arch: uint8 [n, *arch_shape], of different classes.
      values: [n].

    Returns:
      float64 [space.size].

    Raises:
      ValueError: another space.
    """
    if representative(space) is None:
        raise ValueError(f"the classes of the space {space.name} are not listed")
    last = _last_of_class(space)
    every = np.full(space.size, np.nan)
    every[last[np.asarray(space.index(arch))]] = values
    return every[last]


@functools.lru_cache(maxsize=8)
def _last_of_class(space):
    """int32 [A]: the last index of each architecture's class."""
    shape = (space.num_operations,) * (space.cells * space.num_edges)
    index = np.arange(space.size, dtype=np.int32)
    arch = np.stack(np.unravel_index(index, shape), axis=-1).astype(np.uint8)
    number = fingerprint(space, arch.reshape(-1, *space.arch_shape))
    _, kind = np.unique(number, return_inverse=True)
    last = np.zeros(kind.max() + 1, np.int32)
    np.maximum.at(last, kind, index)
    return last[kind]
