"""Asking a deterministic actor for something else: noise that grows."""

import chex
import jax
import jax.numpy as jnp

from nasjax.agent import exploration
from nasjax.search import Asynchronous, Searcher
from nasjax.search.asynchronous import redrawn
from nasjax.search.protocol import fields

FIRST = 0.002  # of entries in [0, 1]; doubled with each try, until 1


def asynchronous(searcher: Searcher, noted: tuple[str, ...]) -> Searcher:
    """An agent that asks on while outcomes are pending, and stores what comes back.

    Where the architecture of the actor's action is pending already, noise is added
    that grows until another one results.

    Args:
      searcher: of a space, with a state of which `action`, float32 [D], is the pending
        one.
      noted: fields of the state that belong to the query asked last.
    """
    ask, space = searcher.ask, searcher.space
    assert space is not None

    def again(key, state, step, tries):
        key_ask, key_noise = jax.random.split(key)
        state, _ = ask(key_ask, state, step)
        width = jnp.minimum(FIRST * 2.0**tries, 1.0).astype(jnp.float32)
        action = exploration.uniform_noise(key_noise, state.action, width)
        arch = space.discretize(action.reshape(space.alpha_shape))
        return state._replace(action=action), arch

    def beside(key, state, step, pending):
        return redrawn(ask, key, state, step, pending, again)

    def adopt(state, step, arch: chex.Array):
        # What the actor would have seen; the action is the architecture itself.
        asked, _ = ask(jax.random.key(0), state, step)
        state = state._replace(**{name: getattr(asked, name) for name in noted})
        return state._replace(action=space.one_hot(arch).reshape(-1))

    ways = Asynchronous(ask=beside, adopt=adopt, **fields(*noted))
    return searcher._replace(asynchronous=ways)
