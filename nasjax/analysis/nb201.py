"""Searches of NAS-Bench-201: reports, pictures and one screen, beside Table 4.1."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nasjax.analysis import plots, queries, query_summary, query_tables, thesis
from nasjax.analysis.queries import best_so_far
from nasjax.analysis.query_tables import Results
from nasjax.analysis.statistics import mean_std
from nasjax.analysis.text import text_table
from nasjax.data.nb201 import COLUMNS, Column, Table
from nasjax.spaces import CellSpace

PREDICTED = "no benchmark data, ranks within predictions"
# The published protocol: the searched column, queries and row of Table 4.1 by method.
SEARCHED = "cifar10_valid_12ep"
PROTOCOL = {"random": (100, "RS"), "evolution": (110, "REA")}


def describe_column(column: Column, trial: str) -> dict[str, Any]:
    """The origin and the optimum of a column, for results files."""
    best = int(column.values.argmax())
    return {
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


def describe_columns(table: Table, trial: str) -> dict[str, dict[str, Any]]:
    """Origin of each column; `trial` says what a query returns."""
    return {n: describe_column(c, trial) for n, c in table.columns.items()}


def column_line(name: str, described: Mapping[str, Any]) -> str:
    """A line on a column, from `describe_column`."""
    d = described
    noisy = d["trial"] == "random"
    trials = f", single trials {d['trials_version']}" if noisy else ""
    predicted = "  [PREDICTED, not the benchmark]" if d["predicted"] else ""
    return (
        f"{name}: {d['dataset']} {d['split']}, {d['epochs']} epochs, benchmark "
        f"{d['benchmark_version']}{trials}; optimum {100 * d['optimum']:.4f} "
        f"@{d['optimum_index']} (in this version); {d['source']}{predicted}"
    )


class Searches(NamedTuple):
    """Searches of every column of a table."""

    table: Table
    results: Results
    seeds: Sequence[int]
    budgets: Sequence[int]  # numbers of queries to report; the last is the whole search
    comparable: bool  # with Table 4.1: means over trials after 200 epochs

    @property
    def columns(self) -> list[Column]:
        """The V columns."""
        return list(self.table.columns.values())

    @property
    def values(self) -> np.ndarray:
        """float32 [V, A]."""
        return np.stack([column.values for column in self.columns])

    @property
    def predicted(self) -> np.ndarray:
        """bool [V]: which columns are predictions."""
        return np.array([column.predicted for column in self.columns])

    def report(self) -> str:
        """All tables, those of predicted columns in a block of their own."""
        parts = []
        for kind in np.unique(self.predicted):
            pick = np.flatnonzero(self.predicted == kind).tolist()
            names = [self.columns[v].name for v in pick]
            if kind:
                parts.append(f"PREDICTED columns: {PREDICTED}")
                names = [f"{name} (predicted)" for name in names]
            beside = self.comparable and not kind
            text = query_tables.report(
                {name: queries.select(x, pick) for name, x in self.results.items()},
                self.values[pick],
                self.table.isomorphism_class,
                names,
                self.budgets,
                published=thesis.rows_4_1(names, self.budgets) if beside else None,
            )
            parts.append(text)
        return "\n\n".join(parts)

    def screen(self) -> str:
        """See `query_summary.screen`; real columns alone decide, if there are any."""
        predicted = self.predicted
        names = [c.name + " *" * c.predicted for c in self.columns]
        rows = thesis.rows_4_1(names, self.budgets, others=False)
        counted = None if predicted.all() else np.flatnonzero(~predicted).tolist()
        text = query_summary.screen(
            self.results,
            self.values,
            names,
            self.budgets,
            counted=counted,
            used=1 + int(predicted.any()),  # a line may say which seed runs
            published=rows if self.comparable else None,
        )
        return f"{text}\n* PREDICTED: {PREDICTED}" if predicted.any() else text

    def describe(self) -> dict[str, Any]:
        """The methods' part of results.json."""
        names = [column.name for column in self.columns]
        shared = self.table.isomorphism_class, names, self.seeds, self.budgets
        return {
            method: queries.describe_method(result, self.values, *shared)
            for method, result in self.results.items()
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """The content of results.npz."""
        names = [column.name for column in self.columns]
        arrays = queries.arrays(self.results, names, self.seeds)
        return arrays | {"predicted": self.predicted}

    def draw_anytime(self, path: Path, axis: str = "queries") -> None:
        """Best so far against queries, or against simulated `time`."""
        columns, results = self.columns, self.results
        best = {m: best_so_far(r.accuracy) for m, r in results.items()}
        x, xlabel = None, "queries"
        if axis == "time":
            seconds = np.stack([np.asarray(c.train_time) for c in columns])[:, None]
            x = {
                m: np.take_along_axis(seconds, r.arch_index, axis=2).cumsum(-1) / 3600
                for m, r in results.items()
            }
            xlabel = "simulated time [h] (training; from nats_bench also validation)"
        guess = {True: ", PREDICTED", False: ""}
        titles = [f"{c.name} ({c.version}{guess[c.predicted]})" for c in columns]
        optima = self.values.max(1)
        plots.anytime(path, best, titles, optima, x=x, xlabel=xlabel)

    def draw_states(self, path: Path, space: CellSpace, top_k: int) -> None:
        """CADAM's state of the first seed beside the true best (Fig. 4.2)."""
        states = self.results["cadam"].states
        step = 500 if 500 in states else max(states)  # as Fig. 4.2
        rows = []
        for v, column in enumerate(self.columns):
            top = np.argsort(-column.values, kind="stable")[:top_k]
            truth = np.asarray(space.one_hot(self.table.ops[top])).mean(0)
            title = column.name + " (PREDICTED)" * column.predicted
            rows.append((title, states[step][v, 0], truth))
        name = f"CADAM after {step} queries, seed {self.seeds[0]}"
        plots.states(path, space, rows, (name, f"top {top_k} of the table"))


class Winners(NamedTuple):
    """Winners on 12-epoch CIFAR-10 and their accuracies after 200 epochs."""

    table: Table
    results: Results
    seeds: Sequence[int]

    @property
    def values(self) -> np.ndarray:
        """float32 [6, A]: accuracies after 200 epochs."""
        return np.stack([self.table.columns[name].values for name in COLUMNS])

    def rows(self, method: str) -> np.ndarray:
        """int [S]: rows of the table that won."""
        searched = self.table.columns[SEARCHED].values[None]
        budget, _ = PROTOCOL[method]
        return queries.best_after(self.results[method], searched, budget).row[0]

    def _rows(self) -> list[list[str]]:
        rows = []
        for method in self.results:
            budget, source = PROTOCOL[method]
            means = [mean_std(column[self.rows(method)]) for column in self.values]
            rows.append([f"{method}, {budget} queries", *means])
            rows.append([f"  {source} (thesis)", *thesis.row_4_1(source, COLUMNS)])
        return rows

    def report(self) -> str:
        """Mean and deviation, each method's row of Table 4.1 below its own."""
        return text_table(["accuracy of the winner [%]", *COLUMNS], self._rows())

    def screen(self) -> str:
        """The means alone, and the seconds."""
        header = [name.replace("_", "\n") for name in COLUMNS]
        means = [[cell.partition(" ±")[0] for cell in row] for row in self._rows()]
        table = text_table(["mean accuracy of\nthe winner [%]", *header], means)
        return f"{table}\n{query_summary.seconds_text(self.results)}"

    def describe(self) -> dict[str, Any]:
        """The methods' part of results.json."""
        described = {}
        for method, result in self.results.items():
            at = self.rows(method)
            described[method] = {
                "queries": PROTOCOL[method][0],
                "winner": dict(zip(map(str, self.seeds), at.tolist(), strict=True)),
                "compile_seconds": result.compile_seconds,
                "run_seconds": result.run_seconds,
                "columns": {
                    name: {"mean": float(column[at].mean()), "values": column[at]}
                    for name, column in zip(COLUMNS, self.values, strict=True)
                },
            }
        return described

    def arrays(self) -> dict[str, np.ndarray]:
        """The content of results.npz."""
        return queries.arrays(self.results, [SEARCHED], self.seeds)

    def draw_anytime(self, path: Path, axis: str = "queries") -> None:
        """Best so far against queries on the searched column."""
        del axis
        best = {m: best_so_far(r.accuracy) for m, r in self.results.items()}
        optimum = [self.table.columns[SEARCHED].values.max()]
        titles = ["cifar10_valid, 12 epochs (what is searched)"]
        plots.anytime(path, best, titles, optimum)
