"""Exceptions that end a run early, each with its exit status."""

import errno
import signal
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp


class RunError(Exception):
    """An error that ends a script with one line and an exit status, no traceback."""

    status = 1


class RefusedError(RunError):
    """An error before a run starts: a bad value, a missing file, a folder in use."""

    status = 2


class DivergedError(RunError):
    """A loss or a weight is not finite."""


class StoppedError(RunError):
    """A signal ended the run; the text says whether its work is saved.

    Attributes:
      status: 128 + the signal's number, as shells report it.
    """

    def __init__(self, number: int, text: str):
        super().__init__(f"{signal.Signals(number).name}: {text}")
        self.status = 128 + number


def check_finite(tree: Any, where: str) -> None:
    """DivergedError unless every number in the arrays of `tree` is finite."""
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and not jnp.all(jnp.isfinite(leaf)):
            raise DivergedError(
                f"{where}: weights are not finite: the training diverged. They were "
                "not saved; a smaller learning rate may help"
            )


# A full disk, a quota, a file too large, a disk that became read-only or failed.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


def is_disk_error(error: BaseException) -> bool:
    """Whether an error, or one that it wraps, says that a disk cannot be written."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _DISK:
            return True
        text = str(cause)
        if any(word in text for word in ("No space left", "quota exceeded", "ENOSPC")):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def cannot_write(path: Path | str, error: BaseException) -> RunError:
    """The RunError, of one line, for a disk error at `path`."""
    text = str(error)
    reason = getattr(error, "strerror", None) or text.strip().splitlines()[0]
    if "No space left" in text:  # which orbax wraps in a page of paths
        reason = "No space left on device"
    return RunError(
        f"{path} cannot be written: {reason[:200]}. What was saved before is valid; "
        "once there is room, --resume goes on"
    )
