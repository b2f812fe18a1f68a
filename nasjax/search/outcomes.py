"""Outcomes of evaluations, including failed ones.

An evaluation has failed if its accuracy is not finite. It counts as a query, and the
trace keeps that value; searchers learn a bad score instead, or nothing.
"""

import numbers
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

PyTree = Any
RETURNS = (
    "an accuracy, (accuracy, loss) or Outcome(accuracy, loss, metrics), alone or as "
    "(state, one of these); metrics maps names to numbers"
)


class Outcome(NamedTuple):
    """The result of evaluating one architecture.

    `metrics` are measured beside them, such as a latency; every outcome of an
    environment has the same names. A failed evaluation has none, or NaN.
    """

    accuracy: chex.Array  # float32 [], a fraction in [0, 1]; not finite if it failed
    loss: chex.Array  # float32 [], NaN where `evaluate` returned none
    metrics: Mapping[str, chex.Array] = {}  # float32 [] each, of any unit


class EvaluationError(ValueError, RuntimeError):
    """`evaluate` raised, or returned a value that is not an outcome.

    Both a ValueError and a RuntimeError, so that either `except` catches it; the error
    that `evaluate` raised is its `__cause__`.

    Attributes:
      step: the query that failed, counted from 0.
      arch: its architecture, uint8 [*arch_shape].
      state: the SearchState before this query; `search.drive(..., state=error.state,
        first=error.step)` repeats the query.
      trace: the Trace of this call's queries before it; None if there are none.
    """

    def __init__(self, message: str, step: int, arch: Any, state: Any, trace: Any):
        super().__init__(message)
        self.step, self.arch, self.state, self.trace = step, arch, state, trace


def or_worst(score: chex.Array, worst: chex.Numeric) -> chex.Array:
    """The score, or `worst` where it is not finite; elementwise."""
    return jnp.where(jnp.isfinite(score), score, worst)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool | np.bool_ | complex | str | bytes):
        return False
    if isinstance(value, numbers.Real):
        return True
    return (
        isinstance(value, jax.Array | np.ndarray | np.generic)
        and np.ndim(value) == 0
        and any(jnp.issubdtype(value.dtype, t) for t in (np.floating, np.integer))
    )


def _describe(value: Any) -> str:
    """A one-line description of a returned value."""
    if isinstance(value, jax.Array | np.ndarray):
        return f"an array of shape {list(value.shape)} and type {value.dtype}"
    text = repr(value)
    text = text if len(text) <= 80 else f"{text[:77]}..."
    if value is None:
        return "None (is a `return` missing?)"
    return f"{text} ({type(value).__name__})"


def _result(returned: Any) -> Outcome | None:
    """Its loss is None if `returned` has none; None if that has no accuracy."""
    if _is_number(returned):
        return Outcome(returned, None)
    if isinstance(returned, tuple | list) and len(returned) in (2, 3):
        accuracy, loss, metrics = (*returned, {})[:3]
        scored = _is_number(accuracy) and (loss is None or _is_number(loss))
        if scored and isinstance(metrics, Mapping):
            for name, value in metrics.items():
                if not (isinstance(name, str) and _is_number(value)):
                    raise ValueError(
                        f"evaluate returned the metric {name!r} as {_describe(value)}, "
                        "not as a number"
                    )
            return Outcome(accuracy, loss, metrics)
    return None


def read(returned: Any, state: PyTree) -> tuple[PyTree, Outcome]:
    """Splits the value returned by `evaluate` into state and outcome.

    Args:
      returned: an accuracy, a pair (accuracy, loss), an `Outcome`, or a pair of the
        environment's new state and one of these.
      state: the environment's state before; kept if none is returned.

    Returns:
      The environment's state, and the outcome; its loss is None if it has none.

    Raises:
      ValueError: any other value; or two numbers although the environment has a state,
        which is ambiguous.
    """
    result = _result(returned)
    pair = isinstance(returned, tuple | list) and not isinstance(returned, Outcome)
    if result is not None:
        if pair and jax.tree.leaves(state):
            raise ValueError(
                f"evaluate returned {_describe(returned)}: accuracy and loss, or state "
                "and accuracy? Return (state, Outcome(accuracy, loss))"
            )
        return state, result
    if pair and len(returned) == 2:
        new, result = returned[0], _result(returned[1])
        # A leading string or None is treated as an invalid score, not as a state.
        is_state = not isinstance(new, str) and (new is not None or state is None)
        if result is not None and is_state:
            return new, result
    raise ValueError(f"evaluate returned {_describe(returned)}; allowed: {RETURNS}")


def outcome(accuracy: Any, loss: Any, metrics: Mapping[str, Any] = {}) -> Outcome:
    """An `Outcome` of float32 scalars; NaN where the loss is None.

    The metrics of a failed evaluation are NaN.
    """
    loss = np.float32(np.nan) if loss is None else loss
    values = Outcome(accuracy, loss, dict(metrics))
    accuracy, loss, metrics = jax.tree.map(
        lambda x: jnp.asarray(x, jnp.float32), values
    )
    measured = {
        n: jnp.where(jnp.isfinite(accuracy), x, jnp.nan) for n, x in metrics.items()
    }
    return Outcome(accuracy, loss, measured)


def named(result: Any, names: Collection[str] | None) -> Any:
    """The result of a query with the metrics of those before it.

    Args:
      result: an `Outcome` or a row of a `Trace`, concrete.
      names: of the metrics before; None while no evaluation has succeeded.

    Returns:
      The same; a failed evaluation gets NaN for each that it lacks.

    Raises:
      ValueError: it has other metrics.
    """
    if names is None or result.metrics.keys() == {*names}:
        return result
    if result.metrics.keys() - {*names} or np.isfinite(result.accuracy):
        has, had = (", ".join(sorted(x)) or "none" for x in (result.metrics, names))
        raise ValueError(f"evaluate returned the metrics {has}; before it had {had}")
    unknown = dict.fromkeys(names, jnp.float32(jnp.nan))
    return result._replace(metrics={**unknown, **result.metrics})


def with_metrics(result: Outcome, names: Collection[str]) -> Outcome:
    """The concrete outcome for a searcher that reads these metrics.

    A failed evaluation gets NaN for those that it lacks.

    Raises:
      ValueError: one that succeeded lacks a metric.
    """
    missing = [name for name in names if name not in result.metrics]
    if missing and np.isfinite(result.accuracy):
        raise ValueError(
            f"the searcher reads the metrics {', '.join(missing)}; evaluate returned "
            f"{', '.join(result.metrics) or 'none'}"
        )
    unknown = dict.fromkeys(missing, jnp.float32(jnp.nan))
    return result._replace(metrics={**result.metrics, **unknown})


class Best(NamedTuple):
    """The best query of a search."""

    arch: chex.Array  # uint8 [..., *arch_shape]
    accuracy: chex.Array  # float32 [...], NaN if every query failed
    step: chex.Array  # int32 [...], counted from 0; the earliest among ties


def best(trace: Any) -> Best:
    """The query with the highest accuracy in a trace; failed queries do not count.

    Further objectives and learnt constraints of a searcher play no part.

    Args:
      trace: accuracy [..., T] and arch [..., T, *arch_shape], from `run`, possibly
        under vmap.
    """
    accuracy, arch = jnp.asarray(trace.accuracy), jnp.asarray(trace.arch)
    step = jnp.argmax(or_worst(accuracy, -jnp.inf), axis=-1)
    index = step[..., None]
    highest = jnp.take_along_axis(accuracy, index, axis=-1)[..., 0]
    wide = index.reshape(*index.shape, *(1 for _ in arch.shape[index.ndim :]))
    chosen = jnp.take_along_axis(arch, wide, axis=index.ndim - 1)
    return Best(
        jnp.squeeze(chosen, index.ndim - 1),
        jnp.where(jnp.isfinite(highest), highest, jnp.nan),
        step.astype(jnp.int32),
    )
