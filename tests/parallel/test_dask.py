"""A real dask scheduler with two worker processes, one of which is killed."""

import functools
import os
import signal
import threading
import time

import jax
import own_evaluations
import pytest

import nasjax
from nasjax import parallel
from nasjax.parallel import journal as journals

distributed = pytest.importorskip("distributed", reason="dask is not installed")

SPACE = nasjax.table_space(4, tuple("abcdef"))


def test_a_killed_worker_loses_nothing(tmp_path, quick_compile):
    marks, out = tmp_path / "marks", tmp_path / "run"
    marks.mkdir()
    killed = []

    def kill():
        """The process of the fifth evaluation, in the middle of it."""
        while len(files := list(marks.iterdir())) < 5:
            time.sleep(0.02)
        last = max(files, key=lambda file: file.stat().st_mtime).name
        arch, _, pid = last.partition("-")
        os.kill(int(pid), signal.SIGKILL)
        killed.append(arch)

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        thread = threading.Thread(target=kill)
        thread.start()
        result = parallel.search(
            jax.random.key(0),
            nasjax.evolution(SPACE),
            functools.partial(own_evaluations.marked, marks),
            queries=12,
            executor=client,
            pending=2,
            out=out,
            progress=False,
        )
        thread.join()
    told = [
        event["query"]
        for event in journals.read(out / journals.NAME).events
        if event["event"] == "told"
    ]
    assert sorted(told) == list(range(12))
    for row in result.rows:
        assert row.accuracy == own_evaluations.score(row.arch)
    again = [file for file in marks.iterdir() if file.name.startswith(killed[0])]
    assert len(again) >= 2, "the same query on another process"
