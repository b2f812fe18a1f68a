"""Objectives and constraints on columns of a table: tasks, and their environment.

A name may be a shell pattern, such as `help_*_latency_ms`: every column that it matches
makes a task of its own (every combination, if several patterns match several columns).
"""

import dataclasses
import fnmatch
import functools
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from nasjax.data import joined
from nasjax.data.tables import Table, TableFileError
from nasjax.environments.tabular import from_arrays
from nasjax.runs import table_search
from nasjax.search import Constraint, Environment, Objective


@dataclasses.dataclass(frozen=True)
class Bound:
    """A constraint whose bound may be a quantile of the column."""

    name: str
    sense: str
    bound: float  # in the column's unit, or a share of its rows
    is_quantile: bool

    def on(self, column: np.ndarray) -> float:
        """The bound in the column's unit; NaN in the column is left out."""
        return (
            float(np.nanquantile(column, self.bound))
            if self.is_quantile
            else self.bound
        )

    def __str__(self) -> str:
        number = f"{100 * self.bound:g}%" if self.is_quantile else f"{self.bound:g}"
        return f"{self.name}{self.sense}{number}"


@dataclasses.dataclass(frozen=True)
class Task:
    """One search problem on the columns of a table: M objectives, C constraints.

    Values are oriented: larger is better.
    """

    name: str
    columns: Mapping[str, str]  # by the name in objectives and constraints
    value: np.ndarray  # float64 [A, M], NaN in all where an evaluation fails
    slack: np.ndarray  # float64 [A, C], at least 0 where the constraint is kept
    bounds: tuple[float, ...]  # [C], in the columns' units

    @property
    def feasible(self) -> np.ndarray:
        """bool [A]: rows that succeed and keep all constraints."""
        return np.isfinite(self.value).all(1) & (self.slack >= 0).all(1)

    @property
    def reference(self) -> np.ndarray:
        """[M]: the worst value of each objective over the table."""
        return np.nanmin(self.value, axis=0)

    @functools.cached_property
    def scaled(self) -> np.ndarray:
        """[A, M]: 0 is the table's worst value, 1 its best; -inf where infeasible."""
        low, high = self.reference, np.nanmax(self.value, axis=0)
        scaled = (self.value - low) / (high - low)
        return np.where(self.feasible[:, None], scaled, -np.inf)


@dataclasses.dataclass(frozen=True)
class Tasks:
    """Tasks of the same objectives and constraints on one table."""

    objectives: tuple[Objective, ...]  # names as on the command line
    bounds: tuple[Bound, ...]
    tasks: tuple[Task, ...]

    def terms(self) -> dict[str, tuple[Objective | Constraint, ...]]:
        """`objectives` and `constraints` of a searcher in `environment`."""
        others = [Objective(_metric(x), x.goal) for x in self.objectives[1:]]
        return {
            "objectives": (Objective("accuracy"), *others),
            "constraints": tuple(Constraint(str(x), ">=", 0.0) for x in self.bounds),
        }

    def environment(self, table: Table) -> Environment:
        """A tabular environment with a column for each task.

        The accuracy is the first objective, oriented; further ones are metrics of their
        names, constraints are metrics of their texts: the slack, at least 0 if kept.
        """
        first = self.objectives[0]
        values = [task.value[:, 0] for task in self.tasks]
        metrics = {
            _metric(x): [x.sign * task.value[:, m] for task in self.tasks]
            for m, x in enumerate(self.objectives)
            if x is not first
        }
        for c, x in enumerate(self.bounds):
            metrics[str(x)] = [task.slack[:, c] for task in self.tasks]
        return from_arrays(table.space, table.ops, values, metrics=metrics)

    def take(self, rows: np.ndarray) -> "Tasks":
        """On some rows of the table, by index.

        Raises:
          TableFileError: in a task none of them keeps the constraints, or their front
            has no hypervolume.
        """
        tasks = [
            dataclasses.replace(task, value=task.value[rows], slack=task.slack[rows])
            for task in self.tasks
        ]
        for task in tasks:
            _check(task, "all bounds")
        return dataclasses.replace(self, tasks=tuple(tasks))

    def study(
        self, table: Table, seeds: Sequence[int], steps: int
    ) -> table_search.Study:
        """See `table_search.Study`: a column for each task."""
        return table_search.Study(
            space=table.space,
            env=self.environment(table),
            rows=table_search.rows_of(table.space, table.ops),
            columns=[task.name for task in self.tasks],
            seeds=seeds,
            steps=steps,
            incomplete=not table.complete,
            sign=self.objectives[0].sign,
            slacks=[str(x) for x in self.bounds],
        )


def _metric(goal: Objective) -> str:
    """The metric of a further objective; searchers call the first one `accuracy`."""
    return "accuracy (column)" if goal.name == "accuracy" else goal.name


def tasks_of(
    table: Table,
    goals: Sequence[Objective],
    bounds: Sequence[Bound],
    failed: str = "worst",
) -> tuple[Table, Tasks]:
    """The columns that objectives and constraints name, and the tasks on them.

    Args:
      table: with all columns.
      failed: see `joined.picked`.

    Raises:
      TableFileError: a name matches no column, every combination of columns has one
        twice, no row keeps the constraints, or the front has no hypervolume.
    """
    terms: tuple[Objective | Bound, ...] = (*goals, *bounds)
    names = list(dict.fromkeys(x.name for x in terms))
    matches = [_matches(table, name) for name in names]
    used = dict.fromkeys(itertools.chain(*matches))
    table = joined.picked(table, list(used), failed)
    several = [i for i, columns in enumerate(matches) if len(columns) > 1]
    tasks = []
    for combination in itertools.product(*matches):
        columns = dict(zip(names, combination, strict=True))
        if len({columns[x.name] for x in goals}) == len(goals):
            shown = [combination[i] for i in several] or combination
            tasks.append(_task(table, " x ".join(shown), columns, goals, bounds))
    if not tasks:
        raise TableFileError(
            f"{', '.join(names)}: every combination of columns has one twice"
        )
    return table, Tasks(tuple(goals), tuple(bounds), tuple(tasks))


def _matches(table: Table, name: str) -> list[str]:
    """The columns of a name; the name itself, to be refused, if there are none."""
    return fnmatch.filter(table.values, name) or [name]


def _task(table, name, columns, goals, bounds):
    values = {key: table.values[column] for key, column in columns.items()}
    value = np.stack([x.sign * values[x.name] for x in goals], axis=1)
    limits = tuple(x.on(values[x.name]) for x in bounds)
    signs = [1.0 if x.sense == ">=" else -1.0 for x in bounds]
    slacks = [
        sign * (values[x.name] - limit)
        for x, sign, limit in zip(bounds, signs, limits, strict=True)
    ]
    slack = np.stack(slacks, axis=1) if slacks else np.zeros((len(value), 0))
    failed = ~np.isfinite(np.concatenate([value, slack], axis=1)).all(axis=1)
    value = np.where(failed[:, None], np.nan, value)
    task = Task(name, columns, value, slack, limits)
    _check(task, ", ".join(map(str, bounds)) or "all bounds")
    return task


def _check(task: Task, bounds: str) -> None:
    if not task.feasible.any():
        raise TableFileError(f"{task.name}: no row keeps {bounds}")
    if not (task.feasible & (task.value > task.reference).all(axis=1)).any():
        raise TableFileError(
            f"{task.name}: every row that keeps {bounds} has the worst value of an "
            "objective, so the front has no hypervolume"
        )
