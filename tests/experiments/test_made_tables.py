"""Generated tables: their values by their definition, their rows different."""

import made_tables
import numpy as np
import pytest

from nasjax.data import tables


@pytest.mark.parametrize("family", ["pairwise", "nk"])
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


def test_a_penalty_is_a_gain_minus_a_scaled_cost(tmp_path):
    ops = np.array(list(np.ndindex(2, 2)), np.uint8)
    gain, cost = np.array([1.0, 3.0, 1.0, 3.0]), np.array([10.0, 10.0, 30.0, 30.0])
    np.savez(tmp_path / "t.npz", ops=ops, gain=gain, cost=cost, flat=np.ones(4))
    np.savez(tmp_path / "other.npz", ops=ops[::-1], cost=cost)
    out = str(tmp_path / "out.npz")

    def make(gain, cost, *more):
        flags = [f"--gain={tmp_path}/{gain}", f"--cost={tmp_path}/{cost}", *more]
        return made_tables.main(["--family", "penalty", *flags, "--out", out])

    assert make("t.npz:gain", "t.npz:cost", "--weights", "0,2") == 0
    found = tables.load(out)
    np.testing.assert_array_equal(found.ops, ops)
    np.testing.assert_allclose(found.values["penalty0"], [1, 3, 1, 3])
    np.testing.assert_allclose(found.values["penalty2"], [-1, 1, -5, -3])
    for wrong in (
        ("t.npz:gain", "other.npz:cost"),
        ("t.npz:gain", "t.npz:flat"),
        ("t.npz:gain", "t.npz:nothing"),
        ("t.npz:gain", "t.npz:cost", "--weights", "-1"),
    ):
        with pytest.raises(SystemExit):
            make(*wrong)


def test_sizes_are_needed(tmp_path, capsys):
    with pytest.raises(SystemExit):
        made_tables.main(["--family", "nk", "--out", str(tmp_path / "t.npz")])
    assert "needs --edges and --operations" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("family", "flag", "value"),
    [
        ("penalty", "--edges", "3"),
        ("pairwise", "--neighbours", "1"),
        ("nk", "--weights", "0.5"),
    ],
)
def test_flags_of_another_family_are_refused(tmp_path, capsys, family, flag, value):
    out = str(tmp_path / "t.npz")
    with pytest.raises(SystemExit):
        made_tables.main(["--family", family, flag, value, "--out", out])
    text = f"{flag} would change nothing with --family {family}"
    assert text in capsys.readouterr().err
