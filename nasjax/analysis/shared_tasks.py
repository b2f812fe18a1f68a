"""Searches of several data sets: queries of each until its optimum is found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nasjax.analysis import statistics
from nasjax.analysis.plots import style
from nasjax.analysis.text import text_table
from nasjax.runs.table_search import Result
from nasjax.search.fidelity import FIDELITY

SEPARATE = "separate"


def separate(result: Result, optima: np.ndarray) -> np.ndarray:
    """Queries of V separate searches until their optima; [V, S], infinity if never.

    Args:
      result: of V columns.
      optima: [V], the highest accuracies of the columns.
    """
    hit = result.accuracy >= optima[:, None, None]
    return np.where(hit.any(-1), 1.0 + hit.argmax(-1), np.inf)


def shared(result: Result, optima: np.ndarray) -> np.ndarray:
    """As `separate`, of one search whose levels are the V data sets.

    Only the queries of a data set itself are counted.
    """
    task, accuracy = result.metrics[FIDELITY][0], result.accuracy[0]
    firsts = []
    for v, optimum in enumerate(optima):
        own = task == v
        hit = own & (accuracy >= optimum)
        count = np.cumsum(own, axis=-1)[np.arange(len(hit)), hit.argmax(-1)]
        firsts.append(np.where(hit.any(-1), count, np.inf))
    return np.stack(firsts).astype(float)


class Searches(NamedTuple):
    """Separate and shared searches of V data sets with S seeds."""

    firsts: Mapping[str, np.ndarray]  # by kind of search: queries to the optimum [V, S]
    columns: Sequence[str]  # V
    queries: Mapping[str, Sequence[int]]  # by kind: of each data set, V numbers
    reference: str = SEPARATE  # the kind that others are tested against

    def describe(self) -> list[dict[str, Any]]:
        """An entry for each kind of search and data set, for results.json.

        `p_value` is that of Wilcoxon's test, paired over seeds, against the
        reference; a search that does not find the optimum counts as one query more.
        """
        entries = []
        for kind, firsts in self.firsts.items():
            for v, (column, first) in enumerate(zip(self.columns, firsts, strict=True)):
                high, last = (
                    float(np.quantile(first, q, method="higher")) for q in (0.5, 0.9)
                )
                most = min(self.queries[kind][v], self.queries[self.reference][v])
                alone = self.firsts[self.reference][v]
                alone, own = (
                    np.where(x <= most, x, most + 1.0) for x in (alone, first)
                )
                tested = kind != self.reference and len(first) > 1
                entries.append(
                    {
                        "search": kind,
                        "column": column,
                        "queries": self.queries[kind][v],
                        "queries_to_optimum": first,
                        "median": high,
                        "quantile_90": last,
                        "share": float(np.isfinite(first).mean()),
                        "p_value": statistics.paired(alone, own).p_value
                        if tested
                        else None,
                    }
                )
        return entries

    def report(self) -> str:
        """The table of medians, 90 % quantiles and shares of seeds."""
        rows = []
        for entry in self.describe():
            numbers = [entry["median"], entry["quantile_90"]]
            p = entry["p_value"]
            rows.append(
                [
                    f"{entry['search']}, {entry['column']}",
                    str(entry["queries"]),
                    *(f"{x:.0f}" if np.isfinite(x) else "-" for x in numbers),
                    f"{100 * entry['share']:.0f}%",
                    "" if p is None else statistics.p_value(p),
                ]
            )
        header = ["search, data set", "queries", "median to\nthe optimum"]
        header += ["90 %", "seeds\nat it", f"p against\n{self.reference}"]
        seeds = len(next(iter(self.firsts.values()))[0])
        return (
            f"{text_table(header, rows)}\nqueries of the data set itself; {seeds} "
            "seeds; - where fewer seeds reach the optimum"
        )

    def draw(self, path: Path) -> None:
        """Share of seeds at the optimum against the data set's own queries."""
        figure, axes = style.panels(len(self.columns), (5.0, 3.6))
        for v, (axis, column) in enumerate(zip(axes, self.columns, strict=True)):
            for kind, firsts in self.firsts.items():
                at = np.arange(self.queries[kind][v] + 1)
                share = 100 * np.mean(firsts[v][:, None] <= at, axis=0)
                axis.step(at, share, where="post", lw=1.3, label=kind)
            style.label(axis, column, "queries of the data set", "seeds at optimum [%]")
        axes[0].legend(fontsize=8, loc="lower right")
        style.save(figure, path)
