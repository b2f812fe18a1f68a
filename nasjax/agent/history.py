"""History: the K best items so far, distinct ones unless repeats are kept."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class HistoryState(NamedTuple):
    """The top K, best first; equal scores in order of arrival."""

    items: chex.Array  # [K, ...]
    score: chex.Array  # float32 [K], -inf where empty


def init(K: int, item: chex.Array) -> HistoryState:
    """An empty history of K items shaped like `item`.

    Raises:
      ValueError: K below 1.
    """
    if K < 1:
        raise ValueError(f"a history holds at least 1 item, got K = {K}")
    return HistoryState(
        jnp.zeros((K, *item.shape), item.dtype),
        jnp.full((K,), -jnp.inf, jnp.float32),
    )


def insert(
    state: HistoryState,
    item: chex.Array,
    score: chex.Numeric,
    repeats: bool = False,
) -> HistoryState:
    """Inserts an item; a repeated item keeps the higher of its (noisy) scores.

    An item whose score is NaN is ignored. With `repeats` (static) a repeated item is
    one more item.
    """
    score = jnp.asarray(score, jnp.float32)
    K = state.score.shape[0]
    valid = state.score > -jnp.inf
    same = valid & jnp.all((state.items == item).reshape(K, -1), axis=-1)
    repeat = False if repeats else jnp.any(same)
    # The slot that is overwritten: that of the same item, or else the last (the worst).
    slot = jnp.where(repeat, jnp.argmax(same), K - 1)
    accept = score > state.score[slot]
    # Where the new item belongs: after all scores at least as high.
    rank = jnp.sum(state.score >= score)
    position = jnp.arange(K)
    shifted = (position > rank) & (position <= slot)
    source = jnp.where(accept & shifted, position - 1, position)
    new = accept & (position == rank)

    def place(old, value):
        mask = new.reshape(K, *(1,) * (old.ndim - 1))
        return jnp.where(mask, value, old[source])

    return HistoryState(place(state.items, item), place(state.score, score))


def mean(state: HistoryState, features: chex.Array) -> chex.Array:
    """Mean of `features` [K, ...] over the stored items; zeros if there are none.

    Source: thesis 4.1.1, the state as the channel-wise average of the history.
    """
    valid = state.score > -jnp.inf
    weight = valid.astype(jnp.float32) / jnp.maximum(jnp.sum(valid), 1)
    return jnp.tensordot(weight, features, axes=1, precision=jax.lax.Precision.HIGHEST)


def filled(state: HistoryState) -> chex.Array:
    """Number of stored items, int32 []."""
    return jnp.sum(state.score > -jnp.inf)
