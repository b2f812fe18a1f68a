"""Checkpoints by orbax: leaves by their paths, the last two kept, none ever deleted.

Format 2 stores every leaf under its path in the tree, such as `state/params/stem`,
beside `format`. Format 1, which is still read, numbered the leaves (`00000`, ...).
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from nasjax.runs.errors import RefusedError

# orbax logs each step of each save, warns about its own defaults, and logs what it
# raises, too.
logging.getLogger("absl").setLevel(logging.CRITICAL)

FORMAT = 2
KEPT = 2  # so that a torn newest one leaves another
# Fields of states by the names that earlier versions wrote in format 2.
EARLIER_NAMES = {
    "loss_decrease": "fall",  # DDAS
    "ou_noise": "walk",
    "queried": "asked",  # local search, Bayesian actor-critic
    "valid": "held",  # posterior of the Gaussian process
}


class CheckpointError(RefusedError, ValueError):
    """A checkpoint exists but cannot be used; nothing was deleted or changed."""


class MismatchError(CheckpointError):
    """A checkpoint is whole but holds something else than is asked for."""


class Checkpoints:
    """A folder of checkpoints of one pytree of arrays.

    Reading never writes: a folder that is only read stays as it is, and what cannot be
    read is left in place. On several hosts every process calls the same methods; the
    folder is shared.

    Args:
      folder: made by the first `save`.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder).absolute()
        self._damaged: list[int] = []  # steps that the last `restore` passed over
        self._writer: ocp.CheckpointManager | None = None

    def steps(self) -> list[int]:
        """The steps of which there is a checkpoint, ascending."""
        if not self.folder.is_dir():
            return []
        return sorted(int(p.name) for p in self.folder.iterdir() if p.name.isdigit())

    def save(self, step: int, tree: Any) -> None:
        """Writes `tree` as of `step`; returns when it is safe on disk.

        Checkpoints that the last `restore` could not read are moved aside first, to
        `damaged-STEP`, so that they neither count nor are in the way.
        """
        leaves = {n: np.asarray(x) for n, x in named_leaves(tree).items()}
        if self._writer is None:
            self._move_damaged()
            options = ocp.CheckpointManagerOptions(
                max_to_keep=KEPT, enable_async_checkpointing=False, create=True
            )
            self._writer = ocp.CheckpointManager(self.folder, options=options)
        content = {**leaves, "format": np.int32(FORMAT)}
        self._writer.save(step, args=ocp.args.StandardSave(content), force=True)
        self._writer.wait_until_finished()

    def _move_damaged(self) -> None:
        if jax.process_index() != 0:
            return
        for step in self._damaged:
            names = (f"damaged-{step}{x}" for x in ("", *(f"-{i}" for i in range(99))))
            free = next(n for n in names if not (self.folder / n).exists())
            (self.folder / str(step)).rename(self.folder / free)
        self._damaged = []

    def restore(self, *templates: Any) -> tuple[int, Any] | None:
        """The newest checkpoint that can be read, or None if there is none.

        A damaged one is passed over with a message; the one before it is taken.

        Args:
          *templates: pytrees of arrays or shape structs; the result matches the first
            of them that fits. Of format 1 the leaves come in the order of a template's
            entries.

        Returns:
          `(step, tree)` with NumPy leaves.

        Raises:
          MismatchError: a checkpoint is whole but its leaves have other names, shapes
            or types; the message names them and the folder.
          CheckpointError: there are checkpoints but none can be read.
        """
        steps, reasons = self.steps(), []
        self._damaged = []
        for step in reversed(steps):
            try:
                tree = self._first_fitting(step, templates)
            except (CheckpointError, MemoryError, PermissionError):
                raise
            except Exception as error:  # whatever a torn file makes orbax raise
                reasons.append(f"{self.folder / str(step)}: {_first_line(error)}")
                self._damaged.append(step)
                continue
            for reason in reasons:
                print(f"checkpoint passed over, {reason}")
            return step, tree
        if not steps:
            return None
        raise CheckpointError(
            f"none of the checkpoints can be read ({'; '.join(reasons)}); they are "
            "left as they are"
        )

    def budgets(self, name: str) -> list[int]:
        """Lengths of the leaf `name` in the checkpoints, newest first.

        A search that is extended holds a longer trace than its older checkpoints. Empty
        for checkpoints of format 1 and those that cannot be read.
        """
        lengths = []
        for step in reversed(self.steps()):
            try:
                stored = self._held(step)
            except Exception:  # `restore` tells why
                continue
            if name in stored:
                lengths.append(stored[name].shape[0])
        return lengths

    def _held(self, step: int) -> dict[str, jax.ShapeDtypeStruct]:
        with self._reader() as reader:
            return _shapes(reader.item_metadata(step).tree)

    def _reader(self) -> ocp.CheckpointManager:
        return ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(read_only=True, create=False),
            item_handlers=ocp.StandardCheckpointHandler(),
        )

    def _first_fitting(self, step: int, templates: Sequence[Any]) -> Any:
        mismatch = None
        for template in templates:
            try:
                leaves = self._read(step, template)
                return jax.tree.unflatten(jax.tree.structure(template), leaves)
            except MismatchError as error:
                mismatch = mismatch or error
        raise mismatch or ValueError("restore needs a template")

    def _read(self, step: int, template: Any) -> list[np.ndarray]:
        """The leaves of one checkpoint, in the template's order."""
        with self._reader() as reader:
            stored = _shapes(reader.item_metadata(step).tree)
            if "format" in stored:
                version = stored.pop("format")
                wanted = {
                    _stored_name(name, stored): leaf
                    for name, leaf in named_leaves(template).items()
                }
                names = _checked(wanted, stored, self.folder / str(step))
                like = {n: np.zeros(x.shape, x.dtype) for n, x in stored.items()}
                like["format"] = np.zeros(version.shape, version.dtype)
            else:
                names = _numbered(template, stored, self.folder / str(step))
                like = {n: np.zeros(x.shape, x.dtype) for n, x in stored.items()}
            read = reader.restore(step, args=ocp.args.StandardRestore(like))
        if int(read.get("format", FORMAT)) > FORMAT:
            raise MismatchError(
                f"{self.folder / str(step)} has format {int(read['format'])}; this "
                f"version reads up to {FORMAT}: install a newer nasjax"
            )
        return [np.asarray(read[name]) for name in names]

    def close(self) -> None:
        """Releases orbax's resources."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def named_leaves(tree: Any) -> dict[str, Any]:
    """Leaves by their paths, such as `state/params/stem`, in flatten order."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in flat
    }


def corner(whole: Any, part: Any) -> np.ndarray:
    """`whole` with `part` in its first corner: how arrays of a search grow."""
    grown = np.array(whole)
    grown[tuple(slice(n) for n in np.shape(part))] = part
    return grown


def _shapes(metadata: Mapping[str, Any]) -> dict[str, jax.ShapeDtypeStruct]:
    return {
        name: jax.ShapeDtypeStruct(tuple(x.shape), x.dtype)
        for name, x in metadata.items()
    }


def _stored_name(name: str, stored: Mapping[str, Any]) -> str:
    """The path under which a checkpoint holds a leaf, perhaps of earlier names."""
    earlier = "/".join(EARLIER_NAMES.get(part, part) for part in name.split("/"))
    return earlier if name not in stored and earlier in stored else name


def _checked(wanted: Mapping[str, Any], stored: Mapping[str, Any], where: Path):
    """The names that are wanted; an error tells every difference."""
    missing = [name for name in wanted if name not in stored]
    extra = [name for name in stored if name not in wanted]
    other = [
        f"{name} is {_show(stored[name])}, not {_show(x)}"
        for name, x in wanted.items()
        if name in stored and _show(stored[name]) != _show(x)
    ]
    _refuse(where, missing, extra, other)
    return list(wanted)


def _numbered(template: Any, stored: Mapping[str, Any], where: Path) -> list[str]:
    """Format 1: names in the order of the template's leaves."""
    # Written from a tuple; a dictionary's leaves would come in the order of its keys.
    entries = tuple(template.values()) if isinstance(template, Mapping) else template
    wanted = named_leaves(entries)
    names = dict(zip(wanted, sorted(stored), strict=False))
    missing = [name for name in wanted if name not in names]
    extra = sorted(stored)[len(wanted) :]
    other = [
        f"{name} is {_show(stored[number])}, not {_show(wanted[name])}"
        for name, number in names.items()
        if _show(stored[number]) != _show(wanted[name])
    ]
    _refuse(where, missing, extra, other)
    if not isinstance(template, Mapping):
        return list(names.values())
    # Back into the template's own order of leaves.
    position = {key: i for i, key in enumerate(template)}
    ordered = []
    for name in named_leaves(template):
        key, _, rest = name.partition("/")
        ordered.append(names[f"{position[key]}/{rest}" if rest else f"{position[key]}"])
    return ordered


def _refuse(where: Path, missing: list, extra: list, other: list) -> None:
    lists = (("it lacks", missing), ("it has beside", extra), ("different:", other))
    parts = []
    for title, names in lists:
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            parts.append(f"{title} {', '.join(names[:5])}{more}")
    if parts:
        raise MismatchError(
            f"checkpoint {where} holds something else than this version or "
            f"configuration: {'; '.join(parts)}. It is left as it is"
        )


def _show(x: Any) -> str:
    return f"{np.dtype(x.dtype)}{list(x.shape)}"


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
