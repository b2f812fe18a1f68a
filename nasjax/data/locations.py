"""Folders of data, safe reading of npz files, and atomic writing of files."""

import io
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np


def listed() -> list[Path]:
    """The files and folders that `$NASJAX_DATA` lists."""
    entries = os.environ.get("NASJAX_DATA", "").split(os.pathsep)
    return [Path(entry).expanduser() for entry in entries if entry]


def cache() -> Path:
    """The user's cache, `$XDG_CACHE_HOME/nasjax`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nasjax"


def offline() -> bool:
    """Whether `$NASJAX_OFFLINE` forbids downloads."""
    return os.environ.get("NASJAX_OFFLINE", "") not in ("", "0")


def read_npz(source: Path | bytes, *, objects: bool = False) -> dict[str, Any]:
    """The arrays of an npz file; nothing in it is unpickled.

    Args:
      source: the file, or its content.
      objects: whether arrays of Python objects are read as None; else they raise.

    Raises:
      ValueError: the file cannot be read, or is not an npz.
    """
    try:
        place = io.BytesIO(source) if isinstance(source, bytes) else source
        archive = np.load(place, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("a single array")
        with archive:
            return {name: _array(archive, name, objects) for name in archive.files}
    except Exception as error:  # a damaged archive raises nearly anything
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _array(archive: Any, name: str, objects: bool) -> np.ndarray | None:
    try:
        return archive[name]
    except ValueError:  # Python objects, such as ragged rows
        if objects:
            return None
        raise


def write_file(
    path: Path, write: Callable[[BinaryIO], Any], *, shared: bool = False
) -> None:
    """Writes a file atomically: a reader sees the old file or the new one.

    Args:
      path: of the file.
      write: called with the open binary file to write to.
      shared: whether other processes may write the file at the same time.

    Raises:
      OSError: the file cannot be written; no part of it is left.
    """
    name = f".{path.name}.{uuid.uuid4().hex}" if shared else f"{path.name}.tmp"
    part = path.with_name(name)
    try:
        with part.open("wb") as file:
            write(file)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
