"""The folder and the journal of a search."""

import contextlib
import importlib.metadata
import itertools
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nasjax.parallel import earlier as earlier_evaluations
from nasjax.parallel import journal as journals
from nasjax.parallel.queries import Queries
from nasjax.runs import folder as folders
from nasjax.runs.configs import Rules

PROGRAM = "parallel"
OUTPUTS = (journals.NAME, journals.TORN, "results.csv", "results.png", "best.json")


class Store:
    """The journal of a search and the folder that holds it.

    Attributes:
      folder: None if nothing is written.
      breaks: (end, start) of each pause before a call resumed the search, seconds since
        1970.
    """

    def __init__(self, folder: folders.Folder | None):
        self.folder, self._journal = folder, journals.Journal(None)
        self.breaks: list[tuple[float, float]] = []

    def start(
        self, state: Queries, queries: int, known: list[Any], by_hand: bool
    ) -> None:
        """Replays the journal in the folder, or begins one; see `open_store`."""
        assert self.folder is not None
        path = self.folder.file(journals.NAME)
        if not path.exists():
            events = [state.begin(queries, len(known)) | {"nasjax": _version()}]
            events += [state.tell_earlier(*row) for row in known]
            self._journal = journals.Journal.create(path, events)
            return
        torn = self.folder.file(journals.TORN)
        self._journal, events = journals.Journal.resume(path, torn)
        state.replay(events)
        if known and [row.arch.tolist() for row in known] != [
            arch.tolist() for arch, *_ in state.earlier
        ]:
            raise ValueError(
                f"the search was begun with {len(state.earlier)} earlier evaluations, "
                f"which cannot be changed now (earlier= has {len(known)} others)"
            )
        for before, event in itertools.pairwise(events):
            if event["event"] == "resumed":
                self.breaks.append((before["time"], event["time"]))
        if not by_hand:
            self.breaks.append((events[-1]["time"], time.time()))
            self.append({"event": "resumed", "nasjax": _version()})
        if queries > state.budget:
            self.append(state.grow(queries))

    def append(self, *events: Mapping[str, Any]) -> None:
        """See `Journal.append`."""
        self._journal.append(*events)

    def goes_on(self, state: Queries) -> str:
        """Queries told so far and the folder to resume from, as text."""
        done = f"{state.told} of {state.budget} queries are told"
        if self.folder is None:
            return f"{done}; nothing was saved"
        return f"{done}; resume goes on in {self.folder.path}"

    def close(self) -> None:
        self._journal.close()
        if self.folder is not None:
            self.folder.release()


@contextlib.contextmanager
def open_store(
    out: str | os.PathLike[str] | None,
    state: Queries,
    queries: int,
    earlier: Any = None,
    resume: bool = False,
    overwrite: bool = False,
    config: Mapping[str, Any] | None = None,
    by_hand: bool = False,
) -> Iterator[Store]:
    """Starts a search, or replays the one in `out`; closes it at the end.

    Args:
      out: the folder; None writes nothing.
      state: a new one; brought to where the journal ends.
      queries: number of queries to make room for.
      earlier: see `earlier.read`.
      resume, overwrite: see `open_run`.
      config: fields of config.json besides the format.
      by_hand: whether each step is a process of its own, so that none is noted as
        resuming.

    Raises:
      ValueError, OSError: see `open_run`, `Queries.replay` and `earlier.read`.
    """
    known = earlier_evaluations.read(earlier, state.space)
    for row in known:
        try:
            state.check_earlier(row.accuracy, row.metrics)
        except ValueError as error:
            where = f"{row.source}, evaluation of {row.arch.tolist()}"
            raise ValueError(f"earlier: {where}: {error}") from error
    if out is None:
        state.begin(queries, len(known))
        for row in known:
            state.tell_earlier(*row)
        yield Store(None)
        return
    there = Path(out) / journals.NAME
    if resume and there.exists():  # refused before anything is touched
        journals.check_space(there, journals.read(there).events, state.space)
    config = {"format": journals.VERSION, **(config or {})}
    parts = earlier if isinstance(earlier, list) else [earlier]
    sources = [part for part in parts if isinstance(part, str | os.PathLike)]
    folder = folders.open_run(
        out,
        PROGRAM,
        config,
        outputs=OUTPUTS,
        inputs=sources if not resume else (),
        resume=resume,
        overwrite=overwrite,
        rules=Rules(free=("format", "by_hand")),
    )
    saved = Store(folder)
    try:
        saved.start(state, queries, known, by_hand)
        if state.diverged is not None:
            print(
                f"query {state.diverged} is not what this searcher would ask (a "
                "setting, a version or the hardware changed): the journal's queries "
                "are kept, and the search continues from them"
            )
        yield saved
    finally:
        saved.close()


def _version() -> str:
    try:
        return importlib.metadata.version("nasjax")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
