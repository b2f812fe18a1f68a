"""What DDAS and random search found, accuracy against cost: numbers and tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasjax.analysis import frontier, statistics
from nasjax.analysis.frontier import Points
from nasjax.analysis.text import text_table
from nasjax.runs.driven_search import Driven
from nasjax.spaces import CellSpace

Volumes = Mapping[str, Mapping[str, np.ndarray]]  # by variant and axis, [S, T]


def describe(
    space: CellSpace,
    found: Mapping[str, Sequence[Driven]],
    searches: Mapping[str, Sequence[Points]],
    volumes: Volumes,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Numbers per variant and seed, for results.json.

    Args:
      space: `darts(...)`.
      found, searches: each variant's seeds.
      volumes: from `frontier.hypervolumes`, stacked over seeds.
      seeds: the S seeds.
    """
    out = {}
    for name, rows in found.items():
        per_seed = {}
        for s, (seed, one, points) in enumerate(
            zip(seeds, rows, searches[name], strict=True)
        ):
            best = int(points.accuracy.argmax())
            per_seed[str(seed)] = {
                "best_step": best,
                "best": frontier.describe(space, points, best),
                "hypervolume": {a: float(v[s, -1]) for a, v in volumes[name].items()},
                "last_100_accuracy": float(points.accuracy[-100:].mean()),
                "distinct": len(np.unique(points.arch, axis=0)),
                "seconds": one.seconds,
                **{
                    f"last_100_{key}": float(np.mean(x[-100:]))
                    for key, x in one.trace.info.items()
                },
            }
        out[name] = per_seed
    return out


def compare(
    volumes: Volumes, described: Mapping[str, Any]
) -> tuple[str, dict[str, dict[str, float]]]:
    """Every variant, and each against random search `rs` over the seeds.

    Args:
      volumes: see `describe`.
      described: its result.

    Returns:
      Tables of text; paired comparisons of the final hypervolumes in points.
    """
    rows, pairs = [], {}
    for name, per_seed in described.items():
        best = np.array(
            [row["best"]["validation_accuracy"] for row in per_seed.values()]
        )
        late = np.array([row["last_100_accuracy"] for row in per_seed.values()])
        distinct = np.mean([row["distinct"] for row in per_seed.values()])
        rows.append(
            [
                name,
                statistics.mean_std(best),
                statistics.mean_std(late),
                *(statistics.mean_std(volumes[name][a][:, -1]) for a in frontier.AXES),
                f"{distinct:.0f}",
            ]
        )
    header = ["variant [%]", "best accuracy", "last 100 steps"]
    header += ["hypervolume, FLOPS", "hypervolume, parameters", "distinct"]
    text = text_table(header, rows)
    seeds = len(next(iter(described.values())))
    if "rs" not in volumes or len(volumes) < 2 or seeds < 2:
        return text, pairs
    rows = []
    for name in volumes:
        for axis in frontier.AXES if name != "rs" else ():
            mine, theirs = (100 * volumes[v][axis][:, -1] for v in (name, "rs"))
            pair = statistics.paired(mine, theirs)
            pairs[f"{name} - rs, {axis}"] = pair._asdict()
            rows.append(
                [
                    f"{name} - rs",
                    axis,
                    f"{pair.difference:+.2f}",
                    f"[{pair.low:+.2f}, {pair.high:+.2f}]",
                    statistics.p_value(pair.p_value),
                ]
            )
    header = ["hypervolume, paired over seeds", "axis", "points", "95% interval"]
    text += "\n\n" + text_table([*header, "Wilcoxon p"], rows)
    return text, pairs
