"""Parts shared by CADAM and DDAS, whose continuous actions are discretised."""

import chex
import jax
import jax.numpy as jnp

from nasjax.agent import exploration, replay
from nasjax.search import Asynchronous, Searcher
from nasjax.search.asynchronous import redrawn
from nasjax.search.protocol import fields
from nasjax.spaces import CellSpace

FIRST = 0.002  # redraw n = 1, 2, ... adds noise of half-width FIRST x 2^n, at most 1


def discretize(space: CellSpace, action: chex.Array) -> chex.Array:
    """The architecture of an action [D], which has the parameters of all cells."""
    return space.discretize(action.reshape(space.alpha_shape))


def with_replay(
    searcher: Searcher, capacity: int, noted: tuple[str, ...], low: float = 0.0
) -> Searcher:
    """Adds `budget` and `asynchronous` to a searcher with a replay.

    If the architecture of the actor's action is pending, noise of growing width is
    added to the action until another architecture results.

    Args:
      searcher: has a space. Its state has fields `replay` and `action`, float32 [D],
        the pending action.
      capacity: the largest replay; a state for fewer steps has a smaller one.
      noted: fields of the state that belong to the last query.
      low: least entry of an action; the largest is 1.
    """
    ask, space = searcher.ask, searcher.space
    assert space is not None

    def budget(state):
        room = replay.capacity(state.replay)
        return room if room < capacity else None

    def ask_again(key, state, step, tries):
        key_ask, key_noise = jax.random.split(key)
        state, _ = ask(key_ask, state, step)
        width = jnp.minimum(FIRST * 2.0**tries, 1.0).astype(jnp.float32)
        action = exploration.uniform_noise(key_noise, state.action, width, low)
        return state._replace(action=action), discretize(space, action)

    def ask_pending(key, state, step, pending):
        return redrawn(ask, key, state, step, pending, ask_again)

    def adopt(state, step, arch):
        # As if the actor had been asked; the action is the architecture itself.
        asked, _ = ask(jax.random.key(0), state, step)
        state = state._replace(**{name: getattr(asked, name) for name in noted})
        return state._replace(action=space.one_hot(arch).reshape(-1))

    hooks = Asynchronous(ask=ask_pending, adopt=adopt, **fields(*noted))
    return searcher._replace(budget=budget, exact_from=1, asynchronous=hooks)
