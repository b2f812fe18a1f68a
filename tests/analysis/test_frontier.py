"""Fronts and widths of searches, on architectures whose costs are known."""

import jax
import numpy as np
import pytest

from nasjax.analysis import frontier
from nasjax.spaces import costs, darts, genotypes

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = darts(none=True)
TABLE = costs.darts_network(SPACE, cells=6, channels=16)
NAMES = ("DDAS-NL", "DDAS-4S", "PDARTS", "DDAS-NL")
ARCHS = np.stack(
    [genotypes.to_arch(genotypes.PUBLISHED[name], SPACE) for name in NAMES]
)


def searched(accuracy=(0.7, 0.6, 0.65, 0.7)):
    return frontier.points(TABLE, ARCHS, np.array(accuracy, np.float32))


def test_costs_are_those_of_the_six_cell_network():
    """The thesis's Fig. 3.4: 68.4 (10 classes) and 62.7 MFLOPS (100 classes)."""
    table = costs.darts_network(SPACE, cells=6, channels=16, classes=100)
    points = frontier.points(table, ARCHS, np.zeros(4))
    assert (searched().flops[0], points.flops[1]) == (68_416_512, 62_703_616)
    np.testing.assert_allclose(searched().cost("flops")[0], 0.068416512)


def test_front_is_by_ascending_cost_and_the_first_of_equals():
    """PDARTS costs more than DDAS-NL and is worth less."""
    assert searched().flops[2] > searched().flops[0]
    assert frontier.front(searched(), "flops").tolist() == [1, 0]
    better = searched((0.7, 0.6, 0.9, 0.7))
    assert frontier.front(better, "flops").tolist() == [1, 0, 2]


def test_the_reference_reaches_to_the_largest_network():
    within = frontier.reference_point(TABLE, SPACE, classes=100)
    keys = jax.random.split(jax.random.key(0), 200)
    archs = np.asarray(jax.vmap(SPACE.random)(keys))
    points = frontier.points(TABLE, archs, np.zeros(200))
    assert within.accuracy == pytest.approx(0.01)
    assert points.cost("flops").max() < within.flops < 1.6 * points.cost("flops").max()
    assert points.cost("parameters").max() < within.parameters


def test_hypervolume_by_hand():
    """DDAS-NL: then everything dearer than 62.7 MFLOPS, up to 60 %."""
    within = frontier.reference_point(TABLE, SPACE, classes=10)
    volume = frontier.hypervolumes(searched(), within)["flops"]
    share = [1 - 0.068416512 / within.flops, 1 - 0.062657536 / within.flops]
    wanted = [share[0] * 0.6 / 0.9]
    wanted.append((share[1] * 0.5 + share[0] * 0.1) / 0.9)
    np.testing.assert_allclose(volume, [*wanted, wanted[1], wanted[1]], rtol=1e-5)


def test_entries():
    entries = frontier.entries(SPACE, searched(), {"variant": "nl", "seed": 2})
    assert [entry["step"] for entry in entries] == [1, 0]
    assert entries[1]["width"] == [2.5, 2.5] and entries[1]["depth"] == [4, 4]
    assert entries[0]["width"] == [3.0, 2.0] and entries[0]["depth"] == [3, 5]
    assert entries[0] | {"variant": "nl", "seed": 2} == entries[0]
    parsed = genotypes.parse(entries[1]["genotype"])
    np.testing.assert_array_equal(genotypes.to_arch(parsed, SPACE), ARCHS[0])


def test_widths_of_the_best():
    """5% of 40 are 2: those of highest accuracy, of each search."""
    archs = np.repeat(ARCHS[:1], 40, axis=0)
    archs[[3, 17]] = ARCHS[1]
    accuracy = np.zeros(40, np.float32)
    accuracy[[3, 17]] = 0.5
    points = frontier.points(TABLE, archs, accuracy)
    widths = frontier.top_widths(SPACE, [points, points])
    np.testing.assert_array_equal(widths, [[3.0, 2.0]] * 4)
