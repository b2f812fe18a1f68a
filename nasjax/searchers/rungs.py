"""Rounds of successive halving: which architecture is evaluated next, at which level.

A searcher keeps a `RungState` and calls `asked`, `told` and `level`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import chex
import flax.struct
import jax.numpy as jnp
import numpy as np

from nasjax.search import Outcome, fidelity
from nasjax.search.outcomes import or_worst
from nasjax.searchers.config import Config, static
from nasjax.spaces import CellSpace

COST = (12.0, 200.0)  # epochs of NAS-Bench-201's two schedules
LOWEST = float(np.finfo(np.float32).min)


@flax.struct.dataclass
class HyperbandConfig(Config):
    """Hyper-parameters."""

    eta: int = static(
        0, "of eta architectures one is promoted; 0: the ratio of the levels' costs", 0
    )
    brackets: int = static(
        0,
        "that are repeated in turn, from the lowest level on; 0: one of each level",
        0,
    )


def brackets(cost: Sequence[float]) -> list[list[tuple[int, int]]]:
    """The rungs (level, number of architectures) of the bracket of each of L levels.

    The bracket of level l starts with n = ceil(L / (L - l) * c_L / c_l) architectures
    and keeps floor(n c_l / c_i), at least one, at level i. With costs R eta^-s, s = L-1
    .. 0, these are Hyperband's: n = ceil((s_max + 1) / (s + 1) eta^s), floor(n eta^-i).

    Args:
      cost: c, of the levels; none below the one before.

    Source: Li et al. 2018, Algorithm 1.
    """
    L, small = len(cost), 1e-9  # of the ratios' rounding
    found = []
    for level, first in enumerate(cost):
        n = math.ceil(L / (L - level) * cost[-1] / first - small)
        sizes = [max(1, math.floor(n * first / c + small)) for c in cost[level:]]
        found.append(list(zip(range(level, L), sizes, strict=True)))
    return found


class Schedule(NamedTuple):
    """One round of P queries, the rungs of all brackets one after another."""

    level: np.ndarray  # int32 [P]
    source: np.ndarray  # int32 [P], first query of the rung before; -1 in a first rung
    size: np.ndarray  # int32 [P], queries of the rung before


def schedule(cost: Sequence[float], config: HyperbandConfig) -> Schedule:
    """The round of levels with these costs.

    Raises:
      ValueError: costs that `fidelity.check_costs` refuses, more brackets than levels,
        eta is 1, or a value is out of range.
    """
    config.validate()
    if config.eta == 1:
        raise ValueError("eta is 1; allowed: 0, or at least 2")
    scale = fidelity.check_costs(cost)
    if config.eta:
        scale = tuple(float(config.eta**i) for i in range(len(scale)))
    if config.brackets > len(scale):
        raise ValueError(
            f"brackets is {config.brackets}; allowed: 0..{len(scale)}, the number of "
            "levels"
        )
    rows: list[tuple[int, int, int]] = []
    for rungs in brackets(scale)[: config.brackets or None]:
        source, size = -1, 0
        for level, n in rungs:
            first = len(rows)
            rows += [(level, source, size)] * n
            source, size = first, n
    return Schedule(*np.array(rows, np.int32).T)


class RungState(NamedTuple):
    """The queries of the current round."""

    arch: chex.Array  # uint8 [P, *arch_shape]
    score: chex.Array  # float32 [P], -inf where failed or not told
    promoted: chex.Array  # bool [P]
    begun: chex.Array  # int32 [], the step at which the round began
    query: chex.Array  # int32 [], the step of the last ask


def empty(space: CellSpace, rounds: Schedule) -> RungState:
    """The state before the first query."""
    P = len(rounds.level)
    return RungState(
        jnp.zeros((P, *space.arch_shape), jnp.uint8),
        jnp.full(P, -jnp.inf, jnp.float32),
        jnp.zeros(P, bool),
        jnp.int32(0),
        jnp.int32(0),
    )


def asked(
    rounds: Schedule,
    state: RungState,
    step: chex.Numeric,
    new: chex.Array,
    always: bool = False,
) -> tuple[RungState, chex.Array]:
    """The next architecture: the best one not promoted of the rung before, or `new`.

    Args:
      step: int32 [], counts the asks.
      new: uint8 [*arch_shape], for a first rung; for any, if `always`.
    """
    P = len(rounds.level)
    at = step % P
    start = at == 0
    score = jnp.where(start, -jnp.inf, state.score)
    promoted = jnp.where(start, False, state.promoted)
    source, size = (jnp.asarray(x)[at] for x in (rounds.source, rounds.size))
    index = jnp.arange(P)
    rung = (index >= source) & (index < source + size) & ~promoted
    best = jnp.argmax(jnp.where(rung, jnp.maximum(score, LOWEST), -jnp.inf))
    promotes = (source >= 0) & (not always)
    arch = jnp.where(promotes, state.arch[best], new)
    state = RungState(
        state.arch.at[at].set(arch),
        score.at[at].set(-jnp.inf),
        promoted.at[best].set(promoted[best] | promotes),
        jnp.where(start, step, state.begun).astype(jnp.int32),
        jnp.asarray(step, jnp.int32),
    )
    return state, arch


def told(
    rounds: Schedule, state: RungState, arch: chex.Array, outcome: Outcome
) -> RungState:
    """The state with the outcome of query `state.query`.

    It counts if it is of this round and of the level that the query was asked at.
    """
    at = state.query % len(rounds.level)
    at_level = outcome.metrics[fidelity.FIDELITY] == jnp.asarray(rounds.level)[at]
    counts = (state.query >= state.begun) & at_level
    score = jnp.where(counts, or_worst(outcome.accuracy, -jnp.inf), state.score[at])
    return state._replace(
        arch=state.arch.at[at].set(jnp.where(counts, arch, state.arch[at])),
        score=state.score.at[at].set(score),
    )


def adopted(
    rounds: Schedule, state: RungState, step: chex.Numeric, arch: chex.Array
) -> RungState:
    """The state as if `arch` had been asked; see `Asynchronous.adopt`."""
    return asked(rounds, state, step, arch, True)[0]


def level(rounds: Schedule, state: RungState) -> chex.Array:
    """int32 []: the level of the last ask."""
    return jnp.asarray(rounds.level)[state.query % len(rounds.level)]
