"""`parallel.search`: checks its arguments, then runs the loop."""

import os
from collections.abc import Callable
from typing import Any

import chex
import numpy as np

from nasjax.parallel import report, store
from nasjax.parallel.executors import Workers
from nasjax.parallel.loop import Limits, Loop
from nasjax.parallel.queries import Queries
from nasjax.search import Levels, Searcher, check_integer
from nasjax.spaces import CellSpace


def search(
    key: chex.PRNGKey,
    searcher: Searcher,
    evaluate: Callable[[np.ndarray], Any],
    *,
    queries: int,
    executor: Any = None,
    pending: int | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    timeout: float | None = None,
    retries: int = 1,
    max_failures: int = 10,
    seconds: float | None = None,
    target: float | None = None,
    patience: int | None = None,
    levels: Levels | None = None,
    budget: float | None = None,
    wait: bool = True,
    earlier: Any = None,
    space: CellSpace | None = None,
    progress: bool = True,
) -> report.Result:
    """Searches with your own evaluation function, several evaluations at a time.

    As soon as a result arrives, the searcher is told and proposes the next
    architecture; it knows which ones are pending. With one evaluation at a time the
    architectures are those of `search.drive`.

    Args:
      key: key of the search; the same one on resuming.
      searcher: such as `bayesian_actor_critic(darts())`.
      evaluate: from uint8 [*arch_shape] (NumPy) to an accuracy, a pair (accuracy, loss)
        or an `Outcome`, whose metrics have the same names in each. An exception, an
        accuracy or a metric that is no number, or a worker that dies is a failure.
      queries: number of architectures to evaluate in all, those before a resume
        included.
      executor: anything with `submit(function, *args)`: the standard library's pools,
        `parallel.processes`, a dask client, mpi4py's or submitit's executors. None
        evaluates here, one at a time. The caller shuts it down.
      pending: number of queries that run at a time; None for as many as the executor
        has workers.
      out: folder of the run; None writes nothing.
      resume: continue the run in `out`; if it holds none, start one.
      overwrite: remove the run in `out` first.
      timeout: seconds for one evaluation. A process that takes longer is ended; a
        thread or a dask task cannot be ended, so its result is ignored.
      retries: how often a failed evaluation is tried again.
      max_failures: the search stops when more queries than this fail in a row.
      seconds: ask no further query after this many seconds of this call.
      target: ask no further query after an accuracy of at least this.
      patience: ask no further query after this many results without a better one.
      levels: fidelities, see `search.fidelity`; `evaluate(arch, level=...)` then also
        takes the level, an int. `best`, `target` and `patience` count the top level.
      budget: with `levels`, ask no further query after this cost of results.
      wait: at such a stop, or a signal, wait for pending queries; otherwise they are
        abandoned and evaluated again on resuming.
      earlier: evaluations made before the search, which the searcher is told first:
        see `nasjax.parallel.earlier.read`.
      space: the search space, needed if `searcher.space` is None.
      progress: show a progress bar and print the best at the end.

    Raises:
      TypeError, ValueError, OSError: a bad argument, or a folder or journal of another
        search; before any work.
      FailuresError: too many failures in a row.
      StoppedError: SIGINT or SIGTERM came. A second one does not wait for pending
        queries.
      RunError: the executor broke for good, the disk is full, the searcher cannot use
        a score, such as a percentage, or the names of metrics changed.
    """
    if budget is not None and levels is None:
        raise ValueError(f"budget is {budget}: a cost is known of levels alone")
    stops = seconds, target, patience, budget
    limits = Limits(queries, retries, max_failures, timeout, *stops)
    space = searcher.space if space is None else space
    if space is None:
        raise ValueError("the searcher does not say its space: give space=")
    workers = Workers(executor, evaluate, timeout)
    pending = workers.capacity if pending is None else pending
    if pending is None:
        raise ValueError("pending must be given for an executor of this kind")
    check_integer("pending", pending, 1)
    state = Queries(key, searcher, space, levels)
    with store.open_store(out, state, queries, earlier, resume, overwrite) as saved:
        with Loop(state, saved, workers, limits, pending, wait, progress) as loop:
            loop.run()
        result = report.write(state, saved, loop.reason, progress)
        loop.end()
    return result
