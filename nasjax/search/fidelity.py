"""Fidelities: evaluations of several costs, such as trainings of 12 and 200 epochs.

An environment may have `Levels`, from the cheapest to the one that counts. A searcher
with `Searcher.fidelity` chooses one for each query; others are evaluated at the top.
Every outcome then has two more metrics: `fidelity`, its level, and `cost`. Budgets are
counted in cost:

    state, trace = search.run(key, searcher, env, steps)
    search.fidelity.best(trace, env.levels.top, budget=12_000.0)
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from nasjax.search import outcomes
from nasjax.search.outcomes import Best, Outcome
from nasjax.search.protocol import Environment, Levels, PyTree, Searcher, Trace

METRICS = FIDELITY, COST = "fidelity", "cost"  # of outcomes of levels


def levels(cost: Sequence[float], names: Sequence[str] | None = None) -> Levels:
    """Fidelities of these costs.

    Args:
      cost: of the L levels, none below the one before, in any one unit.
      names: of the levels; by default their numbers.

    Raises:
      ValueError: there is no level; costs are not positive and finite, or fall; names
        are not one of each level.
    """
    values = check_costs(cost)
    texts = tuple(map(str, range(len(values)) if names is None else names))
    if len({*texts}) != len(values):
        raise ValueError(f"levels {texts}: {len(values)} different names are needed")
    return Levels(jnp.asarray(values, jnp.float32), texts)


def check_costs(cost: Sequence[float]) -> tuple[float, ...]:
    """The costs of levels as numbers.

    Raises:
      ValueError: there is none, or they are not positive and finite, or fall.
    """
    values = tuple(map(float, cost))
    rising = all(a <= b for a, b in itertools.pairwise(values))
    positive = all(0 < x < math.inf for x in values)
    if not values or not rising or not positive:
        raise ValueError(
            f"costs of levels {values}; allowed: positive numbers, none below the one "
            "before"
        )
    return values


def check(searcher: Searcher, env: Environment) -> None:
    """Raises ValueError if the searcher chooses levels and `env` has none."""
    if searcher.fidelity is not None and env.levels is None:
        raise ValueError(
            "the searcher chooses a fidelity for each query; the environment has no "
            "levels (see search.fidelity)"
        )


def level(searcher: Searcher, env: Environment, asked: PyTree) -> chex.Array | None:
    """The level at which the architecture just asked is evaluated.

    Args:
      asked: the searcher's state after `ask`.

    Returns:
      int32 []; None if the environment has no levels.

    Raises:
      ValueError: as `check`; or a concrete level that the environment lacks.
    """
    check(searcher, env)
    if env.levels is None:
        return None
    if searcher.fidelity is None:
        return jnp.int32(env.levels.top)
    level = jnp.asarray(searcher.fidelity(asked), jnp.int32)
    if not isinstance(level, jax.core.Tracer) and not 0 <= level <= env.levels.top:
        raise ValueError(
            f"the searcher chose level {level}; the environment has "
            f"{', '.join(env.levels.names)}"
        )
    return level


def evaluate(
    key: chex.PRNGKey,
    env: Environment,
    state: PyTree,
    arch: chex.Array,
    level: chex.Array | None,
) -> Any:
    """What the environment's `evaluate` returns, at this level if it has levels."""
    extra = () if level is None else (level,)
    return env.evaluate(key, env.params, state, arch, *extra)


def noted(
    outcome: Outcome, env: Environment, level: chex.Array | None, cost: Any = None
) -> Outcome:
    """The outcome with `fidelity` and `cost`, also of a failed evaluation.

    An evaluation at a level that does not exist has failed.

    Args:
      outcome: float32, see `outcomes.outcome`.
      level: of the query; without one, the outcome does not change.
      cost: that the environment measured; by default, or if not finite, the level's.
    """
    if level is None or env.levels is None:
        return outcome
    usual = env.levels.cost[level].astype(jnp.float32)
    paid = usual if cost is None else outcomes.or_worst(jnp.float32(cost), usual)
    exists = (level >= 0) & (level <= env.levels.top)
    accuracy = jnp.where(exists, outcome.accuracy, jnp.nan)
    both = {FIDELITY: jnp.asarray(level, jnp.float32), COST: paid}
    return outcome._replace(accuracy=accuracy, metrics={**outcome.metrics, **both})


def measured(
    levels: Levels, level: int, metrics: Mapping[str, float]
) -> dict[str, float]:
    """As `noted`, for the metrics of an outcome as plain numbers."""
    cost = metrics.get(COST, math.nan)
    cost = cost if math.isfinite(cost) else float(levels.cost[level])
    return {**metrics, FIDELITY: float(level), COST: cost}


def spent(trace: Trace) -> chex.Array:
    """float32 [..., T]: cost of the queries up to each, that one included."""
    return jnp.cumsum(jnp.asarray(trace.metrics[COST]), axis=-1)


def within(trace: Trace, budget: chex.Numeric) -> chex.Array:
    """bool [..., T]: the queries that had ended when the budget was spent."""
    return spent(trace) <= budget


def best(trace: Trace, top: int, budget: chex.Numeric = np.inf) -> Best:
    """The best query of the top level within a budget of cost, see `search.best`.

    Args:
      trace: of an environment with levels, [..., T].
      top: the level that counts.
      budget: in the unit of the costs.
    """
    counts = (jnp.asarray(trace.metrics[FIDELITY]) == top) & within(trace, budget)
    accuracy = jnp.where(counts, jnp.asarray(trace.accuracy), jnp.nan)
    return outcomes.best(trace._replace(accuracy=accuracy))
