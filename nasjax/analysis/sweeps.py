"""Results of sweeps: one row per search and budget, means, comparisons.

settings = grid("cadam", tau=[0.5, 0.9])
results = sweeps.run(nb201.load(), settings, seeds=range(1, 11), steps=100)
print(results.means())
"""

import csv
import dataclasses
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from nasjax.analysis.queries import best_so_far, first_optimum, rank
from nasjax.analysis.statistics import describe, interval, paired
from nasjax.analysis.text import paired_table, text_table
from nasjax.data.nb201 import Table
from nasjax.environments.tabular import tabular
from nasjax.runs.settings import Setting, text
from nasjax.runs.sweeps import Chunk, Queries, Sweep
from nasjax.runs.table_search import Study, rows_of
from nasjax.spaces import nas_bench_201

LATE = 100  # queries of the late policy
MEASURES = {"best": "best accuracy [%]", "late": "late policy [%]"}


def own_actions(queries: Queries, budget: int, late: int) -> np.ndarray:
    """Mean accuracy of the policy's own actions in the last queries, float64 [L].

    Args:
      queries: [L, T].
      budget: the queries before it count.
      late: how many of them, at most.

    Returns:
      NaN where there are none; a searcher without a policy has own actions only.
    """
    span = slice(max(budget - late, 0), budget)
    seen = queries.accuracy[:, span].astype(np.float64)
    own = np.isfinite(seen) & ~queries.explored[:, span]
    total = np.where(own, seen, 0).sum(-1)
    return np.where(own.any(-1), total / np.maximum(own.sum(-1), 1), np.nan)


@dataclasses.dataclass(frozen=True)
class Results:
    """N settings x V columns x S seeds, after each of B numbers of queries."""

    settings: Sequence[Setting]
    columns: Sequence[str]
    seeds: Sequence[int]
    budgets: Sequence[int]
    best: np.ndarray  # float64 [N, V, S, B], fractions; NaN if every query failed
    rank: np.ndarray  # int [N, V, S, B], of the best in its column, 1 is best
    late: np.ndarray  # float64 [N, V, S, B], see `own_actions`
    optimum_after: np.ndarray  # float64 [N, V, S], queries; inf if never

    @property
    def names(self) -> list[str]:
        """Of the settings."""
        return [setting.name for setting in self.settings]

    def fields(self, method: str | None = None) -> list[str]:
        """The fields that differ between settings of a method (None: of any)."""
        found: dict[str, None] = {}
        for name in dict.fromkeys(s.method for s in self.settings):
            chosen = [s.values for s in self.settings if s.method == name]
            for field in chosen[0] if method in (None, name) else ():
                if len({text(values[field]) for values in chosen}) > 1:
                    found[field] = None
        return list(found)

    def tidy(self) -> dict[str, np.ndarray]:
        """Columns of one table, a row per search and budget."""
        N, V, S, B = self.best.shape
        n, v, s, b = (x.reshape(-1) for x in np.indices((N, V, S, B)))

        def pick(values: Iterable[Any], at: np.ndarray) -> np.ndarray:
            return np.array(list(values))[at]

        def values_of(field: str) -> np.ndarray:
            found = [setting.values.get(field) for setting in self.settings]
            known = [x for x in found if x is not None]
            if all(
                isinstance(x, int | float) and not isinstance(x, bool) for x in known
            ):
                return np.array([np.nan if x is None else float(x) for x in found])
            return np.array(["" if x is None else text(x) for x in found])

        budget, after = pick(self.budgets, b), self.optimum_after[n, v, s]
        return {
            "method": pick((x.method for x in self.settings), n),
            "setting": pick(self.names, n),
            "column": pick(self.columns, v),
            "seed": pick(self.seeds, s),
            **{field: values_of(field)[n] for field in self.fields()},
            "queries": budget,
            "best_accuracy": self.best.reshape(-1),
            "rank": self.rank.reshape(-1),
            "late_policy_accuracy": self.late.reshape(-1),
            "queries_to_optimum": np.where(after <= budget, after, np.nan),
        }

    def csv(self) -> str:
        """`tidy` as comma-separated text; what is not known is empty."""
        table = self.tidy()
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table)
        columns = [list(map(_cell, column.tolist())) for column in table.values()]
        writer.writerows(zip(*columns, strict=True))
        return file.getvalue()

    def means(self, budget: int | None = None, measure: str = "best") -> str:
        """Means over seeds with their 95% intervals, in percent, a row per setting.

        Args:
          budget: of `budgets`; the last by default.
          measure: "best", or "late" for the late policy.
        """
        values = 100 * getattr(self, measure)[..., self._place(budget)]
        rows = [
            [name, *(_with_interval(x) for x in by_column)]
            for name, by_column in zip(self.names, values, strict=True)
        ]
        return text_table([MEASURES[measure], *self.columns], rows)

    def mean_ranks(self, budget: int | None = None) -> np.ndarray:
        """Mean over columns and seeds of the rank of the best, [N]."""
        return self.rank[..., self._place(budget)].mean(axis=(1, 2))

    def compared(self, reference: Setting, budget: int | None = None) -> str:
        """Every setting minus the reference, paired over seeds."""
        at, place = self._place(budget), self.names.index(reference.name)
        rows = [
            ([name, column], paired(100 * self.best[n, v, :, at], 100 * base[v]))
            for base in [self.best[place, ..., at]]
            for n, name in enumerate(self.names)
            if n != place
            for v, column in enumerate(self.columns)
        ]
        return paired_table([f"minus {reference.name}", "column"], rows)

    def _place(self, budget: int | None) -> int:
        if budget is None:
            return -1
        if budget not in self.budgets:
            allowed = ", ".join(map(str, self.budgets))
            raise ValueError(f"budget is {budget}; allowed: {allowed}")
        return list(self.budgets).index(budget)

    def report(self, reference: Setting | None) -> str:
        """All tables."""
        parts = []
        for budget in self.budgets:
            parts.append(f"after {budget:,} queries\n{self.means(budget)}")
        parts.append(
            f"after {self.budgets[-1]:,} queries\n{self.means(measure='late')}"
        )
        found = np.isfinite(self.optimum_after).sum(-1)
        counts = [
            [name, *(f"{x}/{len(self.seeds)}" for x in row), f"{rank:.1f}"]
            for name, row, rank in zip(
                self.names, found, self.mean_ranks(), strict=True
            )
        ]
        header = ["searches at the optimum", *self.columns, "mean rank"]
        parts.append(text_table(header, counts))
        if reference is not None and len(self.seeds) > 1 and len(self.settings) > 1:
            parts.append(self.compared(reference))
        return "\n\n".join(parts)

    def screen(self, most: int = 10) -> str:
        """The settings with the best mean ranks."""
        ranks = self.mean_ranks()
        order = np.argsort(ranks, kind="stable")[:most]
        rows = [
            [
                self.names[n],
                f"{ranks[n]:.1f}",
                *(f"{x:.2f}" for x in 100 * np.nanmean(self.best[n, ..., -1], axis=-1)),
            ]
            for n in order
        ]
        header = [f"mean best after\n{self.budgets[-1]:,} queries", "mean\nrank"]
        header += [name.replace("_", "\n") for name in self.columns]
        table = text_table(header, rows)
        more = len(self.settings) - len(rows)
        return f"{table}\nand {more:,} more: report.txt" if more > 0 else table


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if not np.isfinite(value) else f"{value:.9g}"
    return str(value)


def _with_interval(values: np.ndarray) -> str:
    low, high = interval(values)
    mean = f"{describe(values).mean:.2f}"
    return mean if np.isnan(low) else f"{mean} [{low:.2f}, {high:.2f}]"


def collect(
    chunks: Iterable[tuple[Chunk, Queries]],
    settings: Sequence[Setting],
    study: Study,
    values: np.ndarray,
    budgets: Sequence[int] = (),
    late: int = LATE,
) -> Results:
    """Summarises a sweep, one chunk after another.

    Args:
      chunks: from `Sweep.run`.
      settings, study: of the sweep.
      values: [V, A], the columns of its table.
      budgets: numbers of queries, ascending; the number of steps by default.
      late: queries of the late policy.
    """
    budgets = list(budgets) or [study.steps]
    places = [
        {x: i for i, x in enumerate(xs)}
        for xs in ([s.name for s in settings], study.columns, map(int, study.seeds))
    ]
    shape = tuple(map(len, places))
    best, lates = np.full((2, *shape, len(budgets)), np.nan)
    ranks, after = np.zeros(best.shape, int), np.full(shape, np.inf)
    for chunk, queries in chunks:
        lanes = zip(*chunk.lanes, strict=True)
        n, v, s = (
            np.array([place[x] for x in xs])
            for place, xs in zip(places, lanes, strict=True)
        )
        curve = best_so_far(queries.accuracy)
        for b, budget in enumerate(budgets):
            best[n, v, s, b] = curve[:, budget - 1]
            lates[n, v, s, b] = own_actions(queries, budget, late)
        for column in np.unique(v):
            of = v == column
            at = n[of], v[of], s[of]
            ranks[at] = rank(values[column], curve[of][:, np.array(budgets) - 1])
            index = queries.arch_index[of][None]
            after[at] = first_optimum(index, values[column][None])[0]
    shared = settings, study.columns, study.seeds, budgets
    return Results(*shared, best, ranks, lates, after)


def study_of(table: Table, seeds: Sequence[int], steps: int) -> Study:
    """A study of all columns of NAS-Bench-201."""
    space, columns = nas_bench_201(), list(table.columns)
    env, rows = tabular(space, table, columns), rows_of(space, table.ops)
    return Study(space, env, rows, columns, list(seeds), steps)


def run(
    table: Table,
    settings: Sequence[Setting],
    seeds: Sequence[int],
    steps: int,
    budgets: Sequence[int] = (),
    late: int = LATE,
    **options: Any,
) -> Results:
    """Runs a sweep of NAS-Bench-201 and summarises it.

    Args:
      table: from `nasjax.data.nb201.load`; every column is searched.
      settings: from `nasjax.runs.settings.grid`; lists of several can be added.
      seeds, steps: of every setting and column.
      budgets, late: see `collect`.
      options: of `Sweep`, such as `lanes`.
    """
    study = study_of(table, seeds, steps)
    values = np.stack([column.values for column in table.columns.values()])
    chunks = Sweep(study, settings, **options).run()
    return collect(chunks, settings, study, values, budgets, late)
