"""NSGA-II, the evolutionary baseline for several objectives (Deb et al. 2002)."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import chex
import flax.struct
import jax
import jax.numpy as jnp

from nasjax.agent.draws import flat
from nasjax.search import Asynchronous, Searcher, pareto
from nasjax.search.asynchronous import equal, is_pending, redrawn
from nasjax.search.objectives import (
    Constraint,
    Objective,
    metrics,
    oriented,
    read,
)
from nasjax.searchers.bayesian_proposals import rows_shape
from nasjax.searchers.config import Config, fraction, static
from nasjax.searchers.crossover import offspring
from nasjax.spaces import CellSpace

TRIES = 16  # offspring drawn at once; the first that is new to the population is taken


@flax.struct.dataclass
class Nsga2Config(Config):
    """Hyper-parameters; mutation changes one edge of an offspring on average."""

    population: int = static(20, "P: architectures that survive a generation")
    crossover: chex.Numeric = fraction(0.9, "share of offspring with two parents")


class Nsga2State(NamedTuple):
    """The population in the first P slots, the offspring evaluated so far behind it."""

    arch: chex.Array  # uint8 [2 P, *arch_shape]
    value: chex.Array  # float32 [2 P, M], larger is better; -inf empty or failed
    violation: chex.Array  # float32 [2 P, C], in the constraints' units; C at least 1
    rank: chex.Array  # int32 [P], non-dominated ranks of the population
    crowding: chex.Array  # float32 [P]


def nsga2(
    space: CellSpace,
    config: Nsga2Config | None = None,
    *,
    objectives: Sequence[Objective | str] = ("accuracy:max",),
    constraints: Sequence[Constraint | str] = (),
) -> Searcher:
    """Evolves a population towards the front of several objectives.

    Two winners of binary tournaments, by rank and then by crowding distance, are
    crossed uniformly and mutated. When P offspring were evaluated, the best P of
    population and offspring survive. The first P architectures are random. An offspring
    that equals a member of the population or an earlier offspring is drawn again, up to
    16 times.

    A failed evaluation is dominated by every other. With constraints, what keeps all of
    them dominates what does not, and of two that do not the one with the smaller
    violation (the sum over constraints of its ranks) dominates.

    Args:
      space: any cell space.
      config: see `Nsga2Config`.
      objectives, constraints: as for `bayesian_pareto`.

    Raises:
      ValueError: no objectives, an objective or constraint that cannot be read, a
        config value out of range.

    Source: Deb et al. 2002.
    """
    config = (Nsga2Config() if config is None else config).validate()
    goals, bounds = read(objectives, constraints)
    terms: tuple[Objective | Constraint, ...] = (*goals, *bounds)
    P, M, C = config.population, len(goals), max(len(bounds), 1)
    E, _ = rows_shape(space)

    def init(key, steps):
        del key, steps
        return Nsga2State(
            jnp.zeros((2 * P, *space.arch_shape), jnp.uint8),
            jnp.full((2 * P, M), -jnp.inf, jnp.float32),
            jnp.full((2 * P, C), jnp.inf, jnp.float32),
            jnp.zeros(P, jnp.int32),
            jnp.zeros(P, jnp.float32),
        )

    def children(key, state):
        """Offspring [TRIES, *arch_shape]."""
        keys = jax.random.split(key, 3)
        shape = (TRIES, 2, 2)  # two tournaments of two
        drawn = flat(jax.random.randint, keys[0], shape, 0, P, jnp.int32)
        first, second = drawn[..., 0], drawn[..., 1]
        rank, crowding = state.rank, state.crowding
        better = (rank[second] < rank[first]) | (
            (rank[second] == rank[first]) & (crowding[second] > crowding[first])
        )
        parents = state.arch[jnp.where(better, second, first)]
        share = jax.random.uniform(keys[1], (TRIES,), jnp.float32)
        rate = jnp.full(TRIES, 1 / E, jnp.float32)
        crossed = share < config.crossover
        return offspring(keys[2], space, parents[:, 0], parents[:, 1], crossed, rate)

    def ask(key, state, step, pending=None):
        key_random, key_children = jax.random.split(key)
        told = step if pending is None else step - jnp.sum(pending.valid)
        child = children(key_children, state)
        taken = jnp.arange(2 * P) < P + told % P
        known = jnp.any(jax.vmap(lambda x: equal(x, state.arch))(child) & taken, axis=1)
        if pending is not None:
            known |= is_pending(pending, child)
        child = child[jnp.argmin(known)]
        return state, jnp.where(told < P, space.random(key_random), child)

    def tell(key, state, step, arch, outcome):
        del key
        value = oriented(terms, outcome)
        failed = jnp.isnan(value[0])
        below = [x.sign * x.bound - v for x, v in zip(bounds, value[M:], strict=True)]
        violation = jnp.maximum(jnp.stack(below or [jnp.zeros(())]), 0.0)
        slot = P + step % P
        state = state._replace(
            arch=state.arch.at[slot].set(arch),
            value=state.value.at[slot].set(jnp.where(failed, -jnp.inf, value[:M])),
            violation=state.violation.at[slot].set(
                jnp.where(failed, jnp.inf, violation).astype(jnp.float32)
            ),
        )
        full = step % P == P - 1
        return jax.lax.cond(full, _survivors, lambda state: state, state), {}

    def ask_pending(key, state, step, pending):
        among = functools.partial(ask, pending=pending)
        return redrawn(among, key, state, step, pending)

    hooks = Asynchronous(ask_pending)
    return Searcher(
        *(init, ask, tell),
        exact_from=1,
        asynchronous=hooks,
        space=space,
        metrics=metrics(terms),
    )


def _survivors(state: Nsga2State) -> Nsga2State:
    """The best half of population and offspring, by rank and crowding distance."""
    # Constraints have different units: their violations count by their ranks.
    less = state.violation[None] < state.violation[:, None]
    violation = jnp.sum(less, axis=(1, 2))
    violation = jnp.where(jnp.all(state.violation == 0, axis=1), 0, violation + 1)
    rank = pareto.ranks(pareto.dominators(state.value, violation))
    finite = jnp.where(jnp.isfinite(state.value), state.value, 0.0)
    crowding = pareto.crowding(finite, rank)
    best = jnp.lexsort((-crowding, rank))[: len(state.rank)]
    arch, value, violation = (x.at[: len(best)].set(x[best]) for x in state[:3])
    return Nsga2State(arch, value, violation, rank[best], crowding[best])
