"""The asynchronous loop: ask, submit, wait, tell, with a journal of every step."""

import dataclasses
import math
import signal
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

import numpy as np
from tqdm import tqdm

from nasjax.parallel import report, store
from nasjax.parallel.executors import POOL_BROKE, Workers
from nasjax.parallel.queries import Queries
from nasjax.parallel.query import Query
from nasjax.parallel.worker import one_line
from nasjax.runs.errors import RunError, StoppedError
from nasjax.search import check_integer, fidelity

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TICK = 0.5  # seconds to wait for a result before the limits are checked again


class FailuresError(RunError):
    """More evaluations failed in a row than `max_failures` allows."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Numbers that end a search; None for no limit. See `parallel.search`."""

    queries: int
    retries: int
    max_failures: int
    timeout: float | None
    seconds: float | None
    target: float | None
    patience: int | None
    budget: float | None = None
    began: float = dataclasses.field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        check_integer("queries", self.queries, 1)
        check_integer("retries", self.retries, 0)
        check_integer("max_failures", self.max_failures, 0)
        if self.patience is not None:
            check_integer("patience", self.patience, 1)
        if self.seconds is not None and not 0 <= self.seconds < float("inf"):
            raise ValueError(f"seconds must be at least 0, got {self.seconds}")
        # A timer of 0 seconds would never ring.
        if self.timeout is not None and not 0 < self.timeout < float("inf"):
            raise ValueError(f"timeout must be positive, got {self.timeout}")
        if self.budget is not None and not 0 < self.budget < float("inf"):
            raise ValueError(f"budget must be positive, got {self.budget}")
        if self.target is not None and not math.isfinite(self.target):
            raise ValueError(f"target must be finite, got {self.target}")

    def reached(self, best: float, since_best: int, spent: float = 0.0) -> str:
        """The limit that was reached, as a text; empty if none was.

        Args:
          best: the best score so far, -inf before there is one.
          since_best: number of results after the best.
          spent: cost of all results.
        """
        if self.budget is not None and spent >= self.budget:
            return f"the budget of {self.budget:g} is spent"
        if self.target is not None and best >= self.target:
            return f"the target of {self.target:g} is reached"
        if self.patience is not None and since_best >= self.patience:
            return f"no better score in {since_best} results"
        if self.seconds is not None and time.monotonic() - self.began > self.seconds:
            return f"{self.seconds:g} s are over"
        return ""


class Loop:
    """The loop of one call of `parallel.search`.

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
        self._best, self._since_best, self._spent = -np.inf, 0, 0.0
        for row in state.told_rows():
            self._count(row)
        self._again = list(state.pending.values())  # to submit before any new query
        self._events: list[dict[str, Any]] = []  # to write by `_flush`
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
        self._workers.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._wait = self._wait and not self._signal
        name = signal.Signals(number).name
        self._signal, self.reason = number, self.reason or name
        if self._wait:
            count = len(self._state.pending)
            text = f"waiting for {count} pending; once more abandons them"
            print(f"\n{name}: {text}", file=sys.stderr, flush=True)
        elif self._workers.serial:
            raise StoppedError(number, "the evaluation is abandoned")

    def run(self) -> None:
        """Runs until all queries are told, a limit is reached, or a signal comes."""
        pending, self._again = self._again, []
        for query in pending:
            if query.result is None:
                self._again.append(query)
            else:  # it finished, and the process was killed before telling it
                self._tell(query, *query.result)
        try:
            while True:
                if not self.reason:
                    self.reason = self._limits.reached(
                        self._best, self._since_best, self._spent
                    )
                if not self.reason:
                    self._fill()
                if not self._workers.running or (self.reason and not self._wait):
                    break
                self._take()
                self._show()
        except StoppedError:
            pass
        self.reason = self.reason or "all queries were asked"
        self._events.append({"event": "stopped", "reason": self.reason})
        self._flush()

    def end(self) -> None:
        """Raises the error or the signal that ended the search, if one did."""
        where = self._saved.goes_on(self._state)
        if self._error is not None:
            raise self._error(f"{self.reason}; {where}")
        if self._signal:  # after the last query, too: more may follow in the process
            raise StoppedError(self._signal, where)

    def _flush(self) -> None:
        events, self._events = self._events, []
        self._saved.append(*events)

    def _fill(self) -> None:
        """Asks and submits until `pending` queries run."""
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
            self._note("started", query.number, query.attempts)
        self._flush()
        for index, query in enumerate(batch):
            try:
                attempt = query.attempts - 1
                self._workers.submit(query.number, attempt, query.arch, query.level)
            except Exception as error:
                self._again = batch[index:] + self._again
                if isinstance(error, StoppedError):
                    raise
                reason = f"the executor takes no more work ({one_line(error)})"
                self._break(RunError, reason)
                return

    def _note(self, name: str, query: int, attempt: int, **fields: Any) -> None:
        event = {"event": name, "query": query, "attempt": attempt, **fields}
        self._state.note(event)
        self._events.append(event)

    def _break(self, error: type[RunError], reason: str) -> None:
        if self._error is None:
            self._error, self.reason = error, reason

    def _take(self) -> None:
        """Waits for attempts that ended, writes them down, then tells them."""
        ended = self._workers.wait(TICK)
        for run, outcome in ended:
            fields = outcome._asdict()
            if outcome.reason:
                del fields["metrics"]
                fields["counted"] = outcome.reason != POOL_BROKE
                self._note("failed", run.query, run.attempt, **fields)
            else:
                names = ["accuracy", "loss", "seconds", "worker"]
                names += ["metrics"] if outcome.metrics else []
                fields = {name: fields[name] for name in names}
                self._note("finished", run.query, run.attempt, **fields)
        self._flush()
        for run, outcome in ended:
            query = self._state.rows[run.query]
            if not outcome.reason:
                self._tell(query, outcome.accuracy, outcome.loss, outcome.metrics)
            elif outcome.reason == POOL_BROKE or query.failures <= self._limits.retries:
                self._again.append(query)
            elif not self.reason:  # else it is tried again on resuming
                self._tell(query, None, outcome.loss)

    def _tell(
        self,
        query: Query,
        accuracy: float | None,
        loss: float | None,
        metrics: Mapping[str, float] = {},
    ) -> None:
        metrics = self._state.measured(query, metrics)
        try:
            self._state.check(accuracy, loss, metrics)
        except ValueError as error:
            self._break(RunError, f"query {query.number} cannot be told: {error}")
            return
        self._events.append(self._state.tell(query.number, accuracy, loss, metrics))
        query.told = time.time()
        self._bar.update(1)
        self._count(query)
        self._failed_in_a_row = self._failed_in_a_row + 1 if query.failed else 0
        if self._failed_in_a_row > self._limits.max_failures:
            reason = f"{self._failed_in_a_row} evaluations in a row failed"
            self._break(FailuresError, f"{reason}, the last with: {query.error}")

    def _count(self, query: Query) -> None:
        self._since_best += 1
        self._spent += query.metrics.get(fidelity.COST, 0.0)
        if query.counts and query.accuracy > self._best:
            self._best, self._since_best = query.accuracy, 0

    def _show(self) -> None:
        failed = sum(row.failed for row in self._state.rows)
        best = "none" if self._best == -np.inf else report.percent(self._best)
        text = f"{len(self._workers.running)} running, {failed} failed, best {best}"
        self._bar.set_postfix_str(text, refresh=False)
