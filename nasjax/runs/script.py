"""The frame of a script: flags and folder of a run, errors, exit statuses, signals."""

import argparse
import contextlib
import dataclasses
import functools
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import jax

from nasjax.runs import cli, files
from nasjax.runs.configs import Rules, defaults
from nasjax.runs.errors import (
    RefusedError,
    RunError,
    StoppedError,
    cannot_write,
    is_disk_error,
)
from nasjax.runs.folder import Folder, open_run

SCREEN = 100  # columns
Main = Callable[[Sequence[str] | None], int | None]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A script that writes its results into a folder."""

    name: str  # of the program, in the folder's manifest
    # Its files, besides those of every run; also patterns such as `cells-*.png`.
    outputs: tuple[str, ...]
    # Differences of the configuration that --resume allows, see `Rules`.
    grows: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    absent: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def add_flags(
        self, parser: argparse.ArgumentParser, out: str = "", seconds: int = 60
    ) -> Callable[..., argparse.Action]:
        """Adds `--out`, `--resume`, `--overwrite`, `--checkpoint-seconds`.

        Args:
          parser: gets the flags, in a group "the run".
          out: the default folder; where it is empty, the script fills it in.
          seconds: default least time between checkpoints.

        Returns:
          `add_argument` of the group.
        """
        add = parser.add_argument_group("the run").add_argument
        text = f"default {out}" if out else None
        add("--out", type=Path, default=Path(out) if out else None, help=text)
        add("--resume", action="store_true", help="continue the run in --out")
        add("--overwrite", action="store_true", help="replace the run in --out")
        text = f"least time between checkpoints ({seconds})"
        flag = "--checkpoint-seconds"
        add(flag, type=cli.at_least(0), default=seconds, help=text)
        return add

    def open(
        self,
        args: argparse.Namespace,
        config: Mapping[str, Any],
        inputs: Sequence[str | os.PathLike[str] | None] = (),
        configs: Mapping[str, Any] | None = None,
        *,
        writes: bool = True,
    ) -> Folder:
        """The folder of `--out`; see `open_run`, also for errors.

        Args:
          args: of `add_flags`.
          config: everything that determines the run's results.
          inputs: files and folders that the run reads.
          configs: dataclasses below "configs" in `config`, for `defaults`.
          writes: False on every host but the first.
        """
        absent = {**self.absent, **defaults(configs or {})}
        return open_run(
            args.out,
            self.name,
            config,
            outputs=self.outputs,
            inputs=inputs,
            resume=args.resume,
            overwrite=args.overwrite,
            rules=Rules(self.free, self.grows, absent),
            writes=writes,
        )


def write_results(
    folder: Folder, config: Mapping[str, Any], content: Mapping[str, Any]
) -> None:
    """results.json: the configuration, versions and devices, then the content."""
    whole = {"config": config, **files.provenance(), **content}
    folder.write_json("results.json", whole)


def wrapped(text: str) -> str:
    """The text's lines broken to fit on a screen, continuations indented."""
    fill = textwrap.TextWrapper(
        SCREEN, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(map(fill.fill, text.splitlines()))


def written(folder: Folder) -> str:
    """The last lines of a script: the folder and its files."""
    return wrapped(f"written: {folder.path}{os.sep} {folder.names()}")


class Report:
    """The long report of a run: collected for report.txt, printed if verbose."""

    def __init__(self, verbose: bool = False):
        self._verbose = verbose
        self._parts: list[str] = []

    def add(self, text: str) -> None:
        """Appends lines."""
        self._parts.append(text)
        if self._verbose:
            print(text, flush=True)

    def write(self, folder: Folder) -> None:
        """Writes report.txt; prints it where a file of that name is not the run's.

        A user may have kept what an earlier version printed there.
        """
        text = "\n".join(self._parts) + "\n"
        try:
            folder.write_text("report.txt", text)
        except FileExistsError as error:
            print(f"{text}\nprinted only: {error}")


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Around the preparations of a run: bad values end the script with status 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise RefusedError(str(error)) from error


def script(main: Main) -> Callable[[Sequence[str] | None], int]:
    """Wraps a `main(argv)`: expected errors become one line and an exit status.

    0 for success, 1 for an error during the work, 2 for a refusal before it, 128 +
    signal after SIGINT or SIGTERM. Any other error is a fault of the program and keeps
    its traceback.
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
        platform = os.environ.get("JAX_PLATFORMS", "")
        where = f"JAX_PLATFORMS={platform}" if platform else "JAX"
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
