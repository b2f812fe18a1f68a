"""Process pools that survive the death of a worker."""

import collections
import functools
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from nasjax.search import check_integer

STARTS = 3  # processes that may die before one begins an evaluation
DEAD = (BrokenProcessPool, EOFError, ConnectionError)  # of `submit`: a process died


class Processes(ProcessPoolExecutor):
    """A pool whose processes have places: `environ` and `cores`; see `processes`."""

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

    Processes are spawned, since a fork of a process in which JAX runs may hang. They
    import the script, whose call of `parallel.search` must therefore stand below
    `if __name__ == "__main__":`. Each worker has its own share of the cores (all cores
    if there are more workers than cores), or one of the devices.

    Args:
      workers: number of processes.
      devices: numbers of GPUs; workers take turns at them, one each, by
        CUDA_VISIBLE_DEVICES.

    Raises:
      ValueError: `workers` is not an integer of at least 1, or `devices` is empty.
    """
    check_integer("workers", workers, 1)
    if devices is not None:
        check_integer("the number of devices", len(devices), 1)
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
    """Pools of one process each: if a process dies, only its evaluation fails."""

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
            inner.add_done_callback(functools.partial(_pass_on, outer))

    def _start(self, index: int, call: Any) -> Future:
        for _ in range(STARTS):
            try:
                return self._pools[index].submit(*call)
            except DEAD:  # killed while it was idle, or before it began
                self._pools[index] = self._single(index)
        return self._pools[index].submit(*call)

    def settle(self, future: Future) -> None:
        """Frees the process of a future that is done, or replaces it if it died."""
        index = self._at.pop(future, None)
        if index is not None:
            if isinstance(future.exception(), BrokenProcessPool):
                self._pools[index] = self._single(index)
            self._free.append(index)
        self.assign()

    def kill(self, future: Future) -> None:
        """Ends the process that evaluates for a future, which then breaks."""
        if future in self._at:
            kill(self._pools[self._at[future]])

    def shutdown(self, end: bool = False) -> None:
        for pool in self._pools:
            if end:
                kill(pool)
            pool.shutdown(wait=False, cancel_futures=True)


def _pass_on(outer: Future, inner: Future) -> None:
    error = inner.exception()
    if error is not None:
        outer.set_exception(error)
    else:
        outer.set_result(inner.result())


def kill(pool: ProcessPoolExecutor) -> None:
    """Ends the processes of a pool, whatever they do."""
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        process.kill()
