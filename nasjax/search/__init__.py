"""The one search loop: ask, evaluate, tell.

A searcher proposes architectures, an environment scores them. Both consist of pure
functions, so the caller may jit the loop and vmap it over seeds, environments and
hyper-parameters:

    jax.jit(jax.vmap(lambda key: search.run(key, searcher, env, steps)))(keys)
"""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from nasjax.search import fidelity, keys, outcomes, pareto
from nasjax.search.asynchronous import adopt, ask, tell
from nasjax.search.constraints import FeasibleSet, bounded, constrained
from nasjax.search.objectives import Constraint, Objective
from nasjax.search.outcomes import Best, EvaluationError, Outcome, best
from nasjax.search.protocol import (
    Asynchronous,
    Environment,
    Levels,
    Pending,
    Searcher,
    SearchState,
    Trace,
    black_box,
    budget_free,
    check_integer,
    in_float32,
    is_concrete,
    projected,
)
from nasjax.search.simulation import simulate

__all__ = [
    "Asynchronous",
    "Best",
    "Constraint",
    "Environment",
    "EvaluationError",
    "FeasibleSet",
    "Levels",
    "Objective",
    "Outcome",
    "Pending",
    "SearchState",
    "Searcher",
    "Trace",
    "adopt",
    "advance",
    "ask",
    "best",
    "black_box",
    "bounded",
    "budget_free",
    "check_budget",
    "check_integer",
    "constrained",
    "drive",
    "fidelity",
    "grow",
    "in_float32",
    "init",
    "is_concrete",
    "pareto",
    "projected",
    "run",
    "simulate",
    "step",
    "tell",
]


def init(
    key: chex.PRNGKey, searcher: Searcher, env: Environment, steps: int
) -> SearchState:
    """The state before step 0; `steps` (static) is the total number of queries."""
    check_integer("steps", steps, 1)
    return SearchState(searcher.init(keys.of_init(key), steps), env.state)


def grow(
    key: chex.PRNGKey, searcher: Searcher, state: SearchState, steps: int
) -> SearchState:
    """Extends a state to a larger budget; the search continues from it.

    If `budget_free`, the continued search equals, bit for bit, a search that was
    started with `steps`. Pure, so that it can be vmapped over lanes.

    Args:
      key: of the whole search.
      searcher: the searcher that made the state.
      state: after any number of steps.
      steps: the new total budget, static.

    Raises:
      ValueError: the state has a larger budget, or is of another searcher.
    """
    check_integer("steps", steps, 1)
    fresh = searcher.init(keys.of_init(key), steps)

    def widen(new, old):
        if new.ndim != old.ndim or any(
            n < o for n, o in zip(new.shape, old.shape, strict=True)
        ):
            raise ValueError(
                f"a state with an array of shape {list(old.shape)} does not fit a "
                f"budget of {steps} steps, which has {list(new.shape)}"
            )
        if new.shape == old.shape:
            return old
        return new.at[tuple(slice(n) for n in old.shape)].set(old)

    return state._replace(searcher=jax.tree.map(widen, fresh, state.searcher))


def check_budget(budget: int, first: int, length: int) -> None:
    """Raises ValueError if steps `first .. first + length - 1` exceed the budget."""
    if first + length > budget:
        raise ValueError(
            f"step {first + length - 1} lies past the budget: the state was made for "
            f"{budget} steps; `search.grow` gives it room for {first + length}"
        )


def _check_budget(searcher: Searcher, state: SearchState, first: Any, length: int):
    """Raises ValueError if concrete steps exceed the budget of the state."""
    if not is_concrete(first):
        return
    check_integer("first", first, 0)
    budget = None if searcher.budget is None else searcher.budget(state.searcher)
    if budget is not None:
        check_budget(budget, first, length)


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
      searcher, env: see `Searcher` and `Environment`.
      state: from `init` or the previous step.
      step: int32 [], counted from 0.

    Returns:
      The next state and this step's trace.
    """
    _check_budget(searcher, state, step, 1)
    return _step(keys.of_steps(key), searcher, env, state, step)


def _evaluate(key, searcher, env, state, arch, level):
    returned = fidelity.evaluate(key, env, state.environment, arch, level)
    env_state, outcome = outcomes.read(returned, state.environment)
    if searcher.check is not None:
        searcher.check(outcome.accuracy, outcome.loss)
    cost = outcome.metrics.get(fidelity.COST)
    return env_state, fidelity.noted(outcomes.outcome(*outcome), env, level, cost)


def _entry(arch, outcome, info):
    return Trace(arch, outcome.accuracy, outcome.loss, info, outcome.metrics)


def _step(key_steps, searcher, env, state, step):
    key_ask, key_evaluate, key_tell = keys.of_step(key_steps, step)
    asked, arch = searcher.ask(key_ask, state.searcher, step)
    level = fidelity.level(searcher, env, asked)
    env_state, outcome = _evaluate(key_evaluate, searcher, env, state, arch, level)
    told, info = searcher.tell(key_tell, asked, step, arch, outcome)
    return SearchState(told, env_state), _entry(arch, outcome, info)


def advance(
    key: chex.PRNGKey,
    searcher: Searcher,
    env: Environment,
    state: SearchState,
    first: chex.Numeric,
    length: int,
) -> tuple[SearchState, Trace]:
    """Runs steps `first .. first + length - 1`; only `length` is static.

    Raises:
      ValueError: `first` is concrete and the steps exceed the budget of the state.
    """
    check_integer("length", length, 0)
    _check_budget(searcher, state, first, length)
    first = jnp.asarray(first, jnp.int32)
    key_steps = keys.of_steps(key)

    def body(state, t):
        return _step(key_steps, searcher, env, state, t)

    return jax.lax.scan(body, state, first + jnp.arange(length, dtype=jnp.int32))


def run(
    key: chex.PRNGKey, searcher: Searcher, env: Environment, steps: int
) -> tuple[SearchState, Trace]:
    """Runs a whole search as one scan; the caller jits it, and may vmap it first."""
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
    """Runs a search in a Python loop, for environments that cannot be traced.

    Keys and trace are those of `run`. `ask` and `tell` are jitted; `env.evaluate` is
    called from Python with a concrete architecture (see `Environment` for the values it
    may return, and `black_box` for functions of the architecture alone).

    Args:
      key, searcher, env: as in `run`.
      steps: the total budget, as in `init`.
      state: from an earlier call, to continue its search at step `first`.
      first: the first step of this call.
      on_step: called after each step with the next step, the state and the step's
        trace, so that a long search can be saved.

    Returns:
      The last state, and the trace of this call's steps.

    Raises:
      ValueError: `first` is not below `steps`, or the state has a smaller budget.
      EvaluationError: `evaluate` raised, or returned a value that is not an outcome,
        that the searcher cannot use, or whose metrics have other names than before. It
        names the query and the architecture, and has the state and the trace so far,
        from which the search can continue.
    """
    asking, telling = map(jax.jit, (searcher.ask, searcher.tell))
    check_integer("steps", steps, 1)
    check_integer("first", first, 0)
    if first >= steps:
        raise ValueError(f"first must lie in 0..{steps - 1}, got {first}")
    if state is None:
        state = init(key, searcher, env, steps)
    _check_budget(searcher, state, first, steps - first)
    key_steps = keys.of_steps(key)
    rows: list[Trace] = []
    names: tuple[str, ...] | None = None  # of the metrics
    added = fidelity.METRICS if env.levels is not None else ()
    for t in range(first, steps):
        key_ask, key_evaluate, key_tell = keys.of_step(key_steps, t)
        step = jnp.int32(t)
        asked, arch = asking(key_ask, state.searcher, step)
        try:
            level = fidelity.level(searcher, env, asked)
            env_state, outcome = _evaluate(
                key_evaluate, searcher, env, state, arch, level
            )
            outcome = outcomes.named(outcome, names)
            read = outcomes.with_metrics(outcome, searcher.metrics)
        except Exception as error:
            arch, trace = np.asarray(arch), _stack(rows) if rows else None
            raise EvaluationError(
                f"query {t} failed ({type(error).__name__}: {error}); its architecture "
                f"is {arch.tolist()}",
                t,
                arch,
                state,
                trace,
            ) from error
        if outcome.metrics.keys() - {*added} or np.isfinite(outcome.accuracy):
            names = tuple(outcome.metrics)
        told, info = telling(key_tell, asked, step, arch, read)
        state = SearchState(told, env_state)
        rows.append(_entry(arch, outcome, info))
        if on_step is not None:
            on_step(t + 1, state, rows[-1])
    return state, _stack(rows)


def _stack(rows: list[Trace]) -> Trace:
    names = rows[-1].metrics  # failed evaluations before the first success lack them
    rows = [outcomes.named(row, names) if names else row for row in rows]
    # In NumPy: jnp.stack takes nearly a millisecond for each of its arguments.
    return jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *rows)
