"""`parallel.search`: its arguments, checked before any work."""

import os
from collections.abc import Callable
from typing import Any

import chex
import numpy as np

from nasjax.parallel import report, store
from nasjax.parallel.executors import Workers
from nasjax.parallel.limits import Limits
from nasjax.parallel.loop import Loop
from nasjax.parallel.queries import Queries
from nasjax.search import Searcher, check_integer
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
    wait: bool = True,
    earlier: Any = None,
    space: CellSpace | None = None,
    progress: bool = True,
) -> report.Result:
    """Searches by evaluations of one's own, several at a time.

    As soon as a result is in, the searcher is told and asked for the next architecture;
    it knows which are pending. With one at a time the architectures are those of
    `search.drive`.

    Args:
      key: of the search; the same one on resuming.
      searcher: such as `bayesian_actor_critic(darts())`.
      evaluate: from uint8 [*arch_shape] (NumPy) to an accuracy, a pair (accuracy, loss)
        or an `Outcome`. An exception, an accuracy that is not finite, or a worker that
        dies is a failure.
      queries: how many architectures are asked in all.
      executor: anything with `submit(function, *args)`: the standard library's pools,
        `parallel.processes`, a dask client, mpi4py's or submitit's executors. None
        evaluates here, one at a time. It stays the caller's to shut down.
      pending: how many are out at a time; None for as many as the executor has
        workers.
      out: folder of the run; None writes nothing.
      resume: go on with the run in `out`; in a folder without one this starts one.
      overwrite: remove the run in `out` first.
      timeout: seconds for one evaluation. A process that goes on is ended; a thread or
        a dask task cannot be, its result is passed over.
      retries: how often a failed evaluation is tried again.
      max_failures: more failed queries in a row than so many stop the search.
      seconds: no further query is asked after so many seconds of this call.
      target: none after an accuracy of at least this.
      patience: none after so many results that brought no better one.
      wait: at such a stop, or a signal, wait for what is pending; else it is abandoned
        and asked again on resuming.
      earlier: evaluations of before, told first: see `nasjax.parallel.earlier.read`.
      space: of the searcher, where that does not say.
      progress: show a line of progress.

    Raises:
      TypeError, ValueError, OSError: a bad argument, a folder or a journal that is not
        this search's; before any work.
      FailuresError: too many failures in a row.
      StoppedError: SIGINT or SIGTERM came. A second one does not wait.
      RunError: the executor broke for good, or the disk is full.
    """
    limits = Limits(queries, retries, max_failures, timeout, seconds, target, patience)
    space = searcher.space if space is None else space
    if space is None:
        raise ValueError("the searcher does not say its space: give space=")
    workers = Workers(executor, evaluate, timeout)
    pending = workers.capacity if pending is None else pending
    if pending is None:
        raise ValueError("pending must be given for an executor of this kind")
    check_integer("pending", pending, 1)
    state = Queries(key, searcher, space)
    with store.open_store(out, state, queries, earlier, resume, overwrite) as saved:
        loop = Loop(state, saved, workers, limits, pending, wait, progress)
        with loop:
            loop.run()
        result = report.write(state, saved, loop.reason, progress)
        loop.end()
    return result
