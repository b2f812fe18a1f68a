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
from nasjax.data.nb201.cells import (
    NUM_ARCHS,
    OP_NAMES,
    TableError,
    as_text,
    contradiction,
)
from nasjax.data.nb201.formats import parse_csv
from nasjax.data.nb201.table import MEANING, Column, Table, build, check_ops

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


def read(path: str | os.PathLike[str]) -> Table:
    """Reads a table: an npz, a CSV, or a folder with an nb201.npz.

    An npz has `ops` [A, 6], `op_names` and for each column an array in percent,
    `<column>`, and optionally `<column>_trials`, `<column>_train_time`, and the strings
    `<column>_source`, `_version`, `_trials_version` and `_sha256`. Nothing is
    unpickled. For a CSV see `formats.parse_csv`.

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
        ops, arrays = _parse_npz(data, path)
    elif path.suffix == ".csv":
        ops, arrays = parse_csv(data, path.name)
    else:
        raise TableError(f"{path}: a table is an .npz or a .csv file")
    return assemble(ops, arrays, str(path), hashlib.sha256(data).hexdigest())


def assemble(
    ops: np.ndarray, arrays: Mapping[str, Any], source: str, sha256: str
) -> Table:
    """Makes a table from arrays named as in an npz (see `read`).

    Args:
      ops: [A, 6] operations.
      arrays: by name, in percent; names that are no column are ignored.
      source: of columns without their own; also the name in errors.
      sha256: of the source; empty if it is not a single file.

    Raises:
      TableError: if a shape, type or value is wrong, or there is no column.
    """
    columns = {
        name: _column(name, arrays, len(ops), source, sha256)
        for name in MEANING
        if name in arrays
    }
    if not columns:
        raise TableError(f"{source}: holds none of the columns {', '.join(MEANING)}")
    return build(ops, columns, source)


def _column(
    name: str, arrays: Mapping[str, Any], rows: int, source: str, sha256: str
) -> Column:
    where = f"{source}: {name}"

    def text(suffix: str, default: str) -> str:
        value = np.asarray(arrays.get(name + suffix, default))
        if value.size != 1:
            raise TableError(f"{where}{suffix} is {list(value.shape)}, not one text")
        return as_text(value.item())

    percent = np.asarray(arrays[name])
    values = _fractions(percent, (rows,), where)
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise TableError(f"{where}: row {row} is {values[row]}, not a number")
    trials, trials_version = None, None
    if f"{name}_trials" in arrays:
        singles = np.asarray(arrays[f"{name}_trials"])
        width = singles.shape[1] if singles.ndim == 2 else "R"
        trials = _fractions(singles, (rows, width), f"{where}_trials")
        if (empty := np.isnan(trials).all(axis=1)).any():
            row = int(np.argmax(empty))
            raise TableError(f"{where}_trials: row {row} has no trial at all")
        known = _known_version(f"{name}_trials", singles)
        trials_version = text("_trials_version", known) or "unknown"
    train_time = None
    if f"{name}_train_time" in arrays:
        train_time = np.asarray(arrays[f"{name}_train_time"])
        if train_time.shape != (rows,) or train_time.dtype.kind not in "fiu":
            raise TableError(
                f"{where}_train_time: {train_time.dtype} {list(train_time.shape)}, "
                f"not numbers [{rows}]"
            )
        if not (np.isfinite(train_time) & (train_time >= 0)).all():
            raise TableError(f"{where}_train_time: a time is negative or no number")
        train_time = train_time.astype(np.float32)
    dataset, split, epochs = MEANING[name]
    version = text("_version", _known_version(name, percent))
    return Column(
        name=name,
        dataset=dataset,
        split=split,
        epochs=epochs,
        values=values,
        trials=trials,
        train_time=train_time,
        source=text("_source", source),
        version=version,
        trials_version=trials_version,
        sha256=text("_sha256", "") or sha256,
        predicted=version == "predictor",
    )


def _fractions(percent: np.ndarray, shape: tuple[Any, ...], where: str) -> np.ndarray:
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


def _parse_npz(data: bytes, path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    try:
        arrays = locations.read_npz(data)
    except ValueError as error:
        raise TableError(f"{path}: not a readable npz ({error})") from error
    for name in ("ops", "op_names"):
        if name not in arrays:
            raise TableError(f"{path}: the array {name!r} is missing")
    names = tuple(map(as_text, np.atleast_1d(arrays["op_names"]).tolist()))
    if names != OP_NAMES:
        raise TableError(f"{path}: op_names is {names}, not {OP_NAMES}")
    ops = check_ops(arrays["ops"], str(path))
    if "arch_str" in arrays and (
        fault := contradiction(ops, names, arrays["arch_str"])
    ):
        raise TableError(f"{path}: {fault}")
    return ops, arrays


def write(table: Table, path: str | os.PathLike[str]) -> None:
    """Writes a table as one npz (see `read`), atomically.

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
    # Several processes may fill the cache at once.
    locations.write_file(
        path, lambda file: np.savez_compressed(file, **arrays), shared=True
    )
