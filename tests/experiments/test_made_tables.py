"""Generated tables: their values by their definition, their rows different."""

import sys
from pathlib import Path

import numpy as np
import pytest

from nasjax.data import tables

sys.path.append(str(Path(__file__).parents[2] / "experiments"))
import made_tables


@pytest.mark.parametrize("family", made_tables.FAMILIES)
def test_a_whole_space(family, tmp_path):
    flags = f"--family {family} --edges 4 --operations 3 --tables 2 --out".split()
    assert made_tables.main([*flags, str(tmp_path / "t.npz")]) == 0
    found = tables.load(tmp_path / "t.npz")
    assert found.complete and list(found.values) == ["table0", "table1"]
    assert len(np.unique(found.values["table0"])) == 81


def test_a_sample_of_a_large_space(tmp_path):
    flags = [
        "--family",
        "nk",
        "--edges",
        "14",
        "--operations",
        "8",
        "--rows",
        "500",
        "--out",
    ]
    assert made_tables.main([*flags, str(tmp_path / "t.npz")]) == 0
    found = tables.load(tmp_path / "t.npz")  # refuses repeated rows
    assert found.ops.shape == (500, 14) and found.ops.max() == 7
    assert not found.complete


def test_pairwise_interactions_are_of_two_edges_at_most():
    """A third difference over three edges vanishes."""
    ops = np.array(list(np.ndindex(2, 2, 2)))
    y = made_tables.pairwise(np.random.default_rng(0), ops, 2).reshape(2, 2, 2)
    third = np.diff(np.diff(np.diff(y, axis=0), axis=1), axis=2)
    assert abs(third.item()) < 1e-12
    assert abs(np.diff(np.diff(y, axis=0), axis=1)).max() > 0.1


def test_nk_without_neighbours_is_a_sum_over_edges():
    ops = np.array(list(np.ndindex(3, 3)))
    y = made_tables.nk(np.random.default_rng(0), ops, 3, 0).reshape(3, 3)
    np.testing.assert_allclose(np.diff(np.diff(y, axis=0), axis=1), 0, atol=1e-12)
    assert (y >= 0).all() and (y <= 1).all()
