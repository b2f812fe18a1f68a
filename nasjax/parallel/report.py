"""Results of a search: its best architectures, results.csv and a picture."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nasjax.analysis.plots import style
from nasjax.environments.cached import METRICS
from nasjax.parallel.earlier import COLUMNS
from nasjax.parallel.queries import Queries
from nasjax.parallel.query import Query
from nasjax.parallel.store import Store
from nasjax.runs import bounds
from nasjax.spaces import CellSpace, costs, genotypes

BEST = 10


class Candidate(NamedTuple):
    """An architecture and its score."""

    query: int | None  # None if it is an earlier evaluation
    arch: np.ndarray  # uint8 [*arch_shape]
    genotype: str
    accuracy: float
    loss: float  # NaN where there is none
    parameters: int | None  # None where the space has no costs
    macs: int | None  # multiply-adds
    metrics: Mapping[str, float] = {}


class Result(NamedTuple):
    """The result of a search.

    Attributes:
      best: the best distinct architectures, best first; ten at most.
      rows: every query, in the order of asking.
      reason: why the search ended.
      state: the searcher's, a `SearchState`.
    """

    best: tuple[Candidate, ...]
    rows: tuple[Query, ...]
    reason: str
    state: Any


def genotype(space: CellSpace, arch: np.ndarray) -> str:
    """Text of an architecture, which `earlier.architecture` reads."""
    if space.inputs_per_node is not None:
        return str(genotypes.from_arch(arch, space))
    if space.cells == 1:
        return space.arch_string(arch)
    return " ".join(map(str, arch.ravel().tolist()))


def best(state: Queries, count: int = BEST) -> tuple[Candidate, ...]:
    """The best distinct architectures, best first, earlier evaluations included."""
    rows: list[tuple[int | None, np.ndarray, float, float, Mapping[str, float]]]
    rows = [(None, *row) for row in state.earlier]
    rows = [row for row in rows if state.counts(row[-1])]
    counted = [row for row in state.rows if row.counts]
    rows += [(x.number, x.arch, x.accuracy, x.loss, x.metrics) for x in counted]
    rows = [row for row in rows if np.isfinite(row[2])]
    rows.sort(key=lambda row: -row[2])
    table = bounds.network(state.space)
    chosen: dict[bytes, Candidate] = {}
    for number, arch, accuracy, loss, metrics in rows:
        if len(chosen) == count:
            break
        cost: tuple[int | None, int | None] = (None, None)
        if table is not None:
            cost = int(costs.params(table, arch)), int(costs.macs(table, arch))
        text = genotype(state.space, arch)
        candidate = Candidate(number, arch, text, accuracy, loss, *cost, metrics)
        chosen.setdefault(arch.tobytes(), candidate)
    return tuple(chosen.values())


def percent(score: float) -> str:
    """Text of a score: a fraction in percent, any other as it is."""
    return f"{100 * score:.2f} %" if 0 <= score <= 1 else f"{score:g}"


def text(candidates: Sequence[Candidate], space: CellSpace) -> str:
    """Table of the best architectures."""
    names = list(dict.fromkeys(name for row in candidates for name in row.metrics))
    width = max([10, *map(len, names)])
    titles = "".join(f"{name:>{width}}  " for name in names)
    lines = [f"accuracy  parameters  multiply-adds  {titles}architecture"]
    for row in candidates:
        values = [row.metrics.get(name, np.nan) for name in names]
        metrics = "".join(f"{value:{width}.5g}  " for value in values)
        size = "-" if row.parameters is None else f"{row.parameters / 1e6:.3f} M"
        macs = "-" if row.macs is None else f"{row.macs / 1e6:.1f} M"
        lines.append(
            f"{percent(row.accuracy):>8}  {size:>10}  {macs:>13}  {metrics}"
            f"{row.genotype}"
        )
    if space.inputs_per_node is not None:
        lines.append("(parameters and multiply-adds of 20 cells with 36 channels)")
    return "\n".join(lines)


def hours(rows: Sequence[Query], breaks: Sequence[tuple[float, float]]) -> np.ndarray:
    """Hours of searching until each row was told, without pauses; float64 [rows].

    Args:
      rows: queries that were told.
      breaks: (end, start) of each pause, seconds since 1970; see `Store`.
    """
    if not rows:
        return np.zeros(0)
    told = np.array([row.told for row in rows])
    start = min(row.asked for row in rows)
    idle = sum(np.where(told >= on, on - off, 0.0) for off, on in breaks)
    return np.asarray((told - start - idle) / 3600)


def write(state: Queries, saved: Store, reason: str, show: bool) -> Result:
    """Writes results.csv, best.json and results.png; prints the best if `show`."""
    chosen = best(state)
    folder = saved.folder
    told = state.told_rows()
    spent = hours(told, saved.breaks)
    if folder is not None:
        folder.write_text(
            "results.csv",
            _csv(state, dict(zip([row.number for row in told], spent, strict=True))),
        )
        entries = [c._asdict() for c in chosen]
        for entry in entries:
            if not entry["metrics"]:
                del entry["metrics"]
        folder.write_json("best.json", {"reason": reason, "best": entries})
        if told:
            _draw(folder.file("results.png"), told, spent)
    if show and chosen:
        failed = sum(row.failed for row in told)
        print(
            f"{len(told)} queries, {failed} failed, {len(state.earlier)} earlier; "
            f"{reason}\n{text(chosen, state.space)}"
        )
    return Result(chosen, tuple(state.rows), reason, state.state)


def _csv(state: Queries, spent: Mapping[int, float]) -> str:
    out = io.StringIO()
    names = {n: f"{METRICS}{n}" if n in COLUMNS else n for n in state.metrics or ()}
    writer = csv.DictWriter(out, [*COLUMNS, *names.values()], lineterminator="\n")
    writer.writeheader()
    for row in state.rows:
        entry: dict[str, Any] = {name: getattr(row, name, None) for name in COLUMNS}
        entry |= {
            "query": row.number,
            "status": "pending" if row.order is None else "done",
            "hours": spent.get(row.number),
            "arch": " ".join(map(str, row.arch.ravel().tolist())),
            "genotype": genotype(state.space, row.arch),
        }
        if row.failed:
            entry["status"] = "failed"
        for name in ("accuracy", "loss", "seconds"):
            if not np.isfinite(entry[name]):
                entry[name] = None
        for name, value in row.metrics.items():
            entry[names[name]] = value if np.isfinite(value) else None
        writer.writerow(entry)
    return out.getvalue()


def _draw(path: Any, told: Sequence[Query], spent: np.ndarray) -> None:
    """Scores and the best so far, against queries and against hours."""
    figure, axes = style.panels(2, (5, 3.5))
    accuracy = np.array([row.accuracy for row in told])
    counted = np.where([row.counts for row in told], accuracy, np.nan)
    best_so_far = np.fmax.accumulate(counted)
    for axis, x, name in zip(
        axes, (np.arange(1, len(told) + 1), spent), ("queries", "hours"), strict=True
    ):
        axis.plot(x, accuracy, ".", color="0.7")
        axis.step(x, best_so_far, where="post")
        axis.set_xlabel(name)
    axes[0].set_ylabel("accuracy")
    style.save(figure, path)
