"""One architecture of a cell: a loop over the edges that it selects.

Inside the loop a `lax.switch` takes the edge's operation, so that one compiled program
serves every architecture, small enough to compile in seconds. The gradient is the same
loop run backwards.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from nasjax.networks.supernet import cells


class Slots(NamedTuple):
    """A group's edges, those that compute something first; int32 arrays [G]."""

    row: chex.Array  # position in the group's stack
    edge: chex.Array  # number in the architecture
    source: chex.Array
    target: chex.Array
    operation: chex.Array

    def at(self, slot: chex.Numeric) -> "Slots":
        return jax.tree.map(lambda x: x[slot], self)


def _slots(
    cell: cells.Cell, group: cells.Group, arch: chex.Array
) -> tuple[Slots, chex.Array]:
    """The slots and how many of them compute something."""
    mine = arch[np.array(group.edges)].astype(jnp.int32)
    idle = mine >= len(cell.names)
    if "none" in cell.names and cell.parts == 1:
        idle |= mine == cell.names.index("none")
    order = jnp.argsort(idle, stable=True).astype(jnp.int32)
    ends = np.array([cell.edges[e] for e in group.edges], np.int32)
    edges, sources, targets = (
        jnp.asarray(x)[order]
        for x in (np.array(group.edges, np.int32), ends[:, 0], ends[:, 1])
    )
    slots = Slots(order, edges, sources, targets, mine[order])
    return slots, jnp.sum(~idle)


def _row(tree, i):
    return jax.tree.map(lambda x: x[i], tree)


def _forward(cell, weights, inputs, arch, given):
    features = cells.initial_features(cell, inputs)
    statistics = cells.no_statistics(cell)
    for group, stack in zip(cell.groups, weights, strict=True):
        slots, count = _slots(cell, group, arch)

        def branch(name, group=group, stack=stack):
            return lambda row, x, given: cells.apply_edge(
                cell, group, name, _row(stack[name], row), x, given
            )

        branches = [branch(name) for name in cell.names]

        def body(s, carry, group=group, slots=slots, branches=branches):
            features, statistics = carry
            row, edge, source, target, o = slots.at(s)
            x = cells.read(cell, group, features, source)
            known = None if given is None else given[edge, o]
            y, used = jax.lax.switch(o, branches, row, x, known)
            features = cells.add_target(cell, features, target, y)
            return features, statistics.at[edge, o].set(used)

        features, statistics = jax.lax.fori_loop(0, count, body, (features, statistics))
    return features, statistics


def _backward(cell, saved, cotangent):
    """The loop of `_forward` run backwards; each edge is computed again for its own.

    Only nodes are stored: a conditional would have to return the residuals of all its
    branches.
    """
    weights, features, arch, given = saved
    grown = jax.tree.map(jnp.zeros_like, features)
    grown = grown._replace(nodes=cells.put_computed(cell, grown.nodes, cotangent))
    g_weights: list[Any] = []
    for group, stack in reversed(list(zip(cell.groups, weights, strict=True))):
        slots, count = _slots(cell, group, arch)

        def branch(name, group=group, stack=stack):
            def run(row, x, given, g):
                def edge(weights, x):
                    return cells.apply_edge(cell, group, name, weights, x, given)[0]

                zero = {n: jax.tree.map(_zero_row, stack[n]) for n in stack}
                g_row, g_x = jax.vjp(edge, _row(stack[name], row), x)[1](g)
                return zero | {name: g_row}, g_x

            return run

        branches = [branch(name) for name in cell.names]

        def body(s, carry, group=group, slots=slots, branches=branches, count=count):
            grown, g_stack = carry
            row, edge, source, target, o = slots.at(count - 1 - s)
            x = cells.read(cell, group, features, source)
            known = None if given is None else given[edge, o]
            g = grown.nodes[target - cells.first_node(cell)]
            g_row, g_x = jax.lax.switch(o, branches, row, x, known, g)
            g_stack = jax.tree.map(lambda a, b: a.at[row].set(b), g_stack, g_row)
            return cells.add_source(cell, group, grown, source, g_x), g_stack

        start = (grown, jax.tree.map(jnp.zeros_like, stack))
        grown, g_stack = jax.lax.fori_loop(0, count, body, start)
        g_weights.insert(0, g_stack)
    return tuple(g_weights), cells.given_inputs(cell, grown)


def _zero_row(x):
    return jnp.zeros_like(x[0])


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _path(cell, weights, inputs, arch, given):
    return _path_forward(cell, weights, inputs, arch, given)[0]


def _path_forward(cell, weights, inputs, arch, given):
    features, statistics = _forward(cell, weights, inputs, arch, given)
    out = cells.computed(cell, features.nodes), statistics
    return out, (weights, features, arch, given)


def _path_backward(cell, saved, cotangent):
    return (*_backward(cell, saved, cotangent[0]), None, None)


_path.defvjp(_path_forward, _path_backward)


def path(
    cell: cells.Cell,
    weights: cells.Weights,
    inputs: Sequence[chex.Array],
    arch: chex.Array,
    given: chex.Array | None = None,
) -> tuple[tuple[chex.Array, ...], chex.Array]:
    """The nodes of the cell under one architecture.

    Edges that are absent or hold `none` are not computed, and weights that are not
    selected have a gradient of exactly zero.

    Args:
      cell: static.
      weights: from `init`.
      inputs: of [B, H, W, C].
      arch: integers [E] in 0 .. O, O where an edge is absent; may be traced.
      given: float32 [E, O, 2, 2, C], statistics to normalise by; None takes the
        batch's own.

    Returns:
      The N nodes, each [B, H', W', C], and the statistics used, [E, O, 2, 2, C] (mean
      0 and variance 1 where nothing was computed).
    """
    return _path(cell, weights, tuple(inputs), arch, given)
