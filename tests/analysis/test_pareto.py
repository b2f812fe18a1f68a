"""Pareto fronts and hypervolumes against their definitions."""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.analysis import pareto

pytestmark = pytest.mark.usefixtures("quick_compile")

REFERENCE = (10.0, 0.1)
front = jax.jit(pareto.front)
volume = jax.jit(functools.partial(pareto.hypervolume, reference=REFERENCE))
running = jax.jit(functools.partial(pareto.running_hypervolume, reference=REFERENCE))
# Twelve points of few different numbers: ties and repeats are the rule.
POINTS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 8)), min_size=12, max_size=12
)


def arrays(points):
    cost, value = np.array(points, np.float32).T
    return 2 * cost, value / 8


def dominated(points, point):
    return any(
        cost <= point[0] and value >= point[1] and (cost, value) != point
        for cost, value in points
    )


@hypothesis.given(POINTS)
def test_front_is_what_nothing_dominates(points):
    wanted = [not dominated(points, point) for point in points]
    np.testing.assert_array_equal(front(*arrays(points)), wanted)


@hypothesis.given(POINTS)
def test_hypervolume_counts_the_box(points):
    """On a fine grid of the box: the share of its cells that a point dominates."""
    cost, value = arrays(points)
    # Cells of 1 x 0.025: every corner of the region lies on the grid.
    x, y = np.arange(10) + 0.5, 0.1 + 0.025 * (np.arange(36) + 0.5)
    hit = (cost[:, None, None] <= x[:, None]) & (value[:, None, None] >= y)
    assert float(volume(cost, value)) == pytest.approx(hit.any(0).mean(), abs=1e-5)


def test_hypervolume_by_hand():
    """Two steps: from 2 to 6 at 0.5, from 6 to 10 at 0.9; the box is 10 x 0.9."""
    cost, value = jnp.array([6.0, 2.0, 7.0]), jnp.array([0.9, 0.5, 0.4])
    wanted = (4 * 0.4 + 4 * 0.8) / (10 * 0.9)
    assert float(volume(cost, value)) == pytest.approx(wanted, rel=1e-6)
    assert float(volume(jnp.array([11.0]), jnp.array([0.9]))) == 0
    assert float(volume(jnp.array([1.0]), jnp.array([0.05]))) == 0
    assert float(volume(jnp.array([0.0]), jnp.array([1.0]))) == pytest.approx(1)


def test_hypervolume_so_far():
    rng = np.random.default_rng(0)
    cost, value = rng.uniform(0, 12, 30), rng.uniform(0, 1, 30)
    cost, value = cost.astype(np.float32), value.astype(np.float32)
    volumes = np.asarray(running(cost, value))
    assert np.all(np.diff(volumes) >= -1e-7)
    alone = [
        float(pareto.hypervolume(cost[:n], value[:n], REFERENCE)) for n in (1, 7, 30)
    ]
    np.testing.assert_allclose(volumes[[0, 6, 29]], alone, rtol=1e-5)


def test_under_vmap_it_is_a_loop():
    rng = np.random.default_rng(1)
    cost, value = rng.integers(0, 5, (2, 3, 20)).astype(np.float32)
    together = jax.vmap(pareto.front)(cost, value)
    for row, x, y in zip(together, cost, value, strict=True):
        np.testing.assert_array_equal(row, pareto.front(x, y))


def test_points_that_do_not_exist_are_on_no_front():
    on_front = front(jnp.array([0.0, 1.0]), jnp.array([-jnp.inf, 0.2]))
    np.testing.assert_array_equal(on_front, [False, True])


def test_failed_points_hide_no_other():
    """A value or a cost that is not a number: not on the front, and in no one's way."""
    nan = float("nan")
    on_front = front(jnp.array([1.0, 2.0, 3.0]), jnp.array([0.5, nan, 0.9]))
    np.testing.assert_array_equal(on_front, [True, False, True])
    np.testing.assert_array_equal(pareto.front([1, 2, 3], [0.5, nan, 0.9]), on_front)
    on_front = front(jnp.array([nan, 2.0, 3.0]), jnp.array([0.95, 0.5, 0.9]))
    np.testing.assert_array_equal(on_front, [False, True, True])
    on_front = front(jnp.array([1.0, 2.0]), jnp.array([jnp.inf, 0.9]))
    np.testing.assert_array_equal(on_front, [False, True])
    cost, value = jnp.array([2.0, 6.0, 4.0]), jnp.array([0.5, 0.9, nan])
    wanted = volume(cost[:2], value[:2])
    assert float(volume(cost, value)) == pytest.approx(float(wanted), rel=1e-6)
    assert float(volume(cost.at[0].set(nan), value)) > 0
    so_far = running(cost[::-1], value[::-1])
    assert float(so_far[0]) == 0 and float(so_far[-1]) == pytest.approx(float(wanted))
