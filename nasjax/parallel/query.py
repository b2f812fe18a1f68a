"""One query of a search and its outcome."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass
class Query:
    """One proposed architecture and its outcome.

    Attributes:
      number: position in the order of asking, from 0.
      arch: uint8 [*arch_shape].
      note: the searcher's own, for telling the outcome; None once it is told.
      failures: number of failed attempts that count.
      attempts: number of attempts that were started.
      order: position in the order of telling, from 0; None while it is pending.
      accuracy: a fraction (or another score); NaN if it failed or is pending.
      loss: NaN where there is none.
      level: at which it is evaluated; None if there are no levels.
      counts: whether that is the top level, or there are none.
      metrics: by name; NaN if it failed after others had them, empty while pending.
      seconds: duration of the evaluation; NaN if none finished.
      worker: host and process of the evaluation.
      error: of the last attempt, if that failed.
      asked, told: times, seconds since 1970.
      result: (accuracy, loss, metrics) of the attempt that finished; None if none did.
    """

    number: int
    arch: np.ndarray
    note: Any = None
    failures: int = 0
    attempts: int = 0
    order: int | None = None
    accuracy: float = float("nan")
    loss: float = float("nan")
    seconds: float = float("nan")
    worker: str = ""
    error: str = ""
    asked: float = float("nan")
    told: float = float("nan")
    result: tuple[float | None, float | None, Mapping[str, float]] | None = None
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    level: int | None = None
    counts: bool = True

    @property
    def failed(self) -> bool:
        """Whether it was told as a failure."""
        return self.order is not None and not np.isfinite(self.accuracy)
