"""Searches that trained every architecture: curves, a paired comparison, candidates."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nasjax.analysis import statistics, text
from nasjax.analysis.plots import anytime
from nasjax.data import nb201
from nasjax.runs import script
from nasjax.runs.candidate_config import CandidateRun
from nasjax.runs.folder import Folder
from nasjax.search.fidelity import COST

TABLE = ("cifar10_valid", "cifar10_test")


def best_so_far(results: Sequence[Any], queries: int) -> np.ndarray:
    """[S, queries], in the order of telling; NaN before the first success.

    Of several fidelities, the top one counts.
    """
    accuracy = _told(results, queries, lambda x: x.accuracy if x.counts else np.nan)
    return np.fmax.accumulate(accuracy, axis=1)


def spent(results: Sequence[Any], queries: int) -> np.ndarray:
    """[S, queries], the cost of the queries told so far."""
    return np.nancumsum(_told(results, queries, lambda x: x.metrics[COST]), axis=1)


def _told(
    results: Sequence[Any], queries: int, value: Callable[[Any], float]
) -> np.ndarray:
    """[S, queries], a value of each query told; NaN after a search's last one."""
    values = np.full((len(results), queries), np.nan)
    for seed, result in enumerate(results):
        told = sorted(result.rows, key=lambda row: row.order)[:queries]
        values[seed, : len(told)] = [value(row) for row in told]
    return values


def table_of(run: CandidateRun) -> nb201.Table | None:
    """NAS-Bench-201 where these cells and images are its own."""
    if (run.space, run.dataset) != ("nb201", "cifar10"):
        return None
    try:
        return nb201.load(columns=TABLE, predictor=False, log=lambda _: None)
    except nb201.TableError:
        return None


def in_table(table: nb201.Table, arch: np.ndarray) -> dict[str, float]:
    """The benchmark's accuracies of a cell."""
    (row,) = np.flatnonzero((table.ops == np.asarray(arch).ravel()).all(axis=1))
    return {name: float(table.columns[name].values[row]) for name in TABLE}


def write(
    folder: Folder,
    config: Mapping[str, Any],
    run: CandidateRun,
    results: Mapping[str, Sequence[Any]],
    candidates: Mapping[str, list[dict[str, Any]]],
    known: Sequence[tuple[np.ndarray, float]],
) -> str:
    """Writes results.json, results.txt and the picture; returns the text.

    Args:
      folder: of the run.
      config: has `queries`, and maybe `fidelities`, the epochs of the levels.
      run: how architectures were trained.
      results: by method, the `parallel.Result` of each seed.
      candidates: by method, what was trained longer.
      known: all architectures that were trained (at the top level), with their
        accuracies.
    """
    queries = config["queries"]
    curves = {name: best_so_far(part, queries) for name, part in results.items()}
    first, *others = curves
    pairs = {
        name: statistics.paired(curves[first][:, -1], curves[name][:, -1])
        for name in others
        if len(curves[first]) > 1
    }
    rows = [
        [name, *(f"{100 * x:.2f}" for x in (last.mean(), last.min(), last.max()))]
        for name, last in ((name, curve[:, -1]) for name, curve in curves.items())
    ]
    parts = [text.text_table(["best of a search", "mean", "lowest", "highest"], rows)]
    if pairs:
        scaled = [
            (
                [f"{first} - {name}"],
                pair._replace(
                    **{field: 100 * getattr(pair, field) for field in pair._fields[:3]}
                ),
            )
            for name, pair in pairs.items()
        ]
        parts.append(text.paired_table(["paired by seed"], scaled))
    entries = [(name, entry) for name in candidates for entry in candidates[name]]
    if entries:
        scores = ["accuracy", "test_accuracy", *TABLE]
        scores = [name for name in scores if name in entries[0][1]]
        cells = [
            [name, *(f"{100 * entry[x]:.2f}" for x in scores), entry["genotype"]]
            for name, entry in entries
        ]
        parts.append(text.text_table(["candidate of", *scores, "genotype"], cells))
    content: dict[str, Any] = {
        "best": {name: curve[:, -1] for name, curve in curves.items()},
        "best_so_far": curves,
        "paired": {name: pair._asdict() for name, pair in pairs.items()},
        "candidates": candidates,
    }
    content["trainings"] = len(known)
    if (table := table_of(run)) and len(known) > 2:
        truth = [in_table(table, arch)[TABLE[0]] for arch, _ in known]
        rank = statistics.spearman(np.array([x for _, x in known]), np.array(truth))
        content["spearman"] = rank
        parts.append(
            f"Spearman with {TABLE[0]} of {len(known)} trained cells: {rank:.2f}"
        )
    report = "\n\n".join(parts)
    script.write_results(folder, config, content)
    folder.write_text("results.txt", report + "\n")
    shown = {name: curve[None] for name, curve in curves.items()}
    options: dict[str, Any] = {}
    if config.get("fidelities"):
        epochs = {name: spent(part, queries)[None] for name, part in results.items()}
        options = {"x": epochs, "xlabel": "epochs of training"}
    path, title = folder.file("searches.png"), f"{run.space} by training"
    anytime(path, shown, [title], None, **options)
    return report
