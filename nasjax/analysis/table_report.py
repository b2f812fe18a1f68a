"""Results of searches of a table in any unit: report, plots and a screen."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasjax.analysis import plots, queries, query_summary, query_tables
from nasjax.data.tables import Table
from nasjax.runs.table_search import Result


@dataclasses.dataclass(frozen=True)
class Searches(queries.Searches):
    """Searches of every column of a table, negated if the goal is the minimum."""

    table: Table
    sign: float  # -1 where the goal is the minimum, else 1

    @property
    def optimum(self) -> dict[str, float]:
        """The optimum of each column, in its unit."""
        return dict(zip(self.columns, (self.sign * self.optima).tolist(), strict=True))

    def describe(self) -> dict[str, Any]:
        """The methods' part of results.json: rows of the file, values in their unit."""
        described = super().describe()
        for name, result in self.results.items():
            first = queries.first_optimum(result.arch_index, self.values)
            columns = described[name]["columns"].values()
            for column, hits in zip(columns, first, strict=True):
                for entry, hit in zip(column["seeds"].values(), hits, strict=True):
                    entry["optimum_after"] = int(hit) if np.isfinite(hit) else None
                    for part in (entry, *entry["queries"].values()):
                        self._restore(part)
        return described

    def _restore(self, entry: dict[str, Any]) -> None:
        """Sets the row of the file and the values in their own unit, in place."""
        entry["arch_index"] = int(self.table.row[entry["arch_index"]])
        for key in ("best", "table_value"):
            if entry[key] is not None:
                entry[key] *= self.sign

    def arrays(self) -> dict[str, np.ndarray]:
        """The content of results.npz: rows of the file, values in their unit."""
        restored = {
            name: result._replace(
                accuracy=self.sign * result.accuracy,
                arch_index=self.table.row[result.arch_index],
            )
            for name, result in self.results.items()
        }
        return queries.Searches.arrays(dataclasses.replace(self, results=restored))

    def report(self) -> str:
        """Tables of values, of queries to the optimum and of paired comparisons."""
        parts = [query_tables.value_table(self, self.sign)]
        parts.append(query_tables.optimum_table(self))
        if len(self.seeds) > 1 and len(self.results) > 1:
            first = next(iter(self.results))
            parts.append(query_tables.comparison_table(self, first, self.budgets))
        return "\n\n".join(parts)

    def screen(self, used: int = 0) -> str:
        """See `query_summary.screen`."""
        return query_summary.screen(
            dataclasses.replace(self, budgets=self.budgets[-1:]),
            show=lambda x: f"{self.sign * x:.6g}",
            used=used,
        )

    def draw_regret(self, path: Path, methods: Sequence[str], title: str) -> None:
        """Regret of some methods against queries."""
        regrets = {name: self.regret(name) for name in methods}
        plots.regret(path, regrets, [f"{name} {title}" for name in self.columns])


def searches(
    table: Table,
    results: Mapping[str, Result],
    seeds: Sequence[int],
    budgets: Sequence[int],
    goal: str,
    trial: str,
) -> Searches:
    """Searches of every column of a table, to be reported.

    Args:
      table: with the columns' own values.
      results: by method, of the columns multiplied by the sign of the goal.
      seeds, budgets: see `queries.Searches`.
      goal: max or min.
      trial: result of a query: "mean" over trials, or a "random" one.
    """
    sign = 1.0 if goal == "max" else -1.0
    values = sign * np.stack(list(table.values.values()))
    if trial == "mean":  # float64 values of the table; the search had float32
        results = {
            name: result._replace(
                accuracy=np.stack(
                    [x[i] for x, i in zip(values, result.arch_index, strict=True)]
                )
            )
            for name, result in results.items()
        }
    columns, classes = list(table.values), np.arange(len(table.ops))
    return Searches(results, values, columns, seeds, budgets, classes, table, sign)
