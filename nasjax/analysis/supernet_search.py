"""What driven searches of one environment found: counts, arrays, tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from nasjax.analysis import query_metrics, statistics
from nasjax.analysis.candidates import Finalists, Truth
from nasjax.analysis.text import text_table
from nasjax.runs.driven_search import Driven

Found = Mapping[str, Sequence[Driven]]  # per method, one search per seed
Winners = Mapping[str, Finalists]  # per method, each seed's best query: arrays [S]


def winners(found: Found) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Per method, each seed's first best query [S, *arch_shape] and its accuracy."""
    out = {}
    for method, rows in found.items():
        at = [int(one.trace.accuracy.argmax()) for one in rows]
        picked = list(zip(rows, at, strict=True))
        out[method] = (
            np.stack([one.trace.arch[i] for one, i in picked]),
            np.array([one.trace.accuracy[i] for one, i in picked]),
        )
    return out


def distinct(found: Found) -> tuple[dict[str, np.ndarray], int]:
    """Different architectures so far, [S, T] per method; and all of them together."""
    archs = {m: np.stack([x.trace.arch for x in rows]) for m, rows in found.items()}
    flat = {m: x.reshape(x.shape[0] * x.shape[1], -1) for m, x in archs.items()}
    _, labels = np.unique(np.concatenate([*flat.values()]), axis=0, return_inverse=True)
    cut = np.cumsum([len(x) for x in flat.values()])[:-1]
    counts = {
        name: query_metrics.running_distinct(part.reshape(archs[name].shape[:2]))
        for name, part in zip(archs, np.split(labels.reshape(-1), cut), strict=True)
    }
    return counts, int(labels.max()) + 1


def arrays(found: Found, counts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """For results.npz: every query of every search, [S, T, ...]."""
    out = {}
    for method, rows in found.items():
        trace = jax.tree.map(lambda *x: np.stack(x), *(one.trace for one in rows))
        out[f"{method}__arch"] = trace.arch
        out[f"{method}__accuracy"] = trace.accuracy
        out[f"{method}__loss"] = trace.loss
        out[f"{method}__distinct"] = counts[method].astype(np.int32)
        out |= {f"{method}__{name}": x for name, x in trace.info.items()}
    return out


def paired(won: Winners, first: str = "cadam") -> dict[str, dict[str, float]]:
    """`first` against every other method, seed by seed, in points; {} for one seed.

    Both by what the searches saw, their target, and by all validation images, which
    a lucky subset cannot flatter.
    """
    others = [name for name in won if name != first]
    if first not in won or len(won[first].seen) < 2:
        return {}
    return {
        f"{first} - {name}, {what}": statistics.paired(
            100 * getattr(won[first], field), 100 * getattr(won[name], field)
        )._asdict()
        for field, what in (("seen", "in search"), ("valid", "validation half"))
        for name in others
    }


def describe(
    found: Found,
    won: Winners,
    seeds: Sequence[int],
    counts: Mapping[str, np.ndarray],
    true: Truth | None,
) -> dict[str, Any]:
    """Each method's part of results.json: its winner per seed, and their means."""
    out: dict[str, Any] = {}
    for method, rows in found.items():
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
        out[method] = {"best": _mean(best.seen), "validation": _mean(best.valid)}
        out[method] |= {"test": _mean(best.test), "seeds": per_seed}
    return out


def _mean(values: np.ndarray) -> dict[str, float | None]:
    many = len(values) > 1
    deviation = float(np.std(values, ddof=1, dtype=np.float64)) if many else None
    return {"mean": float(np.mean(values, dtype=np.float64)), "deviation": deviation}


def text(
    won: Winners,
    counts: Mapping[str, np.ndarray],
    true: Truth | None,
    pairs: Mapping[str, Mapping[str, float]],
) -> str:
    """Tables of the winners, mean ± deviation over seeds, and of the comparisons."""
    rows = []
    for name, best in won.items():
        means = [statistics.mean_std(x) for x in (best.seen, best.valid, best.test)]
        queries = counts[name].shape[1]
        row = [f"{name}-{queries}", *means, f"{counts[name][:, -1].mean():.0f}"]
        if true is not None:
            known = true.of(best.arch)
            row.append(statistics.mean_std(known["true_accuracy"]))
            row.append(f"{np.median(known['true_rank']):.0f}")
        rows.append(row)
    header = ["best of each search [%]", "in search", "validation half", "test"]
    header += ["distinct", *(["true", "median rank"] if true is not None else [])]
    out = text_table(header, rows)
    if pairs:
        rows = [
            [
                name,
                f"{pair['difference']:+.2f}",
                f"[{pair['low']:+.2f}, {pair['high']:+.2f}]",
                statistics.p_value(pair["p_value"]),
            ]
            for name, pair in pairs.items()
        ]
        header = ["paired over seeds", "points", "95% interval", "Wilcoxon p"]
        out += "\n\n" + text_table(header, rows)
    return out
