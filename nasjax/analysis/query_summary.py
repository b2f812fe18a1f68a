"""A summary of searches of a table that fits a screen."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nasjax.analysis import queries, statistics
from nasjax.analysis.queries import Searches
from nasjax.analysis.text import Rows, short, text_table
from nasjax.runs.script import SCREEN, wrapped
from nasjax.runs.table_search import Result

HEIGHT = 24  # lines of a screen


class Standing(NamedTuple):
    """Scores that order methods; as ranks they do not depend on a column's unit."""

    method: str
    ranks: np.ndarray  # [S], mean over columns of the rank of each search's best
    first: np.ndarray  # [V, S], queries to the optimum, infinity if never

    @property
    def rank(self) -> float:
        """Mean over columns and seeds of the rank in the table, 1 is best."""
        return float(self.ranks.mean())

    @property
    def median(self) -> float:
        """Median queries to the optimum; infinity if most searches do not reach it."""
        return float(np.quantile(self.first, 0.5, method="higher"))

    @property
    def hits(self) -> str:
        """Searches that reached the optimum, `57/60`."""
        return f"{np.isfinite(self.first).sum()}/{self.first.size}"


def standings(searches: Searches) -> list[Standing]:
    """The methods, best first: by mean rank, then by median queries to the optimum."""
    rows, budget = [], searches.budgets[-1]
    for method, result in searches.results.items():
        ranks = queries.best_after(result, searches.values, budget).rank.mean(axis=0)
        index = result.arch_index[..., :budget]
        first = queries.first_optimum(index, searches.values)
        rows.append(Standing(method, ranks, first))
    return sorted(rows, key=lambda row: (row.rank, row.median))


def _number(x: float) -> str:
    """A rank with three or four digits: 1.03, 15.2, 236.4, 4,321."""
    return f"{x:,.{2 if x < 10 else 1 if x < 1000 else 0}f}"


def winner_text(ordered: Sequence[Standing], rows: int, budget: int) -> str:
    """The best method, and its comparison with the second.

    Args:
      ordered: from `standings`.
      rows: number of rows of the table.
      budget: number of queries.
    """
    best, *others = ordered
    columns, seeds = best.first.shape
    median = f", median {best.median:.0f} queries" if best.median < np.inf else ""
    text = (
        f"best: {best.method}, mean rank {_number(best.rank)} of {rows:,} "
        f"after {budget} queries (columns x seeds: {columns} x {seeds}), the optimum "
        f"in {best.hits} searches{median}"
    )
    if not others:
        return text
    second = others[0]
    text += f"\nnext: {second.method}, mean rank {_number(second.rank)}"
    if seeds < 2:
        return f"{text}; one seed is no evidence"
    pair = statistics.paired(second.ranks, best.ranks)
    if not np.any(second.ranks != best.ranks):
        return f"{text}: the same; the order is that of the queries to the optimum"
    interval = f"95% interval {pair.low:.2f} to {pair.high:.2f}"
    significant = pair.p_value < 0.05 and pair.low > 0
    return (
        f"{text}: {pair.difference:.2f} ranks worse, paired over seeds, {interval}, "
        f"Wilcoxon p {statistics.p_value(pair.p_value)}"
    ) + ("" if significant else "; no difference is shown")


def summary_table(
    searches: Searches,
    ordered: Sequence[Standing],
    show: Callable[[float], str],
    published: Mapping[str, Rows],
    most: int,
) -> str:
    """Means over seeds of the best values, best method first, as wide as a screen.

    Budgets before the last have rows only if published rows stand below them.

    Args:
      searches: of any unit.
      ordered: from `standings`.
      show: formats a value.
      published: see `query_tables.best_table`.
      most: largest number of rows of methods; further ones are counted.
    """
    budget = searches.budgets[-1]

    def means(method: str, count: int) -> list[str]:
        reached = searches.reached[method][..., count - 1]
        summaries = map(statistics.describe, reached)
        return [show(x.mean) if x.finite else "none" for x in summaries]

    rows: list[list[str]] = []
    for standing in ordered:
        method = standing.method
        for count in searches.budgets:
            below = published.get(f"{method}-{short(count)}", ())
            if count < budget and below:
                rows.append([f"{method}, {count}", "", "", *means(method, count)])
            if count == budget:
                place = [_number(standing.rank), standing.hits]
                rows.append([method, *place, *means(method, count)])
            for label, *cells in below:
                rows.append([label, "", "", *(x.partition(" ±")[0] for x in cells)])
    left_out = max(len(rows) - most, 0)
    rows = rows[:most]
    optimum = [show(float(best)) for best in searches.optima]
    rows.append(["optimum of the table", "", "", *optimum])
    header = [f"mean best after\n{budget} queries", "mean\nrank", "optimum\nfound"]
    header += [name.replace("_", "\n", 1) for name in searches.columns]
    text, count = text_table(header, rows), len(header)
    while count > 4 and max(map(len, text.splitlines())) > SCREEN:
        count -= 1
        text = text_table(header[:count], [row[:count] for row in rows])
    more = [
        f"{n} more {name}"
        for n, name in ((left_out, "rows"), (len(header) - count, "columns"))
        if n
    ]
    return f"{text}\n{' and '.join(more)}: report.txt" if more else text


def seconds_text(results: Mapping[str, Result]) -> str:
    """Seconds of compiling and running all methods, and the two slowest."""
    times = {n: x.compile_seconds + x.run_seconds for n, x in results.items()}
    slowest = sorted(times, key=times.__getitem__, reverse=True)[:2]
    parts = ", ".join(f"{name} {times[name]:.0f} s" for name in slowest)
    return f"compiling and running: {sum(times.values()):.0f} s, of which {parts}"


def screen(
    searches: Searches,
    *,
    show: Callable[[float], str] = lambda x: f"{100 * x:.2f}",
    counted: Sequence[int] | None = None,
    published: Mapping[str, Rows] | None = None,
    used: int = 0,
    rows: int | None = None,
) -> str:
    """The table of means, the best method and the seconds, for one screen.

    Args:
      searches, show, published: see `summary_table`.
      counted: indices of the columns that decide the order; None for all.
      used: number of lines of the screen that other output takes.
      rows: number of rows that were ranked; None for all of the table.
    """
    deciding = searches if counted is None else searches.pick(counted)
    ordered = standings(deciding)
    rows = searches.values.shape[1] if rows is None else rows
    best = winner_text(ordered, rows, searches.budgets[-1])
    last = wrapped(f"{best}\n{seconds_text(searches.results)}")
    # Three lines of header, the optimum, a line on rows left out; two of file names.
    most = max(HEIGHT - used - len(last.splitlines()) - 7, 3)
    table = summary_table(searches, ordered, show, published or {}, most)
    return f"{table}\n{last}"
