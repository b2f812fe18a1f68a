"""Local search: first improvement, with random restarts."""

import functools
from typing import NamedTuple

import chex
import flax.struct
import jax
import jax.numpy as jnp

from nasjax.search import Asynchronous, Searcher
from nasjax.search.asynchronous import equal, is_pending, redrawn
from nasjax.search.outcomes import or_worst
from nasjax.searchers.config import Config, static
from nasjax.spaces import CellSpace

TRIES = 100  # most draws: in a small space all architectures may have been queried


@flax.struct.dataclass
class LocalSearchConfig(Config):
    """Hyper-parameters; a climb is a local search between two restarts."""

    forget: bool = static(True, "a restart forgets the queries of earlier climbs")
    initial: int = static(1, "random architectures, the best of which starts a climb")
    fresh: bool = static(False, "draw these among architectures not queried before")


def naszilla() -> LocalSearchConfig:
    """Local search as in naszilla: starts at the best of ten, queries nothing twice.

    Source: White et al. 2021; naszilla's `local_search` with its defaults (10 initial
    architectures, the first better neighbour, stop at a minimum).
    """
    return LocalSearchConfig(forget=False, initial=10, fresh=True)


VARIANTS = {"naszilla": naszilla}


class LocalSearchState(NamedTuple):
    """The current climb, and the queries so far."""

    arch: chex.Array  # uint8 [*arch_shape], the best of this climb
    accuracy: chex.Array  # float32 [], its accuracy; -inf before the first climb
    order: chex.Array  # float32 [N], neighbours are tried in ascending order;
    # all are -k while k random architectures remain to be queried before the climb
    queried: chex.Array  # uint8 [steps, *arch_shape], O in empty rows
    restart: chex.Array  # bool [], whether the pending architecture starts a climb


def local_search(space: CellSpace, config: LocalSearchConfig | None = None) -> Searcher:
    """Moves to the first better neighbour, in random order; restarts at an optimum.

    Neighbours differ in one operation. A climb queries no neighbour twice (even if
    evaluations are noisy); with `forget=False` this holds across climbs. A climb starts
    at a random architecture, or at the best of `initial` ones; with `fresh` they are
    drawn among those not queried before (if nearly all of a space was queried, TRIES
    draws may not find one).

    A failed evaluation counts as worse than any score: a climb never moves to it, and
    a climb that starts at one moves to the first neighbour with a score.

    Raises:
      ValueError: the space selects edges, or `initial` is not an integer of at least 1.

    Source: White et al. 2021, "Exploring the loss landscape in NAS"; for the config of
    its code see `naszilla`.
    """
    config = (LocalSearchConfig() if config is None else config).validate()
    count = space.neighbours(jnp.zeros(space.arch_shape, jnp.uint8)).shape[0]

    def init(key, steps):
        arch = jnp.zeros(space.arch_shape, jnp.uint8)
        return LocalSearchState(
            arch=arch,
            accuracy=jnp.float32(-jnp.inf),
            order=jax.random.uniform(key, (count,), jnp.float32),
            queried=jnp.full(
                (steps, *space.arch_shape), space.num_operations, jnp.uint8
            ),
            restart=jnp.bool_(True),
        )

    def start(key, queried):
        if not config.fresh:
            return space.random(key)

        def again(carry):
            tries, arch = carry
            return jnp.any(equal(arch, queried)) & (tries < TRIES)

        def draw(carry):
            tries, _ = carry
            return tries + 1, space.random(jax.random.fold_in(key, tries))

        return jax.lax.while_loop(again, draw, draw((jnp.int32(0), None)))[1]

    def ask(key, state, step, pending=None):
        neighbours = space.neighbours(state.arch)
        known = jnp.any(equal(neighbours, state.queried), axis=-1)
        begun = step > 0
        if pending is not None:
            begun = step > jnp.sum(pending.valid)
            known |= is_pending(pending, neighbours)
        first = jnp.argmin(jnp.where(known, jnp.inf, state.order))
        starting = state.order[0] < 0
        restart = ~begun | (jnp.all(known) & ~starting)
        queried = state.queried
        if config.forget:
            queried = jnp.where(restart, jnp.uint8(space.num_operations), queried)
        arch = jnp.where(restart | starting, start(key, queried), neighbours[first])
        queried = queried.at[step].set(arch)
        return state._replace(queried=queried, restart=restart), arch

    def tell(key, state, step, arch, outcome):
        del step
        accuracy = or_worst(outcome.accuracy, -jnp.inf)
        moved = state.restart | (accuracy > state.accuracy)
        new = jax.random.uniform(key, state.order.shape, jnp.float32)
        order = jnp.where(moved, new, state.order)
        if config.initial > 1:
            begun = state.restart | (state.order[0] < 0)
            left = jnp.where(state.restart, config.initial, -state.order[0]) - 1
            order = jnp.where(begun, jnp.where(left > 0, -left, new), order)
        return state._replace(
            arch=jnp.where(moved, arch, state.arch),
            accuracy=jnp.where(moved, accuracy, state.accuracy),
            order=order,
        ), {}

    def budget(state):
        return state.queried.shape[0]

    def ask_pending(key, state, step, pending):
        among = functools.partial(ask, pending=pending)
        return redrawn(among, key, state, step, pending)

    def note(state):
        return state.restart, state.arch

    def recall(state, note):
        # If several pending queries restart, the first one told starts the climb.
        restart, at = note
        return state._replace(restart=restart & jnp.all(state.arch == at))

    def adopt(state, step, arch):
        queried = state.queried.at[step].set(arch)
        return state._replace(queried=queried, restart=jnp.bool_(False))

    hooks = Asynchronous(ask_pending, note, recall, adopt)
    return Searcher(init, ask, tell, None, budget, 1, hooks, space)
