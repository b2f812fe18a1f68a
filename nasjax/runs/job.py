"""The one resumable loop: chunks of steps, progress, a log, checkpoints, signals.

A job is a carry, a function that advances it by some steps, and texts to report:

    carry = job.run(Training(...), folder, resume=True)

Every search and every training is one. After each chunk the loop shows progress, writes
a line of the log and, if it is time, a checkpoint; all hosts agree on when, because
saving is everyone's work. SIGINT and SIGTERM let the chunk end, save and raise
`StoppedError`; a second one ends the process at once.
"""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from tqdm import tqdm

from nasjax.runs.checkpoints import Checkpoints
from nasjax.runs.errors import RunError, StoppedError, cannot_write, is_disk_error
from nasjax.runs.folder import Folder

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Job:
    """A computation in steps; subclasses define it.

    Attributes:
      name: of the checkpoints' folder below `checkpoints`, such as `cadam/seed3`, and
        of messages; empty for the only job of a run.
      label: of the progress bar.
      unit: of the progress bar.
      steps: the whole number of steps.
    """

    name: str = ""
    label: str = ""
    unit: str = "step"
    steps: int

    def template(self) -> Any:
        """The arrays of a checkpoint, or their shapes, in a dictionary."""
        raise NotImplementedError

    def templates(self, checkpoints: Checkpoints) -> Sequence[Any]:
        """Templates of which a checkpoint may match any: a run may have grown."""
        del checkpoints
        return [self.template()]

    def start(self) -> Any:
        """The carry before the first step."""
        raise NotImplementedError

    def unpack(self, step: int, tree: Any) -> Any:
        """The carry from a checkpoint's arrays."""
        raise NotImplementedError

    def pack(self, carry: Any) -> Any:
        """The content of a checkpoint of the carry, like `template`."""
        raise NotImplementedError

    def end_after(self, step: int) -> int:
        """The end, exclusive, of the chunk that starts at `step`."""
        raise NotImplementedError

    def advance(self, carry: Any, first: int, last: int) -> Any:
        """Steps `first .. last - 1`.

        Raises:
          DivergedError: what was computed is not finite and must not be saved.
        """
        raise NotImplementedError

    def before_save(self, carry: Any, step: int) -> Any:
        """The carry to save, perhaps completed; DivergedError if it is not finite."""
        del step
        return carry

    def must_save(self, step: int) -> bool:
        """Whether a checkpoint is due at `step` whatever the clock says."""
        return step == self.steps

    def postfix(self, carry: Any, step: int) -> str:
        """The text behind the progress bar."""
        del carry, step
        return ""

    def log(self, carry: Any, step: int, saved: bool) -> Mapping[str, Any] | None:
        """A line of log.jsonl, or None; `saved` if there is a checkpoint of `step`."""
        del carry, step, saved
        return None


def shapes(tree: Any) -> Any:
    """Shapes and types of a tree of arrays, which may be on devices."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def writable(tree: Any) -> Any:
    """Copies of a tree of NumPy arrays."""
    return jax.tree.map(np.array, tree)


class Loop:
    """The work between chunks, for `run` or a loop of the caller's that calls `done`.

    Args:
      job: see `Job`.
      folder: of the run; None writes nothing.
      resume: start from the newest checkpoint, if there is one.
      checkpoint_seconds: least time between checkpoints.

    Attributes:
      first: the step to start at.
      step, carry: after the last finished chunk; `first` and its carry before that.
      saved: the step of the last checkpoint.

    Raises:
      CheckpointError: as `run`.
    """

    def __init__(
        self,
        job: Job,
        folder: Folder | None = None,
        *,
        resume: bool = False,
        checkpoint_seconds: float = 60.0,
    ):
        self._job, self._folder, self._every = job, folder, checkpoint_seconds
        self._checkpoints = None
        self.first: int = 0
        self.carry: Any = None
        restored = None
        if folder is not None:
            self._checkpoints = Checkpoints(folder.checkpoints / job.name)
            if resume:
                restored = self._checkpoints.restore(*job.templates(self._checkpoints))
        if restored is not None:
            self.first = int(restored[0])
            self.carry = job.unpack(*restored)
        else:
            self.carry = job.start()
        self.step = self.saved = self.first
        self._stop: int | None = None
        self._handlers: dict[int, Any] = {}
        self._bar: tqdm | None = None

    def __enter__(self) -> "Loop":
        self._clock = time.monotonic()
        shows = jax.process_index() == 0  # one bar for all hosts
        self._bar = tqdm(
            total=self._job.steps,
            initial=self.first,
            desc=self._job.label or self._job.name or None,
            unit=self._job.unit,
            disable=not shows,
        )
        self._compiling = _Compiling(self._bar, shows and self.first < self._job.steps)
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._compiling.end()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._bar is not None:
            self._bar.close()
        if self._checkpoints is not None:
            try:
                self._checkpoints.close()
            except Exception:  # a save that failed is told already
                if kind is None:
                    raise

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._stop is not None:
            raise StoppedError(number, self._goes_on(self.saved))
        self._stop = number
        name = signal.Signals(number).name
        text = f"\n{name}: finishing the chunk and saving; once more ends at once"
        print(text, file=sys.stderr, flush=True)

    def _goes_on(self, step: int) -> str:
        what = f"{self._job.name}: " if self._job.name else ""
        text = f"{what}step {step:,} of {self._job.steps:,}"
        if self._folder is None:
            return f"{text}; nothing was saved"
        return f"{text} is saved; --out {self._folder.root} --resume goes on"

    def done(self, step: int, carry: Any) -> None:
        """Ends a chunk; `carry` is the one before step `step`.

        Raises:
          StoppedError: a signal came; everything is saved.
          RunError: a file cannot be written, or DivergedError as `before_save`.
        """
        job, bar = self._job, self._bar
        self._compiling.end()
        before, self.step, self.carry = self.step, step, carry
        last = step == job.steps
        due = job.must_save(step) or time.monotonic() - self._clock >= self._every
        stop = self._stop or 0
        if jax.process_count() > 1:  # clocks differ, and a signal may reach one host
            every = multihost_utils.process_allgather(np.array([due, stop], np.int32))
            due, stop = bool(every[0, 0]), int(every[:, 1].max())
        if due or stop:
            self.save()
        if bar is not None:
            bar.set_postfix_str(job.postfix(self.carry, step), refresh=last)
            bar.update(step - before)
        line = job.log(self.carry, step, self.saved == step)
        if line is not None and self._folder is not None:
            with _writing(self._folder.path / "log.jsonl"):
                self._folder.log(line)
        if stop:
            raise StoppedError(stop, self._goes_on(step))

    def save(self) -> None:
        """Writes a checkpoint of the last finished chunk, if there is none yet."""
        self.carry = self._job.before_save(self.carry, self.step)
        if self._checkpoints is not None and self.saved != self.step:
            with _writing(self._checkpoints.folder):
                self._checkpoints.save(self.step, self._job.pack(self.carry))
        self.saved, self._clock = self.step, time.monotonic()


def run(
    job: Job,
    folder: Folder | None = None,
    *,
    resume: bool = False,
    checkpoint_seconds: float = 60.0,
) -> Any:
    """Runs a job to its last step; arguments as of `Loop`.

    Returns:
      The last carry.

    Raises:
      StoppedError: SIGINT or SIGTERM came; what is done is saved.
      DivergedError: as `advance` and `before_save`; the last checkpoint is from before.
      RunError: a file cannot be written.
      CheckpointError: there are checkpoints, but none that fits or can be read.
    """
    loop = Loop(job, folder, resume=resume, checkpoint_seconds=checkpoint_seconds)
    with loop:
        while loop.step < job.steps:
            end = job.end_after(loop.step)
            loop.done(end, job.advance(loop.carry, loop.step, end))
    return loop.carry


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns the errors of a full disk into a RunError of one line."""
    try:
        yield
    except Exception as error:
        if isinstance(error, RunError) or not is_disk_error(error):
            raise
        raise cannot_write(path, error) from error


class _Compiling:
    """Shows how long the first chunk has been compiling, until it ends."""

    def __init__(self, bar: tqdm, shows: bool):
        self._bar, self._end = bar, threading.Event()
        self._thread = None
        if shows:
            self._thread = threading.Thread(target=self._tell, daemon=True)
            self._thread.start()

    def _tell(self) -> None:
        started, wait = time.monotonic(), 1.0 if sys.stderr.isatty() else 30.0
        self._bar.set_postfix_str("compiling ...")
        while not self._end.wait(wait):
            seconds = time.monotonic() - started
            self._bar.set_postfix_str(f"compiling ... {seconds:.0f} s")

    def end(self) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
