"""Predicted accuracy of NAS-Bench-201's cells as an environment."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from nasjax.networks.predictor import SPACE, Weights, apply
from nasjax.search import Environment, Outcome
from nasjax.spaces import CellSpace


class PredictorState(NamedTuple):
    """The column that a lane is scored by."""

    column: chex.Array  # int32 []


def _evaluate(key, params, state, arch):
    del key
    accuracy = apply(params, arch)[state.column]
    return state, Outcome(accuracy, 1.0 - accuracy)


def predictor(
    space: CellSpace, weights: Weights, column: chex.Numeric = 0
) -> Environment:
    """Scores cells of NAS-Bench-201 by predicted accuracy, without noise.

    Args:
      space: `nas_bench_201()`, the only space that the network was trained on.
      weights: see `nasjax.networks.predictor.apply`.
      column: int32 [], index into `COLUMNS`; may be traced, one per lane.

    Raises:
      ValueError: another space.
    """
    if (space.edges, space.operations) != (SPACE.edges, SPACE.operations):
        raise ValueError(f"the predictor knows {SPACE.name} only, not {space.name}")
    params = jax.tree.map(jnp.asarray, weights)
    return Environment(
        params, PredictorState(jnp.asarray(column, jnp.int32)), _evaluate
    )
