"""Sweeps of a table: settings x columns x seeds, in chunks of lanes.

Settings that differ in traced fields alone are lanes of one compiled program. A chunk
is some lanes with all their steps: a job, as every search, whose queries are written
when it ends. A run that was killed goes on to the same bits, also on another number of
devices, or with more settings, columns or seeds: what is done is kept.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax.runs import job, memory
from nasjax.runs.configs import read_object
from nasjax.runs.folder import CHECKPOINTS, Folder
from nasjax.runs.settings import Setting, factory, traced_values
from nasjax.runs.table_lanes import Group, Lanes, Study
from nasjax.runs.time_left import Clock

LISTING = f"{CHECKPOINTS}/chunks.json"
# Most lanes per device and chunk. A CPU runs them one after another, so that more would
# only lengthen what a kill may lose; a GPU is filled by many.
MOST = {"cpu": 60}
MOST_ELSEWHERE = 2048


class Lane(NamedTuple):
    """One search."""

    setting: str  # its name
    column: str
    seed: int


class Chunk(NamedTuple):
    """Lanes of one program that are computed together."""

    name: str  # of its files
    lanes: list[Lane]


class _Lanes(Lanes):
    """Lanes whose queries are kept, not their states; checkpoints are temporary."""

    def must_save(self, step: int) -> bool:
        del step
        return False


class Queries(NamedTuple):
    """What L lanes queried in T steps."""

    arch_index: np.ndarray  # int32 [L, T], row of the table, -1 if not in it
    accuracy: np.ndarray  # float32 [L, T]
    explored: np.ndarray  # bool [L, T], random actions; all False without a policy


class Sweep:
    """A sweep that is planned; `describe` tells what it takes, `run` runs it.

    Args:
      study: table, columns, seeds and steps; without milestones.
      settings: different ones, of any methods.
      folder: of the run; None writes nothing.
      resume: keep what is done in the folder.
      lanes: most lanes per chunk; None chooses it.
      bytes_per_device: that lanes may take, of a CPU for each core; None for half of
        what is free.
      steps_per_report: at least 2; it changes no result.
      inner: see `nasjax.lanes`.
      checkpoint_seconds: least time between checkpoints.
      plan: the same sweep without a folder, whose memory of lanes is known.

    Attributes:
      chunks: all of them, those that are done first.

    Raises:
      ValueError: a lane takes more than the memory, or the folder's run has lanes that
        this sweep lacks.
    """

    def __init__(
        self,
        study: Study,
        settings: Sequence[Setting],
        folder: Folder | None = None,
        *,
        resume: bool = False,
        lanes: int | None = None,
        bytes_per_device: int | None = None,
        steps_per_report: int = 50,
        inner: str = "auto",
        checkpoint_seconds: float = 60.0,
        plan: "Sweep | None" = None,
    ):
        self._study, self._folder, self._resume = study, folder, resume
        self._options: dict[str, Any] = {"chunk": steps_per_report, "inner": inner}
        self._seconds = checkpoint_seconds
        self._settings = {setting.name: setting for setting in settings}
        self._memory = bytes_per_device or memory.free_bytes()
        self._most = lanes or jax.device_count() * MOST.get(
            jax.default_backend(), MOST_ELSEWHERE
        )
        # Of a lane, by program.
        self._bytes: dict[str, int] = {} if plan is None else plan._bytes
        listed = self._listed() if resume else []
        chunks = [*listed, *self._new(listed)]
        order = list(dict.fromkeys(s.program for s in self._settings.values()))
        # Chunks of one program one after another, so that it is compiled once.
        chunks.sort(key=lambda chunk: order.index(self.program(chunk)))
        self._done = {c.name for c in listed if self._path(c).exists()}
        self.chunks = sorted(chunks, key=lambda chunk: chunk.name not in self._done)
        if folder is not None:
            content = [chunk._asdict() for chunk in self.chunks]
            folder.write_json(LISTING, {"chunks": content})

    # The plan.

    def program(self, chunk: Chunk) -> str:
        """The program of a chunk, see `Setting.program`."""
        return self._settings[chunk.lanes[0].setting].program

    def lanes(self) -> list[Lane]:
        """All lanes."""
        return [
            Lane(name, column, int(seed))
            for name in self._settings
            for column in self._study.columns
            for seed in self._study.seeds
        ]

    def _path(self, chunk: Chunk) -> Path:
        """The file of a chunk's queries, once it is done."""
        assert self._folder is not None
        return self._folder.checkpoints / f"{chunk.name}.npz"

    def _listed(self) -> list[Chunk]:
        """The chunks of the run that is resumed."""
        if self._folder is None or not (self._folder.path / LISTING).exists():
            return []
        entries = read_object(self._folder.path / LISTING)["chunks"]
        chunks = [Chunk(e["name"], [Lane(*x) for x in e["lanes"]]) for e in entries]
        before = {lane for chunk in chunks for lane in chunk.lanes}
        if lacking := sorted(before.difference(self.lanes())):
            raise ValueError(
                f"{self._folder.path} holds {len(lacking):,} lanes that this sweep "
                f"lacks, such as {lacking[0]}; --resume can add to it, not take away"
            )
        return chunks

    def _new(self, listed: Sequence[Chunk]) -> Iterator[Chunk]:
        """The lanes that no chunk has yet, in chunks of the size that fits."""
        known = {lane for chunk in listed for lane in chunk.lanes}
        by_program: dict[str, list[Lane]] = {}
        for lane in self.lanes():
            if lane not in known:
                program = self._settings[lane.setting].program
                by_program.setdefault(program, []).append(lane)
        number = len(listed)
        for lanes in by_program.values():
            fits = self._memory // self.lane_bytes(lanes[0])
            if fits < 1:
                raise ValueError(
                    f"{lanes[0].setting}: a lane takes "
                    f"{self.lane_bytes(lanes[0]):,} bytes, of {self._memory:,} on "
                    "each device; allowed: a larger memory, or a smaller replay"
                )
            size = min(fits * jax.device_count(), self._most)
            for first in range(0, len(lanes), size):
                yield Chunk(f"chunk-{number:05d}", lanes[first : first + size])
                number += 1

    def lane_bytes(self, lane: Lane) -> int:
        """What a lane of that lane's program takes of a device's memory.

        A CPU's is also the host's.
        """
        program = self._settings[lane.setting].program
        if program not in self._bytes:
            task = self._job(Chunk("", [lane]), "")
            length = min(self._options["chunk"], self._study.steps)
            taken = memory.on_device(*task.runner.shapes(length))
            if jax.default_backend() == "cpu":
                shapes = task.template()
                taken += memory.on_host(shapes["state"], shapes["trace"])
            self._bytes[program] = taken
        return self._bytes[program]

    def describe(self) -> str:
        """What the sweep takes: settings, programs, lanes, memory, chunks."""
        left = self.chunks[len(self._done) :]
        settings, counts = self._settings.values(), [len(c.lanes) for c in self.chunks]
        programs = dict.fromkeys(map(self.program, left))
        done = sum(counts[: len(self._done)])
        lines = [
            f"{len(settings):,} settings of {_names(s.method for s in settings)}; "
            f"{len(programs):,} programs to compile",
            f"{sum(counts):,} lanes ({len(settings):,} settings x "
            f"{len(self._study.columns)} columns x {len(self._study.seeds):,} seeds) "
            f"of {self._study.steps:,} queries" + (f"; {done:,} done" if done else ""),
        ]
        if left:
            takes = [self.lane_bytes(chunk.lanes[0]) for chunk in left]
            sizes = [len(chunk.lanes) for chunk in left]
            lines.append(
                f"up to {max(takes) / 1e6:,.2f} MB per lane, "
                f"{self._memory / 1e6:,.0f} MB for lanes on each of "
                f"{jax.device_count()} devices; {len(left):,} chunks of up to "
                f"{max(sizes):,} lanes"
            )
        return "\n".join(lines)

    # The work.

    def _job(self, chunk: Chunk, label: str, **options: Any) -> _Lanes:
        settings = [self._settings[lane.setting] for lane in chunk.lanes]
        group = Group(
            chunk.name,
            [lane.column for lane in chunk.lanes],
            [lane.seed for lane in chunk.lanes],
            [self._study.steps],
        )
        first = settings[0]
        return _Lanes(
            self._study,
            f"{first.method} {label}".strip(),
            factory(first),
            group,
            values=traced_values(settings),
            **self._options,
            **options,
        )

    def run(
        self, say: Callable[[str], None] = lambda line: None
    ) -> Iterator[tuple[Chunk, Queries]]:
        """Runs what is left and yields each chunk, also those that were done.

        Args:
          say: gets a line after each chunk, with an estimate of the time left.

        Raises:
          StoppedError, RunError, CheckpointError: as `job.run`.
        """
        left = self.chunks[len(self._done) :]
        for chunk in self.chunks[: len(self._done)]:
            self._remove_checkpoints(chunk)  # a kill may have left them
            yield chunk, self._read(chunk)
        clock = Clock([(self.program(c), len(c.lanes)) for c in left])
        programs: dict[Any, Any] = {}
        for i, chunk in enumerate(left):
            if i and self.program(left[i - 1]) != self.program(chunk):
                programs = {}
            alike = [c for c in left if self.program(c) == self.program(chunk)]
            room = -(-max(len(c.lanes) for c in alike) // jax.device_count())
            task = self._job(
                *(chunk, f"{i + 1}/{len(left)}"), room=room, programs=programs
            )
            carry = job.run(
                task,
                self._folder,
                resume=self._resume,
                checkpoint_seconds=self._seconds,
            )
            trace = carry["trace"]
            explored = trace.info.get("explored", np.zeros(trace.accuracy.shape, bool))
            rows = self._study.rows(trace.arch)
            queries = Queries(rows, trace.accuracy, explored.astype(bool))
            self._write(chunk, queries)
            say(clock.after(i, task.runner.compile_seconds, task.runner.run_seconds))
            yield chunk, queries

    def _read(self, chunk: Chunk) -> Queries:
        with np.load(self._path(chunk)) as file:
            return Queries(*(file[name] for name in Queries._fields))

    def _write(self, chunk: Chunk, queries: Queries) -> None:
        if self._folder is not None:
            name = f"{CHECKPOINTS}/{chunk.name}.npz"
            self._folder.write_npz(name, **queries._asdict())
            self._remove_checkpoints(chunk)

    def _remove_checkpoints(self, chunk: Chunk) -> None:
        """Those of a chunk whose queries are written: they are of no more use."""
        if self._folder is not None and jax.process_index() == 0:
            path = self._folder.checkpoints / chunk.name
            shutil.rmtree(path, ignore_errors=True)


def _names(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
