"""Where a search is kept: its folder and its journal, or nowhere."""

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
    """A journal and the folder it lies in.

    Attributes:
      folder: None if nothing is written.
      breaks: between runs that went on from one another: (end, start), seconds since
        1970.
    """

    def __init__(self, folder: folders.Folder | None):
        self.folder, self._journal = folder, journals.Journal(None)
        self.breaks: list[tuple[float, float]] = []

    def start(
        self, state: Queries, queries: int, known: list[Any], by_hand: bool
    ) -> None:
        """Replays the journal that is there, or begins one; see `open_store`."""
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
        _check_earlier(state, known)
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
        """How the search can be continued, for messages."""
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
      state: brought to where the journal ends.
      queries: room is made for so many.
      earlier: see `earlier.read`.
      resume, overwrite: see `open_run`.
      config: what config.json holds besides the format.
      by_hand: this process is one of many that work on the search.

    Raises:
      ValueError, OSError: see `open_run`, `Queries.replay` and `earlier.read`.
    """
    known = earlier_evaluations.read(earlier, state.space)
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
    sources = [part for part in _listed(earlier) if isinstance(part, str | os.PathLike)]
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
                f"query {state.diverged} is another than this searcher would ask (a "
                "setting, a version or the hardware changed): what the journal holds "
                "is kept, and the search goes on from it"
            )
        yield saved
    finally:
        saved.close()


def _listed(earlier: Any) -> list[Any]:
    return earlier if isinstance(earlier, list) else [earlier]


def _check_earlier(state: Queries, known: list[Any]) -> None:
    if known and [row.arch.tolist() for row in known] != [
        arch.tolist() for arch, _, _ in state.earlier
    ]:
        raise ValueError(
            f"the search was begun with {len(state.earlier)} earlier evaluations, "
            f"which cannot be changed now ({len(known)} others are given)"
        )


def _version() -> str:
    try:
        return importlib.metadata.version("nasjax")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
