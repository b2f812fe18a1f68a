"""Evaluations made before a search: from journals, CSV files and arrays."""

import csv
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nasjax.environments.cached import METRICS
from nasjax.parallel import journal as journals
from nasjax.spaces import CellSpace, genotypes

# Of results.csv, which is read like any other; further columns are metrics.
COLUMNS = (
    "query",
    "order",
    "status",
    "accuracy",
    "loss",
    "seconds",
    "hours",
    "attempts",
    "worker",
    "arch",
    "genotype",
    "error",
)


class Earlier(NamedTuple):
    """An evaluation made before the search."""

    arch: np.ndarray  # uint8 [*arch_shape]
    accuracy: float  # NaN if it failed
    loss: float  # NaN where there is none
    source: str
    metrics: Mapping[str, float] = {}


def read(source: Any, space: CellSpace) -> list[Earlier]:
    """Reads evaluations of architectures of the space, in the order of the source.

    Args:
      source: None; a journal or the folder of a search; a CSV file with the columns
        `arch` and `accuracy`, and maybe `loss` and metrics; arrays `(arch, accuracy)`
        or `(arch, accuracy, loss)`; or a list of those.

    Raises:
      ValueError: something else, a missing column, or an architecture of another space;
        JournalError, a kind of it, for a journal that is damaged or of another space.
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
            accuracy, loss = (score(event.get(n)) for n in ("accuracy", "loss"))
            row = architecture(space, arch)
            told = Earlier(row, accuracy, loss, str(path), scores(event))
            evaluations.append(told)
    return evaluations


def _of_csv(path: Path, space: CellSpace) -> list[Earlier]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        missing = {"arch", "accuracy"} - {*(reader.fieldnames or ())}
        if missing:
            raise ValueError(f"{path} has no column {' and '.join(sorted(missing))}")
        lines = [(reader.line_num, row) for row in reader]
        rows = [row for _, row in lines]
        named = [n for n in reader.fieldnames or () if _is_metric(n, rows)]
        # results.csv has a metric `hours` as `metrics_hours`.
        own = {f"{METRICS}{name}": name for name in COLUMNS}
        metrics = {name: own.get(name, name) for name in named}
        evaluations = []
        for line, row in lines:
            try:
                arch = architecture(space, row["arch"])
                accuracy, loss = (score(row.get(n)) for n in ("accuracy", "loss"))
                measured = {to: score(row[name]) for name, to in metrics.items()}
            except ValueError as error:
                raise ValueError(f"{path}, line {line}: {error}") from error
            evaluations.append(Earlier(arch, accuracy, loss, str(path), measured))
    return evaluations


def _is_metric(name: str, rows: Sequence[Mapping[str, str]]) -> bool:
    """Whether a column is a metric: not one of COLUMNS, and it starts with a number."""
    try:
        known = (score(row[name]) for row in rows)
        return name not in COLUMNS and any(value == value for value in known)
    except ValueError:
        return False


def _of_arrays(source: tuple, space: CellSpace) -> list[Earlier]:
    if len(source) not in (2, 3) or len({len(part) for part in source}) != 1:
        raise ValueError(
            "earlier evaluations are (arch, accuracy) or (arch, accuracy, loss), "
            "arrays of one length"
        )
    losses = source[2] if len(source) == 3 else [None] * len(source[0])
    return [
        Earlier(architecture(space, arch), score(accuracy), score(loss), "arrays")
        for arch, accuracy, loss in zip(*source[:2], losses, strict=True)
    ]


def scores(event: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of an event of a journal."""
    return {name: score(x) for name, x in event.get("metrics", {}).items()}


def score(value: Any) -> float:
    """A score as a float; NaN for None and for an empty field of a CSV file."""
    return float("nan") if value is None or value == "" else float(value)


def architecture(space: CellSpace, value: Any) -> np.ndarray:
    """Architecture, uint8 [*arch_shape], from numbers, a text of them, or a genotype.

    Raises:
      ValueError: the value is not an architecture of the space.
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
        present = arch < space.num_operations
        kept = space.keep(present.astype(np.float32))  # as many in-edges as it keeps
        outside = arch.min() < 0 or arch.max() > space.num_operations
        wrong = outside or not np.array_equal(kept, present)
    if wrong:
        raise ValueError(f"{arch.tolist()} is not an architecture of {space.name}")
    return arch.astype(np.uint8)
