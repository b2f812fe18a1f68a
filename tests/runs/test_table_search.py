"""Searches of a table as jobs: extended runs have the bits of fresh larger ones."""

import argparse
import functools
import json
import os
import signal

import jax
import numpy as np
import pytest

import nasjax
from nasjax import searchers
from nasjax.environments.tabular import from_arrays
from nasjax.runs import table_search
from nasjax.runs.errors import StoppedError
from nasjax.runs.folder import open_run
from nasjax.runs.script import Report
from nasjax.runs.table_lanes import Lanes

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(4, ("a", "b", "c"))
OPS = np.array(list(np.ndindex(3, 3, 3, 3)), np.uint8)
GAIN, OTHER = (np.random.default_rng(seed).uniform(size=81) for seed in (0, 1))
VALUES = {"gain": GAIN, "other": OTHER, "cost": -100 * GAIN, "half": -50 * GAIN}
CADAM = searchers.CadamConfig(hidden=(4,), warm_up=4, batch_size=4, top_k=4)
BEST = searchers.BayesianActorCriticConfig(hidden=(4,), warm_up=3)
FACTORIES = {
    "cadam": functools.partial(searchers.cadam, config=CADAM),
    "local-search": searchers.local_search,
    "random": searchers.random_search,
    "best": functools.partial(searchers.bayesian_actor_critic, config=BEST),
}


def run(path, method, columns, seeds, steps, chunk=2, sign=1.0):
    study = table_search.Study(
        space=SPACE,
        env=from_arrays(SPACE, OPS, [VALUES[name] for name in columns]),
        rows=table_search.rows_of(SPACE, OPS),
        columns=columns,
        seeds=seeds,
        steps=steps,
        milestones=[m for m in (4, 6) if m < steps],
        sign=sign,
    )
    args = argparse.Namespace(
        resume=True, chunk=chunk, inner="auto", checkpoint_seconds=20
    )
    factories = {method: FACTORIES[method]}
    keep = {"local-search": lambda state: state.searcher[0]}
    with open_run(path, "toy", {}, resume=True) as folder:
        return table_search.run(study, factories, args, folder, Report(), keep)[method]


def same(a, b):
    a, b = (x._replace(compile_seconds=0, run_seconds=0) for x in (a, b))
    for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True):
        np.testing.assert_array_equal(x, y)


# In chunks of two steps throughout: one program, which later runs take from the
# compilation cache.
SMALL = ["gain"], [1, 2], 6
LARGE = ["other", "gain"], [2, 1, 5], 12


@pytest.fixture(scope="module")
def fresh(quick_compile, tmp_path_factory):
    """A function of the method: its searches of LARGE in one go."""

    @functools.cache
    def of(method):
        return run(tmp_path_factory.mktemp(method), method, *LARGE)

    return of


@pytest.mark.parametrize("method", ["cadam", "local-search", "best"])
def test_more_columns_seeds_and_steps(method, fresh, tmp_path, capsys):
    run(tmp_path, method, *SMALL)
    grown = run(tmp_path, method, *LARGE)
    assert grown.arch_index.shape == (2, 3, 12)
    assert list(grown.states) == [4, 6, 12]
    same(grown, fresh(method))
    groups = json.loads((tmp_path / "checkpoints" / f"{method}.json").read_text())
    if method == "best":  # its memory is part of its arithmetic
        assert "it starts anew" in capsys.readouterr().out
        assert [group["used"] for group in groups["groups"]] == [False, True]
        assert (tmp_path / "checkpoints" / method / "6").exists()
    else:
        assert [g["seeds"] for g in groups["groups"]] == [[1, 2], [2, 1, 5, 5]]
        lines = [json.loads(x) for x in (tmp_path / "log.jsonl").open()]
        assert [x["steps"] for x in lines].count(6) == 3  # not computed once more
    same(run(tmp_path, method, *LARGE), grown)


def test_an_extension_can_be_stopped_and_resumed(fresh, tmp_path, monkeypatch):
    run(tmp_path, "cadam", *SMALL)
    advance = Lanes.advance

    def stopping(self, carry, first, last):
        if first >= 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return advance(self, carry, first, last)

    monkeypatch.setattr(Lanes, "advance", stopping)
    with pytest.raises(StoppedError, match="step 8 of 12 is saved"):
        run(tmp_path, "cadam", *LARGE)
    monkeypatch.undo()
    same(run(tmp_path, "cadam", *LARGE), fresh("cadam"))


def test_the_chunk_fixes_no_result(fresh, tmp_path):
    same(run(tmp_path, "cadam", *LARGE, chunk=4), fresh("cadam"))


def test_progress_is_of_one_unit_and_of_the_tables_sign(tmp_path, capfd):
    """Costs are searched with the other sign; two columns are not averaged."""
    result = run(tmp_path, "random", ["cost", "half"], [1, 2], 6, sign=-1.0)
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    wanted = -result.accuracy[0].max(axis=-1).mean()
    assert line["best"]["cost"] == pytest.approx(float(wanted))
    assert f"best of cost {wanted:.4f}" in capfd.readouterr().err
