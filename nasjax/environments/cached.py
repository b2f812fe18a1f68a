"""An environment that remembers: what was asked once is not computed again."""

import dataclasses
from typing import Any

import chex
import jax
import numpy as np

from nasjax.search import Environment, Outcome, outcomes


class Cache:
    """The `evaluate` of a cached environment.

    Attributes:
      hits: calls that were answered from memory.
      misses: calls that were computed.
    """

    def __init__(self, env: Environment):
        self._evaluate = jax.jit(env.evaluate) if env.traceable else env.evaluate
        self._known: dict[bytes, tuple[np.ndarray, Outcome]] = {}
        self.hits = self.misses = 0

    def __call__(
        self, key: chex.PRNGKey, params: Any, state: Any, arch: chex.Array
    ) -> tuple[Any, Outcome]:
        """As `Environment.evaluate`, of a concrete architecture.

        A failed evaluation is remembered as well; one that raises is not.
        """
        row = np.ascontiguousarray(arch, np.uint8)
        name = row.tobytes()
        if name in self._known:
            self.hits += 1
        else:
            self.misses += 1
            returned = self._evaluate(key, params, state, arch)
            _, accuracy, loss = outcomes.read(returned, state)
            found = outcomes.outcome(accuracy, loss)
            found = Outcome(*(np.asarray(x, np.float32) for x in found))
            self._known[name] = (row, found)
        return state, self._known[name][1]

    def __len__(self) -> int:
        """How many architectures are known."""
        return len(self._known)

    def arrays(self) -> dict[str, np.ndarray]:
        """What is known, for a file: `load(**arrays)` takes it back.

        Returns:
          `arch` uint8 [A, *arch_shape], `accuracy` and `loss` float32 [A].
        """
        rows = [row for row, _ in self._known.values()]
        found = [outcome for _, outcome in self._known.values()]
        return {
            "arch": np.stack(rows) if rows else np.zeros(0, np.uint8),
            "accuracy": np.array([x.accuracy for x in found], np.float32),
            "loss": np.array([x.loss for x in found], np.float32),
        }

    def load(self, arch: np.ndarray, accuracy: np.ndarray, loss: np.ndarray) -> None:
        """Adds scores of the same environment, such as an earlier run's trace.

        What is known already stays. Arguments as `arrays` returns them.
        """
        for row, *outcome in zip(
            np.asarray(arch, np.uint8), accuracy, loss, strict=True
        ):
            found = Outcome(*(np.asarray(x, np.float32) for x in outcome))
            self._known.setdefault(row.tobytes(), (row.copy(), found))


def cached(env: Environment) -> Environment:
    """Computes each architecture once; for `search.drive`.

    Its `evaluate` is a `Cache`. Searches that use the same cached environment share
    what is known.

    Args:
      env: without noise and without state; its `evaluate` is jitted if traceable.

    Raises:
      ValueError: the environment has a state, on which scores might depend.
    """
    if jax.tree.leaves(env.state):
        raise ValueError("an environment with a state cannot be cached")
    return dataclasses.replace(env, evaluate=Cache(env), traceable=False)
