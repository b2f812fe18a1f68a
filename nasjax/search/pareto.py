"""Dominance, non-dominated ranks, crowding and hypervolume of points [n, M].

Larger is better in every objective. A point with an entry of -inf is empty: it
dominates nothing and has no volume.
"""

import chex
import jax
import jax.numpy as jnp


def dominates(a: chex.Array, b: chex.Array) -> chex.Array:
    """bool [...]: `a` [..., M] is nowhere below `b` [..., M] and somewhere above."""
    return jnp.all(a >= b, axis=-1) & jnp.any(a > b, axis=-1)


def dominators(points: chex.Array, violation: chex.Array | None = None) -> chex.Array:
    """bool [n, n]: whether point j (column) dominates point i (row).

    Args:
      points: [n, M].
      violation: [n] of constraints, 0 where all are kept. A point with a smaller
        violation dominates one with a larger one; None if there are no constraints.

    Source: Deb et al. 2002, section VI, for the constrained dominance.
    """
    above = dominates(points[None], points[:, None])
    if violation is None:
        return above
    less = violation < violation[:, None]
    return less | (above & (violation == violation[:, None]))


def front(points: chex.Array) -> chex.Array:
    """bool [n]: the points that no other one dominates; empty points are not in it."""
    exists = jnp.all(points > -jnp.inf, axis=-1)
    return exists & ~jnp.any(dominators(points) & exists, axis=1)


def ranks(above: chex.Array) -> chex.Array:
    """Non-dominated ranks int32 [n], 0 for the front, from `dominators` [n, n].

    Rank r is the front of what remains without the ranks below r.

    Source: Deb et al. 2002, section III.A.
    """
    n = len(above)

    def peel(carry):
        rank, r = carry
        left = rank == n
        best = left & ~jnp.any(above & left, axis=1)
        return jnp.where(best, r, rank), r + 1

    def unfinished(carry):
        return jnp.any(carry[0] == n)

    start = jnp.full(n, n, jnp.int32), jnp.int32(0)
    return jax.lax.while_loop(unfinished, peel, start)[0]


def crowding(points: chex.Array, rank: chex.Array) -> chex.Array:
    """Crowding distance float32 [n] within each rank; inf at the ends of a front.

    The sum over objectives of the gap between both neighbours, divided by the range of
    the rank.

    Args:
      points: [n, M], finite.
      rank: int32 [n].

    Source: Deb et al. 2002, section III.B.
    """

    def distance(value):
        order = jnp.lexsort((value, rank))
        x, r = value[order], rank[order]
        inner = (r[1:-1] == r[:-2]) & (r[1:-1] == r[2:])
        gap = jnp.where(inner, x[2:] - x[:-2], jnp.inf)
        ends = jnp.full(1, jnp.inf, gap.dtype)
        same = rank == rank[:, None]
        high = jnp.max(jnp.where(same, value, -jnp.inf), axis=1)
        low = jnp.min(jnp.where(same, value, jnp.inf), axis=1)
        gap = jnp.zeros_like(value).at[order].set(jnp.concatenate([ends, gap, ends]))
        return gap / jnp.maximum(high - low, 1e-12)

    return jnp.sum(jax.vmap(distance, 1)(points.astype(jnp.float32)), axis=0)


def hypervolume(points: chex.Array, reference: chex.Array) -> chex.Array:
    """The area float32 [] that points [n, 2] dominate above the reference [2].

    Exact: in the order of the first objective each point adds what it has more of the
    second than those before it.

    Source: Zitzler and Thiele 1998.
    """
    chex.assert_shape(points, (None, 2))
    width, height = jnp.maximum(points - reference, 0.0).astype(jnp.float32).T
    order = jnp.argsort(-width)
    width, height = width[order], height[order]
    before = jnp.concatenate([jnp.zeros(1, jnp.float32), jax.lax.cummax(height)[:-1]])
    return jnp.sum(width * jnp.maximum(height - before, 0.0))


def running_hypervolume(points: chex.Array, reference: chex.Array) -> chex.Array:
    """float32 [T]: `hypervolume` of the first 1, 2, ... of points [T, 2]."""
    steps = jnp.arange(len(points))

    def first(count):
        seen = (steps <= count)[:, None]
        return hypervolume(jnp.where(seen, points, -jnp.inf), reference)

    return jax.lax.map(first, steps)
