"""Pareto fronts of a cost (lower is better) and a value (higher is better), in JAX."""

import chex
import jax
import jax.numpy as jnp
import numpy as np


def _ordered(cost: chex.Array, value: chex.Array) -> tuple[chex.Array, chex.Array]:
    """Costs in ascending order, and the best value up to each cost."""
    order = jnp.argsort(cost)
    return cost[order], jax.lax.cummax(value[order])


def _points(cost: chex.Array, value: chex.Array) -> tuple[chex.Array, chex.Array]:
    """The points as arrays; those that do not exist get a value of -inf."""
    cost, value = jnp.asarray(cost), jnp.asarray(value)
    chex.assert_rank([cost, value], [1, 1])
    free = jnp.isnan(cost)
    exists = jnp.isfinite(value) & ~free
    return jnp.where(free, jnp.inf, cost), jnp.where(exists, value, -jnp.inf)


def front(cost: chex.Array, value: chex.Array) -> chex.Array:
    """Mask of the points that no other point dominates.

    A point is dominated by another of no higher cost and no lower value that is
    strictly better in one of the two. Equal points do not dominate each other.

    Args:
      cost: [A].
      value: [A], not finite for points that do not exist, such as failed evaluations.

    Returns:
      bool [A], False for a point that does not exist or has no cost (NaN).
    """
    cost, value = _points(cost, value)
    costs, best = _ordered(cost, value)
    lower = jnp.searchsorted(costs, cost, side="left")
    up_to = jnp.searchsorted(costs, cost, side="right")
    cheaper = jnp.where(lower > 0, best[jnp.maximum(lower - 1, 0)], -jnp.inf)
    return (value > cheaper) & (value >= best[up_to - 1])


def hypervolume(
    cost: chex.Array,
    value: chex.Array,
    reference: tuple[chex.Numeric, chex.Numeric],
    best: chex.Numeric = 1.0,
) -> chex.Array:
    """The share of a box that the points dominate.

    The box spans costs 0 .. reference cost and values reference value .. best; a point
    dominates the part of it with no lower cost and no higher value.

    Args:
      cost: [A], NaN for points that do not exist.
      value: [A], not finite for points that do not exist.
      reference: cost and value of the box's worst corner.
      best: value of its best corner.

    Returns:
      float32 [], in [0, 1].

    Source: Zitzler and Thiele 1998.
    """
    cost, value = _points(cost, value)
    dearest, worst = (jnp.asarray(x, jnp.float32) for x in reference)
    costs, best_value = _ordered(jnp.asarray(cost, jnp.float32), value)
    share = jnp.clip(costs / dearest, 0.0, 1.0)
    widths = jnp.diff(share, append=1.0)
    heights = jnp.clip((best_value - worst) / (best - worst), 0.0, 1.0)
    return jnp.sum(widths * heights)


def running_hypervolume(
    cost: chex.Array,
    value: chex.Array,
    reference: tuple[chex.Numeric, chex.Numeric],
    best: chex.Numeric = 1.0,
) -> chex.Array:
    """float32 [A]: `hypervolume` of the first 1, 2, ... points; arguments as there."""
    cost, value = _points(cost, value)
    seen = jnp.arange(value.shape[0])

    def first(count):
        return hypervolume(
            cost, jnp.where(seen <= count, value, -jnp.inf), reference, best
        )

    return jax.lax.map(first, seen)


def exact_hypervolume(points: np.ndarray) -> float:
    """The volume that points [n, M] dominate above the origin; larger is better.

    In the order of the last objective, each slab between two values has the volume of
    the points above it in the other objectives. NumPy float64, for reports.
    """
    points = np.asarray(points, np.float64)
    points = points[(points > 0).all(axis=1)]
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(points.max())
    points = points[np.argsort(-points[:, -1])]
    heights = points[:, -1] - np.append(points[1:, -1], 0.0)
    slabs = (
        height * exact_hypervolume(points[: i + 1, :-1])
        for i, height in enumerate(heights)
        if height
    )
    return float(sum(slabs))
