"""A cell with every operation on every edge, their weights stacked.

`path.path` and `dense.dense` compute it. A normal DARTS cell keeps inputs and nodes in
one array, since all images have one size; a reduction cell needs two, since its edges
that leave an input halve the image:

    node               0     1   |   2     3     4     5
    stride 1   nodes  [0]   [1]     [2]   [3]   [4]   [5]    [inputs + N, B, H, W, C]
    stride 2   inputs [0]   [1]                              [inputs, B, H, W, C]
               nodes                [0]   [1]   [2]   [3]    [N, B, H / 2, W / 2, C]

So node j is `nodes[j - first]`, where `first` is the node at index 0 of that array.
Nodes are written in place, one after the other, since concatenating images is slow.

Weights are stacked by `Group`, the edges of one stride: row r of a stack belongs to the
edge `group.edges[r]`, which is the edge's number in the architecture.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from nasjax.networks.families import FAMILIES
from nasjax.networks.supernet.operations import Operation

Weights = Any


class Group(NamedTuple):
    """The G edges of a cell that have the same stride; their weights are stacked."""

    from_inputs: bool  # whether they read `Features.inputs`, else `Features.nodes`
    stride: int
    edges: tuple[int, ...]  # numbers in the architecture


class Cell(NamedTuple):
    """The static part of a cell; hashable. Inputs are the first nodes."""

    edges: tuple[tuple[int, int], ...]  # (source, target), as in the architecture
    names: tuple[str, ...]  # of the O operations
    kind: str  # the family that defines operations of these names
    channels: int  # C
    inputs: int  # number of nodes that are outputs of earlier cells
    stride: int = 1  # of edges that leave an input
    parts: int = 1  # operations see C / parts channels (PC-DARTS)
    axis_name: str | None = None  # of a mapped axis that shares the batch
    pallas: bool = False  # see `SupernetConfig`

    @property
    def nodes(self) -> int:
        """N, the number of nodes that are computed."""
        return len({target for _, target in self.edges})

    @property
    def first(self) -> int:
        """The node at index 0 of the array of nodes."""
        return self.inputs if self.stride > 1 else 0

    @property
    def seen(self) -> int:
        """Number of channels that operations see."""
        return self.channels // self.parts

    @property
    def groups(self) -> tuple[Group, ...]:
        """Edges by stride, in an order in which they can be computed.

        Edges that halve the image leave an input, which is there from the start, so
        they come first.
        """
        every = tuple(range(len(self.edges)))
        if self.stride == 1:
            return (Group(False, 1, every),)
        first = tuple(e for e in every if self.edges[e][0] < self.inputs)
        rest = tuple(e for e in every if e not in first)
        both = (Group(True, self.stride, first), Group(False, 1, rest))
        return tuple(group for group in both if group.edges)

    @property
    def table(self) -> Mapping[str, Operation]:
        """The operations by name, in the architecture's order."""
        known = FAMILIES[self.kind].supernet.operations
        return {name: known[name] for name in self.names}


def init(key: chex.PRNGKey, cell: Cell) -> Weights:
    """Random weights `[group][operation][name]`, stacked over the group's edges."""
    stacks = []
    for g, group in enumerate(cell.groups):
        keys = jax.random.split(jax.random.fold_in(key, g), len(cell.names))
        stacks.append(
            {
                name: op.init(k, len(group.edges), cell.seen, group.stride)
                for k, (name, op) in zip(keys, cell.table.items(), strict=True)
            }
        )
    return tuple(stacks)


def selected(cell: Cell, weights: Weights, alpha: chex.Array) -> Weights:
    """Rows that a mask [E, O] selects: bool [G, 1, ...] for weights [G, ...]."""
    used = alpha != 0

    def rows(group, operation, stack):
        row = used[np.array(group.edges), operation]
        return jax.tree.map(lambda x: row.reshape(-1, *(1,) * (x.ndim - 1)), stack)

    return tuple(
        {name: rows(group, o, stack[name]) for o, name in enumerate(cell.names)}
        for group, stack in zip(cell.groups, weights, strict=True)
    )


def no_statistics(cell: Cell) -> chex.Array:
    """Means 0 and variances 1, float32 [E, O, 2, 2, `cell.seen`]: nothing normalised.

    An operation normalises at most twice; the axes are edge, operation, normalisation,
    mean or variance, and channel.
    """
    zeros = jnp.zeros((len(cell.edges), len(cell.names), 2, 1, cell.seen))
    return jnp.concatenate([zeros, zeros + 1], axis=-2)


class Features(NamedTuple):
    """Images of inputs and nodes, laid out as in the module's picture."""

    inputs: chex.Array  # [inputs, B, H, W, C], or [0, ...] with stride 1
    nodes: chex.Array  # [N, B, H', W', C], or [inputs + N, ...] with stride 1


def initial_features(cell: Cell, inputs: Sequence[chex.Array]) -> Features:
    """Features that hold the inputs, [B, H, W, C] each; computed nodes are zero."""
    B, H, W, C = inputs[0].shape
    dtype, s = inputs[0].dtype, cell.stride
    shape = (cell.inputs - cell.first + cell.nodes, B, -(-H // s), -(-W // s), C)
    nodes = jnp.zeros(shape, dtype)
    stacked = jnp.zeros((cell.first, B, H, W, C), dtype)
    if s == 1:
        return Features(stacked, write(nodes, 0, inputs))
    return Features(write(stacked, 0, inputs), nodes)


def write(array: chex.Array, start: int, images: Sequence[chex.Array]) -> chex.Array:
    """The array with images written at indices from `start` on."""
    for i, image in enumerate(images):
        array = array.at[start + i].set(image)
    return array


def computed(cell: Cell, nodes: chex.Array) -> tuple[chex.Array, ...]:
    """The images of the N computed nodes."""
    return tuple(nodes[cell.inputs - cell.first :])


def read(
    cell: Cell, group: Group, features: Features, source: chex.Numeric
) -> chex.Array:
    """The image of the node `source`, which an edge of the group leaves."""
    if group.from_inputs:
        return features.inputs[source]
    return features.nodes[source - cell.first]


def add(
    cell: Cell, features: Features, node: chex.Numeric, image: chex.Array
) -> Features:
    """Features with an image added to that of a node in the array of nodes."""
    return features._replace(nodes=features.nodes.at[node - cell.first].add(image))
