"""Constraints that are known without a query: only feasible architectures are proposed.

    small = search.bounded(space, costs.nb201_network(), params=1_000_000)
    searcher = search.constrained(evolution(space), small)

The constrained searcher works wherever the searcher does.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from nasjax.search.asynchronous import TRIES, redrawn
from nasjax.search.protocol import Asynchronous, Pending, Searcher
from nasjax.spaces import CellSpace, costs

INT32 = 2**31 - 1


class FeasibleSet(NamedTuple):
    """The architectures that may be queried, as functions that can be traced.

    Attributes:
      feasible: maps architectures, uint8 [..., *arch_shape], to bool [...].
      nearest: maps an architecture, uint8 [*arch_shape], to a feasible one that is
        like it.
    """

    feasible: Callable[[chex.Array], chex.Array]
    nearest: Callable[[chex.Array], chex.Array]


def constrained(searcher: Searcher, feasible_set: FeasibleSet) -> Searcher:
    """A searcher that proposes feasible architectures only, also beside pending ones.

    It is asked again until its proposal is feasible (a searcher with an `ask` of its
    own for pending queries treats infeasible architectures like pending ones). If TRIES
    proposals are infeasible, the feasible one nearest to the last is queried, of which
    the searcher is told. If every proposal is feasible, nothing changes, bit for bit.

    Raises:
      ValueError: the searcher does not say its space.
    """
    if searcher.space is None:
        raise ValueError("a constraint needs a searcher that says its space")
    hooks = searcher.asynchronous or Asynchronous()
    beside = hooks.ask or functools.partial(redrawn, searcher.ask)
    nothing = Pending(
        np.zeros((0, *searcher.space.arch_shape), np.uint8), np.zeros(0, bool)
    )

    def ask(key, state, step, pending=nothing):
        among = pending._replace(feasible=feasible_set.feasible)
        state, arch = beside(key, state, step, among)
        near = feasible_set.nearest(arch)
        return state, jnp.where(feasible_set.feasible(arch), arch, near)

    return searcher._replace(ask=ask, asynchronous=hooks._replace(ask=ask))


def drawn(
    key: chex.PRNGKey,
    draw: Callable[[chex.PRNGKey], chex.Array],
    feasible: Callable[[chex.Array], chex.Array],
) -> chex.Array:
    """Architectures [n, *arch_shape], each drawn again while infeasible.

    After TRIES draws, a row may still be infeasible.

    Args:
      draw: makes [n, *arch_shape] from a key; called first with `key` itself.
      feasible: as of `FeasibleSet`.
    """

    def wanted(carry):
        tries, arch = carry
        return ~jnp.all(feasible(arch)) & (tries < TRIES)

    def again(carry):
        tries, arch = carry
        new = draw(jax.random.fold_in(key, tries + 1))
        keep = feasible(arch).reshape(-1, *(1 for _ in arch.shape[1:]))
        return tries + 1, jnp.where(keep, arch, new)

    first = (jnp.int32(0), draw(jax.random.clone(key)))
    return jax.lax.while_loop(wanted, again, first)[1]


def toward(
    space: CellSpace,
    feasible: Callable[[chex.Array], chex.Array],
    example: chex.Array,
    saving: Callable[[chex.Array], chex.Array] | None = None,
) -> FeasibleSet:
    """The feasible set of any constraint of which one feasible architecture is known.

    The nearest feasible architecture takes the operations of `example` edge by edge
    (node by node, if nodes select edges) until it is feasible.

    Args:
      feasible: as of `FeasibleSet`.
      example: uint8 [*arch_shape], feasible.
      saving: `arch -> [*arch_shape]`: edges with a larger sum are swapped first; by
        default they are swapped in their order.
    """
    size = int(np.prod(space.arch_shape))
    part = np.arange(size)
    if space.inputs_per_node is not None:
        # The in-edges of a node of a cell change together.
        target = np.tile([node for _, node in space.edges], space.cells)
        cell = np.repeat(np.arange(space.cells), space.num_edges)
        part = np.unique(cell * size + target, return_inverse=True)[1].reshape(-1)
    parts = int(part.max()) + 1
    example = jnp.asarray(example, jnp.uint8)

    def nearest(arch):
        gain = jnp.arange(parts, 0, -1)
        if saving is not None:
            gain = jax.ops.segment_sum(saving(arch).reshape(-1), part, parts)
        place = jnp.argsort(jnp.argsort(-gain))  # of each part in the order of swaps
        swapped = place[part] < jnp.arange(parts + 1)[:, None]
        swapped = swapped.reshape(-1, *space.arch_shape)
        path = jnp.where(swapped, example, arch)
        return path[jnp.argmax(feasible(path))]

    return FeasibleSet(feasible, nearest)


def bounded(
    space: CellSpace,
    table: costs.CostTable,
    params: int | None = None,
    macs: int | None = None,
) -> FeasibleSet:
    """Architectures with at most so many parameters and multiply-adds.

    The nearest feasible architecture replaces operations by the cheapest ones, those
    that save most first.

    Args:
      space: whose architectures `table` is for.
      table: NumPy arrays, such as `costs.darts_network(space)`.
      params, macs: the largest allowed values, of `costs.params` and `costs.macs`; None
        for no bound.

    Raises:
      ValueError: `table` is of another space, there is no bound, a bound is below the
        smallest architecture (the message has its value), no architecture is known
        that meets both, or costs reach 2^31.
    """
    edges = table.edges
    shape = (*space.arch_shape, space.num_operations + 1)
    if np.shape(edges.macs) != shape:
        raise ValueError(
            f"costs of shape {list(np.shape(edges.macs))} are of another space than "
            f"{space.name}, whose shape is {list(shape)}"
        )
    bounds: list[tuple[str, Callable[..., Any], np.ndarray, Any]] = [
        ("parameters", costs.params, edges.weights + edges.affine, params),
        ("multiply-adds", costs.macs, edges.macs, macs),
    ]
    bounds = [bound for bound in bounds if bound[-1] is not None]
    if not bounds:
        raise ValueError("a bound needs a number: params, macs or both")
    examples = []
    for what, cost, of_edges, limit in bounds:
        examples.append(cheapest(space, of_edges))
        smallest = int(cost(table, examples[-1]))
        if limit < smallest:
            raise ValueError(
                f"no architecture of {space.name} has at most {limit:,} {what}: the "
                f"smallest has {smallest:,}"
            )
    share = sum(of_edges / max(limit, 1) for _, _, of_edges, limit in bounds)
    examples.append(cheapest(space, share))
    limits = [(cost, min(limit, INT32)) for _, cost, _, limit in bounds]

    def feasible(arch):
        arch = jnp.asarray(arch)
        within = [cost(table, arch) <= limit for cost, limit in limits]
        return functools.reduce(jnp.logical_and, within)

    meeting = [arch for arch in examples if feasible(arch)]
    if not meeting:
        raise ValueError(f"no architecture of {space.name} is known to meet all bounds")
    rows = share.reshape(-1, share.shape[-1]).astype(np.float32)
    every, spent = np.arange(len(rows)), meeting[-1].reshape(-1)

    def saving(arch):
        return jnp.asarray(rows)[every, arch.reshape(-1)] - rows[every, spent]

    return toward(space, feasible, meeting[-1], saving)


def cheapest(space: CellSpace, of_edges: np.ndarray) -> np.ndarray:
    """The architecture with the lowest sum of costs; uint8 [*arch_shape].

    Of equal operations the last is taken, since `none` is the first.

    Args:
      of_edges: [*arch_shape, O + 1], the cost of each operation on each edge, and of
        an absent edge.
    """
    of_edges = np.asarray(of_edges)[..., :-1]
    operation = of_edges.shape[-1] - 1 - of_edges[..., ::-1].argmin(-1)
    kept = np.asarray(space.keep(-of_edges.min(-1).astype(np.float32)))
    return np.where(kept, operation, space.num_operations).astype(np.uint8)
