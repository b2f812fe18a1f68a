"""Search with simulated workers and evaluation times, as one compiled loop."""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from nasjax.search import asynchronous, fidelity, keys, outcomes
from nasjax.search.protocol import (
    Environment,
    Pending,
    PyTree,
    Searcher,
    SearchState,
    Trace,
    check_integer,
)


class _Slots(NamedTuple):
    """The evaluations of W workers."""

    arch: chex.Array  # uint8 [W, *arch_shape]
    query: chex.Array  # int32 [W], number of the query
    level: chex.Array | None  # int32 [W], of an environment with levels
    note: PyTree  # arrays [W, ...], see `search.ask`
    finish: chex.Array  # float32 [W], time at which it ends; infinity if idle


def simulate(
    key: chex.PRNGKey,
    searcher: Searcher,
    env: Environment,
    steps: int,
    workers: chex.Numeric,
    seconds: Callable[..., chex.Array],
    slots: int | None = None,
) -> tuple[SearchState, Trace, chex.Array]:
    """Simulates a search on workers that each evaluate one architecture at a time.

    A worker that finishes tells its outcome and gets the next architecture at once.
    With one worker it equals `search.run`. The caller jits it, and may vmap it first.

    Args:
      key: of the search.
      env: an environment without state.
      steps: number of queries, static.
      workers: in 1 .. `steps`; may be traced if `slots` is not None.
      seconds: maps an architecture to the duration of its evaluation, float32 []; of
        an environment with levels, `(arch, level)`.
      slots: upper bound of `workers`, static; None for `workers`.

    Returns:
      The last state; the trace in the order in which queries were told; the times at
      which they were told, float32 [steps], in seconds.

    Raises:
      ValueError: `steps` or `slots` is not an integer of at least 1.
    """
    slots = workers if slots is None else slots
    check_integer("steps", steps, 1)
    check_integer("slots", slots, 1)
    state = SearchState(searcher.init(keys.of_init(key), steps), env.state)
    key_steps = keys.of_steps(key)

    def ask(now, state, held, step):
        busy = jnp.isfinite(held.finish)
        pending = Pending(held.arch, busy)
        state, note, arch = asynchronous.ask(key, searcher, state, step, pending)
        free = jnp.argmin(busy)
        level = fidelity.level(searcher, env, state.searcher)
        lasts = seconds(arch) if level is None else seconds(arch, level)
        new = _Slots(arch, step, level, note, now + lasts.astype(jnp.float32))
        return state, jax.tree.map(lambda a, x: a.at[free].set(x), held, new)

    def tell(state, held, told):
        done = jnp.argmin(held.finish)
        arch, query, level, note, now = jax.tree.map(lambda x: x[done], held)
        _, key_evaluate, _ = keys.of_step(key_steps, query)
        returned = fidelity.evaluate(key_evaluate, env, env.state, arch, level)
        read = outcomes.read(returned, env.state)[1]
        outcome = fidelity.noted(
            outcomes.outcome(*read), env, level, read.metrics.get(fidelity.COST)
        )
        state, info = asynchronous.tell(key, searcher, state, note, told, arch, outcome)
        held = held._replace(finish=held.finish.at[done].set(jnp.inf))
        entry = Trace(arch, outcome.accuracy, outcome.loss, info, outcome.metrics)
        return now, state, held, (entry, now)

    nobody = _nobody(searcher, env, state, slots)
    nothing = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype),
        jax.eval_shape(lambda: tell(state, nobody, jnp.int32(0))[-1]),
    )

    def event(carry, step):
        now, state, held = carry
        told = step - workers + 1
        state, held = jax.lax.cond(
            step < steps, lambda: ask(now, state, held, step), lambda: (state, held)
        )
        now, state, held, out = jax.lax.cond(
            (told >= 0) & (told < steps),
            lambda: tell(state, held, told),
            lambda: (now, state, held, nothing),
        )
        return (now, state, held), out

    events = jnp.arange(steps + slots - 1, dtype=jnp.int32)
    (_, state, _), out = jax.lax.scan(event, (jnp.float32(0), state, nobody), events)
    trace, when = jax.tree.map(
        lambda x: jax.lax.dynamic_slice_in_dim(x, workers - 1, steps), out
    )
    return state, trace, when


def _nobody(
    searcher: Searcher, env: Environment, state: SearchState, slots: int
) -> _Slots:
    """Slots of the shapes that `ask` fills, all idle."""

    def first(key):
        new, note, arch = asynchronous.ask(key, searcher, state, jnp.int32(0))
        return note, arch, fidelity.level(searcher, env, new.searcher)

    def empty(x):
        return jnp.zeros((slots, *x.shape), x.dtype)

    shapes = jax.eval_shape(first, jax.random.key(0))
    note, arch, level = jax.tree.map(empty, shapes)
    idle = jnp.full(slots, jnp.inf, jnp.float32)
    return _Slots(arch, jnp.zeros(slots, jnp.int32), level, note, idle)
