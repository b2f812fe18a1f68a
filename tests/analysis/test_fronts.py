"""Hypervolumes and fronts of searches, of any number of objectives."""

import numpy as np
import pytest

from nasjax.analysis.fronts import hypervolumes, whole_front
from nasjax.analysis.pareto import exact_hypervolume

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.parametrize("M", [1, 2, 3])
def test_running_hypervolumes_are_those_of_the_first_points(M):
    rng = np.random.default_rng(M)
    points = rng.integers(0, 6, (2, 12, M)) / 4.0
    points[1, ::3] = -np.inf  # rows that do not count
    running = hypervolumes(points)
    for s, row in enumerate(points):
        wanted = [exact_hypervolume(row[: t + 1]) for t in range(12)]
        np.testing.assert_allclose(running[s], wanted, rtol=1e-6)


@pytest.mark.parametrize("M", [1, 2, 3])
def test_the_front_of_a_table(M):
    """What no row dominates, each value once; rows that fail are not in it."""
    points = np.random.default_rng(M).integers(0, 5, (40, M)).astype(float)
    points[::4] = -np.inf
    front = points[whole_front(points)]
    finite = {tuple(x) for x in points if np.isfinite(x).all()}
    wanted = {
        x for x in finite if not any(all(np.array(y) >= x) and y != x for y in finite)
    }
    assert len(front) == len(wanted) and set(map(tuple, front)) == wanted
    assert (np.diff(front[:, 0]) <= 0).all()
