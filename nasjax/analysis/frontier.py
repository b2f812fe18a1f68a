"""Accuracy against cost in one search: fronts, hypervolumes, genotypes, tables."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.analysis import pareto, statistics
from nasjax.analysis.text import paired_table, text_table
from nasjax.runs.driven_search import Driven
from nasjax.spaces import CellSpace, costs, genotypes

AXES = ("flops", "parameters")
Volumes = Mapping[str, Mapping[str, np.ndarray]]  # by variant and axis, [S, T]


class Points(NamedTuple):
    """The T architectures of one search."""

    arch: np.ndarray  # uint8 [T, 2, 14]
    accuracy: np.ndarray  # float32 [T], fractions
    flops: np.ndarray  # int64 [T]
    parameters: np.ndarray  # int64 [T]

    def cost(self, axis: str) -> np.ndarray:
        """float64 [T]: GFLOPS, or millions of parameters, by an axis of AXES."""
        unit = 1e9 if axis == "flops" else 1e6
        return getattr(self, axis) / unit


class ReferencePoint(NamedTuple):
    """Worst corner of the box whose dominated share is the hypervolume."""

    accuracy: float  # of chance, a fraction
    flops: float  # of the network of 5 x 5 separable convolutions, in GFLOPS
    parameters: float  # in millions


def points(table: costs.CostTable, arch: np.ndarray, accuracy: np.ndarray) -> Points:
    """Costs of T architectures in the network of `table`, without auxiliary head.

    Source: thesis 3.2.1: a 6-cell network, FLOPS by the rule of `costs.flops`.
    """
    arch = np.asarray(arch)
    sizes = costs.flops(table, arch), costs.params(table, arch)
    return Points(arch, np.asarray(accuracy), *sizes)


def reference_point(
    table: costs.CostTable, space: CellSpace, classes: int
) -> ReferencePoint:
    """Chance accuracy, and the costs of 5 x 5 separable convolutions everywhere."""
    arch = np.full(space.arch_shape, space.num_operations, np.uint8)
    targets = [target for _, target in space.edges]
    for node in set(targets):
        first = targets.index(node)
        arch[:, first : first + 2] = space.operations.index("sep_conv_5x5")
    largest = points(table, arch[None], np.zeros(1))
    sizes = (float(largest.cost(axis)[0]) for axis in AXES)
    return ReferencePoint(1 / classes, *sizes)


def front(searched: Points, axis: str) -> np.ndarray:
    """Steps of the Pareto front, by ascending cost; of equal points the first step."""
    cost = searched.cost(axis)
    steps = np.flatnonzero(np.asarray(pareto.front(cost, searched.accuracy)))
    _, first = np.unique(cost[steps], return_index=True)
    return steps[first]


def hypervolumes(searched: Points, reference: ReferencePoint) -> dict[str, np.ndarray]:
    """By axis, float32 [T]: the share of the box dominated after 1, 2, ... queries."""
    run = jax.jit(pareto.running_hypervolume)
    accuracy = jnp.asarray(searched.accuracy)
    volumes = {}
    for axis in AXES:
        cost = jnp.asarray(searched.cost(axis), jnp.float32)
        corner = (getattr(reference, axis), reference.accuracy)
        volumes[axis] = np.asarray(run(cost, accuracy, corner))
    return volumes


def entries(
    space: CellSpace, searched: Points, extra: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """For a JSON file: every architecture on either front, by ascending FLOPS.

    Args:
      space: `darts(...)`.
      searched: of one search.
      extra: further fields of each, such as the variant and the seed.

    Returns:
      Dicts with `step` (from 0), `fronts` (of AXES), `validation_accuracy`, costs,
      `width`, `depth`, `printed` and `genotype`, as `genotypes.parse` reads it.
    """
    fronts = {axis: front(searched, axis) for axis in AXES}
    steps = np.unique(np.concatenate(list(fronts.values())))
    steps = steps[np.argsort(searched.flops[steps], kind="stable")]
    return [
        dict(extra)
        | {"step": int(step), "fronts": [a for a in AXES if step in fronts[a]]}
        | entry(space, searched, step)
        for step in steps
    ]


def entry(space: CellSpace, searched: Points, step: int) -> dict[str, Any]:
    """The architecture of one step; see `entries`."""
    arch = searched.arch[step]
    genotype = genotypes.from_arch(arch, space)
    return {
        "validation_accuracy": float(searched.accuracy[step]),
        "flops": int(searched.flops[step]),
        "parameters": int(searched.parameters[step]),
        "width": np.asarray(costs.width(space, arch)).tolist(),
        "depth": np.asarray(costs.depth(space, arch)).tolist(),
        "printed": str(genotype),
        "genotype": genotypes.to_json(genotype),
    }


def top_widths(
    space: CellSpace, searches: Sequence[Points], share: float = 0.05
) -> np.ndarray:
    """Widths of the best `share` of each search's architectures, float32 [n, 2].

    Source: thesis Fig. 3.5 (top 5%, `none` excluded).
    """
    rows = []
    for searched in searches:
        count = max(round(share * len(searched.accuracy)), 1)
        best = np.argsort(-searched.accuracy, kind="stable")[:count]
        rows.append(np.asarray(costs.width(space, searched.arch[best])))
    return np.concatenate(rows)


def describe_variants(
    space: CellSpace,
    runs: Mapping[str, Sequence[Driven]],
    searches: Mapping[str, Sequence[Points]],
    volumes: Volumes,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Numbers per variant and seed, for results.json.

    Args:
      space: `darts(...)`.
      runs, searches: each variant's seeds.
      volumes: from `hypervolumes`, stacked over seeds.
      seeds: the S seeds.
    """

    def search(name: str, s: int) -> dict[str, Any]:
        run, searched = runs[name][s], searches[name][s]
        best = int(searched.accuracy.argmax())
        return {
            "best_step": best,
            "best": entry(space, searched, best),
            "hypervolume": {a: float(v[s, -1]) for a, v in volumes[name].items()},
            "last_100_accuracy": float(searched.accuracy[-100:].mean()),
            "distinct": len(np.unique(searched.arch, axis=0)),
            "seconds": run.seconds,
            **{
                f"last_100_{key}": float(np.mean(x[-100:]))
                for key, x in run.trace.info.items()
            },
        }

    return {
        name: {str(seed): search(name, s) for s, seed in enumerate(seeds)}
        for name in runs
    }


def paired_volumes(volumes: Volumes) -> dict[str, dict[str, statistics.Paired]]:
    """Each variant's final hypervolumes against those of `rs`, in points, by axis.

    Empty without `rs`, without another variant, or with one seed.
    """
    if "rs" not in volumes or len(volumes["rs"][AXES[0]]) < 2:
        return {}
    last = {
        name: {axis: 100 * volumes[name][axis][:, -1] for axis in AXES}
        for name in volumes
    }
    return {
        name: {
            axis: statistics.paired(last[name][axis], last["rs"][axis]) for axis in AXES
        }
        for name in volumes
        if name != "rs"
    }


def tables(
    volumes: Volumes,
    described: Mapping[str, Any],
    pairs: Mapping[str, Mapping[str, statistics.Paired]],
) -> str:
    """Tables of the variants, and of each against random search.

    Args:
      volumes: see `describe_variants`.
      described: its result.
      pairs: from `paired_volumes`.
    """
    rows = []
    for name, per_seed in described.items():
        best = [row["best"]["validation_accuracy"] for row in per_seed.values()]
        late = [row["last_100_accuracy"] for row in per_seed.values()]
        last = [volumes[name][axis][:, -1] for axis in AXES]
        means = (statistics.mean_std(np.array(x)) for x in (best, late, *last))
        distinct = np.mean([row["distinct"] for row in per_seed.values()])
        rows.append([name, *means, f"{distinct:.0f}"])
    header = ["variant [%]", "best accuracy", "last 100 steps"]
    header += ["hypervolume, FLOPS", "hypervolume, parameters", "distinct"]
    text = text_table(header, rows)
    if pairs:
        labelled = [
            ([f"{name} - rs", axis], pair)
            for name, by_axis in pairs.items()
            for axis, pair in by_axis.items()
        ]
        header = ["hypervolume, paired over seeds", "axis"]
        text += "\n\n" + paired_table(header, labelled)
    return text
