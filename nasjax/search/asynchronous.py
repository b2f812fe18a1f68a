"""Asynchronous search: ask while outcomes are pending, tell in any order.

    state, note, arch = search.ask(key, searcher, state, asked, pending)
    ...  # other queries are asked and told
    state, info = search.tell(key, searcher, state, note, told, arch, outcome)

`asked` and `told` count the asks and the tells so far. Telling each query before asking
the next one gives the same bits as `search.run`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from nasjax.search import keys
from nasjax.search.outcomes import Outcome
from nasjax.search.protocol import (
    Asynchronous,
    Pending,
    PyTree,
    Searcher,
    SearchState,
)

TRIES = 100  # most draws: in a small space every architecture may be pending


def ask(
    key: chex.PRNGKey,
    searcher: Searcher,
    state: SearchState,
    asked: chex.Numeric,
    pending: Pending | None = None,
) -> tuple[SearchState, PyTree, chex.Array]:
    """The next architecture, and a note that `tell` needs with its outcome.

    Args:
      key: of the whole search.
      searcher, state: see `Searcher` and `SearchState`.
      asked: int32 [], number of earlier calls of `ask` and `adopt`.
      pending: architectures without an outcome; None if there are none.

    Returns:
      The next state, the note, the architecture uint8 [*arch_shape].
    """
    key_ask, _, _ = keys.of_step(keys.of_steps(key), asked)
    hooks = searcher.asynchronous or Asynchronous()
    if pending is None:
        new, arch = searcher.ask(key_ask, state.searcher, asked)
    elif hooks.ask is not None:
        new, arch = hooks.ask(key_ask, state.searcher, asked, pending)
    else:
        new, arch = redrawn(searcher.ask, key_ask, state.searcher, asked, pending)
    return state._replace(searcher=new), hooks.note(new), arch


def tell(
    key: chex.PRNGKey,
    searcher: Searcher,
    state: SearchState,
    note: PyTree,
    told: chex.Numeric,
    arch: chex.Array,
    outcome: Outcome,
) -> tuple[SearchState, Any]:
    """Tells the searcher the outcome of any pending query.

    Args:
      key: of the whole search.
      note: returned by `ask` or `adopt` for this query.
      told: int32 [], number of earlier calls of `tell`.
      arch, outcome: of the query.

    Returns:
      The next state and the searcher's diagnostics.
    """
    _, _, key_tell = keys.of_step(keys.of_steps(key), told)
    hooks = searcher.asynchronous or Asynchronous()
    before = hooks.recall(state.searcher, note)
    new, info = searcher.tell(key_tell, before, told, arch, outcome)
    return state._replace(searcher=new), info


def adopt(
    searcher: Searcher, state: SearchState, asked: chex.Numeric, arch: chex.Array
) -> tuple[SearchState, PyTree]:
    """Like `ask`, with an architecture that the caller chose.

    Use it to tell a searcher evaluations made before the search.

    Returns:
      The next state and the note.
    """
    hooks = searcher.asynchronous or Asynchronous()
    new = hooks.adopt(state.searcher, asked, arch)
    return state._replace(searcher=new), hooks.note(new)


def pending(archs: Sequence[np.ndarray], shape: tuple[int, ...]) -> Pending | None:
    """`Pending` of a list of architectures; None if it is empty.

    It has 8, 32, 128, ... slots: few sizes, so few compilations, and the size depends
    only on the number of architectures.
    """
    if not archs:
        return None
    slots = 8
    while slots < len(archs):
        slots *= 4
    rows = np.zeros((slots, *shape), np.uint8)
    rows[: len(archs)] = np.stack(archs)
    return Pending(jnp.asarray(rows), jnp.arange(slots) < len(archs))


def equal(arch: chex.Array, others: chex.Array) -> chex.Array:
    """bool [..., n]: `arch` [..., *arch_shape] equals `others` [n, *arch_shape]."""
    n, *shape = others.shape
    size = math.prod(shape)
    flat = arch.reshape(*arch.shape[: arch.ndim - len(shape)], 1, size)
    return jnp.all(flat == others.reshape(n, size), axis=-1)


def is_pending(pending: Pending, arch: chex.Array) -> chex.Array:
    """bool [...]: the architectures [..., *arch_shape] are pending, or infeasible."""
    is_in = jnp.any(equal(arch, pending.arch) & pending.valid, axis=-1)
    return is_in if pending.feasible is None else is_in | ~pending.feasible(arch)


def redrawn(
    ask: Callable[..., tuple[PyTree, chex.Array]],
    key: chex.PRNGKey,
    state: PyTree,
    step: chex.Numeric,
    pending: Pending,
    again: Callable[..., tuple[PyTree, chex.Array]] | None = None,
) -> tuple[PyTree, chex.Array]:
    """Asks until the architecture is not pending, at most TRIES more times.

    Args:
      ask: `(key, state, step) -> (state, arch)`, called first, with `key` itself.
      again: `(key, state, step, tries) -> (state, arch)`, called after that; `ask` if
        None.
    """

    def wanted(carry):
        tries, _, arch = carry
        return is_pending(pending, arch) & (tries < TRIES)

    def draw(carry):
        tries = carry[0] + 1
        new = jax.random.fold_in(key, tries)
        if again is None:
            return tries, *ask(new, state, step)
        return tries, *again(new, state, step, tries)

    first = (jnp.int32(0), *ask(jax.random.clone(key), state, step))
    _, new, arch = jax.lax.while_loop(wanted, draw, first)
    return new, arch
