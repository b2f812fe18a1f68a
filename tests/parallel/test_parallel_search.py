"""`parallel.search`: order, replay, failures, stops, earlier evaluations."""

import csv
import functools
import itertools
import json
import re
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import bench_parallel
import jax
import numpy as np
import own_evaluations
import pytest

import nasjax
from nasjax import parallel, search
from nasjax.parallel import journal as journals
from nasjax.parallel.queries import Queries

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(4, tuple("abcdef"))
KEY = jax.random.key(7)
EVOLUTION = nasjax.evolution(SPACE)
go = functools.partial(parallel.search, KEY, EVOLUTION, progress=False)


@pytest.fixture
def threads():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def events(folder, *names):
    found = journals.read(folder / journals.NAME).events
    return [event for event in found if not names or event["event"] in names]


def archs(result):
    return np.stack([row.arch for row in result.rows])


def replayed(folder, searcher=EVOLUTION):
    state = Queries(KEY, searcher, SPACE)
    state.replay(events(folder))
    assert state.diverged is None
    return state


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_one_at_a_time_is_drive():
    result = go(own_evaluations.score, queries=25)
    env = search.black_box(own_evaluations.score)
    state, trace = search.drive(KEY, EVOLUTION, env, 25)
    np.testing.assert_array_equal(archs(result), trace.arch)
    same(result.state.searcher, state.searcher)


def test_the_journal_replays_to_the_same_state(threads, tmp_path):
    """Also after more queries on another number of workers."""
    first = go(own_evaluations.slow, queries=20, executor=threads, out=tmp_path / "a")
    same(replayed(tmp_path / "a").state, first.state)
    again = go(
        own_evaluations.slow,
        queries=30,
        executor=threads,
        pending=9,
        out=tmp_path / "a",
        resume=True,
    )
    np.testing.assert_array_equal(archs(again)[:20], archs(first))
    same(replayed(tmp_path / "a").state, again.state)
    told = [event["query"] for event in events(tmp_path / "a", "told")]
    assert sorted(told) == list(range(30))
    waiting = 0
    for event in events(tmp_path / "a", "asked", "told")[40:]:
        waiting += 1 if event["event"] == "asked" else -1
        assert 0 <= waiting <= 9


def test_a_kill_at_any_line_goes_on(tmp_path):
    """Cut after each line of a run: the queries that were told stay as they were."""
    whole = go(own_evaluations.score, queries=3, out=tmp_path / "whole")
    lines = (tmp_path / "whole" / journals.NAME).read_bytes().splitlines(keepends=True)
    for count in range(1, len(lines)):
        out = tmp_path / str(count)
        out.mkdir()
        for name in ("nasjax-run.json", "config.json"):
            (out / name).write_bytes((tmp_path / "whole" / name).read_bytes())
        (out / journals.NAME).write_bytes(b"".join(lines[:count]) + lines[count][:9])
        result = go(own_evaluations.score, queries=3, out=out, resume=True)
        np.testing.assert_array_equal(archs(result), archs(whole))
        assert [event["query"] for event in events(out, "told")] == [0, 1, 2]
        same(result.state, whole.state)


def test_another_searcher_keeps_what_the_journal_says(tmp_path, capsys):
    go(own_evaluations.score, queries=6, out=tmp_path)
    other = nasjax.random_search(SPACE)
    result = parallel.search(
        KEY,
        other,
        own_evaluations.score,
        queries=8,
        out=tmp_path,
        resume=True,
        progress=False,
    )
    asked = [event["arch"] for event in events(tmp_path, "asked")]
    assert archs(result).tolist() == asked
    assert "is not what this searcher would ask" in capsys.readouterr().out


def failing(arch):
    """Fails in every way, by the first edge; the initial population has all three."""
    match int(arch[0]):
        case 0:
            raise RuntimeError("out of memory\nand more")
        case 2:
            return float("nan")
        case 3:
            return None
    return own_evaluations.score(arch)


def test_failures_are_retried_recorded_and_told(threads, tmp_path):
    result = go(
        failing,
        queries=40,
        executor=threads,
        retries=2,
        max_failures=40,
        out=tmp_path,
    )
    bad = {row.number for row in result.rows if row.arch[0] in (0, 2, 3)}
    assert bad == {row.number for row in result.rows if row.failed}
    assert 0 < len(bad) < 40
    assert all(row.attempts == (3 if row.failed else 1) for row in result.rows)
    failures = events(tmp_path, "failed")
    assert len(failures) == 3 * len(bad)
    assert {event["reason"] for event in failures} == {"exception", "not finite"}
    texts = {event["error"] for event in failures if event["reason"] == "exception"}
    assert "RuntimeError: out of memory" in texts
    assert any("is a `return` missing?" in text for text in texts)
    assert any("and more" in event["traceback"] for event in failures)
    with (tmp_path / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["status"] == "failed" for row in table] == [
        row.failed for row in result.rows
    ]
    best = json.loads((tmp_path / "best.json").read_text())["best"]
    assert len(best) <= 10
    assert best[0]["accuracy"] == max(r.accuracy for r in result.rows if not r.failed)
    assert (tmp_path / "results.png").stat().st_size > 1000


def test_too_many_failures_in_a_row_stop_it(tmp_path):
    def fails(arch):
        raise OSError("no disk")

    with pytest.raises(parallel.FailuresError, match=r"3 evaluations in a row .*disk"):
        go(fails, queries=40, retries=0, max_failures=2, out=tmp_path)
    assert len(events(tmp_path, "told")) == 3
    result = go(own_evaluations.score, queries=6, out=tmp_path, resume=True)
    assert [row.failed for row in result.rows] == [True] * 3 + [False] * 3


def test_threads_that_hang_are_passed_over(threads):
    release = threading.Event()

    def sometimes(arch):
        if arch[0] == 0:
            release.wait(60)
        return own_evaluations.score(arch)

    result = go(sometimes, queries=12, executor=threads, timeout=0.2, retries=0)
    release.set()
    hung = [row for row in result.rows if row.arch[0] == 0]
    assert hung
    assert all(row.failed and "in time" in row.error for row in hung)


def test_serial_evaluations_are_interrupted_in_time():
    def sometimes(arch):
        time.sleep(0 if arch[0] else 60)
        return own_evaluations.score(arch)

    result = go(sometimes, queries=12, timeout=0.1, retries=0)
    assert any(
        row.failed and row.error == "it took longer than 0.1 s" for row in result.rows
    )


def test_it_stops_where_it_is_told_to(threads):
    values = itertools.chain([0.1, 0.5, 0.4, 0.3], itertools.repeat(0.2))
    result = go(lambda arch: next(values), queries=40, target=0.5)
    assert len(result.rows) == 2
    assert "target" in result.reason
    values = itertools.chain([0.1, 0.5, 0.4, 0.3], itertools.repeat(0.2))
    assert len(go(lambda arch: next(values), queries=40, patience=3).rows) == 5
    began = time.monotonic()
    result = go(own_evaluations.slow, queries=4000, executor=threads, seconds=0.3)
    assert time.monotonic() - began < 5
    assert all(row.order is not None for row in result.rows), "pending is waited for"


def test_what_is_abandoned_is_asked_again(tmp_path):
    class Never:
        """Hands out futures that nobody completes, but for the first two."""

        def __init__(self):
            self.count = 0

        def submit(self, function, *args):
            future = Future()
            self.count += 1
            if self.count <= 2:
                future.set_result(function(*args))
            return future

    result = go(
        own_evaluations.score,
        queries=9,
        executor=Never(),
        pending=3,
        target=0.0,
        wait=False,
        out=tmp_path,
    )
    assert sum(row.order is None for row in result.rows) == 1
    again = go(own_evaluations.score, queries=9, out=tmp_path, resume=True)
    np.testing.assert_array_equal(archs(again)[:3], archs(result))
    assert all(row.order is not None for row in again.rows)


def test_futures_that_call_nobody_back_are_polled():
    class Job:
        def __init__(self, value):
            self.value = value

        def done(self):
            return True

        def result(self):
            return self.value

    class Cluster:
        def submit(self, function, *args):
            return Job(function(*args))

    result = go(own_evaluations.score, queries=3, executor=Cluster(), pending=3)
    assert all(np.isfinite(row.accuracy) for row in result.rows)


def test_earlier_evaluations_are_told_first(tmp_path):
    rows = np.array([[5, 5, 5, 5], [0, 0, 0, 1]], np.uint8)
    file = tmp_path / "mine.csv"
    file.write_text('accuracy,arch\n0.9,"5 5 5 4"\n,[1; 1; 1; 1]\n')
    go(own_evaluations.score, queries=3, out=tmp_path / "a")
    result = go(
        own_evaluations.score,
        queries=12,
        out=tmp_path / "b",
        earlier=[(rows, [0.99, 0.1]), file, tmp_path / "a"],
    )
    assert len(result.rows) == 12
    assert result.best[0].query is None
    assert result.best[0].arch.tolist() == [5, 5, 5, 5]
    assert [e["accuracy"] for e in events(tmp_path / "b", "earlier")][:4] == [
        0.99,
        0.1,
        0.9,
        None,
    ]
    same(replayed(tmp_path / "b").state, result.state)
    # The population of ten is then full of what mutates from these.
    text = SPACE.arch_string(rows[0])
    file.write_text(f"arch,accuracy\n{text},0.5\n")
    assert go(own_evaluations.score, queries=1, earlier=file).best[0].query is None


BAD = {
    "executor": ({"executor": 3}, TypeError, r"must have submit"),
    "class": ({"executor": ThreadPoolExecutor}, TypeError, "must have submit"),
    "pending": ({"pending": 0}, ValueError, "pending must be at least 1, got 0"),
    "queries": ({"queries": 0}, ValueError, "queries must be at least 1"),
    "retries": ({"retries": -1}, ValueError, "retries must be at least 0"),
    "timeout": ({"timeout": -1}, ValueError, "timeout must be positive, got -1"),
    "no time": ({"timeout": 0}, ValueError, "timeout must be positive, got 0"),
    "target": ({"target": float("nan")}, ValueError, "target must be finite"),
    "arch": ({"earlier": ([[9, 9, 9, 9]], [1])}, ValueError, "not an architecture of"),
    "length": ({"earlier": ([[1, 1, 1, 1]], [])}, ValueError, "one length"),
    "kind": ({"earlier": 3}, ValueError, "earlier takes"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named_before_any_work(name, tmp_path):
    changes, error, text = BAD[name]
    arguments = {"queries": 3, "out": tmp_path / "out", **changes}
    with pytest.raises(error, match=text):
        go(pytest.fail, **arguments)
    assert not (tmp_path / "out").exists()


def test_other_searches_are_not_touched(tmp_path):
    go(own_evaluations.score, queries=2, out=tmp_path)
    before = (tmp_path / journals.NAME).read_bytes()
    again = functools.partial(
        parallel.search, evaluate=pytest.fail, queries=3, out=tmp_path, progress=False
    )
    with pytest.raises(FileExistsError, match="holds a run"):
        again(KEY, EVOLUTION)
    with pytest.raises(parallel.JournalError, match="another space"):
        again(KEY, nasjax.evolution(nasjax.darts()), resume=True)
    with pytest.raises(parallel.JournalError, match="the same key"):
        again(jax.random.key(8), EVOLUTION, resume=True)
    assert (tmp_path / journals.NAME).read_bytes() == before


def test_a_score_that_the_searcher_cannot_use_stops_it(tmp_path):
    config = nasjax.CadamConfig(hidden=(8,), top_k=2, batch_size=2, max_cycles=1)
    arguments = {"queries": 3, "out": tmp_path, "progress": False}
    with pytest.raises(Exception, match="divide a percentage by 100"):
        parallel.search(KEY, nasjax.cadam(SPACE, config), lambda a: 93.0, **arguments)
    assert [e["accuracy"] for e in events(tmp_path, "finished")] == [93.0]
    scaled = nasjax.cadam(SPACE, config.replace(reward="scaled"))
    result = parallel.search(KEY, scaled, lambda a: 93.0, **arguments, resume=True)
    assert [row.accuracy for row in result.rows] == [93.0] * 3


def test_the_bench_prints_milliseconds(capsys, monkeypatch):
    monkeypatch.setattr(bench_parallel, "SPACES", {"small": lambda: SPACE})
    monkeypatch.setattr(bench_parallel, "LAST", 2)
    flags = ["--queries", "8", "--workers", "2", "--observations", "3"]
    assert bench_parallel.main(flags) == 0
    engine, searcher = capsys.readouterr().out.splitlines()
    whole, own, added = map(float, re.findall(r"([-.\d]+) ms", engine))
    assert whole == pytest.approx(own + added, abs=0.02)
    assert float(re.search(r"ask and tell ([.\d]+) ms", searcher)[1]) > 0
