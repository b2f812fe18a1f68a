"""Tables of searches by queries: best values, ranks, comparisons, diagnostics."""

from collections.abc import Mapping, Sequence

import numpy as np

from nasjax.analysis import queries, statistics
from nasjax.analysis.statistics import mean_std
from nasjax.analysis.text import Rows, paired_table, short, text_table
from nasjax.runs.table_search import Result

Results = Mapping[str, Result]  # by method


def best_table(
    results: Results,
    values: np.ndarray,
    columns: Sequence[str],
    budgets: Sequence[int],
    published: Mapping[str, Rows],
) -> str:
    """Mean and deviation over seeds of the best accuracy, in percent.

    Args:
      results: by method.
      values: [V, A], fractions.
      columns: names of the V columns.
      budgets: numbers of queries to report.
      published: rows to stand below a row of that label, such as `cadam-1k`; those of
        the empty label stand at the end.
    """
    rows: list[Sequence[str]] = []
    for method, result in results.items():
        for budget in budgets:
            label = f"{method}-{short(budget)}"
            best = queries.best_after(result, values, budget)
            rows.append([label, *map(mean_std, best.observed)])
            if np.any(best.observed != best.value):
                rows.append(["  its mean over trials", *map(mean_std, best.value)])
            rows.extend(published.get(label, ()))
    optimum = [f"{100 * np.nanmax(column):.2f}" for column in values]
    rows.append(["optimum of this table", *optimum])
    rows.extend(published.get("", ()))
    return text_table(["best accuracy [%]", *columns], rows)


def value_table(
    reached: Mapping[str, np.ndarray],
    columns: Sequence[str],
    optimum: np.ndarray,
    budgets: Sequence[int],
    sign: float,
) -> str:
    """Mean ± deviation over seeds of the value reached, in the columns' own units.

    Args:
      reached: by method, [V, S, T] from `queries.incumbent`.
      columns, optimum: names and largest values of the V columns.
      budgets: numbers of queries to report.
      sign: -1 where the columns were negated to be maximised.
    """
    rows = [
        [f"{name}, {n}", *(mean_std(sign * x[:, n - 1], 1.0, 6) for x in best)]
        for name, best in reached.items()
        for n in budgets
    ]
    rows.append(["optimum", *(f"{sign * x:.6g}" for x in optimum)])
    return text_table(["best value, queries", *columns], rows)


def rank_table(
    result: Result,
    values: np.ndarray,
    columns: Sequence[str],
    budget: int,
    method: str,
) -> str:
    """Per column the rank of each seed's best, and how many reach ranks 1 and 3."""
    ranks = queries.best_after(result, values, budget).rank
    rows = [
        [
            column,
            f"{np.sum(row == 1)}/{len(row)}",
            f"{np.sum(row <= 3)}/{len(row)}",
            " ".join(map(str, row[:10])) + (" ..." if len(row) > 10 else ""),
        ]
        for column, row in zip(columns, ranks, strict=True)
    ]
    title = f"{method}-{short(budget)}: ranks"
    return text_table([title, "rank 1", "ranks 1-3", "per seed"], rows)


def optimum_table(results: Results, values: np.ndarray, columns: Sequence[str]) -> str:
    """Queries to the optimum, median and 90th percentile, and how often it is hit."""
    rows = []
    for name, result in results.items():
        first = queries.first_optimum(result.arch_index, values)
        for column, hits in zip(columns, first, strict=True):
            median, late = (_queries(hits, q) for q in (0.5, 0.9))
            share = f"{np.isfinite(hits).sum()}/{len(hits)}"
            rows.append([name, column, median, late, share])
    header = ["queries to the optimum", "column", "median", "90 %"]
    return text_table([*header, "seeds that reach it"], rows)


def _queries(hits: np.ndarray, quantile: float) -> str:
    value = np.quantile(hits, quantile, method="higher")
    return f"{value:.0f}" if np.isfinite(value) else "never"


def comparison_table(
    reached: Mapping[str, np.ndarray],
    columns: Sequence[str],
    budgets: Sequence[int],
    first: str,
    unit: str = "gain",
    digits: str = ".3g",
) -> str:
    """`first` against every other method, seed by seed: its gain in value.

    The table's value of the best query is compared, not one noisy trial, of the seeds
    in which both methods found anything.

    Args:
      reached: by method, [V, S, T] from `queries.incumbent`.
      columns: names of the V columns.
      budgets: numbers of queries to report.
      first: a method.
      unit, digits: of the differences.
    """
    rows = []
    for name, theirs in reached.items():
        for v, column in enumerate(columns if name != first else ()):
            for n in budgets:
                pair = np.stack([x[v, :, n - 1] for x in (reached[first], theirs)])
                pair = pair[:, np.isfinite(pair).all(axis=0)]
                compared = statistics.paired(*pair) if pair.shape[1] > 1 else None
                rows.append(([f"{first} - {name}", column, str(n)], compared))
    header = ["paired over seeds", "column", "queries"]
    return paired_table(header, rows, unit, digits)


def diagnostics_table(
    results: Results, classes: np.ndarray, columns: Sequence[str]
) -> str:
    """Distinct queries and, for policies, the scores of their own late actions.

    Args:
      results: by method.
      classes: int [A], isomorphism class of each row of the table.
      columns: names of the V columns.
    """
    rows = []
    for name, result in results.items():
        distinct = queries.running_distinct(result.arch_index)[..., -1]
        cells = queries.running_distinct(classes[result.arch_index])[..., -1]
        late = queries.late_policy(result)
        for v, column in enumerate(columns):
            row = [name, column, *(f"{x[v].mean():.0f}" for x in (distinct, cells))]
            if late is None:
                rows.append([*row, "", "", ""])
                continue
            last = {key: x[v, :, -100:].mean() for key, x in result.info.items()}
            finite = np.isfinite(late[v]).all()
            row.append(mean_std(late[v]) if finite else "none")
            row.append(f"{last['below']:.2f}" if "below" in last else "")
            rows.append([*row, f"{last['spread']:.4f}"])
    header = ["method", "column", "distinct", "non-isomorphic"]
    text = text_table([*header, "late policy [%]", "r < Q", "spread"], rows)
    legend = (
        "\nlate policy: mean accuracy of the policy's own actions, last 100 steps; "
        "r < Q: share of\nrewards below the critic's value there (near tau once it "
        "fits); spread: deviation within an action"
    )
    return text + legend if any(row[4] for row in rows) else text


def report(
    results: Results,
    values: np.ndarray,
    classes: np.ndarray,
    columns: Sequence[str],
    budgets: Sequence[int],
    *,
    published: Mapping[str, Rows] | None = None,
    first: str = "cadam",
) -> str:
    """All tables of searches of accuracies.

    Args:
      results: by method.
      values: [V, A], fractions.
      classes: int [A], isomorphism classes.
      columns: names of the V columns.
      budgets: numbers of queries to report.
      published: see `best_table`.
      first: the method whose ranks and paired comparisons are shown.
    """
    parts = [best_table(results, values, columns, budgets, published or {})]
    if first in results:
        mine = results[first]
        parts += [rank_table(mine, values, columns, n, first) for n in budgets]
    parts.append(diagnostics_table(results, classes, columns))
    seeds = next(iter(results.values())).accuracy.shape[1]
    if first in results and len(results) > 1 and seeds > 1:
        reached = {n: queries.incumbent(x, values) for n, x in results.items()}
        points = {n: 100 * x for n, x in reached.items()}
        last = budgets[-1:]
        parts.append(comparison_table(points, columns, last, first, "points", ".2f"))
    return "\n\n".join(parts)
