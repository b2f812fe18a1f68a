"""Results of searches on NAS-Bench-201, compared with Table 4.1 of the thesis."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasjax.analysis import plots, queries, query_summary, query_tables, thesis
from nasjax.analysis.queries import best_so_far
from nasjax.analysis.statistics import mean_std
from nasjax.analysis.text import text_table
from nasjax.data.nb201 import COLUMNS, Table
from nasjax.runs.table_search import Result
from nasjax.spaces import CellSpace

PREDICTED = "no benchmark data, ranks within predictions"
# The published protocol: the searched column; by method, its number of queries and its
# row in Table 4.1.
SEARCHED = "cifar10_valid_12ep"
PROTOCOL = {"random": (100, "RS"), "evolution": (110, "REA")}


def describe_columns(table: Table, trial: str) -> dict[str, dict[str, Any]]:
    """The origin and the optimum of each column, for results files.

    Args:
      table: with the columns.
      trial: result of a query: "mean" over trials, or a "random" one.
    """
    described = {}
    for name, column in table.columns.items():
        best = int(np.nanargmax(column.values))
        described[name] = {
            "source": column.source,
            "benchmark_version": column.version,
            "trials_version": column.trials_version,
            "sha256": column.sha256,
            "dataset": column.dataset,
            "split": column.split,
            "epochs": column.epochs,
            "trial": trial,
            "predicted": column.predicted,
            "optimum": float(column.values[best]),
            "optimum_index": best,
        }
    return described


def column_line(name: str, described: Mapping[str, Any]) -> str:
    """Origin and optimum of a column, an entry of `describe_columns`, as a line."""
    d = described
    noisy = d["trial"] == "random"
    trials = f", single trials {d['trials_version']}" if noisy else ""
    predicted = "  [PREDICTED, not the benchmark]" if d["predicted"] else ""
    return (
        f"{name}: {d['dataset']} {d['split']}, {d['epochs']} epochs, benchmark "
        f"{d['benchmark_version']}{trials}; optimum {100 * d['optimum']:.4f} "
        f"@{d['optimum_index']} (in this version); {d['source']}{predicted}"
    )


@dataclasses.dataclass(frozen=True)
class Searches(queries.Searches):
    """Searches of every column of a table."""

    table: Table
    comparable: bool  # with Table 4.1: means over trials after 200 epochs

    @property
    def predicted(self) -> np.ndarray:
        """bool [V]: whether each column is a prediction."""
        return np.array([self.table.columns[name].predicted for name in self.columns])

    def report(self) -> str:
        """All tables; those of predicted columns in a separate block."""
        parts = []
        for kind in np.unique(self.predicted):
            part = self.pick(np.flatnonzero(self.predicted == kind).tolist())
            published = {}
            if kind:
                parts.append(f"PREDICTED columns: {PREDICTED}")
                names = [f"{name} (predicted)" for name in part.columns]
                part = dataclasses.replace(part, columns=names)
            elif self.comparable:
                published = thesis.rows_4_1(part.columns, self.budgets)
            parts.append(query_tables.report(part, published))
        return "\n\n".join(parts)

    def screen(self) -> str:
        """See `query_summary.screen`; predicted columns count only if all are."""
        predicted = self.predicted
        marked = zip(self.columns, predicted, strict=True)
        names = [f"{name} *" if guess else name for name, guess in marked]
        rows = thesis.rows_4_1(names, self.budgets, others=False)
        text = query_summary.screen(
            dataclasses.replace(self, columns=names),
            counted=None if predicted.all() else np.flatnonzero(~predicted).tolist(),
            used=1 + int(predicted.any()),  # a line may say which seed runs
            published=rows if self.comparable else None,
            rows=int(np.isfinite(self.values).any(axis=0).sum()),
        )
        return f"{text}\n* PREDICTED: {PREDICTED}" if predicted.any() else text

    def arrays(self) -> dict[str, np.ndarray]:
        """The content of results.npz."""
        return super().arrays() | {"predicted": self.predicted}

    def draw_anytime(self, path: Path, axis: str = "queries") -> None:
        """Best so far against queries, or against simulated `time`."""
        columns = [self.table.columns[name] for name in self.columns]
        x, xlabel = None, "queries"
        if axis == "time":
            seconds = np.stack([np.asarray(c.train_time) for c in columns])[:, None]
            x = {
                m: np.take_along_axis(seconds, r.arch_index, axis=2).cumsum(-1) / 3600
                for m, r in self.results.items()
            }
            xlabel = "simulated time [h] (training; from nats_bench also validation)"
        guess = {True: ", PREDICTED", False: ""}
        titles = [f"{c.name} ({c.version}{guess[c.predicted]})" for c in columns]
        _draw_anytime(path, self, titles, x=x, xlabel=xlabel)

    def draw_states(self, path: Path, space: CellSpace, top_k: int) -> None:
        """Draws CADAM's state for the first seed beside the true top K (Fig. 4.2)."""
        states = self.results["cadam"].states
        step = 500 if 500 in states else max(states)  # as Fig. 4.2
        rows = []
        for v, name in enumerate(self.columns):
            column = self.table.columns[name]
            top = np.argsort(-column.values, kind="stable")[:top_k]
            truth = np.asarray(space.one_hot(self.table.ops[top])).mean(0)
            title = name + " (PREDICTED)" * column.predicted
            rows.append((title, states[step][v, 0], truth))
        caption = f"CADAM after {step} queries, seed {self.seeds[0]}"
        plots.states(path, space, rows, (caption, f"top {top_k} of the table"))


@dataclasses.dataclass(frozen=True)
class Winners(queries.Searches):
    """Searches of 12-epoch CIFAR-10, whose winners are reported after 200 epochs."""

    table: Table  # with the six columns after 200 epochs

    def accuracies(self, method: str) -> dict[str, np.ndarray]:
        """Accuracies [S] of the winners after 200 epochs, by column."""
        rows = self.rows(method)
        return {name: self.table.columns[name].values[rows] for name in COLUMNS}

    def rows(self, method: str) -> np.ndarray:
        """int [S]: the winner of each seed, as a row of the table."""
        budget, _ = PROTOCOL[method]
        return queries.best_after(self.results[method], self.values, budget).row[0]

    def _table_rows(self) -> list[list[str]]:
        rows = []
        for method in self.results:
            budget, source = PROTOCOL[method]
            means = map(mean_std, self.accuracies(method).values())
            rows.append([f"{method}, {budget} queries", *means])
            rows.append([f"  {source} (thesis)", *thesis.row_4_1(source, COLUMNS)])
        return rows

    def report(self) -> str:
        """Mean and deviation of each method, with its row of Table 4.1 below."""
        return text_table(["accuracy of the winner [%]", *COLUMNS], self._table_rows())

    def screen(self) -> str:
        """The means without deviations, and the seconds."""
        header = [name.replace("_", "\n") for name in COLUMNS]
        means = [
            [cell.partition(" ±")[0] for cell in row] for row in self._table_rows()
        ]
        table = text_table(["mean accuracy of\nthe winner [%]", *header], means)
        return f"{table}\n{query_summary.seconds_text(self.results)}"

    def describe(self) -> dict[str, Any]:
        """The methods' part of results.json."""
        described = {}
        for method, result in self.results.items():
            rows, accuracies = self.rows(method), self.accuracies(method)
            described[method] = {
                "queries": PROTOCOL[method][0],
                "winner": dict(zip(map(str, self.seeds), rows.tolist(), strict=True)),
                "compile_seconds": result.compile_seconds,
                "run_seconds": result.run_seconds,
                "columns": {
                    name: {"mean": float(x.mean()), "values": x}
                    for name, x in accuracies.items()
                },
            }
        return described

    def draw_anytime(self, path: Path, axis: str = "queries") -> None:
        """Best so far against queries on the searched column."""
        del axis
        _draw_anytime(path, self, ["cifar10_valid, 12 epochs (what is searched)"])


def searches(
    table: Table,
    results: Mapping[str, Result],
    seeds: Sequence[int],
    budgets: Sequence[int],
    comparable: bool,
) -> Searches:
    """Searches of every column of a table, to be reported; see `Searches`."""
    values = np.stack([column.values for column in table.columns.values()])
    shared = list(table.columns), seeds, budgets, table.isomorphism_class
    return Searches(results, values, *shared, table, comparable)


def winners(
    table: Table, results: Mapping[str, Result], seeds: Sequence[int]
) -> Winners:
    """Searches of the published protocol, to be reported; see `Winners`."""
    values = table.columns[SEARCHED].values[None]
    shared = [SEARCHED], seeds, (), table.isomorphism_class
    return Winners(results, values, *shared, table)


def _draw_anytime(
    path: Path, searches: queries.Searches, titles: Sequence[str], **options: Any
) -> None:
    best = {m: best_so_far(r.accuracy) for m, r in searches.results.items()}
    plots.anytime(path, best, titles, searches.optima, **options)
