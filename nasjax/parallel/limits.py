"""When a search ends before all queries are asked."""

import dataclasses
import math
import time

from nasjax.search import check_integer


@dataclasses.dataclass(frozen=True)
class Limits:
    """Numbers that end a search; None for no limit. See `parallel.search`."""

    queries: int
    retries: int
    max_failures: int
    timeout: float | None
    seconds: float | None
    target: float | None
    patience: int | None
    began: float = dataclasses.field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        check_integer("queries", self.queries, 1)
        check_integer("retries", self.retries, 0)
        check_integer("max_failures", self.max_failures, 0)
        if self.patience is not None:
            check_integer("patience", self.patience, 1)
        for name in ("seconds", "timeout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be at least 0, got {value}")
        if self.target is not None and not math.isfinite(self.target):
            raise ValueError(f"target must be finite, got {self.target}")

    def reached(self, best: float, since_best: int) -> str:
        """Why no further query is asked; empty if one is.

        Args:
          best: the best score so far, -inf before there is one.
          since_best: results since then.
        """
        if self.target is not None and best >= self.target:
            return f"the target of {self.target:g} is reached"
        if self.patience is not None and since_best >= self.patience:
            return f"no better one in {since_best} results"
        if self.seconds is not None and time.monotonic() - self.began > self.seconds:
            return f"{self.seconds:g} s are over"
        return ""
