"""Searches in Python, one after another, that share what they evaluate; resumable.

`nasjax.runs.table_search` does the same for lanes of one jitted computation.
"""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax import search
from nasjax.environments.cached import Cache
from nasjax.runs import job
from nasjax.runs.checkpoints import Checkpoints, corner
from nasjax.runs.errors import RefusedError, RunError, check_finite
from nasjax.runs.folder import Folder
from nasjax.search import Environment, Outcome, Searcher, SearchState, Trace


class SearchRun(NamedTuple):
    """The trace of one search, T steps, and its last state."""

    trace: Trace  # of NumPy arrays [T, ...]
    state: Any  # the searcher's last, of NumPy arrays
    seconds: float  # with those before a resume


def templates(
    searcher: Searcher, env: Environment, steps: int
) -> tuple[SearchState, Trace]:
    """Shapes of the search's state, and a trace of zeros."""

    def shapes_of(key):
        keys = jax.random.split(key, 3)
        state = search.init(keys[0], searcher, env, steps)
        queried, arch = searcher.ask(keys[1], state.searcher, jnp.int32(0))
        nothing = Outcome(jnp.float32(0), jnp.float32(0))
        _, info = searcher.tell(keys[2], queried, jnp.int32(0), arch, nothing)
        return state, Trace(arch, *nothing, dict(info))

    state, row = jax.eval_shape(shapes_of, jax.random.key(0))
    return state, jax.tree.map(lambda x: np.zeros((steps, *x.shape), x.dtype), row)


class Queries(job.Job):
    """One search as a job: a chunk is one query."""

    unit = "query"

    def __init__(
        self,
        searcher: Searcher,
        env: Environment,
        steps: int,
        name: str,
        label: str = "",
        steps_before: int | None = None,
    ):
        self.name, self.label, self.steps = name, label or name, steps
        self._searcher, self._env, self._before = searcher, env, steps_before
        self._started = time.monotonic()
        self.best = -np.inf

    def template(self, steps: int | None = None) -> dict[str, Any]:
        state, trace = templates(self._searcher, self._env, steps or self.steps)
        return {"state": state, "trace": trace, "seconds": np.zeros(1)}

    def templates(self, checkpoints: Checkpoints) -> list[dict[str, Any]]:
        budgets = [self.steps, *checkpoints.budgets("trace/accuracy")]
        budgets += [self._before] if self._before else []
        return [self.template(steps) for steps in dict.fromkeys(budgets)]

    def start(self) -> dict[str, Any]:
        return self.template() | {"state": None}

    def unpack(self, step: int, tree: Any) -> dict[str, Any]:
        carry, whole = tree, self.template()
        if len(tree["trace"].accuracy) != self.steps:
            self._refuse_growth(len(tree["trace"].accuracy))
            key = jax.random.key(0)  # of rows that are not filled yet
            state = jax.tree.map(jnp.asarray, tree["state"])
            carry = {
                "state": search.grow(key, self._searcher, state, self.steps),
                "trace": jax.tree.map(corner, whole["trace"], tree["trace"]),
                "seconds": tree["seconds"],
            }
        carry |= jax.tree.map(np.array, {k: carry[k] for k in ("trace", "seconds")})
        carry["state"] = jax.tree.map(jnp.asarray, carry["state"])
        if isinstance(self._env.evaluate, Cache):
            self._env.evaluate.load(*(x[:step] for x in carry["trace"][:3]))
        self._see(carry["trace"].accuracy[:step])
        return carry

    def _refuse_growth(self, before: int) -> None:
        if not search.budget_free(self._searcher, before):
            raise RefusedError(
                f"{self.name} was started with {before} queries, on which what it "
                f"remembers depends: it cannot go on to {self.steps}; use another --out"
            )

    def pack(self, carry: Any) -> Any:
        return carry | {"seconds": np.array([self.seconds(carry)])}

    def seconds(self, carry: Any) -> float:
        """So far, with those before a resume."""
        return float(carry["seconds"][0]) + time.monotonic() - self._started

    def after(self, carry: Any, step: int, state: SearchState, row: Trace) -> Any:
        """The carry after query `step - 1`.

        Raises:
          DivergedError: the environment's own state, such as a supernet that is trained
            meanwhile, is not finite.
        """
        for whole, part in zip(
            jax.tree.leaves(carry["trace"]), jax.tree.leaves(row), strict=True
        ):
            whole[step - 1] = part
        seen = carry["trace"]
        self._see(seen.accuracy[step - 1 : step])
        if not np.isfinite(seen.loss[step - 1]):
            check_finite(state.environment, f"{self.name}, query {step - 1}")
        return carry | {"state": state}

    def _see(self, accuracy: np.ndarray) -> None:
        self.best = max(self.best, *accuracy[np.isfinite(accuracy)], -np.inf)

    def postfix(self, carry: Any, step: int) -> str:
        del carry, step
        return f"best {self.best:.4f}" if np.isfinite(self.best) else ""

    def log(self, carry: Any, step: int, saved: bool) -> Mapping[str, Any] | None:
        if not saved:
            return None
        trace, recent = carry["trace"], slice(max(step - 100, 0), step)
        return {
            "search": self.name,
            "step": step,
            "steps": self.steps,
            "best": self.best,
            "distinct": len(np.unique(trace.arch[:step], axis=0)),
            "seconds": self.seconds(carry),
            **{n: float(np.mean(x[recent])) for n, x in trace.info.items()},
        }


def run(
    key: Any,
    searcher: Searcher,
    env: Environment,
    steps: int,
    folder: Folder,
    name: str,
    *,
    resume: bool = False,
    checkpoint_seconds: float = 60.0,
    label: str = "",
    steps_before: int | None = None,
) -> SearchRun:
    """One search, with progress and checkpoints.

    Args:
      key: of the search.
      searcher, steps: as for `search.drive`.
      env: with a state, which is saved too; or without noise, from
        `nasjax.environments.cached`, which learns the scores of a resumed trace.
      folder: of the run; checkpoints go to `checkpoints/name`, and one line per
        checkpoint to log.jsonl.
      name: of the search, such as `cadam/seed3`.
      resume: go on from the newest checkpoint, to the same bits if the environment
        gives them.
      checkpoint_seconds: least time between checkpoints; the last step has its own.
      label: of the progress bar.
      steps_before: the run's number of steps before it was extended; needed only for
        checkpoints of older versions.

    Returns:
      See `SearchRun`.

    Raises:
      StoppedError, DivergedError, RunError: as `job.run`.
      Exception: whatever `env.evaluate` raises; the queries before it are saved.
    """
    task = Queries(searcher, env, steps, name, label, steps_before)
    loop = job.Loop(task, folder, resume=resume, checkpoint_seconds=checkpoint_seconds)
    with loop:
        if loop.first < steps:

            def on_step(step: int, state: SearchState, row: Trace) -> None:
                loop.done(step, task.after(loop.carry, step, state, row))

            state = loop.carry["state"]
            try:
                search.drive(key, searcher, env, steps, state, loop.first, on_step)
            except RunError:
                raise
            except Exception:
                if loop.step > loop.first:
                    loop.save()
                raise
    carry = loop.carry
    last = jax.tree.map(np.asarray, carry["state"].searcher)
    finished = loop.first == steps
    seconds = float(carry["seconds"][0]) if finished else task.seconds(carry)
    return SearchRun(carry["trace"], last, seconds)
