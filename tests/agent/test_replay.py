"""Replay against collections.deque."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nasjax.agent import Batch, replay

pytestmark = pytest.mark.usefixtures("quick_compile")

ITEM = Batch(
    jax.ShapeDtypeStruct((2,), jnp.float32),
    jax.ShapeDtypeStruct((3,), jnp.float32),
    jax.ShapeDtypeStruct((), jnp.float32),
)
add = jax.jit(replay.add)
sample = jax.jit(replay.sample, static_argnums=2)


def item(number):
    """Every part of it tells its number."""
    return Batch(
        jnp.full(2, number, jnp.float32),
        jnp.full(3, 10 * number, jnp.float32),
        jnp.float32(100 * number),
    )


def numbers(batch):
    np.testing.assert_array_equal(batch.observation * 10, batch.action[:, :2])
    np.testing.assert_array_equal(batch.action[:, 0] * 10, batch.reward)
    return batch.observation[:, 0].astype(int).tolist()


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([1, 3, 8]), st.lists(st.integers(1, 9), max_size=20))
def test_holds_what_a_deque_holds(capacity, stream):
    state, reference = replay.init(capacity, ITEM), collections.deque(maxlen=capacity)
    assert replay.capacity(state) == capacity
    for number in stream:
        state = add(state, item(number))
        reference.append(number)
        assert replay.size(state) == len(reference)
    assert int(state.count) == len(stream)
    held = numbers(replay.take(state, jnp.arange(capacity)))[: len(reference)]
    assert sorted(held) == sorted(reference)


@functools.cache
def filled(capacity, count):
    state = replay.init(capacity, ITEM)
    for number in range(1, count + 1):
        state = add(state, item(number))
    return state


@pytest.mark.parametrize("count, held", [(3, {1, 2, 3}), (11, {7, 8, 9, 10, 11})])
def test_samples_uniformly_with_replacement_from_what_is_held(count, held):
    state = filled(5, count)
    # More are drawn than are held, so some must repeat.
    drawn = numbers(sample(jax.random.key(count), state, 3_000))
    assert set(drawn) == held
    counts = np.unique(drawn, return_counts=True)[1]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_indices_and_take_are_sample():
    state = filled(5, 11)
    index = replay.indices(jax.random.key(0), state, (7,))
    assert index.dtype == jnp.int32
    wanted = replay.take(state, index)
    batch = replay.sample(jax.random.key(0), state, 7)
    jax.tree.map(np.testing.assert_array_equal, batch, wanted)


def test_capacity_below_one():
    with pytest.raises(ValueError, match="capacity must be at least 1, got 0"):
        replay.init(0, ITEM)


@pytest.mark.parametrize("added", [3, 8, 13])
def test_the_newest_only(added):
    """Of a ring of 8, the last 4 added (or as many as there are)."""
    state = replay.init(8, jax.ShapeDtypeStruct((), jnp.int32))
    for item in range(added):
        state = replay.add(state, jnp.int32(item))
    index = replay.indices(jax.random.key(0), state, (200,), 4)
    drawn = np.unique(replay.take(state, index))
    np.testing.assert_array_equal(drawn, np.arange(max(added - 4, 0), added))


def test_distinct_positions():
    """Every subset of 2 of 4 positions is as likely as any; none has one twice."""
    state = replay.ReplayState((), jnp.int32(0))._replace(items=jnp.zeros(9))
    draw = jax.jit(replay.distinct_indices, static_argnums=2)

    def drawn(key, count, batch):
        held = state._replace(count=jnp.int32(count))
        return np.sort(draw(jax.random.key(key), held, (6_000, batch)), axis=1)

    pairs, counts = np.unique(drawn(0, 4, 2), axis=0, return_counts=True)
    assert pairs.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    assert stats.chisquare(counts).pvalue > 0.01
    # A full buffer: all of it, in some order. Fewer than a batch: what is there.
    np.testing.assert_array_equal(drawn(1, 20, 9), np.tile(np.arange(9), (6_000, 1)))
    assert set(np.unique(drawn(2, 1, 2))) <= {0, 1}
