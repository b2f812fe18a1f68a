"""Checkpoints by orbax: arrays stored by name, the last two of a run kept.

Format 2 stores every leaf under its path in the tree, such as `state/params/stem`,
beside `format`. Format 1, which is still read, numbered the leaves (`00000`, ...).
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
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
# Fields of states, and their names in format 2 of earlier versions.
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
        return [x[name].shape[0] for x in self._stored() if name in x]

    def names(self, prefix: str) -> list[str]:
        """The rest of the names of leaves that start so, in the newest checkpoint."""
        newest = next(self._stored(), {})
        return [n.removeprefix(prefix) for n in newest if n.startswith(prefix)]

    def _stored(self) -> Iterator[dict[str, jax.ShapeDtypeStruct]]:
        """Shapes of the leaves of each checkpoint that can be read, newest first."""
        for step in reversed(self.steps()):
            try:
                with self._reader() as reader:
                    shapes = _shapes(reader, step)
            except Exception:  # `restore` tells why
                continue
            yield shapes

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
        where = self.folder / str(step)
        with self._reader() as reader:
            stored = _shapes(reader, step)
            names = _stored_names(template, stored, where)
            like = {n: np.zeros(x.shape, x.dtype) for n, x in stored.items()}
            read = reader.restore(step, args=ocp.args.StandardRestore(like))
        if int(read.get("format", FORMAT)) > FORMAT:
            raise MismatchError(
                f"{where} has format {int(read['format'])}; this version reads up to "
                f"{FORMAT}: install a newer nasjax"
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
    """`whole` with `part` at its start: the arrays of a search that was extended."""
    grown = np.array(whole)
    grown[tuple(slice(n) for n in np.shape(part))] = part
    return grown


def _shapes(
    reader: ocp.CheckpointManager, step: int
) -> dict[str, jax.ShapeDtypeStruct]:
    return {
        name: jax.ShapeDtypeStruct(tuple(x.shape), x.dtype)
        for name, x in reader.item_metadata(step).tree.items()
    }


def _stored_names(template: Any, stored: Mapping[str, Any], where: Path) -> list[str]:
    """Names of the template's leaves in a checkpoint, in the order of these leaves.

    Raises:
      MismatchError: names every difference between the template and the checkpoint.
    """
    leaves = named_leaves(template)
    if "format" in stored:
        leaves = {_stored_name(name, stored): x for name, x in leaves.items()}
        names = {name: name for name in leaves}
    else:
        # Format 1 numbered the leaves entry by entry, as a template has its entries;
        # the leaves of a dictionary come in the order of its sorted keys.
        entries = list(template) if isinstance(template, Mapping) else []
        in_order = sorted(
            leaves, key=lambda x: entries.index(x.partition("/")[0]) if entries else 0
        )
        names = dict(zip(in_order, sorted(stored), strict=False))
    missing = [name for name in leaves if names.get(name) not in stored]
    extra = sorted(stored.keys() - {*names.values(), "format"})
    other = [
        f"{name} is {_show(stored[n])}, not {_show(leaves[name])}"
        for name, n in names.items()
        if n in stored and _show(stored[n]) != _show(leaves[name])
    ]
    parts = []
    lists = (("it lacks", missing), ("it has beside", extra), ("different:", other))
    for title, differences in lists:
        if differences:
            more = f" and {len(differences) - 5} more" if len(differences) > 5 else ""
            parts.append(f"{title} {', '.join(differences[:5])}{more}")
    if parts:
        raise MismatchError(
            f"checkpoint {where} holds something else than this version or "
            f"configuration: {'; '.join(parts)}. It is left as it is"
        )
    return [names[name] for name in leaves]


def _stored_name(name: str, stored: Mapping[str, Any]) -> str:
    """The path under which a checkpoint holds a leaf, perhaps of earlier names."""
    earlier = "/".join(EARLIER_NAMES.get(part, part) for part in name.split("/"))
    return earlier if name not in stored and earlier in stored else name


def _show(x: Any) -> str:
    return f"{np.dtype(x.dtype)}{list(x.shape)}"


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
