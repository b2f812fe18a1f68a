"""zero_cost.py: tables by hand, rows of isomorphic cells, files, resume, refusals."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
import zero_cost as experiment

from nasjax.analysis import zero_cost as analysis
from nasjax.networks import zero_cost
from nasjax.spaces import isomorphism

pytestmark = pytest.mark.usefixtures("quick_compile")

SMALL = ["--dataset", "synthetic", "--images", "2", "--channels", "2"]
FEW = [*SMALL, "--architectures", "90", "--columns", "cifar10_valid"]


def test_tables_by_hand():
    """Ranks 1 2 3 4 against 2 1 3 4: Spearman 0.8, five of six pairs concordant."""
    score = np.array([-np.inf, 1.0, 2.0, 30.0])
    value = {"cifar10_valid": np.array([0.2, 0.1, 0.3, 0.4])}
    scores = analysis.Scores({"synflow": score, "other": -score}, value)
    first, second = scores.describe()
    np.testing.assert_allclose(first["spearman"], 0.8)
    np.testing.assert_allclose(first["kendall"], 4 / 6)
    assert (first["best"], first["rank_of_optimum"]) == (
        {1: 0.4, 10: 0.4, 50: 0.4, 100: 0.4},
        1,
    )
    assert (second["best"][1], second["rank_of_optimum"]) == (0.2, 4)
    # All four are in every sample.
    assert (first["sampled"], second["sampled"]) == (0.4, 0.2)
    assert (first["published_spearman"], second["published_spearman"]) == (0.74, None)
    assert "0.80 (0.74)" in scores.report()


@pytest.fixture
def cheap(monkeypatch):
    """Scores that are known functions of the operations, in place of networks."""

    def total(config, params, arch, *_):
        return jnp.sum(arch, dtype=jnp.float32)

    monkeypatch.setattr(zero_cost, "naswot", total)
    monkeypatch.setattr(zero_cost, "synflow", lambda *x: -total(*x))
    monkeypatch.setattr(zero_cost, "jacobian_covariance", lambda *x: 2 * total(*x))


def test_a_stopped_run_goes_on_and_rows_are_their_class(tmp_path, cheap, stopped):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert experiment.main([*FEW, "--out", str(whole)]) == 0
    with stopped(1):
        assert experiment.main([*FEW, "--out", str(parts)]) == 128 + 15
    assert experiment.main([*FEW, "--out", str(parts), "--resume"]) == 0
    one, other = (np.load(path / "scores.npz") for path in (whole, parts))
    for name in one.files:
        np.testing.assert_array_equal(one[name], other[name])
    np.testing.assert_array_equal(one["naswot"], one["ops"].sum(1))
    assert len(np.unique(isomorphism.fingerprint(experiment.SPACE, one["ops"]))) == 90
    entries = json.loads((whole / "results.json").read_text())["results"]
    assert {x["score"] for x in entries} == {*zero_cost.NAMES, *FEATURES}
    naswot, synflow = entries[0]["spearman"], entries[1]["spearman"]
    np.testing.assert_allclose(naswot, -synflow)
    assert (whole / "zero_cost.png").stat().st_size > 5_000


FEATURES = ("parameters", "multiply-adds", "depth")


def test_features_and_rows_by_hand(table):
    args = experiment.parse(["--columns", "cifar10_valid"])
    arch = experiment.representatives(args)
    assert len(arch) == 4930
    scores = np.arange(3.0 * len(arch)).reshape(-1, 3)
    found = experiment.compare(args, table, arch, scores)
    assert len(found.scores["naswot"]) == 15_625
    # Nothing reads node 1 in either: the first edge is of no importance.
    a, b = (
        int(np.flatnonzero((table.ops == row).all(1))[0])
        for row in ([2, 3, 0, 3, 0, 2], [4, 3, 0, 3, 0, 2])
    )
    assert found.scores["naswot"][a] == found.scores["naswot"][b]
    assert (found.scores["depth"][a], found.scores["depth"][b]) == (2, 2)
    assert found.scores["parameters"][a] > found.scores["parameters"][b]


def test_what_is_refused(capsys):
    for flags, message in (
        (["--channels", "3"], "multiple of"),
        (["--columns", "mnist"], "is unknown"),
        (["--images", "1"], "allowed: 2 or more"),
    ):
        with pytest.raises(SystemExit):
            experiment.main(flags)
        assert message in capsys.readouterr().err
    assert experiment.main([*FEW[:2], "--images", "9000"]) == 2
    assert "has 2,000" in capsys.readouterr().err
