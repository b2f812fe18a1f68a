"""Executors: anything with `submit`."""

import itertools
import pickle
import queue
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, NamedTuple

from nasjax.parallel import worker
from nasjax.parallel.pools import Singles, kill

POLL = 1.0  # seconds between looks at futures that call nobody back


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
    shared: bool  # in a pool of which nobody knows which process does what


class Workers:
    """The executor as the engine sees it.

    Args:
      executor: has `submit(function, *args)`, whose future has `done`, `result` and
        `exception`; `add_done_callback`, `running` and `cancel` are used where it has
        them. None for `Serial`.
      evaluate: of the user.
      timeout: seconds for an evaluation, or None.

    Raises:
      TypeError: the executor is none, or `evaluate` cannot be called.
      ValueError: `evaluate` cannot be pickled, as a process pool must.
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
        self._since: dict[int, float | None] = {}
        self.running: dict[int, Running] = {}

    @property
    def serial(self) -> bool:
        """Whether evaluations run in the thread that submits."""
        return isinstance(self._executor, Serial)

    @property
    def capacity(self) -> int | None:
        """How many evaluations run at once; None if that is not known."""
        if self.serial:
            return 1
        return getattr(self._executor, "_max_workers", None)

    def submit(self, query: int, attempt: int, arch: Any) -> None:
        """Hands one attempt to the executor.

        Raises:
          Exception: as `executor.submit`; `recover` may help.
        """
        token = f"{self._session}-{next(self._counter)}"
        args = worker.evaluate, self._evaluate, arch, self._timeout, token
        shared = isinstance(self._executor, ProcessPoolExecutor)
        run = Running(query, attempt, self._executor.submit(*args), shared)
        self.running[query] = run
        self._since[query] = None
        if hasattr(run.future, "add_done_callback"):
            run.future.add_done_callback(lambda _, run=run: self._done.put(run))

    def wait(self, seconds: float) -> list[Running]:
        """Attempts that are done, in the order in which they came, maybe none."""
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

    def overdue(self) -> list[Running]:
        """Attempts that the executor did not end in time; they are given up."""
        if self._timeout is None:
            return []
        late, now = [], time.monotonic()
        grace = min(max(1.0, 0.1 * self._timeout), 30.0)
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
            kill(self._executor)  # one of them hangs; the others are run again
        elif hasattr(run.future, "cancel"):
            run.future.cancel()

    def recover(self) -> None:
        """Replaces a broken pool by one whose processes fail alone."""
        if isinstance(self._executor, ProcessPoolExecutor):
            pool, self._executor = self._executor, Singles(self._executor)
            pool.shutdown(wait=False, cancel_futures=True)

    def close(self, end: bool) -> None:
        """Ends processes of its own, and with `end` whatever still runs."""
        for run in self.running.values():
            if hasattr(run.future, "cancel"):
                run.future.cancel()
        if isinstance(self._executor, Singles):
            self._executor.shutdown(end)
        elif end and isinstance(self._executor, ProcessPoolExecutor):
            kill(self._executor)
