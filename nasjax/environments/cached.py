"""An environment that remembers scores: no architecture is evaluated twice."""

import dataclasses
from typing import Any

import chex
import jax
import numpy as np

from nasjax.search import Environment, Outcome, outcomes

METRICS = "metrics_"  # begins the names of arrays of metrics


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
            outcome = outcomes.outcome(*outcomes.read(returned, state)[1])
            self._known[name] = row, jax.tree.map(np.asarray, outcome)
        return state, self._known[name][1]

    def __len__(self) -> int:
        """Number of architectures whose scores are known."""
        return len(self._known)

    def arrays(self) -> dict[str, np.ndarray]:
        """All known scores, for a file: `load(**arrays)` takes them back.

        Returns:
          `arch` uint8 [A, *arch_shape], `accuracy` and `loss` float32 [A]; of each
          metric `metrics_NAME` float32 [A].
        """
        rows = [row for row, _ in self._known.values()]
        scores = [outcome for _, outcome in self._known.values()]
        names = dict.fromkeys(name for x in scores for name in x.metrics)
        return {
            "arch": np.stack(rows) if rows else np.zeros(0, np.uint8),
            "accuracy": np.array([x.accuracy for x in scores], np.float32),
            "loss": np.array([x.loss for x in scores], np.float32),
            **{
                f"{METRICS}{name}": np.array(
                    [x.metrics.get(name, np.nan) for x in scores], np.float32
                )
                for name in names
            },
        }

    def load(
        self,
        arch: np.ndarray,
        accuracy: np.ndarray,
        loss: np.ndarray,
        **metrics: np.ndarray,
    ) -> None:
        """Adds scores of the same environment, such as an earlier run's trace.

        Known scores stay. Arguments as `arrays` returns them.
        """
        names = [name.removeprefix(METRICS) for name in metrics]
        columns = accuracy, loss, *metrics.values()
        for row, *values in zip(np.asarray(arch, np.uint8), *columns, strict=True):
            first, second, *rest = (np.asarray(x, np.float32) for x in values)
            outcome = Outcome(first, second, dict(zip(names, rest, strict=True)))
            self._known.setdefault(row.tobytes(), (row.copy(), outcome))


def cached(env: Environment) -> Environment:
    """Evaluates each architecture once; for `search.drive`.

    Its `evaluate` is a `Cache`. Searches of the same cached environment share it.

    Args:
      env: without noise and without state; its `evaluate` is jitted if traceable.

    Raises:
      ValueError: the environment has a state, on which scores might depend, or levels.
    """
    if jax.tree.leaves(env.state):
        raise ValueError("an environment with a state cannot be cached")
    if env.levels is not None:
        raise ValueError("an environment with several fidelities cannot be cached")
    return dataclasses.replace(env, evaluate=Cache(env), traceable=False)
