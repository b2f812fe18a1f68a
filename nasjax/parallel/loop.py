"""The asynchronous loop: ask, submit, wait, tell, with a journal of it all."""

import signal
import sys
import threading
import time
from concurrent.futures import BrokenExecutor
from concurrent.futures.process import BrokenProcessPool
from types import FrameType
from typing import Any

import numpy as np
from tqdm import tqdm

from nasjax.parallel import report, store
from nasjax.parallel.executors import Running, Workers
from nasjax.parallel.limits import Limits
from nasjax.parallel.pools import DEAD
from nasjax.parallel.queries import Queries, Query
from nasjax.parallel.worker import Report
from nasjax.runs.errors import RunError, StoppedError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TICK = 0.5  # seconds between looks at the clock while nothing comes in


class FailuresError(RunError):
    """More evaluations failed in a row than were allowed."""


class Loop:
    """The loop; used once.

    Attributes:
      reason: why it ended.
    """

    def __init__(
        self,
        state: Queries,
        saved: store.Store,
        workers: Workers,
        limits: Limits,
        pending: int,
        wait: bool,
        progress: bool,
    ):
        self._state, self._saved, self._workers = state, saved, workers
        self._limits, self._pending, self._wait = limits, pending, wait
        self.reason = ""
        self._error: type[RunError] | None = None
        self._signal = 0
        self._failed_in_a_row = 0
        self._best, self._since_best = -np.inf, 0
        for row in sorted(state.rows, key=lambda row: row.order or 0):
            if row.order is not None:
                self._count(row.accuracy)
        self._again = list(state.pending.values())
        self._events: list[dict[str, Any]] = []
        self._handlers: dict[int, Any] = {}
        self._bar = tqdm(
            total=limits.queries, initial=state.told, unit="query", disable=not progress
        )

    def __enter__(self) -> "Loop":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._bar.close()
        self._workers.close(end=bool(self._workers.running))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._signal or not self._wait:
            self._wait = False
            if self._workers.serial:
                raise StoppedError(number, "the evaluation is abandoned")
        self._signal, self.reason = number, signal.Signals(number).name
        if self._wait:
            count = len(self._state.pending)
            text = f"waiting for {count} pending; once more abandons them"
            print(f"\n{self.reason}: {text}", file=sys.stderr, flush=True)

    def run(self) -> None:
        """Until there is nothing left to ask, or a reason not to."""
        for query in [query for query in self._again if query.result is not None]:
            self._again.remove(query)  # it came in, and the process was killed
            accuracy, loss = query.result or (None, None)
            self._tell(query, accuracy, loss)
        try:
            while True:
                if not self.reason:
                    self.reason = self._limits.reached(self._best, self._since_best)
                if not self.reason:
                    self._fill()
                if not self._workers.running or (self.reason and not self._wait):
                    break
                self._take(self._workers.wait(TICK))
                self._show()
        except StoppedError:
            pass
        self.reason = self.reason or "all queries were asked"
        self._events.append({"event": "stopped", "reason": self.reason})
        self._flush()

    def end(self) -> None:
        """Raises what the search ended with, if it was not meant to end."""
        where = self._saved.goes_on(self._state)
        if self._error is not None:
            raise self._error(f"{self.reason}; {where}")
        if self._signal and self._state.told < self._limits.queries:
            raise StoppedError(self._signal, where)

    def _flush(self) -> None:
        events, self._events = self._events, []
        self._saved.append(*events)

    def _fill(self) -> None:
        """Asks and submits until as many are out as may be."""
        batch: list[Query] = []
        while len(self._workers.running) + len(batch) < self._pending:
            if self._again:
                query = self._again.pop(0)
            elif len(self._state.rows) < self._limits.queries:
                query, event = self._state.ask()
                query.asked = time.time()
                self._events.append(event)
            else:
                break
            batch.append(query)
            started = {"event": "started", "query": query.number}
            started |= {"attempt": query.attempts}
            self._state.note(started)
            self._events.append(started)
        self._flush()
        for index, query in enumerate(batch):
            try:
                self._submit(query)
            except Exception as error:
                self._again = batch[index:] + self._again
                if isinstance(error, StoppedError):
                    raise
                reason = f"the executor takes no more work ({_line(error)})"
                self._break(RunError, reason)
                return

    def _submit(self, query: Query) -> None:
        for last in (False, True):
            try:
                self._workers.submit(query.number, query.attempts - 1, query.arch)
                return
            except DEAD:
                if last:
                    raise
                self._workers.recover()

    def _break(self, error: type[RunError], reason: str) -> None:
        if self._error is None:
            self._error, self.reason = error, reason

    def _take(self, done: list[Running]) -> None:
        """Writes down what came back, then tells it."""
        late = Report(None, None, float("nan"), "", "timeout", "it did not end in time")
        pairs = [(run, self._read(run)) for run in done]
        pairs += [(run, late) for run in self._workers.overdue()]
        for run, outcome in pairs:
            event: dict[str, Any] = {"query": run.query, "attempt": run.attempt}
            if outcome is None:
                text = "a process of the pool died"
                event |= {"event": "failed", "reason": "pool broke", "error": text}
                event |= {"counted": False}
            elif outcome.reason:
                event |= {"event": "failed", **outcome._asdict(), "counted": True}
            else:
                names = ("accuracy", "loss", "seconds", "worker")
                event |= {"event": "finished"}
                event |= {name: getattr(outcome, name) for name in names}
            self._state.note(event)
            self._events.append(event)
        self._flush()
        for run, outcome in pairs:
            query = self._state.rows[run.query]
            if outcome is not None and not outcome.reason:
                self._tell(query, outcome.accuracy, outcome.loss)
            elif outcome is None or query.failures <= self._limits.retries:
                self._again.append(query)
            elif not self.reason:  # else it is tried again on resuming
                self._tell(query, None, outcome.loss)

    def _read(self, run: Running) -> Report | None:
        """What the future holds; None if nobody knows why it broke."""
        try:
            return run.future.result()
        except BaseException as error:
            if isinstance(error, BrokenProcessPool) and run.shared:
                self._workers.recover()
                return None
            died = isinstance(error, BrokenExecutor) or "Killed" in type(error).__name__
            reason = "worker died" if died else "exception"
            return Report(None, None, float("nan"), "", reason, _line(error))

    def _tell(self, query: Query, accuracy: float | None, loss: float | None) -> None:
        try:
            self._state.check(accuracy, loss)
        except ValueError as error:
            self._break(RunError, f"query {query.number} cannot be told: {error}")
            return
        self._events.append(self._state.tell(query.number, accuracy, loss))
        query.told = time.time()
        self._bar.update(1)
        self._count(query.accuracy)
        self._failed_in_a_row = self._failed_in_a_row + 1 if query.failed else 0
        if self._failed_in_a_row > self._limits.max_failures:
            reason = f"{self._failed_in_a_row} evaluations in a row failed"
            self._break(FailuresError, f"{reason}, the last with: {query.error}")

    def _count(self, accuracy: float) -> None:
        self._since_best += 1
        if accuracy > self._best:
            self._best, self._since_best = accuracy, 0

    def _show(self) -> None:
        failed = sum(row.failed for row in self._state.rows)
        best = "none" if self._best == -np.inf else report.percent(self._best)
        text = f"{len(self._workers.running)} running, {failed} failed, best {best}"
        self._bar.set_postfix_str(text, refresh=False)


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
