"""Outcomes of evaluations: what `evaluate` may return, and failures.

An evaluation has failed where its accuracy is not finite. It counts as a query and
stays in the trace as it came; searchers learn a bad score in its place, or nothing.
"""

import numbers
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

PyTree = Any
RETURNS = (
    "an accuracy, (accuracy, loss) or Outcome(accuracy, loss), alone or as "
    "(state, one of these)"
)


class Outcome(NamedTuple):
    """The result of evaluating one architecture."""

    accuracy: chex.Array  # float32 [], a fraction in [0, 1]; not finite if it failed
    loss: chex.Array  # float32 [], NaN where `evaluate` returned none


class EvaluationError(ValueError, RuntimeError):
    """`evaluate` raised, or returned something that is no outcome.

    Both a ValueError and a RuntimeError, so that either `except` catches it; what
    `evaluate` raised is its `__cause__`.

    Attributes:
      step: the query that failed, counted from 0.
      arch: its architecture, uint8 [*arch_shape].
      state: the SearchState before this query; `search.drive(..., state=error.state,
        first=error.step)` asks it again.
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
        and (jnp.issubdtype(value.dtype, np.floating) or _is_integer(value))
    )


def _is_integer(value: Any) -> bool:
    return jnp.issubdtype(value.dtype, np.integer)


def _describe(value: Any) -> str:
    """One line that says what was returned."""
    if isinstance(value, jax.Array | np.ndarray):
        return f"an array of shape {list(value.shape)} and type {value.dtype}"
    text = repr(value)
    text = text if len(text) <= 80 else f"{text[:77]}..."
    if value is None:
        return "None (is a `return` missing?)"
    return f"{text} ({type(value).__name__})"


def _result(returned: Any) -> tuple[Any, Any] | None:
    """Accuracy and loss (None if there is none), or None if it is neither."""
    if _is_number(returned):
        return returned, None
    if isinstance(returned, tuple | list) and len(returned) == 2:
        accuracy, loss = returned
        if _is_number(accuracy) and (loss is None or _is_number(loss)):
            return accuracy, loss
    return None


def read(returned: Any, state: PyTree) -> tuple[PyTree, Any, Any]:
    """Takes apart what `evaluate` returned.

    Args:
      returned: an accuracy, a pair (accuracy, loss), an `Outcome`, or a pair of the
        environment's new state and one of these.
      state: the environment's state before; it stays where none is returned.

    Returns:
      The environment's state, the accuracy, and the loss or None.

    Raises:
      ValueError: it is something else; or two numbers where the environment has a
        state, which may mean either pair.
    """
    found = _result(returned)
    if found is not None:
        plain = isinstance(returned, tuple | list) and not isinstance(returned, Outcome)
        if plain and jax.tree.leaves(state):
            raise ValueError(
                f"evaluate returned {_describe(returned)}: accuracy and loss, or state "
                "and accuracy? Return (state, Outcome(accuracy, loss))"
            )
        return state, *found
    if isinstance(returned, tuple | list) and len(returned) == 2:
        new, found = returned[0], _result(returned[1])
        # A text or a None that comes first is taken for a score gone wrong.
        odd = isinstance(new, str) or (new is None and state is not None)
        if found is not None and not (odd or isinstance(returned, Outcome)):
            return new, *found
    raise ValueError(f"evaluate returned {_describe(returned)}; allowed: {RETURNS}")


def outcome(accuracy: Any, loss: Any) -> Outcome:
    """An `Outcome` of float32 scalars; NaN where the loss is None."""
    loss = np.float32(np.nan) if loss is None else loss
    return Outcome(jnp.asarray(accuracy, jnp.float32), jnp.asarray(loss, jnp.float32))


class Best(NamedTuple):
    """The best query of a search."""

    arch: chex.Array  # uint8 [..., *arch_shape]
    accuracy: chex.Array  # float32 [...], NaN if every query failed
    step: chex.Array  # int32 [...], counted from 0; the first of equals


def best(trace: Any) -> Best:
    """The query of the highest accuracy in a trace; failed ones are passed over.

    Args:
      trace: accuracy [..., T] and arch [..., T, *arch_shape], such as one of `run`,
        or of `run` under vmap.
    """
    accuracy, arch = jnp.asarray(trace.accuracy), jnp.asarray(trace.arch)
    step = jnp.argmax(or_worst(accuracy, -jnp.inf), axis=-1)
    at = step[..., None]
    found = jnp.take_along_axis(accuracy, at, axis=-1)[..., 0]
    wide = at.reshape(*at.shape, *(1 for _ in arch.shape[at.ndim :]))
    chosen = jnp.take_along_axis(arch, wide, axis=at.ndim - 1)
    return Best(
        jnp.squeeze(chosen, at.ndim - 1),
        jnp.where(jnp.isfinite(found), found, jnp.nan),
        step.astype(jnp.int32),
    )
