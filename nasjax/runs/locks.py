"""Lock files, by which only one process at a time works in a folder."""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any, NamedTuple

try:
    import fcntl
except ImportError:  # not POSIX: only the host in the file is compared
    fcntl = None  # type: ignore[assignment]

NAME = ".nasjax.lock"


class LockedError(OSError):
    """The folder is in use by another process, or its lock file is not readable."""


class Lock(NamedTuple):
    """A lock that is held; the operating system releases it with the process."""

    path: Path
    file: int

    def release(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self.file)


def acquire(folder: Path) -> Lock:
    """Takes the lock of a folder.

    A lock whose process on this host is gone is taken over, with a message.

    Raises:
      LockedError: another process has it, or one on another host had it; the message
        names host and process. Or a file of that name is no lock file.
    """
    path, host = folder / NAME, socket.gethostname()
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            known = _holder(file, path)
            who = f"process {known.get('pid')} on {known.get('host')}"
            if not _try_lock(file):
                raise LockedError(f"{folder} is in use by {who}: wait, or use --out")
            if not _is_at(file, path):  # released and removed since it was opened
                os.close(file)
                continue
            if known and known["host"] != host:
                # Not every file system shares locks between hosts.
                raise LockedError(
                    f"{folder} is in use by {who}; if that process is gone, remove "
                    f"{path} and start again"
                )
        except LockedError:
            os.close(file)
            raise
        break
    if known:
        print(f"{path}: taken over, {who} is gone", file=sys.stderr)
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps({"host": host, "pid": os.getpid()}).encode(), 0)
    return Lock(path, file)


def _holder(file: int, path: Path) -> dict[str, Any]:
    """The host and the process in a lock file; {} if it is empty."""
    try:
        known = json.loads(os.pread(file, 4096, 0) or b"{}")
        return {"host": known["host"], "pid": known["pid"]} if known else {}
    except (ValueError, KeyError, TypeError):
        raise LockedError(f"{path} is no lock file of nasjax: move it") from None


def _try_lock(file: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.fstat(file).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
