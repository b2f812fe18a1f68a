"""Results of searches of a frozen supernet: counts, arrays, tables, plots."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nasjax.agent.history import HistoryState
from nasjax.analysis import candidates, plots, queries, statistics
from nasjax.analysis.candidates import Candidates, Truth
from nasjax.analysis.text import paired_table, text_table
from nasjax.runs.driven_search import SearchRun
from nasjax.runs.folder import Folder
from nasjax.searchers.cadam import observe
from nasjax.spaces import CellSpace

Searches = Mapping[str, Sequence[SearchRun]]  # per method, one search per seed


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
    """Number of distinct architectures so far, [S, T] per method, and in total."""
    archs = {m: np.stack([x.trace.arch for x in rows]) for m, rows in searches.items()}
    flat = {m: x.reshape(x.shape[0] * x.shape[1], -1) for m, x in archs.items()}
    _, labels = np.unique(np.concatenate([*flat.values()]), axis=0, return_inverse=True)
    cut = np.cumsum([len(x) for x in flat.values()])[:-1]
    counts = {
        name: queries.running_distinct(part.reshape(archs[name].shape[:2]))
        for name, part in zip(archs, np.split(labels.reshape(-1), cut), strict=True)
    }
    return counts, int(labels.max()) + 1


class Report(NamedTuple):
    """Searches of a supernet, and their best architectures rescored."""

    space: CellSpace
    seeds: Sequence[int]
    searches: Searches
    tops: Sequence[Candidates]  # CADAM's top K of each seed; empty without CADAM
    won: Mapping[str, Candidates]  # per method, each seed's best query: arrays [S]
    counts: Mapping[str, np.ndarray]  # from `distinct`
    computed: int  # different architectures of all searches
    true: Truth | None

    @property
    def chosen(self) -> list[dict[str, Any]]:
        """See `candidates.choices`; empty without CADAM."""
        if not self.tops:
            return []
        return candidates.choices(self.space, self.seeds, self.tops, self.true)

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
        """For results.npz: every query of every search, [S, T, ...], and the top K."""
        out = {"seeds": np.array(self.seeds, np.int64)}
        for method, rows in self.searches.items():
            columns = queries.traces(rows)
            columns["distinct"] = self.counts[method].astype(np.int32)
            out |= {f"{method}__{name}": x for name, x in columns.items()}
        if self.tops:
            out["cadam__state"] = self.states()
            out |= candidates.padded(self.tops, top_k)
        return out

    def pairs(self) -> dict[str, statistics.Paired]:
        """CADAM against every other method, in points; empty for a single seed.

        Compared are the accuracy in the search, which it maximises, and that on all
        validation images, which does not favour a lucky subset.
        """
        if "cadam" not in self.won or len(self.seeds) < 2:
            return {}
        return {
            f"cadam - {name}, {images}": statistics.paired(
                *(100 * getattr(x, field) for x in (self.won["cadam"], best))
            )
            for field, images in (("seen", "in search"), ("valid", "validation half"))
            for name, best in self.won.items()
            if name != "cadam"
        }

    def describe(self) -> dict[str, Any]:
        """The content of results.json."""
        hits = self.queries - self.computed
        cache = {"queries": self.queries, "computed": self.computed, "hits": hits}
        return {
            "cache": cache,
            "paired_points": {n: p._asdict() for n, p in self.pairs().items()},
            "finalists": self.chosen,
            "methods": {method: self._method(method) for method in self.searches},
        }

    def _method(self, method: str) -> dict[str, Any]:
        """Means of the winners over seeds, and each of them."""
        best, runs = self.won[method], self.searches[method]
        known = {} if self.true is None else self.true.of(best.arch)
        means = {"best": best.seen, "validation": best.valid, "test": best.test}
        described = {n: statistics.describe(x).to_json() for n, x in means.items()}
        seeds = {
            str(seed): {
                "best": float(best.seen[s]),
                "query": int(runs[s].trace.accuracy.argmax()) + 1,
                "arch": best.arch[s].tolist(),
                "validation_accuracy": float(best.valid[s]),
                "test_accuracy": float(best.test[s]),
                "distinct": int(self.counts[method][s, -1]),
                "seconds": runs[s].seconds,
                **{name: x[s].item() for name, x in known.items()},
                **queries.late_means(runs[s].trace.info),
            }
            for s, seed in enumerate(self.seeds)
        }
        return {**described, "seeds": seeds}

    def text(self) -> str:
        """Tables of the winners, of the comparisons and of CADAM's candidates."""
        rows = []
        for name, best in self.won.items():
            means = map(statistics.mean_std, (best.seen, best.valid, best.test))
            counts = self.counts[name]
            row = [f"{name}-{counts.shape[1]}", *means, f"{counts[:, -1].mean():.0f}"]
            if self.true is not None:
                known = self.true.of(best.arch)
                row.append(statistics.mean_std(known["true_accuracy"]))
                row.append(f"{np.median(known['true_rank']):.0f}")
            rows.append(row)
        header = ["best of each search [%]", "in search", "validation half", "test"]
        header += ["distinct", *(["true", "median rank"] if self.true else [])]
        parts = [text_table(header, rows)]
        if pairs := self.pairs():
            labelled = [([name], pair) for name, pair in pairs.items()]
            parts.append(paired_table(["paired over seeds"], labelled))
        if self.tops:
            parts.append(candidates.table(self.chosen))
        count = f"{self.queries:,} queries: {self.computed:,} computed"
        return "\n\n".join([*parts, f"{count}, the others remembered"])

    def draw(self, folder: Folder, name: str, subset: int) -> None:
        """anytime.png and, of CADAM's first seed, state.png and cells.png.

        Args:
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
        search, top = f"CADAM on {name}, seed {self.seeds[0]}", self.tops[0]
        steps = best["cadam"].shape[1]
        title = f"{search}: mean of the best {len(top.seen)} after {steps:,} queries"
        path = folder.file("state.png")
        plots.cell_states(path, self.space, self.states()[0], title)
        best_valid = candidates.choose(top, "valid")
        valid, test = (100 * x[best_valid] for x in (top.valid, top.test))
        title = f"{search}: validation {valid:.2f}%, test {test:.2f}%"
        path = folder.file("cells.png")
        plots.cells(path, self.space, top.arch[best_valid], title)


def report(
    space: CellSpace,
    dataset: str,
    searches: Searches,
    seeds: Sequence[int],
    rescore: Callable[[str, np.ndarray], np.ndarray],
) -> Report:
    """Rescores CADAM's top K and the winner of every search.

    Args:
      space, dataset: of the supernet.
      searches: by method, one per seed.
      seeds: the S seeds.
      rescore: `("valid" or "test", archs [A, ...]) -> accuracies [A]`.
    """
    best = winners(searches)
    lists = [candidates.best_of(x.state.history) for x in searches.get("cadam", ())]
    tops, lists = len(lists), [*lists, *best.values()]
    archs = np.concatenate([arch for arch, _ in lists])
    cut = np.cumsum([len(arch) for arch, _ in lists])[:-1]
    scored = [np.split(rescore(half, archs), cut) for half in ("valid", "test")]
    rows = [Candidates(*x, *y) for x, *y in zip(lists, *scored, strict=True)]
    won = dict(zip(best, rows[tops:], strict=True))
    true = candidates.truth(space, dataset)
    return Report(space, seeds, searches, rows[:tops], won, *distinct(searches), true)
