"""The journal of a search: one JSON object per line, appended and synced.

A search that was killed is replayed from its journal alone. Every line has `event` and
`time` (seconds since 1970), and by event:

    search    first line: `version` of this format, `nasjax`, `space` (the fields of
              `CellSpace`), `key` (words of the key), `queries`, `earlier` (numbers of)
    earlier   an evaluation from before the search: `arch`, `accuracy`, `loss`,
              `source`, `metrics`
    asked     the searcher proposed `arch` as number `query`, counted from 0, to be
              evaluated at `level` if the search has several fidelities
    started   attempt number `attempt` at `query` was handed to the executor
    finished  the attempt has a result: `accuracy`, `loss`, `seconds`, `worker`,
              `metrics`
    failed    the attempt has none: `reason`, `error` (one line), `traceback`; `counted`
              is false if a pool of processes broke, maybe by another evaluation
    told      the searcher was told of `query`, as number `order`: `accuracy`, `loss`,
              `metrics`; a failure has the accuracy null
    grown     the search now has room for `queries`
    resumed   another call continued the search, with this version of `nasjax`
    stopped   the call ended: `reason`

Architectures are nested lists of integers; `metrics` maps names to numbers, and is
absent where there are none. A number that is not finite is null. Later versions may add
other events and fields; readers skip those that they do not know.
Pandas reads a journal with `pd.read_json("journal.jsonl", lines=True)`.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nasjax.runs import files
from nasjax.runs.errors import cannot_write
from nasjax.spaces import CellSpace

VERSION = 1
NAME = "journal.jsonl"
TORN = "journal-torn.txt"  # the part of a last line that a kill left


class JournalError(ValueError):
    """A journal that is damaged or belongs to another search."""


class Contents(NamedTuple):
    """The contents of a journal."""

    events: list[dict[str, Any]]
    size: int  # bytes of whole lines
    torn: bytes  # what follows them: a line whose writing was cut short


def read(path: str | os.PathLike[str]) -> Contents:
    """Reads a journal; a torn last line is set apart.

    Raises:
      JournalError: a line before the last is damaged, the first is not that of a
        search, or the format is a later one.
      OSError: there is no such file.
    """
    data = Path(path).read_bytes()
    events: list[dict[str, Any]] = []
    at = 0
    while at < len(data):
        end = data.find(b"\n", at) + 1
        event = _event(data[at:end]) if end else None
        if event is None:
            if end and data[end:].strip(b"\0\n"):
                raise JournalError(f"{path}, line {len(events) + 1} is damaged")
            break
        events.append(event)
        at = end
    if not events or events[0].get("event") != "search":
        raise JournalError(f"{path} is not a journal of a search")
    if events[0].get("version", 0) > VERSION:
        raise JournalError(
            f"{path} is of format {events[0]['version']}; this version of nasjax reads "
            f"formats up to {VERSION}: install a later one"
        )
    return Contents(events, at, data[at:])


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def describe(space: CellSpace) -> dict[str, Any]:
    """The space as the first line of a journal has it."""
    fields = ("name", "operations", "edges", "cells", "inputs_per_node")
    return json.loads(json.dumps({name: getattr(space, name) for name in fields}))


def check_space(path: Any, events: list[dict[str, Any]], space: CellSpace) -> None:
    """Raises JournalError if the journal is of another space."""
    journals, searched = events[0].get("space", {}), describe(space)
    if journals != searched:
        wrong = [name for name in searched if journals.get(name) != searched[name]]
        raise JournalError(
            f"{path} is a journal of another space: {journals.get('name')!r}, not "
            f"{space.name!r}; they differ in {', '.join(wrong)}"
        )


class Journal:
    """A journal to append to; nothing is kept if `path` is None."""

    def __init__(self, path: Path | None):
        self.path = path
        self._file = None if path is None else path.open("ab")

    @classmethod
    def create(
        cls, path: Path | None, events: Iterable[Mapping[str, Any]]
    ) -> "Journal":
        """Creates a journal that starts with `events`, written in one step."""
        if path is not None:
            files.write_text(path, "".join(map(_line, events)))
        return cls(path)

    @classmethod
    def resume(cls, path: Path, torn: Path) -> tuple["Journal", list[dict[str, Any]]]:
        """Opens a journal to append to; returns it and its events.

        A torn last line is moved to the end of the file `torn`.

        Raises:
          JournalError, OSError: see `read`.
        """
        contents = read(path)
        if contents.torn:
            with torn.open("ab") as aside:
                aside.write(contents.torn + b"\n")
                _sync(aside)
            os.truncate(path, contents.size)
        return cls(path), contents.events

    def append(self, *events: Mapping[str, Any]) -> None:
        """Writes events; when it returns they are on the disk.

        Raises:
          RunError: the disk is full or failed.
        """
        if self._file is None or not events:
            return
        try:
            self._file.write("".join(map(_line, events)).encode())
            _sync(self._file)
        except OSError as error:
            raise cannot_write(str(self.path), error) from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _line(event: Mapping[str, Any]) -> str:
    first = {"event": event["event"], "time": round(time.time(), 3)}
    return files.to_json({**first, **event}) + "\n"
