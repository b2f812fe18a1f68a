"""The best at the top level against cost, worked out by hand."""

import numpy as np
import pytest

from nasjax.analysis import fidelities
from nasjax.runs.table_search import Result

NAN = np.nan


def result():
    """One column, two seeds, five queries; levels 0 0 1 1 1 of cost 1 and 4."""
    level = np.array([[[0, 0, 1, 1, 1], [1, 0, 1, 0, 1]]], np.float32)
    accuracy = [[[0.9, 0.8, 0.5, NAN, 0.7], [0.6, 0.9, 0.4, 0.9, 0.8]]]
    rows = np.arange(10).reshape(1, 2, 5)
    metrics = {"fidelity": level, "cost": 1 + 3 * level}
    return Result(rows, np.array(accuracy, np.float32), {}, {}, 0.0, 0.0, metrics)


def test_curves():
    curves = fidelities.Curves.of(result(), top=1)
    best = [[[NAN, NAN, 0.5, 0.5, 0.7], [0.6, 0.6, 0.6, 0.6, 0.8]]]
    np.testing.assert_allclose(curves.best, best, rtol=1e-6)
    assert curves.spent.tolist() == [[[1, 2, 6, 10, 14], [4, 5, 9, 10, 14]]]
    assert curves.cost_to(np.array([0.55])).tolist() == [[14, 4]]
    assert curves.cost_to(np.array([0.75])).tolist() == [[np.inf, 14]]
    after = [curves.best_after(np.array([cost])) for cost in (5, 10, 14, 15)]
    wanted = [[[NAN, 0.6]], [[0.5, 0.6]], [[0.7, 0.8]], [[NAN, NAN]]]
    np.testing.assert_allclose(after, wanted, rtol=1e-6)  # 15 was never spent


def test_common_costs():
    curves = fidelities.Curves.of(result(), top=1)
    grid, best = fidelities.on_grid(curves.best[0], curves.spent[0])
    assert grid[0] == pytest.approx(6) and grid[-1] == pytest.approx(14)
    np.testing.assert_allclose(best[:, 0], [0.5, 0.6], rtol=1e-6)


def test_winners_within_a_budget():
    """Row of the best query of the top level, or of any, that ended in time."""
    rows, queries = fidelities.winner(result(), 10, top=1)
    assert rows.tolist() == [2, 5] and queries.tolist() == [4, 4]
    assert fidelities.winner(result(), 10, top=None)[0].tolist() == [0, 6]
    assert fidelities.winner(result(), 3, top=1)[0].tolist() == [-1, -1]
    with pytest.raises(ValueError, match="spent 14 of 15: more --steps are needed"):
        fidelities.winner(result(), 15, top=1)
