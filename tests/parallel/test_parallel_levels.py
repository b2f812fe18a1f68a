"""Searches of several fidelities on workers: the level, its cost, budgets, resuming."""

import csv
import json

import jax
import numpy as np
import pytest

import nasjax
from nasjax import parallel
from nasjax.parallel import journal as journals
from nasjax.search import fidelity

SPACE = nasjax.table_space(3, tuple("abcd"))
LEVELS = fidelity.levels((1, 4), ("short", "long"))
KEY = jax.random.key(3)
HYPERBAND = nasjax.hyperband(SPACE, cost=(1, 4))  # 4 short, 1 long; 2 long


def evaluate(arch, level):
    """More at the low level, so that a best of all levels would be another."""
    if arch[0] == 3:
        raise ValueError("fails")
    return float(arch.sum()) / 100 + (0.5 if level == 0 else 0.0)


def go(**options):
    options = {"queries": 14, "levels": LEVELS, "progress": False} | options
    return parallel.search(KEY, HYPERBAND, evaluate, **options)


def test_levels_are_evaluated_paid_and_kept(tmp_path):
    result = go(out=tmp_path, retries=0)
    assert [row.level for row in result.rows] == [0, 0, 0, 0, 1, 1, 1] * 2
    for row in result.rows:
        assert row.metrics["fidelity"] == row.level and row.counts == (row.level == 1)
        assert row.metrics["cost"] == [1, 4][row.level]  # of failures, too
        short = 0.0 if row.level else 0.5
        assert row.failed or row.accuracy == row.arch.sum() / 100 + short
    assert any(row.failed for row in result.rows)
    first = result.rows[:4]
    best = max(first, key=lambda row: -1 if row.failed else row.accuracy)
    np.testing.assert_array_equal(result.rows[4].arch, best.arch)
    assert result.best[0].accuracy < 0.5 and result.best[0].metrics["fidelity"] == 1
    asked = [e for e in journals.read(tmp_path / journals.NAME).events if "level" in e]
    assert [event["level"] for event in asked] == [row.level for row in result.rows]
    with (tmp_path / "results.csv").open() as file:
        costs = [float(row["cost"]) for row in csv.DictReader(file)]
    assert costs == [row.metrics["cost"] for row in result.rows]
    assert json.loads((tmp_path / "best.json").read_text())["best"][0]["query"] in (
        row.number for row in result.rows if row.counts
    )


def test_it_is_the_search_of_drive_and_goes_on(tmp_path):
    def scored(key, params, state, arch, level):
        return state, evaluate(np.zeros(3) + np.asarray(arch) % 3, int(level))

    def alike(arch, level):
        return evaluate(np.zeros(3) + arch % 3, level)

    env = nasjax.search.Environment((), (), scored, traceable=False, levels=LEVELS)
    _, trace = nasjax.search.drive(KEY, HYPERBAND, env, 14)
    options = {"levels": LEVELS, "progress": False, "out": tmp_path}
    parallel.search(KEY, HYPERBAND, alike, queries=6, **options)
    result = parallel.search(KEY, HYPERBAND, alike, queries=14, resume=True, **options)
    np.testing.assert_array_equal([row.arch for row in result.rows], trace.arch)
    levels = [row.metrics["fidelity"] for row in result.rows]
    np.testing.assert_array_equal(levels, trace.metrics["fidelity"])


def test_a_budget_of_cost_ends_a_search():
    """4 x 1 + 4 = 8, then 4 more."""
    result = go(budget=12, retries=0)
    assert len(result.rows) == 6 and "budget of 12 is spent" in result.reason


def test_levels_and_budgets_are_refused_where_there_are_none():
    with pytest.raises(ValueError, match="the environment has no levels"):
        go(levels=None)
    with pytest.raises(ValueError, match="a cost is known of levels alone"):
        parallel.search(
            KEY, nasjax.random_search(SPACE), evaluate, queries=2, budget=3.0
        )
    with pytest.raises(ValueError, match="budget must be positive, got 0"):
        go(budget=0)
