"""The function that runs in a worker: evaluates one architecture and reports."""

import multiprocessing
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from nasjax.runs.errors import StoppedError
from nasjax.search import outcomes


class Report(NamedTuple):
    """The result of one attempt at one query."""

    accuracy: float | None
    loss: float | None
    seconds: float
    worker: str  # host and process
    reason: str = ""  # why it failed; empty if it did not
    error: str = ""
    traceback: str = ""
    metrics: Mapping[str, float] = {}


def evaluate(
    function: Callable[[np.ndarray], Any],
    arch: np.ndarray,
    timeout: float | None,
    token: str,
) -> Report:
    """Calls `function(arch)`; whatever it raises or returns is reported.

    Args:
      function: the user's evaluation, see `parallel.search`.
      arch: uint8 [*arch_shape].
      timeout: seconds, enforced here if this is the main thread of a process (and the
        evaluation returns to Python now and then).
      token: unique to the attempt; dask takes calls with equal arguments for one task.

    Raises:
      StoppedError: a signal ended an evaluation in the process of the search.
    """
    del token
    _guard()
    where = f"{socket.gethostname()}:{os.getpid()}"
    began = time.monotonic()

    def report(accuracy: Any, loss: Any, **more: Any) -> Report:
        return Report(accuracy, loss, time.monotonic() - began, where, **more)

    try:
        with _alarm(timeout):
            returned = function(arch)
        _, (accuracy, loss, metrics) = outcomes.read(returned, ())
    except StoppedError:
        raise
    except _TimeOutError:
        text = f"it took longer than {timeout:g} s"
        return report(None, None, reason="timeout", error=text)
    except Exception as raised:
        return report(
            None,
            None,
            reason="exception",
            error=one_line(raised),
            traceback=traceback.format_exc(),
        )
    accuracy = float(accuracy)
    loss = None if loss is None else float(loss)
    if not np.isfinite(accuracy):
        text = f"the accuracy is {accuracy}"
        return report(None, loss, reason="not finite", error=text)
    # The journal has no other numbers.
    measured = {n: float(x) if np.isfinite(x) else np.nan for n, x in metrics.items()}
    return report(accuracy, loss, metrics=measured)


def one_line(error: BaseException) -> str:
    """Type and first line of an exception, at most 300 characters."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


class _TimeOutError(BaseException):
    """Not an Exception, which an evaluation may well catch."""


@contextmanager
def _alarm(seconds: float | None) -> Iterator[None]:
    """Raises `_TimeOutError` after so many seconds in a thread that gets signals."""
    able = threading.current_thread() is threading.main_thread()
    if seconds is None or not able or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise _TimeOutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


_guarded = False


def _guard() -> None:
    """In a worker process of a pool: ends with its parent, and ignores Ctrl-C.

    A terminal sends Ctrl-C to all processes; the parent decides about pending queries.
    """
    global _guarded
    parent = multiprocessing.parent_process()
    main = threading.current_thread() is threading.main_thread()
    if _guarded or parent is None or not main:
        return
    _guarded = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    above = os.getppid()

    # A forked process gets another parent; for others the pipe of `is_alive` closes.
    def watch() -> None:
        while parent.is_alive() and os.getppid() == above:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
