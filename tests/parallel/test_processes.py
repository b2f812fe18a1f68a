"""Evaluations in processes that hang, die and are killed with the search."""

import functools
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import faults
import jax
import own_evaluations
import pytest

import nasjax
from nasjax import parallel
from nasjax.parallel import journal as journals
from nasjax.runs.errors import StoppedError

pytestmark = [
    pytest.mark.usefixtures("quick_compile"),
    pytest.mark.skipif(sys.platform != "linux", reason="kills processes by /proc"),
]

SPACE = faults.SPACE
go = functools.partial(
    parallel.search, jax.random.key(7), nasjax.evolution(SPACE), progress=False
)


@pytest.fixture
def pool():
    """A pool whose processes start quickly."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nasjax.parallel.worker", "own_evaluations"])
    with ProcessPoolExecutor(2, context) as pool:
        yield pool


def test_one_bad_evaluation_takes_no_other_along(pool):
    result = go(
        own_evaluations.hangs_or_dies,
        queries=16,
        executor=pool,
        retries=1,
        timeout=0.3,
    )
    assert {0, 2} <= {int(row.arch[0]) for row in result.rows}
    assert all(row.failed == (row.arch[0] in (0, 2)) for row in result.rows)


def test_an_evaluation_that_cannot_be_pickled_is_refused(pool, tmp_path):
    with pytest.raises(ValueError, match="evaluate cannot be pickled"):
        go(lambda arch: 0.5, queries=3, executor=pool, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_processes_without_a_device_are_refused():
    with pytest.raises(ValueError, match="number of devices must be at least 1"):
        parallel.processes(2, devices=[])


def test_kills_of_workers_and_of_the_search(tmp_path):
    """The longer form is `python tests/faults.py`."""
    killed = faults.round_of_kills(tmp_path, 30, 2, 0, iter(("worker", "main")))
    assert killed == {"worker": 1, "main": 1}
    faults.verify(tmp_path, 30)


def test_a_signal_waits_for_what_is_pending(tmp_path, capsys):
    started = itertools.count()

    def evaluate(arch):
        if next(started) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return own_evaluations.slow(arch)

    with ThreadPoolExecutor(2) as threads, pytest.raises(StoppedError) as stopped:
        go(evaluate, queries=2000, executor=threads, out=tmp_path)
    assert " pending; once more abandons them" in capsys.readouterr().err
    assert "resume goes on in" in str(stopped.value)
    assert stopped.value.status == 128 + signal.SIGTERM
    events = journals.read(tmp_path / journals.NAME).events
    asked, told = (
        {event["query"] for event in events if event["event"] == name}
        for name in ("asked", "told")
    )
    assert asked == told
    assert 4 < len(asked) < 2000
    assert events[-1]["event"] == "stopped"


def test_a_second_signal_abandons_what_is_pending(tmp_path):
    release, started = threading.Event(), itertools.count()

    def evaluate(arch):
        if next(started) == 0:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)  # two at once would be handled as one
            os.kill(os.getpid(), signal.SIGINT)
        release.wait(60)
        return own_evaluations.score(arch)

    with ThreadPoolExecutor(2) as threads:
        try:
            with pytest.raises(StoppedError, match="SIGINT"):
                go(evaluate, queries=9, executor=threads, out=tmp_path)
        finally:
            release.set()
    events = journals.read(tmp_path / journals.NAME).events
    assert not [event for event in events if event["event"] == "told"]
    result = go(own_evaluations.score, queries=9, out=tmp_path, resume=True)
    assert all(row.order is not None for row in result.rows)


def test_a_signal_in_the_last_query_is_not_lost(tmp_path):
    """What follows in the process, such as another search, must not begin."""
    started = itertools.count(1)

    def evaluate(arch):
        if next(started) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return own_evaluations.score(arch)

    with pytest.raises(StoppedError, match="SIGTERM: 5 of 5 queries are told"):
        go(evaluate, queries=5, out=tmp_path)
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 6
    assert len(go(evaluate, queries=5, out=tmp_path, resume=True).rows) == 5


def test_a_signal_without_wait_ends_an_evaluation_in_this_process(tmp_path):
    def evaluate(arch):
        os.kill(os.getpid(), signal.SIGTERM)
        return own_evaluations.score(arch)

    with pytest.raises(StoppedError, match="SIGTERM: 0 of 9 queries are told"):
        go(evaluate, queries=9, wait=False, out=tmp_path)
    assert journals.read(tmp_path / journals.NAME).events[-1]["reason"] == "SIGTERM"


SCRIPT = """
import sys
import jax, faults, own_evaluations
from nasjax import parallel
from nasjax.runs.script import script

@script
def main(argv):
    parallel.search(jax.random.key(7), faults.SEARCHER, own_evaluations.slow,
                    queries=5000, out=argv[0], progress=False)

sys.exit(main(sys.argv[1:]))
"""


def test_a_process_that_gets_sigterm_can_be_resumed(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    child = subprocess.Popen(
        command, cwd=Path(faults.__file__).parent, stderr=subprocess.PIPE, text=True
    )
    path = tmp_path / journals.NAME
    while child.poll() is None and not (
        path.exists() and path.read_text().count('"told"') > 2
    ):
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    text = child.communicate(timeout=60)[1]
    assert child.returncode == 128 + signal.SIGTERM, text
    assert "of 5000 queries are told; resume goes on in" in text
    events = journals.read(path).events
    assert events[-1]["reason"] == "SIGTERM"
    told = [event["query"] for event in events if event["event"] == "told"]
    result = go(own_evaluations.score, queries=len(told) + 2, out=tmp_path, resume=True)
    assert told == list(range(len(told)))
    asked = [event["arch"] for event in events if event["event"] == "asked"]
    assert [row.arch.tolist() for row in result.rows[: len(told)]] == asked
    assert [row.order for row in result.rows] == list(range(len(told) + 2))
