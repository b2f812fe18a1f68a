"""Metrics on their way through engine, journal, replay and results files."""

import csv
import json

import jax
import numpy as np
import own_evaluations
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nasjax
from nasjax import parallel
from nasjax.parallel import earlier
from nasjax.parallel import journal as journals
from nasjax.parallel.__main__ import main
from nasjax.parallel.queries import Queries
from nasjax.runs.errors import RunError
from nasjax.search import Outcome

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(4, tuple("abcdef"))
KEY = jax.random.key(7)
EVOLUTION = nasjax.evolution(SPACE)


def measured(arch):
    """Fails without metrics for one value of the last edge."""
    if arch[3] == 2:
        raise ValueError("no")
    accuracy, size = own_evaluations.score(arch), int(arch.sum())
    return Outcome(accuracy, None, {"latency": size / 8, "hours": float("inf")})


def search(folder, evaluate=measured, queries=16, **options):
    return parallel.search(
        *(KEY, EVOLUTION, evaluate),
        queries=queries,
        out=folder,
        retries=0,
        progress=False,
        **options,
    )


def test_they_are_kept_everywhere_and_replayed(tmp_path, capsys):
    first = search(tmp_path / "run")
    failed = [row for row in first.rows if row.failed]
    assert failed and len(failed) < 16
    for row in first.rows:
        assert {*row.metrics} in ({"latency", "hours"}, set())
        wanted = np.nan if row.failed else row.arch.sum() / 8
        np.testing.assert_equal(row.metrics.get("latency", np.nan), wanted)
        assert not np.isfinite(row.metrics.get("hours", np.nan))
    events = journals.read(tmp_path / "run" / journals.NAME).events
    for event in events:
        told = event["event"] in ("finished", "told") and event["accuracy"] is not None
        assert ("metrics" in event) == told
    state = Queries(KEY, EVOLUTION, SPACE)
    state.replay(events)
    jax.tree.map(np.testing.assert_array_equal, state.state, first.state)
    for again, row in zip(state.rows, first.rows, strict=True):
        np.testing.assert_equal(again.metrics, row.metrics)
    with (tmp_path / "run" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0].keys() >= {"latency", "metrics_hours", "hours"}
    for row, query in zip(rows, first.rows, strict=True):
        wanted = "" if query.failed else str(query.metrics["latency"])
        assert row["latency"] == wanted
    best = json.loads((tmp_path / "run" / "best.json").read_text())["best"]
    assert best[0]["metrics"]["latency"] == first.best[0].metrics["latency"]
    capsys.readouterr()
    search(tmp_path / "run", queries=18, resume=True)
    again = search(tmp_path / "more", queries=18)
    resumed = earlier.read(tmp_path / "run", SPACE)
    for x, y in zip(resumed, earlier.read(tmp_path / "more", SPACE), strict=True):
        np.testing.assert_equal(x[:3] + x[4:], y[:3] + y[4:])
    assert len(again.rows) == 18


def test_results_files_are_read_as_earlier(tmp_path):
    first = search(tmp_path / "run")
    for name in ("", "results.csv"):
        rows = earlier.read(tmp_path / "run" / name, SPACE)
        assert len(rows) == 16
        for row, query in zip(rows, first.rows, strict=True):
            wanted = query.metrics.get("latency", np.nan)
            np.testing.assert_equal(row.metrics.get("latency", np.nan), wanted)
    path = tmp_path / "results.csv"
    path.write_text("arch,accuracy,metrics_hours\n0 0 0 0,0.5,2\n")
    assert earlier.read(path, SPACE)[0].metrics == {"hours": 2.0}
    second = search(tmp_path / "next", earlier=tmp_path / "run", queries=2)
    assert second.best[0].metrics["latency"] > 0


def test_earlier_evaluations_without_a_metric_that_is_read(tmp_path):
    """They are refused by file and architecture, before there is a folder."""
    path = tmp_path / "earlier.csv"
    path.write_text("arch,accuracy\n0 0 0 0,\n1 1 1 1,0.6\n")
    searcher = nasjax.nsga2(SPACE, objectives=("accuracy", "latency:min"))
    options = {"queries": 2, "out": tmp_path / "run", "earlier": path}
    says = r"earlier.csv, evaluation of \[1, 1, 1, 1\]: no metric latency, which"
    with pytest.raises(ValueError, match=says):
        parallel.search(KEY, searcher, measured, **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"size": 1.0}, "evaluate returned the metrics size; before it had latency"),
        ({}, "evaluate returned the metrics none; before it had latency"),
    ],
)
def test_other_names_end_the_search(tmp_path, other, says):
    names = iter([{"latency": 1.0}, other])
    with pytest.raises(RunError, match=says):
        search(tmp_path / "run", lambda arch: Outcome(0.5, None, next(names)))


def test_what_is_no_number_is_a_failure_that_says_so(tmp_path):
    result = search(
        tmp_path / "run", lambda arch: Outcome(0.5, None, {"latency": "low"}), 2
    )
    assert all(row.failed for row in result.rows)
    assert (
        "the metric 'latency' as 'low' (str), not as a number" in result.rows[0].error
    )


def test_columns_of_a_csv_file(tmp_path):
    """The first entry that is not NaN says whether a column is a metric."""
    path = tmp_path / "earlier.csv"
    for failed in ("", "nan"):
        path.write_text(
            f"arch,accuracy,latency,comment,worker\n0 0 0 0,0.5,{failed},good,3\n"
            "1 1 1 1,0.6,2.5,,4\n"
        )
        rows = earlier.read(path, SPACE)
        assert [{*row.metrics} for row in rows] == [{"latency"}] * 2
        assert rows[1].metrics["latency"] == 2.5
        assert np.isnan(rows[0].metrics["latency"])
    path.write_text("arch,accuracy,latency\n0 0 0 0,0.5,1\n1 1 1 1,0.6,slow\n")
    with pytest.raises(ValueError, match=r"line 3: .*slow"):
        earlier.read(path, SPACE)


@settings(max_examples=15, deadline=None)
@given(
    metrics=st.dictionaries(
        st.text(min_size=1),
        st.floats(allow_nan=False, allow_infinity=False, width=32),
    )
)
def test_any_names_and_numbers_through_a_journal(tmp_path_factory, metrics):
    out = tmp_path_factory.mktemp("any") / "run"
    search(out, lambda arch: Outcome(0.5, 0.25, metrics), 1)
    (row,) = earlier.read(out, SPACE)
    assert row.metrics == metrics
    with (out / "results.csv").open(newline="") as file:
        (entry,) = csv.DictReader(file)
    for name, value in metrics.items():
        key = f"metrics_{name}" if name in earlier.COLUMNS else name
        assert float(entry[key]) == value


def test_by_hand(tmp_path, capsys):
    out = ["--out", str(tmp_path / "run")]
    settings = ["--space", "nb201", "--method", "random", "--queries", "3"]
    assert main(["ask", *out, *settings]) == 0
    tell = ["tell", *out, "--query", "0", "--accuracy", "0.9"]
    for bad in ("latency", "latency=", "=3", "latency=fast", "latency=nan"):
        with pytest.raises(SystemExit):
            main([*tell, "--metric", bad])
        assert f"'{bad}' is no metric; allowed: NAME=NUMBER" in capsys.readouterr().err
    assert main([*tell, "--metric", "latency=3.2", "--metric", "latency=1"]) == 2
    assert "--metric latency: named twice" in capsys.readouterr().err
    assert main([*tell, "--metric", "latency=3.2", "--metric", "size=1e6"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["metrics"] == {"latency": 3.2, "size": 1e6}
    assert main(["ask", *out]) == 0
    tell = ["tell", *out, "--query", "1", "--accuracy", "0.8"]
    assert main([*tell, "--metric", "latency=1"]) == 2
    assert "before it had latency, size" in capsys.readouterr().err
    tell = ["tell", *out, "--query", "1", "--failed"]
    assert main([*tell, "--metric", "latency=1"]) == 2
    assert "would change nothing with --failed" in capsys.readouterr().err
    assert main(tell) == 0
    capsys.readouterr()
    assert main(["best", *out]) == 0
    title, row = capsys.readouterr().out.splitlines()[1:3]
    assert title.split()[:5] == [
        *("accuracy", "parameters", "multiply-adds", "latency", "size")
    ]
    assert "3.2" in row and "1e+06" in row
