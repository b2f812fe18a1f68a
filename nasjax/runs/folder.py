"""Folders of runs: locked while in use; a run replaces only its own files."""

import fnmatch
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasjax.runs import configs, files, locks
from nasjax.runs.configs import Rules

MANIFEST = "nasjax-run.json"  # marks a folder and lists what the run wrote in it
CONFIG = "config.json"
CHECKPOINTS = "checkpoints"
LOG = "log.jsonl"
ALWAYS = (MANIFEST, CONFIG, LOG, CHECKPOINTS)


class Folder:
    """A run's folder while this process owns it; from `open_run`.

    Everything is written through it: `write_json`, `write_npz`, `write_text`, `log` and
    `file` (a path for a picture). Each name is entered in the manifest before the file
    appears; a file of that name that is not in the manifest is never replaced.

    On several hosts only process 0 writes; for the others (`writes=False`) all of these
    do nothing.

    Attributes:
      path: of the folder.
      root: the folder of `--out`, for messages: this one, or one above it.
      before: configuration of the run that is resumed, None for a new one.
    """

    def __init__(self, path: Path, program: str, writes: bool = True):
        self.path, self.program, self._writes = Path(path), program, writes
        self.root = self.path
        self.before: Mapping[str, Any] | None = None
        self._files: list[str] = []
        self._lock: locks.Lock | None = None

    def __enter__(self) -> "Folder":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / CHECKPOINTS

    def file(self, name: str) -> Path:
        """The path of a file that is about to be written.

        Raises:
          FileExistsError: there is such a file and this run did not write it.
        """
        path = self.path / name
        inside = name.startswith(f"{CHECKPOINTS}/")
        if self._writes and inside:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif self._writes and name not in self._files:
            if path.exists():
                raise FileExistsError(
                    f"{path} exists and was not written by this run: it is left as it "
                    "is; move it, or use another --out"
                )
            self._files.append(name)
            self._write_manifest()
        return path

    def write_json(self, name: str, content: Any) -> None:
        """Writes JSON in one step."""
        if self._writes:
            files.write_json(self.file(name), content)

    def write_npz(self, name: str, **arrays: Any) -> None:
        """Writes a compressed npz in one step."""
        if self._writes:
            files.write_npz(self.file(name), **arrays)

    def write_text(self, name: str, text: str) -> None:
        """Writes UTF-8 text in one step."""
        if self._writes:
            files.write_text(self.file(name), text)

    def log(self, line: Mapping[str, Any]) -> None:
        """Appends a line to log.jsonl."""
        if self._writes:
            with self.file(LOG).open("a", encoding="utf-8") as file:
                file.write(files.to_json(line) + "\n")

    def names(self) -> str:
        """The files in the folder, for the last line of a report."""
        hidden = (MANIFEST, locks.NAME)
        return ", ".join(sorted(n for n in os.listdir(self.path) if n not in hidden))

    def _write_manifest(self) -> None:
        content = {"nasjax": 1, "program": self.program, "files": sorted(self._files)}
        files.write_json(self.path / MANIFEST, content)

    # Opening and closing.

    def release(self) -> None:
        """Gives the folder's lock back."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _read_manifest(self) -> bool:
        """Whether a run of this project has marked the folder.

        Raises:
          ValueError: the marker is damaged, or it is another program's run.
        """
        path = self.path / MANIFEST
        if not path.exists():
            return False
        content = configs.read_object(path)
        if content.get("program") != self.program:
            raise ValueError(
                f"{self.path} holds a run of {content.get('program')}, not of "
                f"{self.program}; --out names another folder"
            )
        self._files = [str(name) for name in content.get("files", [])]
        return True

    def _remove(self) -> None:
        """Removes the files and folders in the manifest, and nothing else."""
        root = self.path.resolve()
        for name in self._files:
            path = self.path / name
            inside = root in path.resolve().parents
            if inside and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif inside:
                path.unlink(missing_ok=True)
        self._files = []
        self._write_manifest()

    def _check_free(self, outputs: Sequence[str]) -> None:
        """FileExistsError if a file to be written exists and is not this run's."""
        foreign = [
            name
            for name in sorted(os.listdir(self.path))
            if _matches(name, outputs) and name not in self._files
        ]
        if foreign:
            raise FileExistsError(
                f"{self.path} holds {', '.join(foreign)}, which no run that started "
                "there wrote: move them, or use another --out"
            )

    def claim(self, names: Sequence[str]) -> None:
        """Adds names to the manifest, so that this run may replace such files."""
        if names:
            self._files = sorted({*self._files, *names})
            self._write_manifest()

    def open(
        self,
        config: Mapping[str, Any],
        outputs: Sequence[str],
        resume: bool,
        overwrite: bool,
        rules: Rules,
    ) -> None:
        """See `open_run`."""
        marked = self._read_manifest()
        path = self.path / CONFIG
        before = configs.read_object(path) if resume and path.exists() else None
        if before is not None:
            merged = configs.compare(path, before, config, rules)
            if not marked:  # a run of a version without manifests: now it has one
                there = [n for n in os.listdir(self.path) if _matches(n, outputs)]
                self.claim([n for n in (*ALWAYS, *there) if (self.path / n).exists()])
            self.before, config = before, merged
        elif resume:
            print(f"no run to resume in {self.path}: starting one")
        elif (marked or path.exists()) and not overwrite:
            raise FileExistsError(
                f"{self.path} holds a run; --resume continues it, --overwrite replaces "
                "it, --out names another folder"
            )
        elif path.exists() and not marked:
            raise FileExistsError(
                f"{self.path} was not marked by nasjax ({MANIFEST} is missing), so "
                "--overwrite removes nothing there: use another --out, or remove it "
                "yourself"
            )
        elif marked:
            self._remove()
        if before is None:
            self._check_free((*ALWAYS[1:], *outputs))
            self.claim((MANIFEST, CONFIG, CHECKPOINTS))
        if before is None or config != before:
            files.write_json(path, config)


def open_run(
    folder: str | os.PathLike[str],
    program: str,
    config: Mapping[str, Any],
    *,
    outputs: Sequence[str] = (),
    inputs: Sequence[str | os.PathLike[str] | None] = (),
    resume: bool = False,
    overwrite: bool = False,
    rules: Rules | None = None,
    adopt: Sequence[str] = (),
    writes: bool = True,
) -> Folder:
    """Opens a results folder: continues the run in it, or starts one.

    Args:
      folder: results folder, made if need be.
      program: whose run it is, such as "nb201".
      config: what fixes the run's results; written to config.json, or compared with it.
      outputs: names (patterns such as `cells-*.png`) that the run writes, besides
        config.json, log.jsonl and checkpoints.
      inputs: files and folders that the run reads; None are skipped.
      resume: continue; in a folder without a run this starts one.
      overwrite: remove what an earlier run of this program wrote there, first.
      rules: which differences of the configuration are no differences.
      adopt: files of an older version's run without config.json that a resumed run may
        replace.
      writes: False on every host but the first: nothing is opened or written.

    Returns:
      The folder, locked until `release` (or the end of a `with` block).

    Raises:
      FileExistsError: a run or a file of such a name is there and may not be replaced.
      LockedError: another process runs there.
      ConfigMismatchError: a resumed run had another configuration.
      ValueError: an input lies where the run writes; a damaged manifest or config.json,
        or another program's; a path that the terminal's encoding cannot express.
    """
    opened = Folder(Path(folder), program, writes)
    if not writes:
        return opened
    try:
        str(opened.path.absolute()).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"--out {str(folder)!a}: the terminal's encoding does not have these "
            "characters; set PYTHONUTF8=1"
        ) from None
    if opened.path.exists() and not opened.path.is_dir():
        raise FileExistsError(f"{opened.path} is a file; --out needs a folder")
    refuse_inputs(opened.path, outputs, inputs)
    fresh = not opened.path.exists()
    opened.path.mkdir(parents=True, exist_ok=True)
    opened._lock = locks.acquire(opened.path)
    try:
        if resume and not (opened.path / MANIFEST).exists():
            opened.claim([name for name in adopt if (opened.path / name).exists()])
        opened.open(config, outputs, resume, overwrite, rules or Rules())
    except BaseException:
        opened.release()
        if fresh and not os.listdir(opened.path):
            opened.path.rmdir()
        raise
    return opened


def refuse_inputs(folder: Path, outputs: Sequence[str], inputs: Sequence[Any]) -> None:
    """ValueError if something that is read lies where `outputs` are written."""
    root = folder.resolve()
    for source in inputs:
        if source is None:
            continue
        path = Path(source).resolve()
        own = path == root or path.is_relative_to(root / CHECKPOINTS)
        if own or (path.parent == root and _matches(path.name, (*ALWAYS, *outputs))):
            raise ValueError(
                f"{source} is read, so --out {folder} cannot be written there: name "
                "another folder"
            )


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
