"""Asking a deterministic actor for something else: noise that grows."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from nasjax.agent import exploration
from nasjax.search import Asynchronous
from nasjax.search.asynchronous import redrawn
from nasjax.search.protocol import fields
from nasjax.spaces import CellSpace

FIRST = 0.002  # of entries in [0, 1]; doubled with each try, until 1


def asynchronous(
    space: CellSpace,
    ask: Callable[..., tuple[Any, chex.Array]],
    noted: tuple[str, ...],
    adopt: Callable[..., Any],
) -> Asynchronous:
    """`Asynchronous` of an agent whose state has the pending `action`, float32 [D].

    Where the architecture of the actor's action is pending already, noise is added
    that grows until another one results.

    Args:
      ask, adopt: see `Searcher` and `Asynchronous`.
      noted: fields of the state that belong to the query asked last.
    """

    def again(key, state, step, tries):
        key_ask, key_noise = jax.random.split(key)
        state, _ = ask(key_ask, state, step)
        width = jnp.minimum(FIRST * 2.0**tries, 1.0).astype(jnp.float32)
        action = exploration.uniform_noise(key_noise, state.action, width)
        arch = space.discretize(action.reshape(space.alpha_shape))
        return state._replace(action=action), arch

    def beside(key, state, step, pending):
        return redrawn(ask, key, state, step, pending, again)

    return Asynchronous(ask=beside, adopt=adopt, **fields(*noted))
