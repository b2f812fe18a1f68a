"""One screen: the order of methods, its evidence, and what fits."""

import numpy as np
import pytest

from nasjax.analysis import queries, query_summary, thesis
from nasjax.runs.table_search import Result

VALUES = np.array([[0.1, 0.5, 0.4, 0.3]])


def result(rows):
    """Queries [S, T] of one column."""
    index = np.array([rows])
    return Result(index, VALUES[0][index], {}, {}, 1.0, 2.0)


def searches(results, values=VALUES, columns=("x",)):
    seeds = range(next(iter(results.values())).accuracy.shape[1])
    return queries.Searches(results, values, columns, seeds, [3], np.arange(4))


def screen(results, values=VALUES, columns=("x",), **more):
    return query_summary.screen(searches(results, values, columns), **more)


def test_order_is_by_rank_then_by_queries():
    results = {
        "late": result([[0, 0, 1], [3, 2, 1]]),
        "worse": result([[2, 0, 0], [3, 0, 0]]),
        "early": result([[1, 0, 0], [0, 1, 0]]),
    }
    ordered = query_summary.standings(searches(results))
    assert [x.method for x in ordered] == ["early", "late", "worse"]
    assert [x.rank for x in ordered] == [1, 1, 2.5]
    assert [x.hits for x in ordered] == ["2/2", "2/2", "0/2"]
    assert (ordered[0].median, ordered[2].median) == (2, np.inf)
    assert "the same; the order is that of" in screen(results).replace("\n  ", " ")


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([[2, 0, 0]], "one seed is no evidence"),
        ([[2, 0, 0], [1, 0, 0]], "no difference is shown"),
        ([[2, 0, 0]] * 10, "Wilcoxon p 0.002"),
    ],
)
def test_evidence_for_the_best(rows, text):
    best = result([[1, 0, 0]] * len(rows))
    printed = screen({"b": result(rows), "a": best}).replace("\n  ", " ")
    assert "best: a, mean rank 1.00 of 4 after 3 queries" in printed
    assert "next: b, mean rank" in printed and text in printed
    assert ("no difference" in printed) == (text == "no difference is shown")


def test_much_is_cut_to_the_screen():
    narrow = result([[1, 0, 0], [2, 0, 0]])
    wide = narrow._replace(
        arch_index=np.repeat(narrow.arch_index, 30, 0),
        accuracy=np.repeat(narrow.accuracy, 30, 0),
    )
    names = [f"latency_{v:02}" for v in range(30)]
    results = {f"method-{i}": wide for i in range(40)}
    lines = screen(results, np.repeat(VALUES, 30, 0), names).splitlines()
    assert len(lines) <= 22 and max(map(len, lines)) <= 100
    assert any("more rows and" in x and x.endswith("report.txt") for x in lines)


def test_published_rows_stand_below_and_predictions_do_not_count():
    values = np.stack([VALUES[0], VALUES[0][::-1]])
    index = np.array([[[1, 0, 0]], [[3, 0, 0]]])
    good = Result(index, np.take_along_axis(values[:, None], index, 2), {}, {}, 0, 0)
    bad = good._replace(arch_index=index[::-1], accuracy=good.accuracy - 0.1)
    rows = {"good-3": [["  published", "12.00 ± 1.00", thesis.NONE]]}
    results = {"bad": bad, "good": good}
    text = screen(results, values, ["x", "y *"], counted=[0], published=rows)
    lines = [line.split() for line in text.splitlines()]
    at = next(i for i, line in enumerate(lines) if line[0] == "good")
    assert lines[at] == ["good", "1.00", "1/1", "50.00", "30.00"]
    assert lines[at + 1] == ["published", "12.00", "–"]
    assert "columns x seeds: 1 x 1" in text
