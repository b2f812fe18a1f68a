"""What ends a run before its time, each with its exit status."""

import errno
import signal
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp


class RunError(Exception):
    """Ends a script with one line and a status; a traceback would tell no more."""

    status = 1


class RefusedError(RunError):
    """Nothing was started: a bad value, a missing file, a folder in use."""

    status = 2


class DivergedError(RunError):
    """A loss or a weight is not finite."""


class StoppedError(RunError):
    """A signal ended the run; what was done is saved if the text says so.

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
    """Whether a disk cannot be written, in whatever exception orbax wraps that."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _DISK:
            return True
        text = str(seen)
        if any(word in text for word in ("No space left", "quota exceeded", "ENOSPC")):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def cannot_write(path: Path | str, error: BaseException) -> RunError:
    """The one line for a full disk."""
    text = str(error)
    reason = getattr(error, "strerror", None) or text.strip().splitlines()[0]
    if "No space left" in text:  # which orbax wraps in a page of paths
        reason = "No space left on device"
    return RunError(
        f"{path} cannot be written: {reason[:200]}. What was saved before is valid; "
        "once there is room, --resume goes on"
    )
