"""Files of NAS-Bench-201: reading and checking npz and CSV, writing npz.

Files hold accuracies in percent; in memory they are fractions.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nasjax.data import locations
from nasjax.data.nb201 import csv_files
from nasjax.data.nb201.cells import NUM_ARCHS, OP_NAMES, TableError, contradiction
from nasjax.data.nb201.table import MEANING, Column, Table, build

FILE_NAME = "nb201.npz"

# Percent. They tell which benchmark file an array without a label came from: NATS
# v1_0 for single validation trials, NAS-Bench-201 v1_1 for everything else.
MAXIMA = {
    "cifar10_valid": 91.6067,
    "cifar10_test": 94.3733,
    "cifar100_valid": 73.4933,
    "cifar100_test": 73.5133,
    "imagenet16_valid": 46.7333,
    "imagenet16_test": 47.3111,
    "cifar10_valid_12ep": 84.8920,
    "cifar10_test_12ep": 89.1600,
    "cifar100_valid_12ep": 61.3200,
    "cifar100_test_12ep": 61.1800,
    "imagenet16_valid_12ep": 38.6667,
    "imagenet16_test_12ep": 38.2667,
    "cifar10_test_trials": 94.6800,
    "cifar10_valid_trials": 91.7200,
    "cifar100_valid_trials": 73.7200,
    "imagenet16_valid_trials": 47.4000,
}


def make_column(
    name: str,
    percent: np.ndarray,
    *,
    rows: int,
    where: str,
    source: str,
    version: str,
    sha256: str = "",
    trials: np.ndarray | None = None,
    trials_version: str | None = None,
    train_time: np.ndarray | None = None,
) -> Column:
    """Checks one column's arrays and makes the column.

    Args:
      name: a column's name, also for the 12-epoch schedule.
      percent: [A] mean accuracies in percent.
      rows: A.
      where: what an error names, usually the file.
      source: see `Column`, as the following ones.
      version: see `Column`.
      sha256: see `Column`.
      trials: [A, R] accuracies in percent, NaN where there is no such trial.
      trials_version: see `Column`.
      train_time: [A] seconds.

    Raises:
      TableError: if a shape, type or value is wrong.
    """
    where = f"{where}: {name}"
    values = _fractions(percent, (rows,), where)
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise TableError(f"{where}: row {row} is {values[row]}, not a number")
    if trials is not None:
        trials = np.asarray(trials)
        width = trials.shape[1] if trials.ndim == 2 else "R"
        trials = _fractions(trials, (rows, width), f"{where}_trials")
        if (empty := np.isnan(trials).all(axis=1)).any():
            row = int(np.argmax(empty))
            raise TableError(f"{where}_trials: row {row} has no trial at all")
    if train_time is not None:
        train_time = np.asarray(train_time)
        if train_time.shape != (rows,) or train_time.dtype.kind not in "fiu":
            raise TableError(
                f"{where}_train_time: {train_time.dtype} {list(train_time.shape)}, "
                f"not numbers [{rows}]"
            )
        if not (np.isfinite(train_time) & (train_time >= 0)).all():
            raise TableError(f"{where}_train_time: a time is negative or no number")
        train_time = train_time.astype(np.float32)
    dataset, split, epochs = MEANING[name]
    return Column(
        name=name,
        dataset=dataset,
        split=split,
        epochs=epochs,
        values=values,
        trials=trials,
        train_time=train_time,
        source=source,
        version=version,
        trials_version=None if trials is None else trials_version or "unknown",
        sha256=sha256,
        predicted=version == "predictor",
    )


def _fractions(percent: Any, shape: tuple[Any, ...], where: str) -> np.ndarray:
    percent = np.asarray(percent)
    if percent.shape != shape or percent.dtype.kind not in "fiu":
        wanted = ", ".join(map(str, shape))
        raise TableError(
            f"{where}: {percent.dtype} {list(percent.shape)}, not numbers [{wanted}]"
        )
    percent = percent.astype(np.float64)
    outside = percent[(percent < 0) | (percent > 100)]
    if outside.size:
        raise TableError(f"{where}: {outside[0]} is not within 0 to 100 percent")
    known = percent[~np.isnan(percent)]
    if known.size and known.max() <= 1:
        raise TableError(
            f"{where}: no value exceeds {known.max()}; files hold percent (0 to 100), "
            "not fractions"
        )
    return (percent / 100).astype(np.float32)


def _known_version(array: str, percent: np.ndarray) -> str:
    """Benchmark file behind an array without a label, or "unknown"."""
    if percent.shape[:1] != (NUM_ARCHS,) or percent.dtype.kind != "f":
        return "unknown"
    if not abs(float(np.nanmax(percent)) - MAXIMA.get(array, np.nan)) <= 1e-3:
        return "unknown"
    return "NATS v1_0" if array.endswith("_valid_trials") else "v1_1"


def read(path: str | os.PathLike[str]) -> Table:
    """Reads a table: an npz, a CSV, or a folder that holds nb201.npz.

    An npz has `ops` [A, 6], `op_names` and for each column an array of percent,
    `<column>`, and maybe `<column>_trials`, `<column>_train_time`, and the texts
    `<column>_source`, `_version`, `_trials_version` and `_sha256`. Nothing is
    unpickled. For a CSV see `csv_files.parse`.

    Raises:
      TableError: if the file is missing or not a valid table.
    """
    path = Path(path)
    if path.is_dir():
        path = path / FILE_NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error})") from error
    if path.suffix == ".npz":
        return _read_npz(data, path)
    if path.suffix == ".csv":
        ops, arrays = csv_files.parse(data, path.name)
        return assemble(ops, arrays, str(path), hashlib.sha256(data).hexdigest())
    raise TableError(f"{path}: a table is an .npz or a .csv file")


def assemble(
    ops: np.ndarray,
    arrays: Mapping[str, np.ndarray],
    source: str,
    sha256: str,
) -> Table:
    """Makes a table from arrays named as in an npz (see `read`)."""

    def text(name: str, default: str | None) -> str | None:
        if name not in arrays:
            return default
        value = np.asarray(arrays[name])
        if value.size != 1:
            raise TableError(f"{source}: {name} is {list(value.shape)}, not one text")
        value = value.item()
        return value.decode() if isinstance(value, bytes) else str(value)

    columns = {}
    for name in MEANING:
        if name not in arrays:
            continue
        trials = arrays.get(f"{name}_trials")
        trials_version = None
        if trials is not None:
            trials_version = _known_version(f"{name}_trials", trials)
        columns[name] = make_column(
            name,
            arrays[name],
            rows=len(ops),
            where=source,
            source=str(text(f"{name}_source", source)),
            version=str(text(f"{name}_version", _known_version(name, arrays[name]))),
            sha256=text(f"{name}_sha256", "") or sha256,
            trials=trials,
            trials_version=text(f"{name}_trials_version", trials_version),
            train_time=arrays.get(f"{name}_train_time"),
        )
    if not columns:
        raise TableError(f"{source}: holds none of the columns {', '.join(MEANING)}")
    return build(ops, columns, source)


def checksum(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file of any size, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_npz(data: bytes, path: Path) -> Table:
    try:
        arrays = locations.read_npz(data)
    except ValueError as error:
        raise TableError(f"{path}: not a readable npz ({error})") from error
    for name in ("ops", "op_names"):
        if name not in arrays:
            raise TableError(f"{path}: the array {name!r} is missing")
    names = tuple(
        n.decode() if isinstance(n, bytes) else str(n)
        for n in np.atleast_1d(arrays["op_names"]).tolist()
    )
    if names != OP_NAMES:
        raise TableError(f"{path}: op_names is {names}, not {OP_NAMES}")
    if arrays["ops"].ndim != 2:
        raise TableError(f"{path}: ops is {list(arrays['ops'].shape)}, not [A, 6]")
    texts = arrays.get("arch_str")
    if texts is not None and arrays["ops"].dtype.kind in "iu":
        ops = np.clip(arrays["ops"], 0, len(names) - 1)  # ranges are checked by `build`
        if (wrong := contradiction(ops, names, texts)) is not None:
            raise TableError(f"{path}: {wrong}")
    return assemble(arrays["ops"], arrays, str(path), hashlib.sha256(data).hexdigest())


def write(table: Table, path: str | os.PathLike[str]) -> None:
    """Writes a table as one npz (see `read`), all or nothing.

    Raises:
      OSError: if the file cannot be written; no part of it is left.
    """
    arrays: dict[str, Any] = {"ops": table.ops, "op_names": np.array(OP_NAMES, "S")}
    for name, column in table.columns.items():
        # 100 times a float32 is exact in float64, and so is the way back.
        arrays[name] = column.values.astype(np.float64) * 100
        if column.trials is not None:
            arrays[f"{name}_trials"] = column.trials.astype(np.float64) * 100
            arrays[f"{name}_trials_version"] = column.trials_version
        if column.train_time is not None:
            arrays[f"{name}_train_time"] = column.train_time
        arrays[f"{name}_source"] = column.source
        arrays[f"{name}_version"] = column.version
        arrays[f"{name}_sha256"] = column.sha256
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    locations.write_file(
        path, lambda file: np.savez_compressed(file, **arrays), shared=True
    )
