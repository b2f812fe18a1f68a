"""The one search loop: ask, evaluate, tell.

A searcher proposes architectures, an environment scores them. Both are values made of
pure functions, so the caller may jit the loop and vmap it over seeds, environments and
hyper-parameters:

    jax.jit(jax.vmap(lambda key: search.run(key, searcher, env, steps)))(keys)
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

PyTree = Any


class Outcome(NamedTuple):
    """What an environment says of one architecture."""

    accuracy: chex.Array  # float32 [], a fraction in [0, 1]; CADAM raises 100 to it
    loss: chex.Array  # float32 []


@flax.struct.dataclass
class Environment:
    """Scores architectures.

    Attributes:
      params: what all lanes share (a table, images, frozen weights); an argument of
        the compiled program, never a constant inside it.
      state: what one lane owns and `evaluate` may change.
      evaluate: `(key, params, state, arch) -> (state, Outcome)`.
      traceable: False for plain Python; such an environment is run by `drive`.
    """

    params: PyTree
    state: PyTree
    evaluate: Callable[..., tuple[PyTree, Outcome]] = flax.struct.field(
        pytree_node=False
    )
    traceable: bool = flax.struct.field(pytree_node=False, default=True)


class Searcher(NamedTuple):
    """Proposes architectures and learns from their scores.

    Attributes:
      init: `(key, steps) -> state`; `steps` (static) bounds what must be remembered.
      ask: `(key, state, step) -> (state, arch)`.
      tell: `(key, state, step, arch, outcome) -> (state, info)`; `info` maps names to
        scalars that end up in the trace.
    """

    init: Callable[..., PyTree]
    ask: Callable[..., tuple[PyTree, chex.Array]]
    tell: Callable[..., tuple[PyTree, Mapping[str, chex.Array]]]


def projected(
    searcher: Searcher, project: Callable[[chex.Array], chex.Array]
) -> Searcher:
    """The searcher where not every architecture can be asked.

    Args:
      searcher: proposes any architecture.
      project: from an architecture to the one that is asked in its place; the
        searcher is told of the latter.
    """

    def ask(key, state, step):
        state, arch = searcher.ask(key, state, step)
        return state, project(arch)

    return searcher._replace(ask=ask)


class SearchState(NamedTuple):
    """What is carried from step to step; holds no key, so resuming is exact."""

    searcher: PyTree
    environment: PyTree


class Trace(NamedTuple):
    """One entry per step; leading axis T once a loop has stacked them."""

    arch: chex.Array  # uint8 [T, *arch_shape]
    accuracy: chex.Array  # float32 [T]
    loss: chex.Array  # float32 [T]
    info: Mapping[str, chex.Array]  # of [T]


def check_range(name: str, value: chex.Numeric, low: float, high: float) -> None:
    """ValueError unless `value` is finite and in [low, high]; tracers pass.

    A traced hyper-parameter has no value yet: its range is the caller's concern.
    """
    if isinstance(value, jax.Array):
        return
    if not (low <= value <= high and abs(value) < float("inf")):
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {value}")


def init(
    key: chex.PRNGKey, searcher: Searcher, env: Environment, steps: int
) -> SearchState:
    """The state before step 0; `steps` (static) is the whole budget of queries."""
    _check_steps(steps)
    return SearchState(searcher.init(_key_of_init(key), steps), env.state)


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")


def _key_of_init(key: chex.PRNGKey) -> chex.PRNGKey:
    """Folded, not split: the caller's key serves `init` and every later chunk."""
    return jax.random.fold_in(key, 0)


def _key_of_steps(key: chex.PRNGKey) -> chex.PRNGKey:
    return jax.random.fold_in(key, 1)


def _step_keys(key_steps: chex.PRNGKey, step: chex.Numeric) -> chex.PRNGKey:
    return jax.random.split(jax.random.fold_in(key_steps, step), 3)


def step(
    key: chex.PRNGKey,
    searcher: Searcher,
    env: Environment,
    state: SearchState,
    step: chex.Numeric,
) -> tuple[SearchState, Trace]:
    """One query: ask, evaluate, tell.

    Args:
      key: the key of the whole search; the step's own keys are folded from it.
      searcher, env: see their classes.
      state: from `init` or the step before.
      step: int32 [], counted from 0.

    Returns:
      The next state and this step's trace.
    """
    return _step(_key_of_steps(key), searcher, env, state, step)


def _step(key_steps, searcher, env, state, step):
    key_ask, key_evaluate, key_tell = _step_keys(key_steps, step)
    asked, arch = searcher.ask(key_ask, state.searcher, step)
    env_state, outcome = env.evaluate(key_evaluate, env.params, state.environment, arch)
    told, info = searcher.tell(key_tell, asked, step, arch, outcome)
    return SearchState(told, env_state), Trace(arch, *outcome, info)


def advance(
    key: chex.PRNGKey,
    searcher: Searcher,
    env: Environment,
    state: SearchState,
    first: chex.Numeric,
    length: int,
) -> tuple[SearchState, Trace]:
    """Steps `first .. first + length - 1`; only `length` is static."""

    key_steps = _key_of_steps(key)

    def body(state, t):
        return _step(key_steps, searcher, env, state, t)

    return jax.lax.scan(body, state, first + jnp.arange(length, dtype=jnp.int32))


def run(
    key: chex.PRNGKey, searcher: Searcher, env: Environment, steps: int
) -> tuple[SearchState, Trace]:
    """A whole search as one scan; not jitted here, so that the caller composes it."""
    state = init(key, searcher, env, steps)
    return advance(key, searcher, env, state, 0, steps)


def drive(
    key: chex.PRNGKey,
    searcher: Searcher,
    env: Environment,
    steps: int,
    state: SearchState | None = None,
    first: int = 0,
    on_step: Callable[[int, SearchState, Trace], None] | None = None,
) -> tuple[SearchState, Trace]:
    """The same loop in Python, for environments that cannot be traced.

    Keys and trace are those of `run`; `ask` and `tell` are jitted, `env.evaluate` is
    called as it is, with a concrete architecture.

    Args:
      steps: the whole budget, as in `init`.
      state: to continue a search; with `first`, the step to continue at.
      on_step: called after each step with the next step, the state and the step's
        trace, so that a long search can be saved.

    Raises:
      ValueError: no step is left.
    """
    ask, tell = (jax.jit(function) for function in (searcher.ask, searcher.tell))
    _check_steps(steps)
    if not 0 <= first < steps:
        raise ValueError(f"first must lie in 0..{steps - 1}, got {first}")
    if state is None:
        state = init(key, searcher, env, steps)
    key_steps = _key_of_steps(key)
    rows = []
    for t in range(first, steps):
        key_ask, key_evaluate, key_tell = _step_keys(key_steps, t)
        t = jnp.int32(t)
        asked, arch = ask(key_ask, state.searcher, t)
        env_state, outcome = env.evaluate(
            key_evaluate, env.params, state.environment, arch
        )
        outcome = Outcome(*(jnp.asarray(x, jnp.float32) for x in outcome))
        told, info = tell(key_tell, asked, t, arch, outcome)
        state = SearchState(told, env_state)
        rows.append(Trace(arch, *outcome, info))
        if on_step is not None:
            on_step(int(t) + 1, state, rows[-1])
    # In NumPy: jnp.stack takes nearly a millisecond for each of its arguments.
    return state, jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *rows)
