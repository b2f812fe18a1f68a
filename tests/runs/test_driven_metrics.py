"""Searches driven from Python keep metrics in checkpoints and results files."""

import argparse
import os
import signal

import numpy as np
import pytest

import nasjax
from nasjax import search
from nasjax.analysis import queries
from nasjax.environments.cached import cached
from nasjax.runs import driven_search, job
from nasjax.runs.errors import StoppedError
from nasjax.runs.script import Experiment
from nasjax.search import Outcome

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(3, tuple("abc"))
EXPERIMENT = Experiment("driven", ("results.npz",), grows=("steps",))


def evaluate(arch):
    """The first architectures fail, before the metric is known."""
    if arch[0] == 2:
        return float("nan")
    return Outcome(float(arch.mean()) / 2, None, {"size": int(arch.sum())})


def run(out, steps=20, resume=False):
    args = argparse.Namespace(
        seeds=[1, 3],
        steps=steps,
        resume=resume,
        overwrite=False,
        checkpoint_seconds=0,
        out=out,
    )
    env = cached(search.black_box(evaluate))
    with EXPERIMENT.open(args, {"steps": steps}) as folder:
        runs = driven_search.run(
            ["random"], lambda *_: nasjax.random_search(SPACE), env, args, folder
        )
    return queries.traces(runs["random"])


def stop_after(monkeypatch, count):
    """SIGTERM in a query of the run."""
    done, calls = job.Loop.done, iter(range(1, 10**6))

    def counting(self, step, carry):
        if next(calls) == count:
            os.kill(os.getpid(), signal.SIGTERM)
        done(self, step, carry)

    monkeypatch.setattr(job.Loop, "done", counting)


def test_they_survive_a_stop_and_more_steps(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole")
    wanted = np.where(whole["arch"][..., 0] == 2, np.nan, whole["arch"].sum(-1))
    np.testing.assert_array_equal(whole["metrics_size"], wanted)
    for chunk in (2, 9, 27):
        out = tmp_path / f"stopped{chunk}"
        with monkeypatch.context() as patch, pytest.raises(StoppedError):
            stop_after(patch, chunk)
            run(out)
        resumed = run(out, resume=True)
        for name, x in whole.items():
            np.testing.assert_array_equal(x, resumed[name], name)
    longer = run(tmp_path / "whole", 26, resume=True)
    for name, x in whole.items():
        np.testing.assert_array_equal(x, longer[name][:, :20], name)
    assert np.isfinite(longer["metrics_size"][:, 20:]).any()
