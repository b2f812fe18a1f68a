"""Tasks that objectives and constraints make of a table's columns."""

import numpy as np
import pytest

from nasjax.data import joined
from nasjax.data.tables import TableFileError
from nasjax.runs import objective_flags
from nasjax.runs.table_objectives import tasks_of

OPS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.uint8)


@pytest.fixture
def table(tmp_path):
    columns = {"a": [1, 2, 3, 4], "b1": [1, 2, 3, 5], "b2": [4, 3, 2, 1]}
    columns = {name: np.array(x, float) for name, x in columns.items()}
    np.savez(tmp_path / "table.npz", ops=OPS, **columns)
    return joined.load([tmp_path / "table.npz"])


def tasks(table, objectives, *bounds):
    goals = objective_flags.objectives(objectives)
    return tasks_of(table, goals, list(map(objective_flags.bound, bounds)))[1].tasks


def test_a_column_may_be_bounded_and_an_objective(table):
    first, second = tasks(table, "a:max,b*:min", "b1<=50%")
    assert (first.name, second.name) == ("b1", "b2")
    for task in (first, second):
        assert task.bounds == (2.5,)  # the median of 1, 2, 3, 5
        np.testing.assert_array_equal(task.slack[:, 0], [1.5, 0.5, -0.5, -2.5])
        np.testing.assert_array_equal(task.feasible, [True, True, False, False])


def test_two_objectives_are_two_columns(table):
    names = [task.name for task in tasks(table, "b*:min,?1:max,a:max")]
    assert names == ["b2"]
    with pytest.raises(TableFileError, match="every combination of columns"):
        tasks(table, "b1:min,?1:max")
