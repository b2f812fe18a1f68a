"""A cell with every operation on every edge, their weights stacked.

`path` and `dense`, of the modules of these names, compute it. A normal DARTS cell keeps
inputs and nodes in one array, since all images have one size; a reduction cell needs
two, for its edges that leave an input halve the image:

    node               0     1   |   2     3     4     5
    stride 1   nodes  [0]   [1]     [2]   [3]   [4]   [5]    [inputs + N, B, H, W, C]
    stride 2   inputs [0]   [1]                              [inputs, B, H, W, C]
               nodes                [0]   [1]   [2]   [3]    [N, B, H / 2, W / 2, C]

Weights are stacked by `Group`, the edges of one stride: row r of a stack belongs to the
edge `group.edges[r]`, whose number is that in the architecture.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from nasjax.networks.families import FAMILIES
from nasjax.networks.supernet import operations
from nasjax.networks.supernet.operations import Norm, Operation

Weights = Any


class Group(NamedTuple):
    """Edges of a cell that have one stride; their weights are stacked."""

    from_inputs: bool  # they read inputs, whose shape is not that of the nodes
    stride: int
    edges: tuple[int, ...]


class Cell(NamedTuple):
    """What is static of a cell; hashable. Nodes are numbered inputs first."""

    edges: tuple[tuple[int, int], ...]  # (source, target), as in the architecture
    names: tuple[str, ...]  # of the O operations
    kind: str  # the family, whose operations the names mean
    channels: int  # C
    inputs: int  # how many nodes are given
    stride: int = 1  # of edges that leave an input
    parts: int = 1  # operations see C / parts channels (PC-DARTS)
    axis_name: str | None = None  # of a mapped axis that shares the batch

    @property
    def nodes(self) -> int:
        """N, the number of nodes that are computed."""
        return len({target for _, target in self.edges})

    @property
    def seen(self) -> int:
        """Channels that operations see."""
        return self.channels // self.parts

    @property
    def groups(self) -> tuple[Group, ...]:
        """Edges by stride, in an order in which they can be computed.

        Edges that halve the image leave an input: they wait for nothing, so they come
        first.
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
    """Weights `[group][operation][name]`, stacked over the group's edges."""
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


def selected(cell: Cell, alpha: chex.Array) -> Weights:
    """Which rows of the stacks a mask [E, O] selects: bool [G] for each operation."""
    used = alpha != 0
    return tuple(
        {name: used[np.array(group.edges), o] for o, name in enumerate(cell.names)}
        for group in cell.groups
    )


def no_statistics(cell: Cell) -> chex.Array:
    """float32 [E, O, 2, 2, C]: two normalisations, each mean 0 and variance 1."""
    zeros = jnp.zeros((len(cell.edges), len(cell.names), 2, 1, cell.seen))
    return jnp.concatenate([zeros, zeros + 1], axis=-2)


def apply_edge(cell, group, name, weights, x, given):
    """One operation on one edge: output and its statistics [2, 2, C]."""
    norm = Norm(given, cell.axis_name)
    weights = jax.tree.map(lambda w: w.astype(x.dtype), weights)

    def operation(seen):
        return cell.table[name].apply(weights, seen, group.stride, norm)

    y = operations.partially(operation, x, cell.parts, group.stride)
    return y, norm.statistics(cell.seen)


class Features(NamedTuple):
    """The nodes' images; with stride 1 the inputs' are part of one array with them.

    Written in place, one after the other: concatenating images is slow.
    """

    inputs: chex.Array  # [inputs, B, H, W, C], or [0, ...] with stride 1
    nodes: chex.Array  # [N, B, H', W', C], or [inputs + N, ...] with stride 1


def initial_features(cell: Cell, inputs: Sequence[chex.Array]) -> Features:
    """The inputs in place, the other nodes zero."""
    B, H, W, C = inputs[0].shape
    first, s = first_node(cell), cell.stride
    shape = (cell.inputs - first + cell.nodes, B, -(-H // s), -(-W // s), C)
    nodes = jnp.zeros(shape, inputs[0].dtype)
    if s == 1:
        return Features(jnp.zeros((0, B, H, W, C), nodes.dtype), _put(nodes, 0, inputs))
    stacked = jnp.zeros((cell.inputs, B, H, W, C), nodes.dtype)
    return Features(_put(stacked, 0, inputs), nodes)


def _put(array, at, images):
    for i, image in enumerate(images):
        array = array.at[at + i].set(image)
    return array


def put_computed(cell: Cell, nodes: chex.Array, images: Sequence[chex.Array]):
    """Writes the images of the N computed nodes."""
    return _put(nodes, cell.inputs - first_node(cell), images)


def computed(cell: Cell, nodes: chex.Array) -> tuple[chex.Array, ...]:
    """The images of the N computed nodes."""
    return tuple(nodes[cell.inputs - first_node(cell) :])


def first_node(cell: Cell) -> int:
    """Number of the node at index 0 of the array of nodes."""
    return cell.inputs if cell.stride > 1 else 0


def given_inputs(cell: Cell, features: Features) -> tuple[chex.Array, ...]:
    """The images of the inputs, the inverse of `features`."""
    where = features.inputs if cell.stride > 1 else features.nodes
    return tuple(where[i] for i in range(cell.inputs))


def read(
    cell: Cell, group: Group, features: Features, source: chex.Numeric
) -> chex.Array:
    """The image of a node that an edge of the group leaves."""
    if group.from_inputs:
        return features.inputs[source]
    return features.nodes[source - first_node(cell)]


def add_source(cell: Cell, group: Group, features: Features, source, image) -> Features:
    """Adds to the image of a node that an edge of the group leaves."""
    if group.from_inputs:
        return features._replace(inputs=features.inputs.at[source].add(image))
    return features._replace(
        nodes=features.nodes.at[source - first_node(cell)].add(image)
    )


def add_target(cell: Cell, features: Features, target, image) -> Features:
    """Adds to the image of a computed node."""
    return features._replace(
        nodes=features.nodes.at[target - first_node(cell)].add(image)
    )
