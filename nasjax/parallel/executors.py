"""Attempts at queries on any executor that has `submit`."""

import functools
import itertools
import pickle
import queue
import time
import uuid
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

from nasjax.parallel import worker
from nasjax.parallel.pools import DEAD, Singles, kill
from nasjax.parallel.worker import Report, one_line

POOL_BROKE = "pool broke"  # reason of a failure that may be another evaluation's
POLL = 1.0  # seconds between checks of futures without callbacks


class Serial:
    """Evaluates in the process and thread that submits."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future:
        future: Future = Future()
        future.set_result(function(*args))
        return future


class Running(NamedTuple):
    """An attempt that was handed to the executor."""

    query: int
    attempt: int
    future: Any
    shared: bool  # in a pool of several processes: when it breaks, any of them died


class Workers:
    """The executor of a search and the attempts that run on it.

    Args:
      executor: has `submit(function, *args)`, whose future has `done` and `result`;
        `add_done_callback`, `running` and `cancel` are used if the future has them.
        None for `Serial`.
      evaluate: the user's function of an architecture.
      timeout: seconds for an evaluation, or None.

    Raises:
      TypeError: the executor has no `submit`, or `evaluate` cannot be called.
      ValueError: `evaluate` cannot be pickled, which a process pool needs.
    """

    def __init__(self, executor: Any, evaluate: Any, timeout: float | None):
        if not callable(evaluate):
            raise TypeError(f"evaluate must be a function, got {evaluate!r}")
        if executor is None:
            executor = Serial()
        if isinstance(executor, type) or not callable(
            getattr(executor, "submit", None)
        ):
            raise TypeError(
                "executor must have submit(function, *args), such as "
                f"ProcessPoolExecutor(8) or a dask client; got {executor!r}"
            )
        if isinstance(executor, ProcessPoolExecutor):
            try:
                pickle.dumps(evaluate)
            except Exception as error:
                raise ValueError(
                    "evaluate cannot be pickled, which a pool of processes needs "
                    f"({type(error).__name__}: {error}): define it at the top of a "
                    "module, or use ThreadPoolExecutor or dask"
                ) from error
        self._executor, self._evaluate, self._timeout = executor, evaluate, timeout
        self._session, self._counter = uuid.uuid4().hex, itertools.count()
        self._done: queue.SimpleQueue[Running] = queue.SimpleQueue()
        self._since: dict[int, float | None] = {}  # when a query was first seen to run
        self.running: dict[int, Running] = {}

    @property
    def serial(self) -> bool:
        """Whether evaluations run in the thread that submits."""
        return isinstance(self._executor, Serial)

    @property
    def capacity(self) -> int | None:
        """Number of evaluations that run at once; None if it is not known."""
        if self.serial:
            return 1
        return getattr(self._executor, "_max_workers", None)

    def submit(
        self, query: int, attempt: int, arch: Any, level: int | None = None
    ) -> None:
        """Hands one attempt to the executor.

        With a level it is `evaluate(arch, level=level)`.

        Raises:
          Exception: that of `executor.submit`, if a new pool does not help.
        """
        token = f"{self._session}-{next(self._counter)}"
        function = self._evaluate
        if level is not None:
            function = functools.partial(function, level=level)
        args = worker.evaluate, function, arch, self._timeout, token
        try:
            future = self._executor.submit(*args)
        except DEAD:
            self._recover()
            future = self._executor.submit(*args)
        shared = isinstance(self._executor, ProcessPoolExecutor)
        run = Running(query, attempt, future, shared)
        self.running[query] = run
        self._since[query] = None
        if hasattr(run.future, "add_done_callback"):
            run.future.add_done_callback(lambda _, run=run: self._done.put(run))

    def wait(self, seconds: float) -> list[tuple[Running, Report]]:
        """Waits for an attempt to end; returns those that did, in order, maybe none."""
        ended = [(run, self._read(run)) for run in self._done_within(seconds)]
        text = "it did not end in time"
        late = Report(None, None, float("nan"), "", "timeout", text)
        return ended + [(run, late) for run in self._overdue()]

    def _read(self, run: Running) -> Report:
        try:
            return run.future.result()
        except BaseException as error:
            if isinstance(error, BrokenProcessPool) and run.shared:
                self._recover()
                reason, text = POOL_BROKE, "a process of the pool died"
            else:
                killed = "Killed" in type(error).__name__  # dask's KilledWorker
                died = killed or isinstance(error, BrokenExecutor)
                reason, text = "worker died" if died else "exception", one_line(error)
            return Report(None, None, float("nan"), "", reason, text)

    def _done_within(self, seconds: float) -> list[Running]:
        polled = [
            run
            for run in self.running.values()
            if not hasattr(run.future, "add_done_callback")
        ]
        for run in polled:
            if run.future.done():
                self._done.put(run)
        ready = []
        try:
            limit = min(seconds, POLL) if polled else seconds
            ready.append(self._done.get(timeout=limit))
            while True:
                ready.append(self._done.get_nowait())
        except queue.Empty:
            pass
        if isinstance(self._executor, Singles):
            for run in ready:
                self._executor.settle(run.future)
        ready = [run for run in ready if self.running.get(run.query) is run]
        for run in ready:
            del self.running[run.query]
        return ready

    def _overdue(self) -> list[Running]:
        """Gives up the attempts that the executor did not end in time."""
        if self._timeout is None:
            return []
        late, now = [], time.monotonic()
        grace = min(max(1.0, 0.1 * self._timeout), 30.0)  # the worker's alarm is first
        for run in list(self.running.values()):
            since = self._since[run.query]
            if since is None and getattr(run.future, "running", lambda: True)():
                self._since[run.query] = now
            elif since is not None and now - since > self._timeout + grace:
                del self.running[run.query]
                late.append(run)
                self._give_up(run)
        return late

    def _give_up(self, run: Running) -> None:
        if isinstance(self._executor, Singles):
            self._executor.kill(run.future)
        elif isinstance(self._executor, ProcessPoolExecutor):
            kill(self._executor)  # one of its processes hangs; the rest is run again
        elif hasattr(run.future, "cancel"):
            run.future.cancel()

    def _recover(self) -> None:
        """Replaces a broken process pool by pools of one process each."""
        if isinstance(self._executor, ProcessPoolExecutor):
            pool, self._executor = self._executor, Singles(self._executor)
            pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Cancels what still runs, and ends the processes of a pool that runs it."""
        end = bool(self.running)
        for run in self.running.values():
            if hasattr(run.future, "cancel"):
                run.future.cancel()
        if isinstance(self._executor, Singles):
            self._executor.shutdown(end)
        elif end and isinstance(self._executor, ProcessPoolExecutor):
            kill(self._executor)
