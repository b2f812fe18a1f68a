"""Searches of a table of any unit: report, pictures and one screen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nasjax.analysis import plots, queries, query_summary, query_tables
from nasjax.analysis.query_tables import Results
from nasjax.data.tables import Table


class Searches(NamedTuple):
    """Searches of every column of a table, maximised; negated where the goal is min."""

    table: Table
    results: Results
    seeds: Sequence[int]
    budgets: Sequence[int]  # numbers of queries to report; the last is the whole search
    goal: str  # max or min
    trial: str  # result of a query: mean, or one at random

    @property
    def sign(self) -> float:
        """-1 where the goal is min."""
        return 1.0 if self.goal == "max" else -1.0

    @property
    def columns(self) -> list[str]:
        """Names of the V columns."""
        return list(self.table.values)

    @property
    def values(self) -> np.ndarray:
        """[V, A], larger is better."""
        return self.sign * np.stack(list(self.table.values.values()))

    @property
    def optimum(self) -> dict[str, float]:
        """By column, in its own unit."""
        best = self.sign * np.nanmax(self.values, axis=1)
        return dict(zip(self.columns, best.tolist(), strict=True))

    @property
    def exact(self) -> Results:
        """The results with the table's own numbers: float32 ones were searched."""
        if self.trial != "mean":
            return self.results
        values = self.values
        exact = {}
        for name, result in self.results.items():
            rows = zip(values, result.arch_index, strict=True)
            accuracy = np.stack([column[index] for column, index in rows])
            exact[name] = result._replace(accuracy=accuracy)
        return exact

    def reached(self) -> dict[str, np.ndarray]:
        """By method, values of the best so far [V, S, T], see `queries.incumbent`."""
        values = self.values
        return {n: queries.incumbent(x, values) for n, x in self.exact.items()}

    def describe(self) -> dict[str, Any]:
        """The methods' part of results.json: rows of the file, values in their unit."""
        values, described = self.values, {}
        shared = np.arange(len(self.table.ops)), self.columns, self.seeds, self.budgets
        for name, result in self.exact.items():
            described[name] = queries.describe_method(result, values, *shared)
            first = queries.first_optimum(result.arch_index, values)
            columns = described[name]["columns"].values()
            for column, hits in zip(columns, first, strict=True):
                for entry, hit in zip(column["seeds"].values(), hits, strict=True):
                    entry["optimum_after"] = int(hit) if np.isfinite(hit) else None
                    for part in (entry, *entry["queries"].values()):
                        self._restore(part)
        return described

    def _restore(self, entry: dict[str, Any]) -> None:
        """The row of the file and the values in their own unit, in place."""
        entry["arch_index"] = int(self.table.row[entry["arch_index"]])
        for key in ("best", "table_value"):
            if entry[key] is not None:
                entry[key] *= self.sign

    def arrays(self) -> dict[str, np.ndarray]:
        """The content of results.npz."""
        restored = {
            name: result._replace(
                accuracy=self.sign * result.accuracy,
                arch_index=self.table.row[result.arch_index],
            )
            for name, result in self.exact.items()
        }
        return queries.arrays(restored, self.columns, self.seeds)

    def report(self) -> str:
        """Tables of values, of queries to the optimum and of paired comparisons."""
        reached, best = self.reached(), np.nanmax(self.values, axis=1)
        shared = self.columns, best, self.budgets, self.sign
        parts = [
            query_tables.value_table(reached, *shared),
            query_tables.optimum_table(self.exact, self.values, self.columns),
        ]
        if len(self.seeds) > 1 and len(self.results) > 1:
            first = next(iter(self.results))
            parts.append(
                query_tables.comparison_table(
                    reached, self.columns, self.budgets, first
                )
            )
        return "\n\n".join(parts)

    def screen(self, used: int = 0) -> str:
        """See `query_summary.screen`."""
        return query_summary.screen(
            self.exact,
            self.values,
            self.columns,
            self.budgets[-1:],
            show=lambda x: f"{self.sign * x:.6g}",
            used=used,
        )

    def draw_regret(self, path: Path, methods: Sequence[str], title: str) -> None:
        """Regret of some methods against queries."""
        reached, optimum = self.reached(), np.nanmax(self.values, axis=1)
        regrets = {name: queries.regret(reached[name], optimum) for name in methods}
        plots.regret(path, regrets, [f"{name} {title}" for name in self.columns])
