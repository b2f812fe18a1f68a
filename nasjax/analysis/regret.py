"""Regret of searches on tables: numbers and tables of text."""

from collections.abc import Mapping, Sequence

import numpy as np

from nasjax.analysis import statistics
from nasjax.analysis.text import text_table
from nasjax.runs.table_search import Result


def incumbent(result: Result, values: np.ndarray) -> np.ndarray:
    """The table's value of the best query so far, float64 [V, S, T]; -inf for none.

    Best is what was observed so: with noise the value may fall.

    Args:
      result: of a search on the table; larger is better; NaN failed and finds nothing.
      values: [V, A].
    """
    seen = np.asarray(result.accuracy, np.float64)
    seen = np.where(np.isfinite(seen), seen, -np.inf)
    best = np.maximum.accumulate(seen, axis=-1)
    better = seen[..., 1:] > best[..., :-1]
    first = np.zeros_like(result.arch_index[..., :1])
    later = np.where(better, np.arange(1, seen.shape[-1]), 0)
    at = np.maximum.accumulate(np.concatenate([first, later], -1), axis=-1)
    index = np.take_along_axis(result.arch_index, at, -1)
    found = np.stack([row[i] for row, i in zip(values, index, strict=True)])
    return np.where(best > -np.inf, found, -np.inf)


def regret(reached: np.ndarray, optimum: np.ndarray) -> np.ndarray:
    """r_t = optimum - value reached after t queries, float64 [V, S, T].

    Args:
      reached: [V, S, T], from `incumbent`.
      optimum: [V], the largest value of each column.
    """
    return np.asarray(optimum, np.float64)[:, None, None] - reached


def first_optimum(index: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Queries until a row of the highest value is asked; float [V, S], inf if never.

    Args:
      index: int [V, S, T], rows of the table; -1 for none.
      values: [V, A], larger is better, NaN where an evaluation fails.
    """
    best = values == np.nanmax(values, axis=1, keepdims=True)
    hit = np.stack([row[i] & (i >= 0) for row, i in zip(best, index, strict=True)])
    return np.where(hit.any(-1), 1.0 + hit.argmax(-1), np.inf)


def _queries(value: float) -> str:
    return f"{value:.0f}" if np.isfinite(value) else "never"


def optimum_text(
    found: Mapping[str, Result], values: np.ndarray, columns: Sequence[str]
) -> str:
    """Queries to the optimum, median and 90th percentile, and how often it is hit."""
    rows = []
    for name, result in found.items():
        first = first_optimum(result.arch_index, values)
        for v, column in enumerate(columns):
            median, late = np.quantile(first[v], (0.5, 0.9), method="higher")
            hits = f"{np.isfinite(first[v]).sum()}/{first.shape[1]}"
            rows.append([name, column, _queries(median), _queries(late), hits])
    header = [
        "queries to the optimum",
        "column",
        "median",
        "90 %",
        "seeds that reach it",
    ]
    return text_table(header, rows)


def best_text(
    reached: Mapping[str, np.ndarray],
    columns: Sequence[str],
    optimum: np.ndarray,
    marks: Sequence[int],
    sign: float,
) -> str:
    """Mean ± deviation over seeds of the value reached, in the columns' own units."""
    rows = []
    for name, best in reached.items():
        for mark in marks:
            cells = [
                statistics.mean_std(sign * best[v, :, mark - 1], 1.0, 6)
                for v in range(len(columns))
            ]
            rows.append([f"{name}, {mark}", *cells])
    rows.append(["optimum", *(f"{sign * x:.6g}" for x in optimum)])
    return text_table(["best value, queries", *columns], rows)


def paired_text(
    reached: Mapping[str, np.ndarray],
    columns: Sequence[str],
    marks: Sequence[int],
    first: str,
) -> str:
    """`first` against every other method, seed by seed: its gain in value.

    Of the seeds in which both found anything.
    """
    mine = reached[first]
    rows = []
    for name, theirs in reached.items():
        for v, column in enumerate(columns if name != first else ()):
            for mark in marks:
                pair = np.stack([x[v, :, mark - 1] for x in (mine, theirs)])
                pair = pair[:, np.isfinite(pair).all(axis=0)]
                row = [f"{first} - {name}", column, str(mark)]
                if pair.shape[1] < 2:
                    rows.append([*row, "none", "none", "none"])
                    continue
                p = statistics.paired(*pair)
                interval = f"[{p.low:+.3g}, {p.high:+.3g}]"
                row += [f"{p.difference:+.3g}", interval, statistics.p_value(p.p_value)]
                rows.append(row)
    header = ["paired over seeds", "column", "queries", "gain", "95% interval"]
    return text_table([*header, "Wilcoxon p"], rows)
