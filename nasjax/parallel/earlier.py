"""Evaluations of before the search: journals, CSV files, arrays."""

import csv
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nasjax.parallel import journal as journals
from nasjax.spaces import CellSpace, genotypes


class Earlier(NamedTuple):
    """One evaluation."""

    arch: np.ndarray  # uint8 [*arch_shape]
    accuracy: float  # NaN if it failed
    loss: float  # NaN where there is none
    source: str


def read(source: Any, space: CellSpace) -> list[Earlier]:
    """Evaluations of the space from any of these, in their order.

    Args:
      source: None; a journal or the folder of a search; a CSV file with the columns
        `arch` and `accuracy`, and maybe `loss`; arrays `(arch, accuracy)` or `(arch,
        accuracy, loss)`; or a list of those.

    Raises:
      ValueError: something else, or an architecture of another space. JournalError is
        one.
      OSError: there is no such file.
    """
    if source is None:
        return []
    if isinstance(source, list):
        return [row for part in source for row in read(part, space)]
    if isinstance(source, tuple):
        return _of_arrays(source, space)
    if not isinstance(source, str | os.PathLike):
        raise ValueError(
            "earlier takes a journal, a CSV file, (arch, accuracy[, loss]), or a list "
            f"of these; got {type(source).__name__}"
        )
    path = Path(source)
    if path.is_dir():
        path = path / journals.NAME
    return (_of_csv if path.suffix == ".csv" else _of_journal)(path, space)


def _of_journal(path: Path, space: CellSpace) -> list[Earlier]:
    events = journals.read(path).events
    journals.check_space(path, events, space)
    evaluations, asked = [], {}
    for event in events:
        if event["event"] == "asked":
            asked[event["query"]] = event["arch"]
        elif event["event"] in ("earlier", "told"):
            arch = event["arch"] if "arch" in event else asked[event["query"]]
            accuracy, loss = (_number(event.get(n)) for n in ("accuracy", "loss"))
            row = architecture(space, arch)
            evaluations.append(Earlier(row, accuracy, loss, str(path)))
    return evaluations


def _of_csv(path: Path, space: CellSpace) -> list[Earlier]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        missing = {"arch", "accuracy"} - {*(reader.fieldnames or ())}
        if missing:
            raise ValueError(f"{path} has no column {' and '.join(sorted(missing))}")
        evaluations = []
        for row in reader:
            try:
                arch = architecture(space, row["arch"])
                accuracy, loss = (_number(row.get(n)) for n in ("accuracy", "loss"))
            except ValueError as error:
                raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
            evaluations.append(Earlier(arch, accuracy, loss, str(path)))
    return evaluations


def _of_arrays(source: tuple, space: CellSpace) -> list[Earlier]:
    if len(source) not in (2, 3) or len({len(part) for part in source}) != 1:
        raise ValueError(
            "earlier evaluations are (arch, accuracy) or (arch, accuracy, loss), "
            "arrays of one length"
        )
    losses = source[2] if len(source) == 3 else [None] * len(source[0])
    return [
        Earlier(architecture(space, arch), _number(accuracy), _number(loss), "arrays")
        for arch, accuracy, loss in zip(*source[:2], losses, strict=True)
    ]


def _number(value: Any) -> float:
    return float("nan") if value is None or value == "" else float(value)


def architecture(space: CellSpace, value: Any) -> np.ndarray:
    """uint8 [*arch_shape] from numbers, a text of numbers, or a genotype.

    Raises:
      ValueError: it is no architecture of the space.
    """
    if isinstance(value, str):
        if re.fullmatch(r"[\d\s,;\[\]()]+", value):
            value = [int(number) for number in re.findall(r"\d+", value)]
        elif value.lstrip().startswith(("Genotype", "{")):
            value = genotypes.to_arch(genotypes.parse(value), space)
        else:
            value = space.parse_arch_string(value)
    arch = np.asarray(value)
    wrong = arch.size != int(np.prod(space.arch_shape)) or arch.dtype.kind not in "iu"
    if not wrong:
        arch = arch.reshape(space.arch_shape)
        wrong = (
            arch.min() < 0
            or arch.max() > space.num_operations
            or not _keeps(space, arch)
        )
    if wrong:
        raise ValueError(f"{arch.tolist()} is no architecture of {space.name}")
    return arch.astype(np.uint8)


def _keeps(space: CellSpace, arch: np.ndarray) -> bool:
    """Whether every node has the in-edges that it must have."""
    present = arch.reshape(-1, space.num_edges) < space.num_operations
    if space.inputs_per_node is None:
        return bool(present.all())
    targets = np.array([target for _, target in space.edges])
    for node in np.unique(targets):
        inside = present[:, targets == node]
        kept = min(space.inputs_per_node, inside.shape[1])
        if not (inside.sum(axis=1) == kept).all():
            return False
    return True
