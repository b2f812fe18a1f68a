"""What a search found between accuracy and cost: fronts, hypervolumes, genotypes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.analysis import pareto
from nasjax.spaces import CellSpace, costs, genotypes

AXES = ("flops", "parameters")


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


class Box(NamedTuple):
    """Whose share a front dominates."""

    accuracy: float  # of chance, a fraction
    flops: float  # of the network of 5 x 5 separable convolutions, in GFLOPS
    parameters: float  # in millions


def points(table: costs.CostTable, arch: np.ndarray, accuracy: np.ndarray) -> Points:
    """Costs of T architectures in the network of `table`, without auxiliary head.

    Source: thesis 3.2.1: a 6-cell network, FLOPS by the rule of `costs.flops`.
    """
    arch = np.asarray(arch)
    return Points(
        arch,
        np.asarray(accuracy),
        costs.flops(table, arch),
        costs.params(table, arch),
    )


def box(table: costs.CostTable, space: CellSpace, classes: int) -> Box:
    """Chance accuracy, and the costs of 5 x 5 separable convolutions everywhere."""
    arch = np.full(space.arch_shape, space.num_operations, np.uint8)
    targets = [target for _, target in space.edges]
    for node in set(targets):
        first = targets.index(node)
        arch[:, first : first + 2] = space.operations.index("sep_conv_5x5")
    largest = points(table, arch[None], np.zeros(1))
    return Box(1 / classes, *(float(largest.cost(axis)[0]) for axis in AXES))


def front(found: Points, axis: str) -> np.ndarray:
    """Steps of the Pareto front, by ascending cost; of equal points the first step."""
    cost = found.cost(axis)
    steps = np.flatnonzero(np.asarray(pareto.front(cost, found.accuracy)))
    _, first = np.unique(cost[steps], return_index=True)
    return steps[first]


def hypervolumes(found: Points, within: Box) -> dict[str, np.ndarray]:
    """By axis, float32 [T]: the share of the box dominated after 1, 2, ... queries."""
    run = jax.jit(pareto.running_hypervolume)
    return {
        axis: np.asarray(
            run(
                jnp.asarray(found.cost(axis), jnp.float32),
                jnp.asarray(found.accuracy),
                (getattr(within, axis), within.accuracy),
            )
        )
        for axis in AXES
    }


def entries(
    space: CellSpace, found: Points, extra: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """For a JSON file: every architecture on either front, by ascending FLOPS.

    Args:
      space: `darts(...)`.
      found: one search's.
      extra: what to say of each besides, such as the variant and the seed.

    Returns:
      Dicts with `step` (from 0), `fronts` (of AXES), `validation_accuracy`, costs,
      `width`, `depth`, `printed` and `genotype`, as `genotypes.parse` reads it.
    """
    fronts = {axis: front(found, axis) for axis in AXES}
    steps = np.unique(np.concatenate(list(fronts.values())))
    steps = steps[np.argsort(found.flops[steps], kind="stable")]
    return [
        dict(extra)
        | {"step": int(step), "fronts": [a for a in AXES if step in fronts[a]]}
        | describe(space, found, step)
        for step in steps
    ]


def describe(space: CellSpace, found: Points, step: int) -> dict[str, Any]:
    """One architecture of `found`; see `entries`."""
    arch = found.arch[step]
    genotype = genotypes.from_arch(arch, space)
    return {
        "validation_accuracy": float(found.accuracy[step]),
        "flops": int(found.flops[step]),
        "parameters": int(found.parameters[step]),
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
    for found in searches:
        count = max(round(share * len(found.accuracy)), 1)
        best = np.argsort(-found.accuracy, kind="stable")[:count]
        rows.append(np.asarray(costs.width(space, found.arch[best])))
    return np.concatenate(rows)
