"""Executors: anything with `submit`; process pools that outlive their workers."""

import collections
import itertools
import multiprocessing
import os
import pickle
import queue
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

from nasjax.parallel import worker
from nasjax.search import check_integer

POLL = 1.0  # seconds between looks at futures that call nobody back
STARTS = 3  # of a process, before the evaluation is said to have failed
DEAD = (BrokenProcessPool, EOFError, ConnectionError)  # a process ended meanwhile


class Serial:
    """Evaluates in the process and thread that submits."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future:
        future: Future = Future()
        future.set_result(function(*args))
        return future


class Processes(ProcessPoolExecutor):
    """A pool of processes, each with its own place; see `processes`."""

    def __init__(self, workers: int, places: Sequence[dict[str, Any]]):
        self.places = places
        context = multiprocessing.get_context("spawn")
        counter = context.Value("i", 0)
        super().__init__(workers, context, _take_place, (counter, places))

    def single(self, index: int) -> "Processes":
        """A pool of one worker, at one of the places."""
        return Processes(1, [self.places[index % len(self.places)]])


def _take_place(counter: Any, places: Sequence[dict[str, Any]]) -> None:
    with counter.get_lock():
        index, counter.value = counter.value, counter.value + 1
    place = places[index % len(places)]
    os.environ.update(place["environ"])
    if place["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, place["cores"])


def processes(workers: int, devices: Sequence[Any] | None = None) -> Processes:
    """A process pool for evaluations that compute with JAX or PyTorch.

    Processes are spawned, for a fork of a process in which JAX runs may hang. Each
    worker has its own share of the cores, or its own device.

    Args:
      workers: how many.
      devices: numbers of GPUs, one after another given to a worker each, by
        CUDA_VISIBLE_DEVICES.

    Raises:
      ValueError: `workers` is no integer of at least 1.
    """
    check_integer("workers", workers, 1)
    if devices is not None:
        environs = [{"CUDA_VISIBLE_DEVICES": str(device)} for device in devices]
        return Processes(workers, [{"environ": e, "cores": ()} for e in environs])
    cores: list[int] = []
    if hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
    shares = [cores[i::workers] for i in range(workers)]
    if not all(shares):  # more workers than cores
        shares = [[] for _ in shares]
    return Processes(workers, [{"environ": {}, "cores": share} for share in shares])


class Singles:
    """Pools of one process each, so that a death is that of one evaluation."""

    def __init__(self, pool: ProcessPoolExecutor):
        self._pool = pool
        count: int = pool._max_workers  # type: ignore[attr-defined]
        self._pools = [self._single(index) for index in range(count)]
        self._free = collections.deque(range(count))
        self._waiting: collections.deque[tuple[Future, Any]] = collections.deque()
        self._at: dict[Future, int] = {}

    def _single(self, index: int) -> ProcessPoolExecutor:
        pool: Any = self._pool
        if isinstance(pool, Processes):
            return pool.single(index)
        return ProcessPoolExecutor(
            1, pool._mp_context, pool._initializer, pool._initargs
        )

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future:
        outer: Future = Future()
        self._waiting.append((outer, (function, *args)))
        self.assign()
        return outer

    def assign(self) -> None:
        """Hands waiting calls to free processes."""
        while self._free and self._waiting:
            outer, call = self._waiting.popleft()
            if not outer.set_running_or_notify_cancel():
                continue
            index = self._free.popleft()
            self._at[outer] = index
            try:
                inner = self._start(index, call)
            except DEAD as error:
                outer.set_exception(BrokenProcessPool(f"no process starts: {error}"))
                continue
            inner.add_done_callback(lambda done, outer=outer: _pass_on(done, outer))

    def _start(self, index: int, call: Any) -> Future:
        for _ in range(STARTS):
            try:
                return self._pools[index].submit(*call)
            except DEAD:  # killed while it was idle, or before it began
                self._pools[index] = self._single(index)
        return self._pools[index].submit(*call)

    def settle(self, future: Future) -> None:
        """After a future is done: its process is free, or replaced if it died."""
        index = self._at.pop(future, None)
        if index is not None:
            if isinstance(future.exception(), BrokenProcessPool):
                self._pools[index] = self._single(index)
            self._free.append(index)
        self.assign()

    def kill(self, future: Future) -> None:
        """Ends the process that evaluates; its future breaks."""
        if future in self._at:
            kill(self._pools[self._at[future]])

    def shutdown(self, end: bool = False) -> None:
        for pool in self._pools:
            if end:
                kill(pool)
            pool.shutdown(wait=False, cancel_futures=True)


def _pass_on(inner: Future, outer: Future) -> None:
    error = inner.exception()
    if error is not None:
        outer.set_exception(error)
    else:
        outer.set_result(inner.result())


def kill(pool: ProcessPoolExecutor) -> None:
    """Ends the processes of a pool, whatever they do."""
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        process.kill()


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
