"""Evaluations in processes that hang, die and are killed with the search."""

import functools
import multiprocessing
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import faults
import jax
import own_evaluations
import pytest

import nasjax
from nasjax import parallel
from nasjax.parallel import journal as journals

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


def test_kills_of_workers_and_of_the_search(tmp_path):
    """The longer form is `python tests/faults.py`."""
    killed = faults.round_of_kills(tmp_path, 30, 2, 0, iter(("worker", "main")))
    assert killed == {"worker": 1, "main": 1}
    faults.verify(tmp_path, 30)


def test_a_signal_waits_for_what_is_pending(tmp_path):
    command = [sys.executable, faults.__file__, "--child", str(tmp_path)]
    process = subprocess.Popen(
        [*command, "--queries", "2000", "--workers", "2"],
        stderr=subprocess.PIPE,
        text=True,
    )
    path = tmp_path / journals.NAME
    while not path.exists() or path.read_text().count('"told"') < 3:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    text = process.communicate(timeout=60)[1]
    assert " pending; once more abandons them" in text
    assert "resume goes on in" in text
    events = journals.read(path).events
    asked, told = (
        {event["query"] for event in events if event["event"] == name}
        for name in ("asked", "told")
    )
    assert asked == told
    assert events[-1]["event"] == "stopped"
