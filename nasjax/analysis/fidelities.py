"""Searches of several fidelities: the best at the top level against cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nasjax.analysis import thesis
from nasjax.analysis.plots import style
from nasjax.analysis.statistics import describe, mean_std
from nasjax.analysis.text import text_table
from nasjax.data.nb201 import COLUMNS, Table
from nasjax.runs.table_search import Result
from nasjax.search.fidelity import COST, FIDELITY

TRAININGS = (10, 30, 100)  # mean cost of the top level, after which methods compare
NEAR = 0.999  # of the best accuracy of a column


class Curves(NamedTuple):
    """One method's searches of V columns with S seeds, T queries each."""

    best: np.ndarray  # float32 [V, S, T], at the top level so far; NaN before it
    spent: np.ndarray  # float64 [V, S, T], the cost up to each query

    @classmethod
    def of(cls, result: Result, top: int) -> "Curves":
        """The curves of a search whose highest level is `top`."""
        counts = result.metrics[FIDELITY] == top
        scores = np.where(
            counts & np.isfinite(result.accuracy), result.accuracy, np.nan
        )
        spent = np.cumsum(result.metrics[COST], axis=-1, dtype=np.float64)
        return cls(np.fmax.accumulate(scores, axis=-1), spent)

    def cost_to(self, targets: np.ndarray) -> np.ndarray:
        """float64 [V, S]: cost until targets [V] are reached; infinity if never."""
        hit = self.best >= targets[:, None, None]
        return np.where(hit, self.spent, np.inf).min(axis=-1)

    def best_after(self, budgets: np.ndarray) -> np.ndarray:
        """float64 [V, S]: the best within budgets [V] of cost.

        NaN if there is none, or if the search ended before the budget was spent.
        """
        spends = self.spent[..., -1] >= budgets[:, None]
        inside = np.where(self.spent <= budgets[:, None, None], self.best, np.nan)
        return np.where(spends, np.fmax.reduce(inside, axis=-1), np.nan)


class Searches(NamedTuple):
    """Searches of columns by several methods."""

    curves: Mapping[str, Curves]  # by method
    columns: Sequence[str]  # V
    optima: np.ndarray  # [V], the best accuracies of the columns
    training: np.ndarray  # [V], mean cost of the top level
    unit: str  # of costs, "hours" or "epochs"
    scale: float  # costs in that unit

    def describe(self) -> list[dict[str, Any]]:
        """An entry for each method and column, for results.json."""
        entries = []
        for method, curves in self.curves.items():
            to = [curves.cost_to(share * self.optima) for share in (1.0, NEAR)]
            after = [curves.best_after(n * self.training) for n in TRAININGS]
            for v, column in enumerate(self.columns):
                entry: dict[str, Any] = {"method": method, "column": column}
                for name, cost in zip(("optimum", "near"), to, strict=True):
                    entry[f"{self.unit}_to_{name}"] = cost[v] * self.scale
                    entry[f"share_{name}"] = float(np.isfinite(cost[v]).mean())
                for n, best in zip(TRAININGS, after, strict=True):
                    entry[f"after_{n}_trainings"] = best[v]
                entry[f"{self.unit}_in_all"] = curves.spent[v, :, -1] * self.scale
                entries.append(entry)
        return entries

    def report(self) -> str:
        """The table: medians of costs, means and deviations of accuracies."""
        rows = []
        for entry in self.describe():
            cells = [f"{entry['method']}, {entry['column']}"]
            for name in ("optimum", "near"):
                median = np.median(entry[f"{self.unit}_to_{name}"])
                text = f"{median:.1f}" if np.isfinite(median) else "-"
                cells.append(f"{text} ({100 * entry[f'share_{name}']:.0f}%)")
            cells += [mean_std(entry[f"after_{n}_trainings"]) for n in TRAININGS]
            rows.append(cells)
        header = [
            "method, column",
            f"{self.unit} to\nthe optimum",
            f"{self.unit} to\n{100 * NEAR:.1f} % of it",
            *(f"best [%] after\n{n} trainings" for n in TRAININGS),
        ]
        seeds = len(next(iter(self.curves.values())).best[0])
        return (
            f"{text_table(header, rows)}\nmedians over {seeds} seeds (share of seeds "
            "that reached it; - if under half); a training costs the mean of the top "
            "level"
        )

    def draw(self, path: Path) -> None:
        """Mean of the best at the top level against cost, with its 95 % band."""
        figure, axes = style.panels(len(self.columns), (5.0, 3.6))
        for v, (axis, column) in enumerate(zip(axes, self.columns, strict=True)):
            for name, curves in self.curves.items():
                grid, y = on_grid(curves.best[v], curves.spent[v])
                style.mean_of_seeds(axis, grid * self.scale, 100 * y, name)
            best = 100 * self.optima[v]
            axis.axhline(best, color="black", lw=0.8, ls=":")
            axis.set_ylim(0.97 * best, 1.002 * best)
            axis.set_xscale("log")
            style.label(axis, column, self.unit, "best accuracy so far [%]")
        axes[0].legend(fontsize=8, loc="lower right")
        style.save(figure, path)


def on_grid(best: np.ndarray, spent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Costs [G] at which all seeds have a best, and these [S, G]."""
    first = np.argmax(np.isfinite(best), axis=-1)
    low = np.take_along_axis(spent, first[:, None], axis=-1).max()
    grid = np.geomspace(low, max(low, spent[:, -1].min()), 200)
    at = [np.searchsorted(s, grid, side="right") - 1 for s in spent]
    rows = [b[np.maximum(i, 0)] for b, i in zip(best, at, strict=True)]
    return grid, np.stack(rows)


class Winners(NamedTuple):
    """Winners of searches within a budget, reported on columns of 200 epochs."""

    rows: Mapping[str, np.ndarray]  # int [S] by method, of the table; -1 for none
    queries: Mapping[str, np.ndarray]  # int [S] by method, within the budget
    table: Table

    def accuracies(self, method: str) -> dict[str, np.ndarray]:
        """Accuracies [S] of the winners by column; NaN where there is none."""
        rows = self.rows[method]
        return {
            name: np.where(rows >= 0, self.table.columns[name].values[rows], np.nan)
            for name in COLUMNS
        }

    def report(self) -> str:
        """Mean and deviation of each method; the thesis's row of BOHB below."""
        rows = []
        for method in self.rows:
            means = map(mean_std, self.accuracies(method).values())
            count = f"{self.queries[method].mean():.1f}"
            rows.append([method, count, *means])
        rows.append(["BOHB (thesis)", "", *thesis.row_4_1("BOHB", COLUMNS)])
        return text_table(["accuracy of the winner [%]", "queries", *COLUMNS], rows)

    def describe(self) -> dict[str, Any]:
        """The methods' part of results.json."""
        return {
            method: {
                "winner": rows,
                "queries": float(self.queries[method].mean()),
                "columns": {
                    name: describe(x).to_json()
                    for name, x in self.accuracies(method).items()
                },
            }
            for method, rows in self.rows.items()
        }


def winner(result: Result, budget: float, top: int | None) -> tuple[np.ndarray, Any]:
    """Row of the table and number of queries of each seed [S], within a budget.

    Args:
      result: of one column.
      budget: of cost.
      top: the level whose best query wins; None for any level.

    Raises:
      ValueError: a search ended before the budget was spent.
    """
    spent = np.cumsum(result.metrics[COST][0], axis=-1, dtype=np.float64)
    if (least := spent[:, -1].min()) < budget:
        raise ValueError(
            f"a search of {spent.shape[1]} queries spent {least:.0f} of {budget:.0f}: "
            "more --steps are needed"
        )
    inside = spent <= budget
    counts = inside & np.isfinite(result.accuracy[0])
    if top is not None:
        counts &= result.metrics[FIDELITY][0] == top
    at = np.argmax(np.where(counts, result.accuracy[0], -np.inf), axis=-1)
    rows = np.take_along_axis(result.arch_index[0], at[:, None], axis=-1)[:, 0]
    return np.where(counts.any(axis=-1), rows, -1), inside.sum(axis=-1)
