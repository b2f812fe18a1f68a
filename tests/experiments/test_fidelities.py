"""experiments/fidelities.py in its smallest form, on a table made up here."""

import json

import fidelities
import in_process
import numpy as np
import pytest

from nasjax.data import nb201
from nasjax.runs.table_search import Result

pytestmark = pytest.mark.usefixtures("quick_compile")


def column(name, values):
    dataset, split, epochs = nb201.table.MEANING[name]
    known = dict.fromkeys(("trials", "train_time", "trials_version"))
    origin = {"source": "made up", "version": "unknown", "sha256": name}
    return nb201.Column(name, dataset, split, epochs, values, **known, **origin)


@pytest.fixture(scope="module")
def data():
    """Of 12 epochs half the accuracy of 200; a training of 200 takes 1,000 s."""
    ops = nb201.official_ops()
    values = np.linspace(0.5, 0.9, len(ops), dtype=np.float32)
    columns = {name: column(name, values) for name in nb201.COLUMNS}
    columns["cifar10_valid_12ep"] = column("cifar10_valid_12ep", values / 2)
    seconds = {"cifar10_valid": np.full(len(ops), 1000, np.float32)}
    table = nb201.build(ops, columns, "test")
    return fidelities.Data(table, seconds, {"cifar10_valid": ["a", "b", "c"]})


def call(data, *arguments, patches=None):
    def stand_in(patch):
        patch.setattr(fidelities, "load", lambda args: data)
        for name, value in (patches or {}).items():
            patch.setattr(fidelities, name, value)

    return in_process.call("fidelities", *arguments, stand_in=stand_in)


def test_a_run_counts_cost_and_goes_on(tmp_path, data):
    flags = ["--columns=cifar10_valid", "--methods=random,hyperband"]
    flags += ["--steps=12", "--cheap-steps=40", "--out", tmp_path]
    done = call(data, *flags, "--seeds=1-2")
    assert done.code == 0, done.err
    first = json.loads((tmp_path / "results.json").read_text())["results"]
    done = call(data, *flags, "--seeds=1-3", "--resume")
    assert done.code == 0, done.err
    random, hyperband = json.loads((tmp_path / "results.json").read_text())["results"]
    # Twelve trainings; two rounds of 17 x 60 s and 3 of 1,000 s.
    np.testing.assert_allclose(random["hours_in_all"], [12 / 3.6] * 3, rtol=1e-6)
    np.testing.assert_allclose(hyperband["hours_in_all"], [8.04 / 3.6] * 3, rtol=1e-6)
    assert random["after_10_trainings"][:2] == first[0]["after_10_trainings"]
    assert hyperband["after_10_trainings"] == [None] * 3  # only 8.04 are spent
    assert min(random["after_10_trainings"]) >= 0.5
    assert "medians over 3 seeds" in (tmp_path / "results.txt").read_text()
    assert (tmp_path / "fidelities.png").read_bytes().startswith(b"\x89PNG")


def test_the_published_protocol(tmp_path, data):
    """Searches made up here: all of top level, the last affordable one the best."""
    searched = {}

    def run(name, factory, env, steps, args, folder, report):
        cost = np.asarray(env.levels.cost)
        searched[name] = cost.tolist()
        rows = np.tile(np.arange(steps), (1, 1, 1))
        values = data.table.columns["cifar10_valid"].values[rows]
        full = np.full(rows.shape, cost[-1])
        level = np.full(rows.shape, env.levels.top, np.float32)
        metrics = {"cost": full, "fidelity": level}
        return Result(rows, values, {}, {}, 0.0, 0.0, metrics)

    flags = ["--protocol=published", "--seeds=1", "--out", tmp_path]
    done = call(data, *flags, patches={"run": run})
    assert done.code == 0, done.err
    assert searched.pop("random") == searched["hyperband"] == searched["bohb"]
    assert searched["bohb-one-bracket"] == [60, 1000]
    assert searched["bohb-12-alone"] == [60] * 3
    assert searched["bohb-200-alone"] == [1000] * 3
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    assert results["bohb"]["winner"] == [11] and results["bohb"]["queries"] == 12
    assert results["bohb-12-alone"]["winner"] == [199]  # 12,000 s / 60 s
    assert "BOHB (thesis)" in done.out and "90.82 ± 0.53" in done.out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--methods=tpe"], "'tpe'"),
        (["--protocol=published", "--steps=5"], "fixes --steps"),
        (["--bohb-eta=1", "--methods=bohb"], "eta is 1"),
        (["--bohb-eta=3", "--methods=random"], "would change nothing"),
    ],
)
def test_bad_flags_are_refused(flags, message, tmp_path, data):
    done = call(data, *flags, "--out", tmp_path / "run")
    assert done.code == 2 and message in done.err
    assert not (tmp_path / "run").exists()
