"""Local search: first improvement, with random restarts."""

from typing import NamedTuple

import chex
import flax.struct
import jax
import jax.numpy as jnp

from nasjax.search import Searcher
from nasjax.spaces import CellSpace


@flax.struct.dataclass
class LocalSearchConfig:
    """One choice: what a restart remembers."""

    forget: bool = flax.struct.field(
        default=True,
        pytree_node=False,
        metadata={"help": "a restart forgets what earlier climbs asked"},
    )


class LocalSearchState(NamedTuple):
    """Where the climb stands and what it asked."""

    arch: chex.Array  # uint8 [*arch_shape], the best of this climb
    accuracy: chex.Array  # float32 [], -inf before a climb
    order: chex.Array  # float32 [N], neighbours are tried in ascending order
    asked: chex.Array  # uint8 [steps, *arch_shape]
    restart: chex.Array  # bool [], the pending architecture starts a climb


def local_search(space: CellSpace, config: LocalSearchConfig | None = None) -> Searcher:
    """Moves to the first better neighbour, in random order; restarts at an optimum.

    Neighbours differ in one operation. One that this climb asked before is not asked
    again (on a noisy oracle its first answer stands); `forget=False` extends that to
    all climbs.

    Raises:
      ValueError: the space selects edges.

    Source: White et al. 2021, "Exploring the loss landscape in NAS".
    """
    config = LocalSearchConfig() if config is None else config
    count = space.neighbours(jnp.zeros(space.arch_shape, jnp.uint8)).shape[0]

    def init(key, steps):
        arch = jnp.zeros(space.arch_shape, jnp.uint8)
        return LocalSearchState(
            arch=arch,
            accuracy=jnp.float32(-jnp.inf),
            order=jax.random.uniform(key, (count,)),
            asked=jnp.full((steps, *space.arch_shape), space.num_operations, jnp.uint8),
            restart=jnp.bool_(True),
        )

    def ask(key, state, step):
        neighbours = space.neighbours(state.arch).reshape(count, -1)
        asked = state.asked.reshape(state.asked.shape[0], -1)
        known = jnp.any(jnp.all(neighbours[:, None] == asked[None], -1), -1)
        first = jnp.argmin(jnp.where(known, jnp.inf, state.order))
        restart = (step == 0) | jnp.all(known)
        neighbour = neighbours[first].reshape(space.arch_shape)
        arch = jnp.where(restart, space.random(key), neighbour)
        asked = state.asked
        if config.forget:
            asked = jnp.where(restart, jnp.uint8(space.num_operations), asked)
        asked = asked.at[step].set(arch)
        return state._replace(asked=asked, restart=restart), arch

    def tell(key, state, step, arch, outcome):
        del step
        moved = state.restart | (outcome.accuracy > state.accuracy)
        order = jax.random.uniform(key, state.order.shape)
        return state._replace(
            arch=jnp.where(moved, arch, state.arch),
            accuracy=jnp.where(moved, outcome.accuracy, state.accuracy),
            order=jnp.where(moved, order, state.order),
        ), {}

    return Searcher(init, ask, tell)
