"""One architecture of a cell, computed by a loop over the edges that it selects.

Inside the loop a `lax.switch` takes the edge's operation, so that one compiled program
serves every architecture, small enough to compile in seconds. The gradient is the same
loop run backwards. Images and weights are laid out as in `cells`.
"""

import functools
import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from nasjax.networks import primitives
from nasjax.networks.platforms import by_platform
from nasjax.networks.supernet import cells, operations
from nasjax.networks.supernet.operations import LateNorm, Norm


class Slots(NamedTuple):
    """A group's edges, those that are computed first; int32 arrays [G]."""

    row: chex.Array  # position in the group's stack
    edge: chex.Array  # number in the architecture
    source: chex.Array  # node
    target: chex.Array  # node
    operation: chex.Array  # number in `Cell.names`


def _slots(
    cell: cells.Cell, group: cells.Group, arch: chex.Array
) -> tuple[Slots, chex.Array]:
    """The slots, and the number of those that are computed.

    With partial channels `none` is computed, too: the untouched channels pass an edge.
    """
    edges = np.array(group.edges, np.int32)
    ends = np.array(cell.edges, np.int32)[edges]
    operation = arch[edges].astype(jnp.int32)
    idle = operation >= len(cell.names)
    if "none" in cell.names and cell.parts == 1:
        idle |= operation == cell.names.index("none")
    order = jnp.argsort(idle, stable=True).astype(jnp.int32)
    edge, source, target = (
        jnp.asarray(x)[order] for x in (edges, ends[:, 0], ends[:, 1])
    )
    slots = Slots(order, edge, source, target, operation[order])
    return slots, jnp.sum(~idle)


def _selected(cell, group, stack, slots, dtype):
    """The weights of the slots' operations, flat: [G, P], filled up with zeros.

    One gather for the whole group: in the loop it would be one for each array.
    """

    none = jnp.zeros((len(group.edges), 0), dtype)

    def flat(weights):
        arrays = [w.reshape(len(group.edges), -1) for w in weights.values()]
        return jnp.concatenate([none, *arrays], axis=1, dtype=dtype)

    rows = [flat(stack[name]) for name in cell.names]
    size = max(row.shape[1] for row in rows)
    table = jnp.stack([jnp.pad(x, ((0, 0), (0, size - x.shape[1]))) for x in rows])
    # Slots of absent edges have no operation; they are not computed.
    operation = jnp.minimum(slots.operation, len(cell.names) - 1)
    return table[operation, slots.row]


def _unflatten(weights, row):
    """An operation's weights from a row of `_selected`; `weights` has their shapes."""
    out, start = {}, 0
    for name, stacked in weights.items():
        stop = start + math.prod(stacked.shape[1:])
        out[name] = row[start:stop].reshape(stacked.shape[1:])
        start = stop
    return out


def _at(slots, s):
    return jax.tree.map(lambda x: x[s], slots)


def _slot(slots, rows, statistics, s, o):
    """Source and target of a slot, its weights, and statistics to normalise by.

    Branches look these up themselves, so that a GPU reads them where it needs them.
    Elsewhere they are stored first, as operands of the branch would be.
    """
    _, edge, source, target, _ = _at(slots, s)
    fixed = None if statistics is None else statistics[edge, o]
    operands = rows[s], fixed
    barrier = jax.lax.optimization_barrier
    row, fixed = by_platform(lambda x: x, barrier, operands)
    return source, target, row, fixed


def _edge(cell, group, name, weights, x, norm):
    """An operation on an edge."""

    def operation(seen):
        return cell.table[name].apply(weights, seen, group.stride, norm)

    return operations.partially(operation, x, cell.parts, group.stride)


def _forward(cell, group, stack, arch, statistics, carry):
    """The carry (features, statistics used) with a group's edges added."""
    slots, count = _slots(cell, group, arch)
    rows = _selected(cell, group, stack, slots, carry[0].nodes.dtype)

    def branch(o, name):
        def run(s, features):
            source, _, row, fixed = _slot(slots, rows, statistics, s, o)
            x = cells.read(cell, group, features, source)
            norm = LateNorm(fixed, cell.axis_name, cell.pallas)
            y = _edge(cell, group, name, _unflatten(stack[name], row), x, norm)
            affine = norm.affine(cell.channels, cell.parts)
            return y, affine, norm.statistics(cell.seen)

        return run

    branches = [branch(o, name) for o, name in enumerate(cell.names)]

    def body(s, carry):
        features, used = carry
        _, edge, _, target, o = _at(slots, s)
        y, affine, new = jax.lax.switch(o, branches, s, features)
        y = primitives.apply_affine(y, affine)
        return cells.add(cell, features, target, y), used.at[edge, o].set(new)

    return jax.lax.fori_loop(0, count, body, carry)


def _backward(cell, group, stack, arch, statistics, features, grads):
    """The loop of `_forward` run backwards.

    Only nodes are stored, so each edge is computed again for its gradient: a
    conditional would have to return the residuals of all its branches.

    Returns:
      Gradients with respect to the features and the group's weights.
    """
    slots, count = _slots(cell, group, arch)
    select = functools.partial(
        _selected, cell, group, slots=slots, dtype=features.nodes.dtype
    )
    rows, by_weights = jax.vjp(select, stack)

    def branch(o, name):
        def run(s, grads):
            source, target, row, fixed = _slot(slots, rows, statistics, s, o)

            def compute(row, x):
                norm = Norm(fixed, cell.axis_name, cell.pallas)
                return _edge(cell, group, name, _unflatten(stack[name], row), x, norm)

            x = cells.read(cell, group, features, source)
            g = grads.nodes[target - cell.first]
            return jax.vjp(compute, row, x)[1](g)

        return run

    branches = [branch(o, name) for o, name in enumerate(cell.names)]

    def body(s, carry):
        grads, g_rows = carry
        at = count - 1 - s
        _, _, source, _, o = _at(slots, at)
        g_row, g_x = jax.lax.switch(o, branches, at, grads)
        if group.from_inputs:
            grads = grads._replace(inputs=grads.inputs.at[source].add(g_x))
        else:
            grads = cells.add(cell, grads, source, g_x)
        return grads, g_rows.at[at].set(g_row)

    start = grads, jnp.zeros_like(rows)
    grads, g_rows = jax.lax.fori_loop(0, count, body, start)
    return grads, by_weights(g_rows)[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def path(
    cell: cells.Cell,
    weights: cells.Weights,
    inputs: tuple[chex.Array, ...],
    arch: chex.Array,
    statistics: chex.Array | None = None,
) -> tuple[tuple[chex.Array, ...], chex.Array]:
    """The nodes of the cell under one architecture.

    Absent edges are not computed, nor are those that hold `none`, except with partial
    channels: there an edge passes the untouched channels on. Weights that are not
    selected have a gradient of exactly zero; statistics have none.

    Args:
      cell: static.
      weights: from `cells.init`.
      inputs: [B, H, W, C] each.
      arch: integers [E] in 0 .. O, O where an edge is absent; may be traced.
      statistics: float32 [E, O, 2, 2, C / parts], to normalise by; None takes the
        batch's own.

    Returns:
      The N nodes, each [B, H', W', C], and the statistics used, shaped like
      `statistics` (mean 0 and variance 1 where nothing was normalised).
    """
    return _path_forward(cell, weights, inputs, arch, statistics)[0]


def _path_forward(cell, weights, inputs, arch, statistics):
    carry = cells.initial_features(cell, inputs), cells.no_statistics(cell)
    for group, stack in zip(cell.groups, weights, strict=True):
        carry = _forward(cell, group, stack, arch, statistics, carry)
    features, used = carry
    out = cells.computed(cell, features.nodes), used
    return out, (weights, features, arch, statistics)


def _path_backward(cell, saved, cotangent):
    weights, features, arch, statistics = saved
    grads = jax.tree.map(jnp.zeros_like, features)
    first = cell.inputs - cell.first
    grads = grads._replace(nodes=cells.write(grads.nodes, first, cotangent[0]))
    g_weights: list[cells.Weights] = []
    for group, stack in reversed(list(zip(cell.groups, weights, strict=True))):
        grads, g_stack = _backward(
            cell, group, stack, arch, statistics, features, grads
        )
        g_weights.insert(0, g_stack)
    images = grads.inputs if cell.stride > 1 else grads.nodes
    g_inputs = tuple(images[i] for i in range(cell.inputs))
    return tuple(g_weights), g_inputs, None, None


path.defvjp(_path_forward, _path_backward)
