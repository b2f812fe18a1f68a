"""Text tables of searches: best values, ranks, comparisons, diagnostics."""

from collections.abc import Mapping, Sequence

import numpy as np

from nasjax.analysis import queries, statistics
from nasjax.analysis.queries import Searches
from nasjax.analysis.statistics import mean_std
from nasjax.analysis.text import Rows, paired_table, short, text_table


def best_table(searches: Searches, published: Mapping[str, Rows]) -> str:
    """Mean and deviation over seeds of the best accuracy, in percent.

    Args:
      searches: with accuracies as fractions.
      published: by label, such as `cadam-1k`, rows to print below the row with that
        label; those of the empty label are printed at the end.
    """
    rows: list[Sequence[str]] = []
    for method, result in searches.results.items():
        for budget in searches.budgets:
            label = f"{method}-{short(budget)}"
            best = queries.best_after(result, searches.values, budget)
            rows.append([label, *map(mean_std, best.observed)])
            if np.any(best.observed != best.value):
                rows.append(["  its mean over trials", *map(mean_std, best.value)])
            rows.extend(published.get(label, ()))
    optimum = [f"{100 * best:.2f}" for best in searches.optima]
    rows.append(["optimum of this table", *optimum])
    rows.extend(published.get("", ()))
    return text_table(["best accuracy [%]", *searches.columns], rows)


def value_table(searches: Searches, sign: float) -> str:
    """Mean ± deviation over seeds of the value reached, in the columns' own units.

    Args:
      searches: with the numbers of queries to report.
      sign: -1 where the columns were negated to be maximised.
    """
    rows = [
        [f"{name}, {n}", *(mean_std(sign * x[:, n - 1], 1.0, 6) for x in reached)]
        for name, reached in searches.reached.items()
        for n in searches.budgets
    ]
    rows.append(["optimum", *(f"{sign * x:.6g}" for x in searches.optima)])
    return text_table(["best value, queries", *searches.columns], rows)


def rank_table(searches: Searches, method: str, budget: int) -> str:
    """Rank of each seed's best by column, and the seeds with ranks 1 and 1 to 3."""
    result = searches.results[method]
    ranks = queries.best_after(result, searches.values, budget).rank
    rows = [
        [
            column,
            f"{np.sum(row == 1)}/{len(row)}",
            f"{np.sum(row <= 3)}/{len(row)}",
            " ".join(map(str, row[:10])) + (" ..." if len(row) > 10 else ""),
        ]
        for column, row in zip(searches.columns, ranks, strict=True)
    ]
    title = f"{method}-{short(budget)}: ranks"
    return text_table([title, "rank 1", "ranks 1-3", "per seed"], rows)


def optimum_table(searches: Searches) -> str:
    """Median and 90th percentile of queries to the optimum; seeds that reach it."""
    rows = []
    for name, result in searches.results.items():
        first = queries.first_optimum(result.arch_index, searches.values)
        for column, hits in zip(searches.columns, first, strict=True):
            quantiles = np.quantile(hits, (0.5, 0.9), method="higher")
            cells = [f"{x:.0f}" if np.isfinite(x) else "never" for x in quantiles]
            share = f"{np.isfinite(hits).sum()}/{len(hits)}"
            rows.append([name, column, *cells, share])
    header = ["queries to the optimum", "column", "median", "90 %"]
    return text_table([*header, "seeds that reach it"], rows)


def comparison_table(
    searches: Searches,
    first: str,
    budgets: Sequence[int],
    scale: float = 1.0,
    unit: str = "gain",
    digits: str = ".3g",
) -> str:
    """Differences of `first` to every other method, paired over seeds.

    They compare the table's value of the best query, not its noisy observation, over
    the seeds in which both methods have a successful query.

    Args:
      searches: of several methods.
      first: a method.
      budgets: numbers of queries to report.
      scale: of the differences; 100 shows fractions in points.
      unit, digits: of the differences.
    """
    reached = {name: scale * x for name, x in searches.reached.items()}
    rows = []
    for name in reached:
        for v, column in enumerate(searches.columns if name != first else ()):
            for n in budgets:
                pair = np.stack([reached[x][v, :, n - 1] for x in (first, name)])
                pair = pair[:, np.isfinite(pair).all(axis=0)]
                compared = statistics.paired(*pair) if pair.shape[1] > 1 else None
                rows.append(([f"{first} - {name}", column, str(n)], compared))
    header = ["paired over seeds", "column", "queries"]
    return paired_table(header, rows, unit, digits)


def diagnostics_table(searches: Searches) -> str:
    """Distinct queries and, for policies, the accuracy of their own late actions."""
    rows = []
    for name, result in searches.results.items():
        counts = searches.distinct(name)
        late = queries.late_policy(result)
        for v, column in enumerate(searches.columns):
            row = [name, column, *(f"{x[v].mean():.0f}" for x in counts)]
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


def report(searches: Searches, published: Mapping[str, Rows]) -> str:
    """All tables of searches of accuracies; ranks and comparisons for CADAM only.

    Args:
      searches: with accuracies as fractions.
      published: see `best_table`.
    """
    parts = [best_table(searches, published)]
    cadam = "cadam" in searches.results
    if cadam:
        parts += [rank_table(searches, "cadam", n) for n in searches.budgets]
    parts.append(diagnostics_table(searches))
    if cadam and len(searches.results) > 1 and len(searches.seeds) > 1:
        last = searches.budgets[-1:]
        parts.append(comparison_table(searches, "cadam", last, 100, "points", ".2f"))
    return "\n\n".join(parts)
