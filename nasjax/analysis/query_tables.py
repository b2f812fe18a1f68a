"""What a study found, as tables of text."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nasjax.analysis import query_metrics, statistics
from nasjax.analysis.query_results import Best, best_after, late_policy
from nasjax.analysis.text import text_table
from nasjax.runs.table_search import Result


def short(queries: int) -> str:
    """500, 1k, 20k."""
    whole = queries >= 1000 and queries % 1000 == 0
    return f"{queries // 1000}k" if whole else str(queries)


def ranks_text(
    best: Best, columns: Sequence[str], pick: Sequence[int], label: str
) -> str:
    """Per column the rank of each seed's best, and how many reach ranks 1 and 3."""
    rows = [
        [
            columns[v],
            f"{np.sum(best.rank[v] == 1)}/{best.rank.shape[1]}",
            f"{np.sum(best.rank[v] <= 3)}/{best.rank.shape[1]}",
            " ".join(map(str, best.rank[v][:10]))
            + (" ..." if best.rank.shape[1] > 10 else ""),
        ]
        for v in pick
    ]
    header = [f"{label}: ranks", "rank 1", "ranks 1-3", "per seed"]
    return text_table(header, rows)


def paired_text(
    results: Mapping[str, Result],
    values: np.ndarray,
    columns: Sequence[str],
    pick: Sequence[int],
    queries: int,
    first: str,
) -> str:
    """`first` against every other method, seed by seed, in points.

    What is compared is the table's value of the best query, not one noisy trial.
    """
    mine = best_after(results[first], values, queries).value
    rows = []
    for name, result in results.items():
        if name == first:
            continue
        theirs = best_after(result, values, queries).value
        for v in pick:
            p = statistics.paired(100 * mine[v], 100 * theirs[v])
            rows.append(
                [
                    f"{first} - {name}",
                    columns[v],
                    f"{p.difference:+.2f}",
                    f"[{p.low:+.2f}, {p.high:+.2f}]",
                    statistics.p_value(p.p_value),
                ]
            )
    header = [f"after {queries} queries", "column", "points", "95% interval"]
    header.append("Wilcoxon p")
    return text_table(header, rows)


def diagnostics_text(
    results: Mapping[str, Result],
    classes: np.ndarray,
    columns: Sequence[str],
    pick: Sequence[int],
) -> str:
    """Distinct queries and, for policies, what their own late actions score."""
    rows = []
    for name, result in results.items():
        distinct = query_metrics.running_distinct(result.arch_index)[..., -1]
        cells = query_metrics.running_distinct(classes[result.arch_index])[..., -1]
        late = late_policy(result)
        for v in pick:
            row = [name, columns[v], f"{distinct[v].mean():.0f}"]
            row.append(f"{cells[v].mean():.0f}")
            if late is None:
                row += ["", "", ""]
            else:
                last = {k: x[v, :, -100:].mean() for k, x in result.info.items()}
                row.append(
                    statistics.mean_std(late[v])
                    if np.isfinite(late[v]).all()
                    else "none"
                )
                row.append(f"{last['below']:.2f}" if "below" in last else "")
                row.append(f"{last['spread']:.4f}")
            rows.append(row)
    header = [
        "method",
        "column",
        "distinct",
        "non-isomorphic",
        "late policy [%]",
        "r < Q",
        "spread",
    ]
    legend = (
        "\nlate policy: mean accuracy of the policy's own actions, last 100 steps; "
        "r < Q: share of\nrewards below the critic's value there (near tau once it "
        "fits); spread: deviation within an action"
    )
    explained = legend if any(row[4] for row in rows) else ""
    return text_table(header, rows) + explained


def best_text(
    found: Mapping[str, Result],
    values: np.ndarray,
    columns: Sequence[str],
    pick: Sequence[int],
    marks: Sequence[int],
    quoted: Mapping[str, Sequence[Sequence[str]]],
) -> str:
    """Mean and deviation of the best accuracy, quoted rows below their own."""
    rows = []
    for method, result in found.items():
        for mark in marks:
            label = f"{method}-{short(mark)}"
            best = best_after(result, values, mark)
            rows.append([label, *(statistics.mean_std(best.observed[v]) for v in pick)])
            if np.any(best.observed != best.value):
                means = (statistics.mean_std(best.value[v]) for v in pick)
                rows.append(["  its mean over trials", *means])
            rows.extend(quoted.get(label, ()))
    rows.append(
        ["optimum of this table", *(f"{100 * np.nanmax(values[v]):.2f}" for v in pick)]
    )
    rows.extend(quoted.get("", ()))
    header = ["best accuracy [%]", *(columns[v] for v in pick)]
    return text_table(header, rows)


def print_report(
    found: Mapping[str, Result],
    values: np.ndarray,
    classes: np.ndarray,
    columns: Sequence[str],
    marks: Sequence[int],
    predicted: Sequence[bool],
    quoted: Callable[..., Mapping] | None = None,
    first: str = "cadam",
) -> None:
    """Prints the tables, those of predicted columns as a block of their own.

    Args:
      found: results by method.
      values: [V, A].
      classes: int [A], isomorphism classes.
      columns, predicted: of the V columns.
      marks: numbers of queries to report.
      quoted: `(columns, marks) -> rows by label` of published numbers, which stand
        only beside real columns.
      first: the method whose ranks and paired comparisons are shown.
    """
    for kind in (False, True):
        pick = [v for v, guessed in enumerate(predicted) if guessed is kind]
        if not pick:
            continue
        shown = [f"{name} (predicted)" if kind else name for name in columns]
        if kind:
            print("\nPREDICTED columns: no benchmark data, ranks within predictions")
        rows = (
            {} if quoted is None or kind else quoted([columns[v] for v in pick], marks)
        )
        print("\n" + best_text(found, values, shown, pick, marks, rows))
        if first in found:
            for mark in marks:
                best = best_after(found[first], values, mark)
                print("\n" + ranks_text(best, shown, pick, f"{first}-{short(mark)}"))
        print("\n" + diagnostics_text(found, classes, shown, pick))
        seeds = next(iter(found.values())).accuracy.shape[1]
        if first in found and len(found) > 1 and seeds > 1:
            print("\n" + paired_text(found, values, shown, pick, marks[-1], first))
