"""Importing NAS-Bench-201 from the official benchmark's own query interfaces."""

import hashlib
import inspect
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasjax.data.nb201 import files
from nasjax.data.nb201.cells import TableError, parse_arch
from nasjax.data.nb201.table import COLUMNS, MEANING, Table, column_name

# The benchmark's seeds for each schedule; an architecture has one to three of them.
SEEDS = {200: (777, 888, 999), 12: (111, 777)}


def import_api(
    api: Any,
    out: str | os.PathLike[str] | None = None,
    columns: Sequence[str] = COLUMNS,
    epochs: int = 200,
    *,
    indices: Iterable[int] | None = None,
    source: str | None = None,
    sha256: str = "",
) -> Table:
    """Reads a table through the official API, means and single trials.

    Args:
      api: an object of `nats_bench` (topology space) or `nas_201_api`, or any other
        with `len(api)`, `api.arch(index)` and `api.get_more_info(index, dataset,
        iepoch=None, hp=..., is_random=...)`.
      out: npz to write the table to.
      columns: names in `COLUMNS`.
      epochs: schedule, 200 or 12.
      indices: official indices to read; all by default.
      source: `Column.source` of the columns; the API and its file by default.
      sha256: of the benchmark's file, if it is a single file.

    Returns:
      The table; with fewer than 15,625 architectures in the order of `indices`.

    Raises:
      TableError: if the API lacks an accuracy or answers with something else.
    """
    names = [column_name(name, epochs) for name in columns]
    by_dataset: dict[tuple[str, int], list[str]] = {}
    for name in names:
        dataset, _, length = MEANING[name]
        by_dataset.setdefault((dataset, length), []).append(name)
    rows = list(range(len(api)) if indices is None else indices)
    label, version = _identity(api)
    ops = np.array([parse_arch(api.arch(row)) for row in rows], np.uint8)
    arrays: dict[str, Any] = {}
    for (dataset, length), members in by_dataset.items():
        query = _query(api, dataset, length)
        means = [query(row, False) for row in rows]
        singles = [[_trial(query, row, seed) for seed in SEEDS[length]] for row in rows]
        for name in members:
            valid = MEANING[name][1] == "x-valid"
            key = "valid-accuracy" if valid else "test-accuracy"
            arrays[f"{name}_version"] = version
            arrays[name] = np.array(
                [
                    _accuracy(info, key, row, dataset)
                    for info, row in zip(means, rows, strict=True)
                ]
            )
            trials = np.array(
                [[info.get(key, np.nan) for info in row] for row in singles], np.float64
            )
            # An API with seeds of its own has means only, as far as we can tell.
            if np.isfinite(trials).any(axis=1).all():
                arrays[f"{name}_trials"] = trials
                arrays[f"{name}_trials_version"] = version
            seconds = [_seconds(info, valid) for info in means]
            if None not in seconds:
                arrays[f"{name}_train_time"] = np.array(seconds, np.float64)
    table = files.assemble(ops, arrays, source or label, sha256)
    if out is not None:
        files.write(table, out)
    return table


def _identity(api: Any) -> tuple[str, str]:
    """Source and benchmark version, as far as the API and its file name say."""
    file_name = str(getattr(api, "filename", None) or "")
    label = f"{type(api).__module__}.{type(api).__name__} {file_name}".strip()
    version = re.search(r"v\d+_\d+", file_name)
    if not version:
        return label, "unknown"
    return label, ("NATS " if "NATS" in file_name else "") + version.group()


def _query(api: Any, dataset: str, epochs: int) -> Callable[[int, Any], dict[str, Any]]:
    """`get_more_info` of one data set and schedule, as a function of index and trial.

    The first releases of nas_201_api select the schedule by a flag, later ones and
    nats_bench by `hp`.
    """
    parameters = inspect.signature(api.get_more_info).parameters
    if "hp" in parameters:
        schedule: dict[str, Any] = {"hp": str(epochs)}
    elif "use_12epochs_result" in parameters:
        schedule = {"use_12epochs_result": epochs == 12}
    else:
        raise TableError(
            f"{type(api).__name__}.get_more_info takes {', '.join(parameters)}, but "
            "neither hp nor use_12epochs_result selects the schedule"
        )

    return lambda index, is_random: api.get_more_info(
        index, dataset, iepoch=None, is_random=is_random, **schedule
    )


def _trial(
    query: Callable[[int, Any], dict[str, Any]], index: int, seed: int
) -> dict[str, Any]:
    try:
        return query(index, seed)
    except Exception:  # nas_201_api raises plain Exception for a missing seed.
        return {}


def _seconds(info: dict[str, Any], valid: bool) -> float | None:
    """Seconds of training and one validation, as nats_bench's `simulate_train_eval`.

    Without the validation for test columns, and if the API does not report it.
    """
    seconds = info.get("train-all-time")
    if seconds is None or not valid:
        return seconds
    return seconds + info.get("valid-per-time", 0.0)


def _accuracy(info: dict[str, Any], key: str, index: int, dataset: str) -> float:
    if info.get(key) is None:
        raise TableError(
            f"architecture {index}, {dataset}: no {key!r} among {', '.join(info)}"
        )
    return float(info[key])


def import_file(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    trust_pickle: bool = False,
    epochs: int = 200,
    log: Callable[[str], object] = print,
) -> Table:
    """Turns a file into a checked npz.

    Args:
      source: an npz or a CSV (see `files.read`), or a NATS-Bench file
        (NATS-tss-*.pickle.pbz2) or folder (NATS-tss-*-simple), which the installed
        package nats_bench unpickles.
      out: npz to write.
      trust_pickle: must be set for NATS-Bench: unpickling runs whatever code the file
        holds, so set it only for a file from the benchmark's authors.
      epochs: schedule to read from NATS-Bench; other files keep all they have.
      log: called with a line if a NATS-Bench folder is incomplete.

    Raises:
      TableError: if the source is not valid, or `trust_pickle` or nats_bench is
        needed and absent.
    """
    path = Path(source)
    if path.suffix == ".pbz2" or (path / "meta.pickle.pbz2").exists():
        api, indices, sha256 = _nats_bench(path, trust_pickle)
        if len(indices) < len(api):
            log(f"nb201: {path} has {len(indices)} of {len(api)} architectures")
        where = f"{path} (nats_bench)"
        return import_api(
            api, out, epochs=epochs, indices=indices, source=where, sha256=sha256
        )
    table = files.read(path)
    files.write(table, out)
    return table


def _nats_bench(path: Path, trust_pickle: bool) -> tuple[Any, list[int], str]:
    if not trust_pickle:
        raise TableError(
            f"{path}: nats_bench unpickles this, which runs whatever code it holds; "
            "if it comes from the benchmark's authors, allow it with --trust-pickle"
        )
    try:
        import nats_bench
    except ModuleNotFoundError as error:
        raise TableError(f"{path}: needs the package nats_bench") from error
    folder = path.is_dir()
    api = nats_bench.create(str(path), "tss", fast_mode=folder, verbose=False)
    if not folder:
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        return api, sorted(api.evaluated_indexes), checksum
    numbered = path.glob("[0-9]*.pickle.pbz2")
    return api, sorted(int(file.name.split(".")[0]) for file in numbered), ""
