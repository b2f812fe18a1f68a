"""History against a sorted dictionary."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasjax.agent import history

pytestmark = pytest.mark.usefixtures("quick_compile")

ITEM = jax.ShapeDtypeStruct((2,), jnp.uint8)
insert = jax.jit(history.insert)


def reference(stream, K):
    """The K best of each item's best score; equal scores in order of arrival."""
    best, arrival = {}, {}
    for time, (item, score) in enumerate(stream):
        if not math.isnan(score) and score > best.get(item, -math.inf):
            best[item], arrival[item] = score, time
    ranked = sorted(best, key=lambda item: (-best[item], arrival[item]))[:K]
    return [(item, best[item]) for item in ranked]


def run(stream, K):
    state = history.init(K, ITEM)
    for item, score in stream:
        state = insert(state, jnp.array(item, jnp.uint8), score)
    return state


def held(state):
    real = np.asarray(state.score) > -np.inf
    items = [tuple(row.tolist()) for row in np.asarray(state.items)]
    # The empty places come last.
    assert real.tolist() == sorted(real.tolist(), reverse=True)
    pairs = zip(items, np.asarray(state.score).tolist(), strict=True)
    return [pair for pair, there in zip(pairs, real, strict=True) if there]


# Zeros are a real item here, as they fill the empty places.
items = st.tuples(st.integers(0, 2), st.integers(0, 2))
oracle = {(a, b): (2 * a + b) / 8 for a in range(3) for b in range(3)}
scores = st.integers(-4, 4).map(lambda n: n / 4) | st.just(math.nan)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([1, 3, 20]), st.lists(items, max_size=25))
def test_fixed_oracle(K, seen):
    """Repeats change nothing; ties are there ((0, 2) and (1, 0), for one)."""
    stream = [(item, oracle[item]) for item in seen]
    assert held(run(stream, K)) == reference(stream, K)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([1, 3, 20]), st.lists(st.tuples(items, scores), max_size=25))
def test_noisy_oracle(K, stream):
    """A repeat keeps its highest score; NaN is ignored."""
    assert held(run(stream, K)) == reference(stream, K)


def test_by_hand():
    a, b, c, d = (0, 0), (0, 1), (1, 0), (1, 1)
    assert held(run([(a, 0.5), (b, 0.7), (a, 0.6)], 2)) == [
        (b, pytest.approx(0.7)),
        (a, pytest.approx(0.6)),
    ]
    # Equal scores: the first to come stays.
    assert held(run([(a, 1.0), (b, 1.0), (c, 1.0)], 2)) == [(a, 1.0), (b, 1.0)]
    # A repeat that improves moves up, and pushes nothing out.
    stream = [(a, 4.0), (b, 3.0), (c, 2.0), (c, 5.0), (d, math.nan)]
    assert held(run(stream, 3)) == [(c, 5.0), (a, 4.0), (b, 3.0)]


@functools.cache
def features():
    return np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_mean_over_the_items_held(count):
    state = run([((i, 0), 1.0 - i) for i in range(count)], 3)
    wanted = features()[:count].mean(0) if count else np.zeros((4, 2))
    mean = history.mean(state, jnp.asarray(features()))
    np.testing.assert_allclose(mean, wanted, rtol=1e-6, atol=1e-7)


def test_needs_a_place():
    with pytest.raises(ValueError, match="K = 0"):
        history.init(0, ITEM)


def test_repeats_by_hand():
    """Each time it comes, an item takes a place of its own."""
    a, b = (0, 0), (0, 1)
    state = history.init(3, ITEM)
    insert = jax.jit(functools.partial(history.insert, repeats=True))
    for item, score in [(a, 0.5), (b, 0.75), (a, 0.625), (a, 0.25)]:
        state = insert(state, jnp.array(item, jnp.uint8), score)
    assert held(state) == [(b, 0.75), (a, 0.625), (a, 0.5)]
    assert int(history.filled(state)) == 3
