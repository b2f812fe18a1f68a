"""Generated functions of independent choices, evaluated on the fly.

They need no table, so that a space may have any number of architectures. E edges have
one of O operations each; an architecture is [E].
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from nasjax.environments.tabular import TabularState
from nasjax.search import Environment, Outcome
from nasjax.spaces import CellSpace

SAMPLE = 4_096  # random architectures that fix a function's scale


class Pairwise(NamedTuple):
    """f(a) = sum_e own_e(a_e) + sqrt(2 / (E - 1)) sum_{e < f} both_ef(a_e, a_f)."""

    own: chex.Array  # [E, O]
    both: chex.Array  # [E (E - 1) / 2, O, O], pairs in lexicographic order


class Nk(NamedTuple):
    """f(a) = mean_e u_e(a_e, operations on K other edges).

    Source: Kauffman and Weinberger 1989.
    """

    edges: chex.Array  # int32 [E, K + 1], e itself first
    table: chex.Array  # [E, O^(K + 1)], the last edge's operation counts singly


Function = Pairwise | Nk


def pairwise(rng: np.random.Generator, edges: int, operations: int) -> Pairwise:
    """A function whose numbers are standard normal; E is at least 2."""
    shape = operations, operations
    own = rng.normal(size=(edges, operations))
    pairs = itertools.combinations(range(edges), 2)
    return Pairwise(own, np.stack([rng.normal(size=shape) for _ in pairs]))


def nk(rng: np.random.Generator, edges: int, operations: int, K: int) -> Nk:
    """A function whose numbers are uniform in [0, 1); K is below E."""
    chosen, tables = [], []
    for e in range(edges):
        others = rng.choice(np.delete(np.arange(edges), e), K, replace=False)
        chosen.append([e, *others])
        tables.append(rng.random((operations,) * (K + 1)).reshape(-1))
    return Nk(np.array(chosen, np.int32), np.stack(tables))


def value(function: Function, arch: chex.Array) -> chex.Array:
    """f of architectures [..., E]: [...]; NumPy if both arguments are."""
    if isinstance(function, Nk):
        E, inputs = function.edges.shape
        O = round(function.table.shape[1] ** (1 / inputs))
        places = O ** np.arange(inputs)[::-1]
        index = (arch[..., function.edges] * places).sum(-1)
        return function.table[np.arange(E), index].mean(-1)
    E = len(function.own)
    first, second = np.triu_indices(E, 1)
    own = function.own[np.arange(E), arch].sum(-1)
    rows = np.arange(len(first))
    both = function.both[rows, arch[..., first], arch[..., second]].sum(-1)
    return own + math.sqrt(2 / (E - 1)) * both


class _Params(NamedTuple):
    functions: Function  # with a leading axis V
    mean: chex.Array  # float32 [V]
    deviation: chex.Array  # float32 [V]


def _evaluate(key, params, state, arch):
    del key
    function, mean, deviation = jax.tree.map(lambda x: x[state.column], params)
    score = (value(function, arch.astype(jnp.int32)) - mean) / deviation
    return state, Outcome(score, -score)


def generated(
    space: CellSpace,
    functions: Sequence[Function],
    column: chex.Numeric = 0,
    seed: int = 0,
) -> Environment:
    """V functions of one family and size; their values have mean 0 and deviation 1.

    Mean and deviation are those of random architectures.

    Args:
      space: of one cell, with an operation on every edge.
      functions: on its E edges and O operations.
      column: int32 [], index into `functions`; may be traced, one per lane.
      seed: of the random architectures.

    Raises:
      ValueError: there are no functions, or they do not fit the space.
    """
    E, O = space.num_edges, space.num_operations
    for function in functions:
        if isinstance(function, Nk):
            sizes = (
                len(function.edges),
                round(function.table.shape[1] ** (1 / function.edges.shape[1])),
            )
        else:
            sizes = function.own.shape
        if sizes != (E, O) or space.arch_shape != (E,):
            raise ValueError(
                f"a function of {sizes[0]} edges and {sizes[1]} operations does not "
                f"fit {space.name}, {list(space.arch_shape)} of {O}"
            )
    if not len(functions):
        raise ValueError("there are no functions")
    rng = np.random.default_rng(seed)
    sample = rng.integers(0, O, (SAMPLE, E))
    values = np.stack([value(function, sample) for function in functions])
    stacked = jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *functions)
    stacked = jax.tree.map(
        lambda x: x if x.dtype == jnp.int32 else x.astype(jnp.float32), stacked
    )
    scale = values.mean(axis=1), values.std(axis=1)
    params = _Params(stacked, *(jnp.asarray(x, jnp.float32) for x in scale))
    return Environment(params, TabularState(jnp.asarray(column, jnp.int32)), _evaluate)
