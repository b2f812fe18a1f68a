"""Dominance, ranks, crowding and hypervolume against definitions and by hand."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.analysis.pareto import exact_hypervolume
from nasjax.search import pareto

pytestmark = pytest.mark.usefixtures("quick_compile")

front, dominators, crowding, volume, running = map(
    jax.jit,
    (
        pareto.front,
        pareto.dominators,
        pareto.crowding,
        pareto.hypervolume,
        pareto.running_hypervolume,
    ),
)
ranks = jax.jit(lambda points: pareto.ranks(pareto.dominators(points)))
# Twelve points of few different numbers: ties and repeats are the rule.
POINTS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 8)), min_size=12, max_size=12
)
CUBES = st.lists(st.tuples(*3 * [st.integers(0, 4)]), min_size=1, max_size=8)


def array(points):
    return np.array(points, np.float32)


def beaten(points, point):
    """Whether some point is nowhere below this one and somewhere above."""
    return any(
        all(a >= b for a, b in zip(other, point, strict=True)) and other != point
        for other in points
    )


@hypothesis.given(POINTS)
def test_the_front_is_not_dominated(points):
    wanted = [not beaten(points, point) for point in points]
    np.testing.assert_array_equal(front(array(points)), wanted)


@hypothesis.given(POINTS)
def test_ranks_peel_fronts(points):
    rank = np.asarray(ranks(array(points)))
    left = list(enumerate(points))
    r = 0
    while left:
        now = [i for i, x in left if not beaten([y for _, y in left], x)]
        assert sorted(np.flatnonzero(rank == r)) == now
        left = [(i, x) for i, x in left if i not in now]
        r += 1


def test_empty_points_are_in_no_front():
    points = jnp.array([[1.0, -jnp.inf], [0.0, 0.0], [-jnp.inf, -jnp.inf]] * 4)
    np.testing.assert_array_equal(front(points), [False, True, False] * 4)


def test_a_smaller_violation_dominates():
    """Deb 2002, VI: feasible first, then the smaller violation, then dominance."""
    points = jnp.array([[1.0, 1.0], [9.0, 9.0], [5.0, 5.0], [0.0, 1.0]])
    violation = jnp.array([0.0, 2.0, 1.0, 0.0])
    above = pareto.dominators(points, violation)
    np.testing.assert_array_equal(pareto.ranks(above), [0, 3, 2, 1])


def test_crowding_by_hand():
    """A front of four: the inner ones have both gaps, divided by the ranges."""
    points = jnp.array([[0.0, 10.0], [1.0, 6.0], [4.0, 1.0], [5.0, 0.0], [0.0, 0.0]])
    distance = crowding(points, jnp.array([0, 0, 0, 0, 1]))
    np.testing.assert_allclose(distance[1:3], [4 / 5 + 9 / 10, 4 / 5 + 6 / 10])
    assert np.isinf(np.asarray(distance)[[0, 3, 4]]).all()


def test_hypervolume_by_hand():
    """Steps of 3 x 1, 2 x 2 and 1 x 1 above (1, 1)."""
    points = jnp.array([[4.0, 2.0], [3.0, 4.0], [2.0, 5.0], [2.0, 2.0], [9.0, 1.0]])
    reference = jnp.ones(2)
    assert float(volume(points, reference)) == 3 * 1 + 2 * 2 + 1 * 1
    np.testing.assert_array_equal(running(points, reference), [3, 7, 8, 8, 8])
    assert float(volume(jnp.full((5, 2), -jnp.inf), reference)) == 0


@hypothesis.given(POINTS)
def test_hypervolume_counts_cells(points):
    """Corners are integers: the area is the number of dominated unit cells."""
    covered = {(i, j) for x, y in points for i in range(x) for j in range(y)}
    assert float(volume(array(points), jnp.zeros(2))) == len(covered)
    assert exact_hypervolume(array(points)) == len(covered)


@hypothesis.given(CUBES)
def test_exact_hypervolume_counts_cubes(points):
    covered = {
        cell for point in points for cell in np.ndindex(*(int(x) for x in point))
    }
    assert exact_hypervolume(array(points)) == len(covered)
