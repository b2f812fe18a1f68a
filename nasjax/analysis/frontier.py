"""Accuracy against cost in one search: Pareto fronts, hypervolumes, genotypes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.analysis import pareto
from nasjax.spaces import CellSpace, architectures, costs, topology

AXES = ("flops", "parameters")


class Points(NamedTuple):
    """The T architectures of one search."""

    arch: np.ndarray  # uint8 [T, 2, 14]
    accuracy: np.ndarray  # float32 [T], fractions
    flops: np.ndarray  # int64 [T]
    parameters: np.ndarray  # int64 [T]

    def cost(self, axis: str) -> np.ndarray:
        """float64 [T]: GFLOPS or millions of parameters; `axis` is in AXES."""
        unit = 1e9 if axis == "flops" else 1e6
        return getattr(self, axis) / unit


class ReferencePoint(NamedTuple):
    """Worst corner of the hypervolume's box."""

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
    """Steps on the Pareto front, by ascending cost; the first among equal points."""
    cost = searched.cost(axis)
    steps = np.flatnonzero(np.asarray(pareto.front(cost, searched.accuracy)))
    _, first = np.unique(cost[steps], return_index=True)
    return steps[first]


def hypervolumes(searched: Points, reference: ReferencePoint) -> dict[str, np.ndarray]:
    """By axis, float32 [T]: hypervolume after 1, 2, ... queries, a share of the box."""
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
    architecture = architectures.from_array(space, searched.arch[step])
    return {
        "validation_accuracy": float(searched.accuracy[step]),
        "flops": int(searched.flops[step]),
        "parameters": int(searched.parameters[step]),
        **architecture.shape(),
        "printed": architecture.printed,
        "genotype": architecture.to_json(),
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
        rows.append(np.asarray(topology.width(space, searched.arch[best])))
    return np.concatenate(rows)
