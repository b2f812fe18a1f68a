"""Regularized evolution (Real et al. 2019)."""

import functools
from typing import NamedTuple

import chex
import flax.struct
import jax
import jax.numpy as jnp

from nasjax.search import Asynchronous, Searcher
from nasjax.search.asynchronous import redrawn
from nasjax.search.outcomes import or_worst
from nasjax.searchers.config import Config, static
from nasjax.spaces import CellSpace


@flax.struct.dataclass
class EvolutionConfig(Config):
    """Hyper-parameters; the defaults are those of NAS-Bench-201's authors."""

    population: int = static(10, "architectures; each new one replaces the oldest")
    sample: int = static(3, "size of a tournament, drawn with replacement")


class EvolutionState(NamedTuple):
    """The population as a ring: slot `step % population` is the oldest."""

    arch: chex.Array  # uint8 [P, *arch_shape]
    accuracy: chex.Array  # float32 [P]


def evolution(space: CellSpace, config: EvolutionConfig | None = None) -> Searcher:
    """Mutates the winner of a tournament; the child replaces the oldest architecture.

    A failed evaluation enters the population with a score of -inf: it wins no
    tournament against a successful one, and is replaced by age as the others are.

    Raises:
      ValueError: population or sample is not an integer of at least 1.

    Source: Real et al. 2019; settings of Dong and Yang 2020 (10 / 3).
    """
    config = (EvolutionConfig() if config is None else config).validate()
    P = config.population

    def init(key, steps):
        del key, steps
        arch = jnp.zeros((P, *space.arch_shape), jnp.uint8)
        return EvolutionState(arch, jnp.full((P,), -jnp.inf, jnp.float32))

    def ask(key, state, step, told=None):
        key_random, key_tournament, key_mutation = jax.random.split(key, 3)
        drawn = jax.random.randint(key_tournament, (config.sample,), 0, P, jnp.int32)
        if told is not None:  # only the first `told` slots may be filled
            drawn = drawn % jnp.maximum(told, 1)
            step = jnp.where(told == 0, 0, step)
        winner = drawn[jnp.argmax(state.accuracy[drawn])]
        child = space.mutate(key_mutation, state.arch[winner])
        return state, jnp.where(step < P, space.random(key_random), child)

    def tell(key, state, step, arch, outcome):
        del key
        slot = step % P
        new = EvolutionState(
            state.arch.at[slot].set(arch),
            state.accuracy.at[slot].set(or_worst(outcome.accuracy, -jnp.inf)),
        )
        return new, {}

    def ask_pending(key, state, step, pending):
        told = step - jnp.sum(pending.valid)
        among = functools.partial(ask, told=told)
        return redrawn(among, key, state, step, pending)

    hooks = Asynchronous(ask_pending)
    return Searcher(init, ask, tell, exact_from=1, asynchronous=hooks, space=space)
