"""Replay: a ring buffer as pure functions over any pytree of arrays."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from nasjax.agent.draws import flat


class ReplayState(NamedTuple):
    """The last `capacity` items."""

    items: Any  # pytree of [capacity, ...]
    count: chex.Array  # int32 [], number of items ever added


def init(capacity: int, item: Any) -> ReplayState:
    """An empty buffer for items shaped like `item` (arrays or shape structs).

    Raises:
      ValueError: capacity below 1.
    """
    if capacity < 1:
        raise ValueError(f"capacity must be at least 1, got {capacity}")
    items = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), item)
    return ReplayState(items, jnp.int32(0))


def capacity(state: ReplayState) -> int:
    """Number of items that the buffer can hold (static)."""
    return jax.tree.leaves(state.items)[0].shape[0]


def size(state: ReplayState) -> chex.Array:
    """Number of items in the buffer, int32 []."""
    return jnp.minimum(state.count, capacity(state))


def add(state: ReplayState, item: Any) -> ReplayState:
    """Stores an item; overwrites the oldest once the buffer is full."""
    at = state.count % capacity(state)
    items = jax.tree.map(lambda buffer, x: buffer.at[at].set(x), state.items, item)
    return ReplayState(items, state.count + 1)


def indices(
    key: chex.PRNGKey,
    state: ReplayState,
    shape: tuple,
    last: chex.Numeric | None = None,
) -> chex.Array:
    """int32 `shape`: positions drawn uniformly, with replacement.

    Args:
      key: consumed once.
      state: holds at least one item.
      shape: of the result, static.
      last: number of newest items to draw from; None for all.
    """
    filled = size(state)
    many = filled if last is None else jnp.minimum(filled, last)
    drawn = flat(jax.random.randint, key, shape, 0, jnp.maximum(many, 1), jnp.int32)
    if last is None:
        return drawn
    return (state.count - 1 - drawn) % capacity(state)


def distinct_indices(
    key: chex.PRNGKey, state: ReplayState, shape: tuple[int, int]
) -> chex.Array:
    """int32 `shape`, [batches, B]: positions drawn uniformly, none twice in a batch.

    Of n positions, the j-th (from 0) is drawn from the first n - B + j + 1; if the
    batch has it already, the last of these is taken.

    Args:
      key: consumed once.
      state: holds at least B items; of fewer, positions repeat.
      shape: of the result, static.

    Source: Bentley and Floyd 1987, algorithm F2.
    """
    last = jnp.maximum(size(state) - shape[1], 0) + jnp.arange(shape[1])
    last = jnp.broadcast_to(last, shape).astype(jnp.int32)
    ends = last.reshape(-1) + 1
    drawn = flat(jax.random.randint, key, shape, 0, ends, jnp.int32)

    def choose(j, chosen):
        known = jnp.any(chosen == drawn[:, j, None], axis=1)
        return chosen.at[:, j].set(jnp.where(known, last[:, j], drawn[:, j]))

    return jax.lax.fori_loop(0, shape[1], choose, jnp.full(shape, -1, jnp.int32))


def lowest(state: ReplayState, values: chex.Array) -> chex.Array:
    """The minimum of `values` [capacity] over the stored items; 0 if there are none."""
    valid = jnp.arange(capacity(state)) < state.count
    least = jnp.min(jnp.where(valid, values, jnp.inf))
    return jnp.where(state.count > 0, least, 0.0).astype(values.dtype)


def take(state: ReplayState, index: chex.Array) -> Any:
    """The items at `index`."""
    return jax.tree.map(lambda buffer: buffer[index], state.items)


def sample(key: chex.PRNGKey, state: ReplayState, batch_size: int) -> Any:
    """A batch drawn uniformly with replacement (thesis 4.1.2; DeepRL)."""
    return take(state, indices(key, state, (batch_size,)))
