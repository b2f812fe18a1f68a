"""Searches of a frozen supernet: counts, arrays, tables, pictures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax.agent.history import HistoryState
from nasjax.analysis import candidates, plots, queries, statistics
from nasjax.analysis.candidates import Candidates, Truth
from nasjax.analysis.text import paired_table, text_table
from nasjax.runs.driven_search import Driven
from nasjax.runs.folder import Folder
from nasjax.searchers.cadam import observe
from nasjax.spaces import CellSpace

Searches = Mapping[str, Sequence[Driven]]  # per method, one search per seed
Winners = Mapping[str, Candidates]  # per method, each seed's best query: arrays [S]


def winners(searches: Searches) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Per method, each seed's first best query [S, *arch_shape] and its accuracy."""
    best = {}
    for method, rows in searches.items():
        at = [int(run.trace.accuracy.argmax()) for run in rows]
        picked = list(zip(rows, at, strict=True))
        archs = np.stack([run.trace.arch[i] for run, i in picked])
        best[method] = archs, np.array([run.trace.accuracy[i] for run, i in picked])
    return best


def distinct(searches: Searches) -> tuple[dict[str, np.ndarray], int]:
    """Different architectures so far, [S, T] per method; and all of them together."""
    archs = {m: np.stack([x.trace.arch for x in rows]) for m, rows in searches.items()}
    flat = {m: x.reshape(x.shape[0] * x.shape[1], -1) for m, x in archs.items()}
    _, labels = np.unique(np.concatenate([*flat.values()]), axis=0, return_inverse=True)
    cut = np.cumsum([len(x) for x in flat.values()])[:-1]
    counts = {
        name: queries.running_distinct(part.reshape(archs[name].shape[:2]))
        for name, part in zip(archs, np.split(labels.reshape(-1), cut), strict=True)
    }
    return counts, int(labels.max()) + 1


def arrays(
    searches: Searches, counts: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """For results.npz: every query of every search, [S, T, ...]."""
    out = {}
    for method, rows in searches.items():
        trace = jax.tree.map(lambda *x: np.stack(x), *(run.trace for run in rows))
        out[f"{method}__arch"] = trace.arch
        out[f"{method}__accuracy"] = trace.accuracy
        out[f"{method}__loss"] = trace.loss
        out[f"{method}__distinct"] = counts[method].astype(np.int32)
        out |= {f"{method}__{name}": x for name, x in trace.info.items()}
    return out


def paired(won: Winners, first: str = "cadam") -> dict[str, statistics.Paired]:
    """`first` against every other method, seed by seed, in points; {} for one seed.

    Both by the accuracy in the search, its target, and by that on all validation
    images, which a lucky subset cannot flatter.
    """
    if first not in won or len(won[first].seen) < 2:
        return {}
    return {
        f"{first} - {name}, {images}": statistics.paired(
            100 * getattr(won[first], field), 100 * getattr(won[name], field)
        )
        for field, images in (("seen", "in search"), ("valid", "validation half"))
        for name in won
        if name != first
    }


def describe_methods(
    searches: Searches,
    won: Winners,
    seeds: Sequence[int],
    counts: Mapping[str, np.ndarray],
    true: Truth | None,
) -> dict[str, Any]:
    """Each method's part of results.json: its winner per seed, and their means."""
    out: dict[str, Any] = {}
    for method, rows in searches.items():
        best = won[method]
        known = {} if true is None else true.of(best.arch)
        per_seed = {
            str(seed): {
                "best": float(best.seen[s]),
                "query": int(rows[s].trace.accuracy.argmax()) + 1,
                "arch": best.arch[s].tolist(),
                "validation_accuracy": float(best.valid[s]),
                "test_accuracy": float(best.test[s]),
                "distinct": int(counts[method][s, -1]),
                "seconds": rows[s].seconds,
                **{name: x[s].item() for name, x in known.items()},
                **{
                    f"last_100_{name}": float(np.mean(x[-100:]))
                    for name, x in rows[s].trace.info.items()
                },
            }
            for s, seed in enumerate(seeds)
        }
        out[method] = {
            "best": statistics.describe(best.seen).to_json(),
            "validation": statistics.describe(best.valid).to_json(),
            "test": statistics.describe(best.test).to_json(),
            "seeds": per_seed,
        }
    return out


def tables(
    won: Winners,
    counts: Mapping[str, np.ndarray],
    true: Truth | None,
    pairs: Mapping[str, statistics.Paired],
) -> str:
    """Tables of the winners, mean ± deviation over seeds, and of the comparisons."""
    rows = []
    for name, best in won.items():
        means = map(statistics.mean_std, (best.seen, best.valid, best.test))
        label = f"{name}-{counts[name].shape[1]}"
        row = [label, *means, f"{counts[name][:, -1].mean():.0f}"]
        if true is not None:
            known = true.of(best.arch)
            row.append(statistics.mean_std(known["true_accuracy"]))
            row.append(f"{np.median(known['true_rank']):.0f}")
        rows.append(row)
    header = ["best of each search [%]", "in search", "validation half", "test"]
    header += ["distinct", *(["true", "median rank"] if true is not None else [])]
    text = text_table(header, rows)
    if pairs:
        labelled = [([name], pair) for name, pair in pairs.items()]
        text += "\n\n" + paired_table(["paired over seeds"], labelled)
    return text


class Report(NamedTuple):
    """Searches of a supernet, and the best architectures scored again."""

    space: CellSpace
    seeds: Sequence[int]
    searches: Searches
    tops: Sequence[Candidates]  # CADAM's top K of each seed; empty without CADAM
    won: Winners
    counts: Mapping[str, np.ndarray]  # from `distinct`
    computed: int  # different architectures of all searches
    true: Truth | None
    chosen: Sequence[Mapping[str, Any]]  # from `candidates.choices`

    @property
    def queries(self) -> int:
        """Queries of all searches."""
        return sum(counts.size for counts in self.counts.values())

    def states(self) -> np.ndarray:
        """The mean of CADAM's top K at the end, [S, *arch_shape, O]."""
        runs = self.searches["cadam"]
        histories = (HistoryState(*run.state.history) for run in runs)
        observed = [np.asarray(observe(self.space, history)) for history in histories]
        return np.stack([x.reshape(self.space.alpha_shape) for x in observed])

    def arrays(self, top_k: int) -> dict[str, np.ndarray]:
        """The content of results.npz."""
        out = {"seeds": np.array(self.seeds, np.int64)}
        out |= arrays(self.searches, self.counts)
        if self.tops:
            out["cadam__state"] = self.states()
            out |= candidates.padded(self.tops, top_k)
        return out

    def describe(self) -> dict[str, Any]:
        """The content of results.json."""
        cache = {"queries": self.queries, "computed": self.computed}
        cache["hits"] = self.queries - self.computed
        shared = self.won, self.seeds, self.counts, self.true
        return {
            "cache": cache,
            "paired_points": {n: p._asdict() for n, p in paired(self.won).items()},
            "finalists": self.chosen,
            "methods": describe_methods(self.searches, *shared),
        }

    def text(self) -> str:
        """All tables."""
        parts = [tables(self.won, self.counts, self.true, paired(self.won))]
        if self.chosen:
            parts.append(candidates.table(self.chosen))
        parts.append(
            f"{self.queries:,} queries: {self.computed:,} computed, the others "
            "remembered"
        )
        return "\n\n".join(parts)

    def draw(self, folder: Folder, name: str, subset: int) -> None:
        """anytime.png and, of CADAM's first seed, state.png and cells.png.

        Args:
          folder: of the run.
          name: of the supernet.
          subset: validation images per query.
        """
        best = {
            method: queries.best_so_far(np.stack([x.trace.accuracy for x in rows]))
            for method, rows in self.searches.items()
        }
        title = f"{name}: accuracy on {subset:,} validation images"
        path = folder.file("anytime.png")
        plots.anytime(path, {n: x[None] for n, x in best.items()}, [title], None)
        if not self.tops:
            return
        who, top = f"CADAM on {name}, seed {self.seeds[0]}", self.tops[0]
        steps = best["cadam"].shape[1]
        title = f"{who}: mean of the best {len(top.seen)} after {steps:,} queries"
        path = folder.file("state.png")
        plots.cell_states(path, self.space, self.states()[0], title)
        taken = candidates.choose(top, "valid")
        title = f"{who}: validation {100 * taken.valid:.2f}%, "
        title += f"test {100 * taken.test:.2f}%"
        plots.cells(folder.file("cells.png"), self.space, taken.arch, title)


def report(
    space: CellSpace,
    dataset: str,
    searches: Searches,
    seeds: Sequence[int],
    rescore: Callable[[str, np.ndarray], np.ndarray],
) -> Report:
    """Scores CADAM's top K and every search's winner again.

    Args:
      space, dataset: of the supernet.
      searches: by method, one per seed.
      seeds: the S seeds.
      rescore: `("valid" or "test", archs [A, ...]) -> accuracies [A]`.
    """
    best = winners(searches)
    tops = [candidates.best_of(x.state.history) for x in searches.get("cadam", ())]
    lists = [*tops, *best.values()]
    archs = np.concatenate([arch for arch, _ in lists])
    cut = np.cumsum([len(arch) for arch, _ in lists])[:-1]
    scored = [np.split(rescore(half, archs), cut) for half in ("valid", "test")]
    rows = [Candidates(*x, *y) for x, *y in zip(lists, *scored, strict=True)]
    counts, computed = distinct(searches)
    true = candidates.truth(space, dataset)
    top_rows = rows[: len(tops)]
    return Report(
        space,
        seeds,
        searches,
        top_rows,
        dict(zip(best, rows[len(tops) :], strict=True)),
        counts,
        computed,
        true,
        candidates.choices(space, seeds, top_rows, true),
    )
