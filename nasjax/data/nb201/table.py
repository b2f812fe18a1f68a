"""The NAS-Bench-201 table, with one column per metric."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from nasjax.data.nb201.cells import (
    NUM_ARCHS,
    OP_NAMES,
    TableError,
    codes,
    format_arch,
    isomorphism_classes,
    official_ops,
)
from nasjax.networks.predictor import COLUMNS as COLUMNS

# Training set and split of each short name. CIFAR-10 valid and test come from two
# trainings: on half of the images, and on all of them. The test accuracy of the first
# (cifar10-valid, ori-test) is not a column, so that it is not mistaken for the second.
_SPLITS = {
    "cifar10_valid": ("cifar10-valid", "x-valid"),
    "cifar10_test": ("cifar10", "ori-test"),
    "cifar100_valid": ("cifar100", "x-valid"),
    "cifar100_test": ("cifar100", "x-test"),
    "imagenet16_valid": ("ImageNet16-120", "x-valid"),
    "imagenet16_test": ("ImageNet16-120", "x-test"),
}
_SUFFIXES = {200: "", 12: "_12ep"}
# Dataset, split and epochs of every column name.
MEANING = {
    short + suffix: (dataset, split, epochs)
    for epochs, suffix in _SUFFIXES.items()
    for short, (dataset, split) in _SPLITS.items()
}


class QueryError(ValueError):
    """A query for a column or trial that the table does not have."""


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """One metric of every architecture, and its source.

    Attributes:
      name: short name, such as "cifar10_valid" or "cifar10_valid_12ep".
      dataset: training set in the benchmark's own name: "cifar10-valid" (25,000
        images), "cifar10" (all 50,000), "cifar100" or "ImageNet16-120".
      split: evaluation split: "x-valid", "x-test" or "ori-test".
      epochs: length of the training schedule, 200 or 12.
      values: accuracies as fractions, the mean over trials.
      trials: accuracies of single trials as fractions; NaN where an architecture
        has no such trial. None where only means are known.
      train_time: seconds of one training on the benchmark's machines. Validation
        columns imported from nats_bench add one validation after it, as nats_bench's
        own simulated time does; all other sources know the training alone. None if
        unknown.
      source: path, address, package or method that the values came from.
      version: benchmark file behind `values`: "v1_1", "NATS v1_0", "predictor" or
        "unknown".
      trials_version: benchmark file behind `trials`, which may be another one.
      sha256: of the file the column was read from; empty if it was no single file.
      predicted: whether the values are a model's predictions.
    """

    name: str
    dataset: str
    split: str
    epochs: int
    values: np.ndarray  # [A] float32
    trials: np.ndarray | None  # [A, R] float32
    train_time: np.ndarray | None  # [A] float32
    source: str
    version: str
    trials_version: str | None
    sha256: str
    predicted: bool = False

    def trial(self, index: int) -> "Column":
        """This column with the values of one trial; NaN where a row lacks it.

        Args:
          index: which trial, from 0.

        Raises:
          QueryError: if the column has no such trial.
        """
        count = 0 if self.trials is None else self.trials.shape[1]
        if self.trials is None or not 0 <= index < count:
            has = f"trials 0 to {count - 1}" if count else "only means over trials"
            raise QueryError(f"{self.name} has no trial {index}: it has {has}")
        return dataclasses.replace(
            self,
            values=self.trials[:, index],
            trials=None,
            version=self.trials_version or "unknown",
            trials_version=None,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Architectures and their columns; all 15,625 rows are in official order.

    Attributes:
      ops: operation per edge; edge order 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2.
      op_names: names of the operations, which `ops` indexes.
      columns: columns by their names.
      isomorphism_class: first row of each row's class, see `isomorphism_classes`.
    """

    ops: np.ndarray  # [A, E] uint8
    op_names: tuple[str, ...]
    columns: dict[str, Column]
    isomorphism_class: np.ndarray  # [A] int32

    def within(self, rows: np.ndarray) -> "Table":
        """The table with the values of some rows; those of the others are NaN."""
        outside = ~np.isin(np.arange(len(self.ops)), rows)
        columns = {
            name: dataclasses.replace(
                column, values=np.where(outside, np.float32(np.nan), column.values)
            )
            for name, column in self.columns.items()
        }
        return dataclasses.replace(self, columns=columns)

    def column(
        self,
        dataset: str,
        split: str | None = None,
        *,
        epochs: int | None = None,
        trial: str | int = "mean",
    ) -> Column:
        """Finds a column by its short name or by the benchmark's own names.

        Args:
          dataset: short name ("cifar10_valid", without a split) or training set
            ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120").
          split: "x-valid", "x-test", "ori-test", or plainly "valid" or "test".
          epochs: 200 or 12; by default that of the short name, else 200.
          trial: "mean", the index of one trial, or "random" for a column that has
            single trials (returned unchanged: the caller draws among `trials`).

        Raises:
          QueryError: if no such column or trial exists; the message lists those
            that do.
        """
        if split is None:
            if dataset not in MEANING:
                raise QueryError(f"{dataset!r} is not a column; {self._present()}")
            dataset, split, named = MEANING[dataset]
            if named != 200 and epochs not in (None, named):
                raise QueryError(
                    f"a column named for {named} epochs was asked for with "
                    f"epochs={epochs}; {self._present()}"
                )
            epochs = named if epochs is None else epochs
        epochs = 200 if epochs is None else epochs
        wanted = (dataset, _official_split(dataset, split), epochs)
        for column in self.columns.values():
            if (column.dataset, column.split, column.epochs) == wanted:
                return self._select(column, trial)
        why = ""
        if wanted[:2] == ("cifar10", "x-valid"):
            why = " (it trains on all 50,000 images: ask for cifar10-valid)"
        raise QueryError(
            f"no column for dataset {wanted[0]!r}, split {wanted[1]!r}, {wanted[2]} "
            f"epochs{why}; {self._present()}"
        )

    def _select(self, column: Column, trial: str | int) -> Column:
        if trial == "mean":
            return column
        if trial == "random":
            if column.trials is not None:
                return column
            names = [c.name for c in self.columns.values() if c.trials is not None]
            raise QueryError(
                f"{column.name} has only means over trials; columns with single "
                f"trials: {', '.join(names) or 'none'}"
            )
        if isinstance(trial, int) and not isinstance(trial, bool):
            return column.trial(trial)
        raise QueryError(
            f'trial is "mean", "random" or the index of a trial, not {trial!r}'
        )

    def _present(self) -> str:
        return "present: " + ", ".join(
            f"{c.name} (dataset {c.dataset}, split {c.split}, {c.epochs} epochs)"
            for c in self.columns.values()
        )


def column_name(name: str, epochs: int = 200) -> str:
    """Name of a column for a schedule, such as "cifar10_valid_12ep".

    Args:
      name: a name in `COLUMNS`, or one that already ends in "_12ep".
      epochs: 200 or 12.

    Raises:
      QueryError: if there is no such column in NAS-Bench-201.
    """
    if epochs not in _SUFFIXES:
        raise QueryError(f"epochs is 200 or 12, not {epochs!r}")
    if name not in MEANING:
        raise QueryError(f"{name!r} is not a column; allowed: {', '.join(MEANING)}")
    return name + _SUFFIXES[epochs] if MEANING[name][2] == 200 else name


def _official_split(dataset: str, split: str) -> str:
    cifar10 = dataset in ("cifar10", "cifar10-valid")
    test = "ori-test" if cifar10 else "x-test"
    return {"valid": "x-valid", "test": test}.get(split, split)


def check_ops(ops: np.ndarray, where: str) -> np.ndarray:
    """The operations as uint8 [A, 6]; raises TableError, with `where`, if not valid."""
    if ops.ndim != 2 or ops.shape[1] != 6 or ops.dtype.kind not in "iu":
        raise TableError(
            f"{where}: ops is {ops.dtype} {list(ops.shape)}, not integers [A, 6]"
        )
    if ops.size == 0 or ops.min() < 0 or ops.max() >= len(OP_NAMES):
        raise TableError(f"{where}: ops must be rows of numbers from 0 to 4")
    return ops.astype(np.uint8)


def build(ops: np.ndarray, columns: Mapping[str, Column], where: str) -> Table:
    """Makes a table; all 15,625 architectures are put in official order.

    Args:
      ops: [A, E] operations of distinct architectures; fewer than 15,625 rows
        keep their order.
      columns: columns with A rows each.
      where: name of the table in errors.

    Raises:
      TableError: if the architectures are not distinct rows of six operations.
    """
    ops = check_ops(ops, where)
    numbers = codes(ops)
    _, first, counts = np.unique(numbers, return_index=True, return_counts=True)
    if counts.max() > 1:
        twice = first[counts > 1][0]
        raise TableError(f"{where}: {format_arch(ops[twice])} occurs more than once")
    columns = dict(columns)
    if len(ops) == NUM_ARCHS and not np.array_equal(ops, official_ops()):
        rows = np.argsort(numbers)[codes(official_ops())]
        columns = {name: _reorder(column, rows) for name, column in columns.items()}
        ops = official_ops()
    return Table(ops, OP_NAMES, columns, isomorphism_classes(ops))


def _reorder(column: Column, rows: np.ndarray) -> Column:
    arrays = ("values", "trials", "train_time")
    present = {a: getattr(column, a) for a in arrays}
    return dataclasses.replace(
        column, **{a: v[rows] for a, v in present.items() if v is not None}
    )
