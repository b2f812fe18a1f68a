"""Searches driven from Python, one after another in one environment, resumable.

`nasjax.runs.table_search` does the same for lanes of one jitted computation.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax import search
from nasjax.environments.cached import METRICS, Cache
from nasjax.runs import job
from nasjax.runs.checkpoints import Checkpoints, corner
from nasjax.runs.errors import RefusedError, RunError, check_finite
from nasjax.runs.folder import Folder
from nasjax.search import (
    Environment,
    Outcome,
    Searcher,
    SearchState,
    Trace,
    outcomes,
)


class SearchRun(NamedTuple):
    """The trace of one search, T steps, and its last state."""

    trace: Trace  # of NumPy arrays [T, ...]
    state: Any  # the searcher's last, of NumPy arrays
    seconds: float  # with those before a resume


class Queries(job.Job):
    """One search as a job: a chunk is one query. `run` drives it, not `job.run`.

    Args:
      searcher, env, steps: of the search; T steps.
      name, label: see `job.Job`.
      steps_before: T of the run that is resumed, whose checkpoints may not tell it.
    """

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
        self.name, self.label, self.steps = name, label, steps
        self._searcher, self._env, self._before = searcher, env, steps_before
        self._started = time.monotonic()
        self.best = -np.inf

    def template(
        self, steps: int | None = None, metrics: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Shapes of the state, and a trace of `steps` zeros (by default T)."""
        steps, searcher = steps or self.steps, self._searcher

        def shapes_of(key):
            keys = jax.random.split(key, 3)
            state = search.init(keys[0], searcher, self._env, steps)
            queried, arch = searcher.ask(keys[1], state.searcher, jnp.int32(0))
            zero = jnp.float32(0)
            known = dict.fromkeys(metrics, zero)
            read = Outcome(zero, zero, known | dict.fromkeys(searcher.metrics, zero))
            _, info = searcher.tell(keys[2], queried, jnp.int32(0), arch, read)
            return state, Trace(arch, zero, zero, dict(info), known)

        state, row = jax.eval_shape(shapes_of, jax.random.key(0))
        trace = jax.tree.map(lambda x: np.zeros((steps, *x.shape), x.dtype), row)
        return {"state": state, "trace": trace, "seconds": np.zeros(1)}

    def templates(self, checkpoints: Checkpoints) -> list[dict[str, Any]]:
        budgets = [self.steps, *checkpoints.budgets("trace/accuracy")]
        budgets += [self._before] if self._before else []
        # The metrics are known once an evaluation has succeeded.
        names = checkpoints.names("trace/metrics/")
        kinds = [names, ()] if names else [()]
        cases = itertools.product(kinds, dict.fromkeys(budgets))
        return [self.template(steps, metrics) for metrics, steps in cases]

    def start(self) -> dict[str, Any]:
        return self.template() | {"state": None}

    def unpack(self, step: int, tree: Any) -> dict[str, Any]:
        state, trace = jax.tree.map(jnp.asarray, tree["state"]), tree["trace"]
        before = len(trace.accuracy)
        if before != self.steps:
            if not search.budget_free(self._searcher, before):
                raise RefusedError(
                    f"{self.name} was started with {before} queries, on which what it "
                    f"remembers depends: it cannot go on to {self.steps}; use another "
                    "--out"
                )
            key = jax.random.key(0)  # of rows that are not filled yet
            state = search.grow(key, self._searcher, state, self.steps)
            whole = self.template(metrics=trace.metrics)["trace"]
            trace = jax.tree.map(corner, whole, trace)
        trace, seconds = job.writable((trace, tree["seconds"]))
        if isinstance(self._env.evaluate, Cache):
            columns = {f"{METRICS}{n}": x[:step] for n, x in trace.metrics.items()}
            self._env.evaluate.load(*(x[:step] for x in trace[:3]), **columns)
        self._note(trace.accuracy[:step])
        return {"state": state, "trace": trace, "seconds": seconds}

    def pack(self, carry: Any) -> Any:
        return carry | {"seconds": np.array([self.seconds(carry)])}

    def seconds(self, carry: Any) -> float:
        """Seconds spent so far, with those before a resume."""
        return float(carry["seconds"][0]) + time.monotonic() - self._started

    def run(self, key: Any, loop: job.Loop) -> SearchRun:
        """Drives the search to its end; on errors the queries before are saved.

        Raises:
          DivergedError: the environment's own state, such as a supernet that is trained
            meanwhile, is not finite.
        """
        searcher, env, steps = self._searcher, self._env, self.steps
        first = loop.first

        def on_step(step: int, state: SearchState, row: Trace) -> None:
            trace, query = loop.carry["trace"], step - 1
            if row.metrics and not trace.metrics:
                unknown = {n: np.full(steps, np.nan, np.float32) for n in row.metrics}
                trace = trace._replace(metrics=unknown)
                loop.carry["trace"] = trace
            row = outcomes.named(row, trace.metrics)
            for rows, x in zip(*map(jax.tree.leaves, (trace, row)), strict=True):
                rows[query] = x
            self._note(trace.accuracy[query:step])
            if not np.isfinite(trace.loss[query]):
                check_finite(state.environment, f"{self.name}, query {query}")
            loop.done(step, loop.carry | {"state": state})

        with loop:
            try:
                if first < steps:
                    state = loop.carry["state"]
                    search.drive(key, searcher, env, steps, state, first, on_step)
            except RunError:
                raise
            except Exception:
                if loop.step > first:
                    loop.save()
                raise
        carry = loop.carry
        last = jax.tree.map(np.asarray, carry["state"].searcher)
        spent = carry["seconds"][0] if first == steps else self.seconds(carry)
        return SearchRun(carry["trace"], last, float(spent))

    def _note(self, accuracy: np.ndarray) -> None:
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
    methods: Iterable[str],
    searcher_of: Callable[[str, int], Searcher],
    env: Environment,
    args: argparse.Namespace,
    folder: Folder,
) -> dict[str, list[SearchRun]]:
    """Runs the methods one after another, each with one search for each seed.

    Args:
      methods: names, of searches and their checkpoints.
      searcher_of: `(method, seed) -> searcher`.
      env: shared by all: with a state, which is saved too; or without noise, from
        `nasjax.environments.cached`, which learns the scores of a resumed trace.
      args: `seeds`; `steps` per search; `resume`, to the same bits if the environment
        gives them; `checkpoint_seconds`, the least time between checkpoints.
      folder: of the run, for checkpoints and one line for each in log.jsonl.

    Raises:
      StoppedError, RunError, CheckpointError: as `job.run`.
      RefusedError: `steps` differs from the run's that is resumed, and a searcher's
        memory depends on it.
      DivergedError: as `Queries.run`.
      Exception: whatever `env.evaluate` raises; the queries before it are saved.
    """
    searches: dict[str, list[SearchRun]] = {name: [] for name in methods}
    tasks = [(name, seed) for name in searches for seed in args.seeds]
    # Checkpoints of earlier versions do not tell the steps before an extension.
    steps_before = folder.before["steps"] if folder.before else None
    for i, (name, seed) in enumerate(tasks, 1):
        task = Queries(
            searcher_of(name, seed),
            env,
            args.steps,
            f"{name}/seed{seed}",
            f"{name} seed {seed} ({i}/{len(tasks)})",
            steps_before,
        )
        seconds = args.checkpoint_seconds
        loop = job.Loop(task, folder, resume=args.resume, checkpoint_seconds=seconds)
        searches[name].append(task.run(jax.random.key(seed), loop))
    return searches
