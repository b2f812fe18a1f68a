"""Checkpoints by orbax: the last two are kept, a damaged one is passed over."""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

# orbax tells every step of every save at INFO and warns about its own defaults.
logging.getLogger("absl").setLevel(logging.ERROR)


class ConfigMismatchError(ValueError):
    """A run is resumed with another configuration than it was started with."""


class Checkpoints:
    """A folder of checkpoints of one pytree of arrays.

    On several hosts every process calls the same methods; the folder is shared.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self._folder = Path(folder).absolute()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, enable_async_checkpointing=False, create=True
        )
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def save(self, step: int, tree: Any) -> None:
        """Writes `tree` as of `step`; returns when it is safe on disk."""
        leaves = {
            f"{i:05d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))
        }
        self._manager.save(step, args=ocp.args.StandardSave(leaves), force=True)
        self._manager.wait_until_finished()

    def restore(self, template: Any) -> tuple[int, Any] | None:
        """The newest checkpoint that can be read, or None if there is none.

        Args:
          template: pytree of arrays or shape structs that the result must match.

        Returns:
          `(step, tree)` with NumPy leaves.

        Raises:
          ValueError: a checkpoint is whole but holds something else.
        """
        wanted, structure = jax.tree.flatten(template)
        abstract = {
            f"{i:05d}": np.zeros(leaf.shape, leaf.dtype)
            for i, leaf in enumerate(wanted)
        }
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                found = self._manager.restore(
                    step, args=ocp.args.StandardRestore(abstract)
                )
            except Exception as error:  # whatever a torn file makes orbax raise
                print(f"checkpoint {self._folder / str(step)} passed over: {error}")
                self._manager.delete(step)
                continue
            leaves = [found[name] for name in sorted(found)]
            for leaf, like in zip(leaves, wanted, strict=True):
                if leaf.shape != like.shape or leaf.dtype != like.dtype:
                    raise ValueError(
                        f"checkpoint {step} in {self._folder} holds {leaf.dtype}"
                        f"{list(leaf.shape)}, not {like.dtype}{list(like.shape)}"
                    )
            return step, jax.tree.unflatten(structure, leaves)
        return None

    def close(self) -> None:
        """Releases orbax's resources."""
        self._manager.close()


def check_config(
    path: str | os.PathLike[str], config: Mapping[str, Any], resume: bool
) -> None:
    """Writes a run's configuration, or holds a resumed run against it.

    Args:
      path: the JSON file.
      config: what fixes the run's results.
      resume: compare if the file is there; otherwise it is written.

    Raises:
      ConfigMismatchError: names every field that differs.
    """
    path = Path(path)
    config = json.loads(json.dumps(config))
    if resume and path.exists():
        before, config = _flat(json.loads(path.read_text())), _flat(config)
        names = sorted(before.keys() | config.keys())
        differing = [n for n in names if before.get(n) != config.get(n)]
        if differing:
            lines = "; ".join(
                f"{n}: {before.get(n)!r} then, {config.get(n)!r} now" for n in differing
            )
            raise ConfigMismatchError(
                f"--resume with another configuration ({path}): {lines}"
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(config, indent=2) + "\n")
    os.replace(temporary, path)


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields under dotted names, so that an error can name just those."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def open_run(
    folder: str | os.PathLike[str],
    config: Mapping[str, Any],
    resume: bool,
    overwrite: bool = False,
) -> None:
    """Opens a results folder: continues the run in it, or starts one.

    Args:
      folder: results folder; its config.json is written or compared.
      config: what fixes the run's results.
      resume: continue; in a folder without a run this starts one.
      overwrite: remove an earlier run first.

    Raises:
      FileExistsError: the folder holds a run and neither flag is given.
      ConfigMismatchError: see `check_config`.
    """
    folder = Path(folder)
    if (folder / "config.json").exists() and not resume:
        if not overwrite:
            raise FileExistsError(
                f"{folder} holds a run; --resume continues it, --overwrite replaces "
                "it, --out names another folder"
            )
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        for pattern in ("*.json", "*.npz", "*.jsonl", "*.png"):
            for path in folder.glob(pattern):
                path.unlink()
    if resume and not (folder / "config.json").exists():
        print(f"no run to resume in {folder}: starting one")
    check_config(folder / "config.json", config, resume)
