"""Objectives and constraints on columns of a table: tasks, and their environment.

A name may be a shell pattern, such as `help_*_latency_ms`: every column that it matches
makes a task of its own (every combination, if several patterns match several columns).
"""

import argparse
import dataclasses
import fnmatch
import functools
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nasjax.data import joined, tables
from nasjax.data.tables import Table, TableFileError
from nasjax.environments.tabular import from_arrays
from nasjax.runs import table_search
from nasjax.search import Constraint, Environment, Objective
from nasjax.search.objectives import objective, read


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


def bound(text: str) -> Bound:
    """Reads `NAME<=NUMBER`, `NAME>=NUMBER` or, as a quantile, `NAME<=50%`.

    Raises:
      ArgumentTypeError: any other text, or a quantile outside of 0 to 100 %.
    """
    match = re.fullmatch(r"\s*(\S+?)\s*(<=|>=)\s*([^%\s]+)\s*(%?)\s*", text)
    try:
        if match is None:
            raise ValueError
        number = float(match[3]) / (100 if match[4] else 1)
        if not np.isfinite(number) or (match[4] and not 0 <= number <= 1):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no constraint; write NAME<=NUMBER, NAME>=NUMBER or NAME<=50%"
        ) from None
    return Bound(match[1], match[2], number, bool(match[4]))


def objectives(text: str) -> tuple[Objective, ...]:
    """Reads comma-separated objectives; a `type` of `add_argument`."""
    try:
        return read([objective(part) for part in text.split(",")])[0]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def paths(text: str) -> list[Path]:
    """Reads comma-separated files."""
    return [Path(part.strip()) for part in text.split(",")]


def add_flags(parser: argparse.ArgumentParser) -> None:
    """`--objectives` and `--constraint`."""
    add = parser.add_argument_group("several objectives").add_argument
    text = "NAME:max,NAME:min,...: search for their front"
    add("--objectives", type=objectives, default=None, help=text)
    text = "NAME<=NUMBER, NAME>=NUMBER or, as a quantile, NAME<=50%%; can be repeated"
    add("--constraint", type=bound, action="append", default=[], help=text)


def load(args: argparse.Namespace) -> Table:
    """The table of the flags; sets `args.tasks` if there are objectives.

    Args:
      args: of `add_flags`; `table`, of `paths`; `columns`, `trial` and `failed` as for
        `tables.load`.

    Raises:
      TableFileError: as `tables.load`, `joined.load` and `tasks_of`.
    """
    if args.objectives:
        whole = joined.load(args.table)
        goals = args.objectives, args.constraint, args.failed
        table, args.tasks = tasks_of(whole, *goals)
        return table
    if len(args.table) > 1:
        return joined.picked(joined.load(args.table), args.columns, args.failed)
    trials = args.trial == "random"
    return tables.load(args.table[0], args.columns, trials, args.failed)


def refuse_idle(
    args: argparse.Namespace,
    parser: argparse.ArgumentParser,
    idle: Sequence[str],
) -> None:
    """Raises ValueError for a flag, one of `idle`, that objectives leave no effect."""
    if args.constraint and not args.objectives:
        raise ValueError("--constraint needs --objectives")
    if len(args.table) > 1 and args.trial == "random":
        raise ValueError("--trial random needs a single --table")
    for name in idle if args.objectives else ():
        if getattr(args, name) != parser.get_default(name):
            raise ValueError(f"--{name} would change nothing with --objectives")


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
        goals = (Objective("accuracy"), *self.objectives[1:])
        return {
            "objectives": goals,
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
            x.name: [x.sign * task.value[:, m] for task in self.tasks]
            for m, x in enumerate(self.objectives)
            if x is not first
        }
        for c, x in enumerate(self.bounds):
            metrics[str(x)] = [task.slack[:, c] for task in self.tasks]
        return from_arrays(table.space, table.ops, values, metrics=metrics)

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
        )


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
      TableFileError: a name matches no column, or no row keeps the constraints.
    """
    terms: tuple[Objective | Bound, ...] = (*goals, *bounds)
    names = list(dict.fromkeys(x.name for x in terms))
    matches = [_matches(table, name) for name in names]
    used = dict.fromkeys(itertools.chain(*matches))
    table = joined.picked(table, list(used), failed)
    several = [i for i, columns in enumerate(matches) if len(columns) > 1]
    tasks = []
    for combination in itertools.product(*matches):
        if len(set(combination)) == len(combination):
            columns = dict(zip(names, combination, strict=True))
            shown = [combination[i] for i in several] or combination
            tasks.append(_task(table, " x ".join(shown), columns, goals, bounds))
    if not tasks:
        raise TableFileError(f"{', '.join(names)}: all name the same column")
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
    if not task.feasible.any():
        raise TableFileError(f"{name}: no row keeps {', '.join(map(str, bounds))}")
    return task
