"""The frame of a script: one line for every error, exit statuses, signals."""

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import jax

from nasjax.runs.errors import (
    RefusedError,
    RunError,
    StoppedError,
    cannot_write,
    is_disk_error,
)

Main = Callable[[Sequence[str] | None], int | None]


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Around what precedes the work: bad values end the script with status 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise RefusedError(str(error)) from error


def script(main: Main) -> Callable[[Sequence[str] | None], int]:
    """Wraps a `main(argv)`: what ends a run becomes a line and an exit status.

    0 for success, 1 for an error at work, 2 for a refusal before any, 128 + signal
    after SIGINT or SIGTERM. Anything else is a fault of the program and keeps its
    traceback.
    """

    @functools.wraps(main)
    def framed(argv: Sequence[str] | None = None) -> int:
        _print_anywhere()
        _quiet_compiler()
        with _sigterm(), _quiet_threads():
            try:
                return main(argv) or 0
            except KeyboardInterrupt:
                error: RunError = StoppedError(signal.SIGINT, "--resume goes on")
            except RunError as raised:
                error = raised
            except Exception as raised:
                name = getattr(raised, "filename", None) or "a file"
                if is_disk_error(raised):
                    error = cannot_write(name, raised)
                elif (reason := _no_backend()) is not None:
                    error = RefusedError(reason)
                else:
                    raise
        prefix = "" if isinstance(error, StoppedError) else "error: "
        print(f"{prefix}{error}", file=sys.stderr, flush=True)
        return error.status

    return framed


def _no_backend() -> str | None:
    """Why JAX starts no backend; None if it does."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # which one depends on the platform
        given = os.environ.get("JAX_PLATFORMS", "")
        where = f"JAX_PLATFORMS={given}" if given else "JAX"
        reason = (str(error).strip() or "no such device here").splitlines()[0]
        return f"{where}: {reason}; unset it, or install what that platform needs"
    return None


def _quiet_compiler() -> None:
    """XLA's remarks on slow compilation tell a user nothing; its errors are raised.

    It reads the level when it first logs. JAX sets 1; what a user set stays.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "1":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def _print_anywhere() -> None:
    """A terminal that knows only ASCII shows ± as an escape; it ends no run."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _quiet_threads() -> Iterator[None]:
    """Writers of a checkpoint that failed report to a loop that has ended: no news."""
    before = sys.unraisablehook

    def hook(raised: "sys.UnraisableHookArgs") -> None:
        if "Event loop is closed" not in str(raised.exc_value):
            before(raised)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        if sys.unraisablehook is hook and before is not sys.__unraisablehook__:
            sys.unraisablehook = before


@contextlib.contextmanager
def _sigterm() -> Iterator[None]:
    """SIGTERM outside of a job, such as while data is read, is an exception."""

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        raise StoppedError(number, "--resume goes on")

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
