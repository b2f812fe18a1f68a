"""Searchers whose continuous actions are discretised: what CADAM and DDAS share."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from nasjax.agent import exploration, replay
from nasjax.search import Asynchronous, Searcher
from nasjax.search.asynchronous import redrawn
from nasjax.search.protocol import fields
from nasjax.spaces import CellSpace

FIRST = 0.002  # of entries in [0, 1]: noise of a first new draw, doubled until 1


def discretize(space: CellSpace, action: chex.Array) -> chex.Array:
    """The architecture of an action [D], the parameters of all cells."""
    return space.discretize(action.reshape(space.alpha_shape))


def searcher(
    space: CellSpace,
    capacity: int,
    init: Callable[..., Any],
    ask: Callable[..., tuple[Any, chex.Array]],
    tell: Callable[..., tuple[Any, Any]],
    check: Callable[[Any, Any], None],
    noted: tuple[str, ...],
) -> Searcher:
    """A `Searcher` of an agent that learns from replay, also with outcomes pending.

    If the architecture of the actor's action is pending, noise is added to the action,
    and grows until another architecture results.

    Args:
      space: whose architectures the actions stand for.
      capacity: the largest replay; a state's own is smaller where fewer steps fit.
      init, ask, tell, check: see `Searcher`. The state has a `replay`, and `action`,
        float32 [D], is the pending one.
      noted: fields of the state that belong to the query asked last.
    """

    def budget(state):
        room = replay.capacity(state.replay)
        return room if room < capacity else None

    def ask_again(key, state, step, tries):
        key_ask, key_noise = jax.random.split(key)
        state, _ = ask(key_ask, state, step)
        width = jnp.minimum(FIRST * 2.0**tries, 1.0).astype(jnp.float32)
        action = exploration.uniform_noise(key_noise, state.action, width)
        return state._replace(action=action), discretize(space, action)

    def ask_pending(key, state, step, pending):
        return redrawn(ask, key, state, step, pending, ask_again)

    def adopt(state, step, arch):
        # What the actor would have seen; the action is the architecture itself.
        asked, _ = ask(jax.random.key(0), state, step)
        state = state._replace(**{name: getattr(asked, name) for name in noted})
        return state._replace(action=space.one_hot(arch).reshape(-1))

    return Searcher(
        init,
        ask,
        tell,
        check,
        budget,
        exact_from=1,
        asynchronous=Asynchronous(ask=ask_pending, adopt=adopt, **fields(*noted)),
        space=space,
    )
