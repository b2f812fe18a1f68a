"""The searcher's state and its queries, which follow from the journal's events."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from nasjax import search
from nasjax.parallel import journal as journals
from nasjax.parallel.earlier import score, scores
from nasjax.parallel.query import Query
from nasjax.search import Levels, Outcome, Searcher, asynchronous, fidelity, outcomes


class Queries:
    """The state of a searcher, changed by events in their order and by nothing else.

    Therefore a replayed journal gives the same state, to the bit.

    Attributes:
      space: search space.
      state: the searcher's, a `SearchState`.
      rows: all queries, by number.
      pending: queries that were asked and not told, by number.
      earlier: (arch, accuracy, loss, metrics) of evaluations from before the search.
      metrics: names of the metrics; None while no query has succeeded.
      told: number of queries that were told.
      budget: number of queries for which the state has room.
      diverged: number of the first query that this searcher would not ask as the
        journal has it; None if there is none.
    """

    def __init__(
        self,
        key: chex.PRNGKey,
        searcher: Searcher,
        space: Any,
        levels: Levels | None = None,
    ):
        self.space, self._key, self._searcher = space, key, searcher
        env = search.black_box(lambda arch: None)  # outcomes come from events
        self._env = dataclasses.replace(env, levels=levels)
        fidelity.check(searcher, self._env)
        self.rows: list[Query] = []
        self.pending: dict[int, Query] = {}
        self.earlier: list[tuple[np.ndarray, float, float, Mapping[str, float]]] = []
        self.metrics: tuple[str, ...] | None = None
        self.told = 0
        self.budget = 0
        self.diverged: int | None = None
        self.state: Any = None

    def told_rows(self) -> list[Query]:
        """The queries that were told, in the order of telling."""
        told = [row for row in self.rows if row.order is not None]
        return sorted(told, key=lambda row: row.order or 0)

    def begin(self, queries: int, earlier: int = 0) -> dict[str, Any]:
        """Makes the state, with room for `queries` and `earlier`; returns the event."""
        self._earlier_steps, self.budget = earlier, queries
        steps = queries + earlier
        self.state = search.init(self._key, self._searcher, self._env, steps)
        return {
            "event": "search",
            "version": journals.VERSION,
            "space": journals.describe(self.space),
            "key": _words(self._key),
            "queries": queries,
            "earlier": earlier,
        }

    def grow(self, queries: int) -> dict[str, Any]:
        """Makes room for more queries; returns the event."""
        steps = queries + self._earlier_steps
        self.state = search.grow(self._key, self._searcher, self.state, steps)
        self.budget = queries
        return {"event": "grown", "queries": queries}

    def _outcome(self, *values: Any) -> Outcome:
        result = outcomes.outcome(*values)
        return outcomes.with_metrics(result, self._searcher.metrics)

    def check_earlier(self, accuracy: float, metrics: Mapping[str, float]) -> None:
        """Raises ValueError if a success lacks a metric that the searcher reads."""
        needed = {*self._searcher.metrics}
        needed |= {fidelity.FIDELITY} if self._env.levels is not None else set()
        if (missing := needed - {*metrics}) and np.isfinite(accuracy):
            raise ValueError(
                f"no metric {', '.join(sorted(missing))}, which the searcher reads"
            )

    def tell_earlier(
        self,
        arch: np.ndarray,
        accuracy: float,
        loss: float,
        source: str = "",
        metrics: Mapping[str, float] = {},
    ) -> dict[str, Any]:
        """Tells an evaluation from before the search; returns the event."""
        step = jnp.int32(len(self.earlier))
        state, note = _adopt(self._searcher, self.state, step, arch)
        outcome = self._outcome(accuracy, loss, metrics)
        self.state, _ = _tell(
            self._key, self._searcher, state, note, step, arch, outcome
        )
        self.earlier.append((arch, accuracy, loss, metrics))
        event = {"event": "earlier", "arch": arch.tolist(), "accuracy": accuracy}
        return event | {"loss": loss, "source": source, **_some(metrics)}

    def ask(self, wanted: np.ndarray | None = None) -> tuple[Query, dict[str, Any]]:
        """Asks the searcher for a query; returns it and its event.

        Args:
          wanted: the architecture in a journal, which replaces another proposal; None
            for a new query.
        """
        number = len(self.rows)
        step = jnp.int32(len(self.earlier) + number)
        beside = asynchronous.pending(
            [query.arch for query in self.pending.values()], self.space.arch_shape
        )
        state, note, arch = _ask(self._key, self._searcher, self.state, step, beside)
        arch = np.asarray(arch)
        if wanted is not None and not np.array_equal(arch, wanted):
            if self.diverged is None:
                self.diverged = number
            arch = wanted
            state, note = _adopt(self._searcher, self.state, step, arch)
        self.state = state
        query = Query(number, arch, note)
        self.rows.append(query)
        self.pending[number] = query
        event = {"event": "asked", "query": number, "arch": arch.tolist()}
        level = fidelity.level(self._searcher, self._env, state.searcher)
        if level is not None and self._env.levels is not None:
            query.level = int(level)
            query.counts = query.level == self._env.levels.top
            event |= {"level": query.level}
        return query, event

    def counts(self, metrics: Mapping[str, float]) -> bool:
        """Whether an evaluation with these metrics is of the top level."""
        levels = self._env.levels
        return levels is None or metrics.get(fidelity.FIDELITY) == levels.top

    def measured(
        self, query: Query, metrics: Mapping[str, float]
    ) -> Mapping[str, float]:
        """The metrics with `fidelity` and `cost`, if there are levels."""
        if query.level is None or self._env.levels is None:
            return metrics
        return fidelity.measured(self._env.levels, query.level, metrics)

    def check(
        self,
        accuracy: float | None,
        loss: float | None,
        metrics: Mapping[str, float] = {},
    ) -> None:
        """Raises ValueError if the searcher cannot use it, or for other metrics."""
        if accuracy is not None:
            result = outcomes.named(Outcome(accuracy, loss, metrics), self.metrics)
            outcomes.with_metrics(result, self._searcher.metrics)
            if self._searcher.check is not None:
                self._searcher.check(accuracy, loss)

    def tell(
        self,
        number: int,
        accuracy: float | None,
        loss: float | None,
        metrics: Mapping[str, float] = {},
    ) -> dict[str, Any]:
        """Tells an outcome, the accuracy None for a failure; returns the event."""
        query = self.pending.pop(number)
        value = float("nan") if accuracy is None else accuracy
        if accuracy is None:
            metrics = dict.fromkeys(self.metrics or (), float("nan"))
        metrics = self.measured(query, metrics)
        if accuracy is not None:
            self.metrics = tuple(metrics)
        outcome = self._outcome(value, loss, metrics)
        step = jnp.int32(len(self.earlier) + self.told)
        self.state, _ = _tell(
            self._key, self._searcher, self.state, query.note, step, query.arch, outcome
        )
        query.order, query.accuracy, query.note = self.told, value, None
        query.loss = float("nan") if loss is None else loss
        query.metrics = metrics
        self.told += 1
        event = {"event": "told", "query": number, "accuracy": accuracy, "loss": loss}
        event |= {} if accuracy is None else _some(metrics)
        return event | {"order": query.order}

    def replay(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Applies all events of a journal.

        Raises:
          JournalError: an event does not follow from those before it, or the key is
            another one.
        """
        for line, event in enumerate(events, start=1):
            try:
                self.apply(event)
            except journals.JournalError:
                raise
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise journals.JournalError(
                    f"line {line} of the journal ({event.get('event')}) does not "
                    f"follow from those before: {type(error).__name__}: {error}"
                ) from error

    def apply(self, event: Mapping[str, Any]) -> None:
        """Applies one event of a journal."""
        name, at = event["event"], event.get("query", -1)
        if name == "search":
            if event["key"] != _words(self._key):
                raise journals.JournalError(
                    f"the journal's search has the key {event['key']}, not "
                    f"{_words(self._key)}: give the same key, or another folder and "
                    "this journal as `earlier`"
                )
            self.begin(event["queries"], event["earlier"])
        elif name == "grown":
            self.grow(event["queries"])
        elif name == "earlier":
            accuracy, loss = score(event["accuracy"]), score(event["loss"])
            self.tell_earlier(self._arch(event), accuracy, loss, "", scores(event))
        elif name == "asked":
            query, _ = self.ask(self._arch(event))
            query.asked = event["time"]
            if query.number != at:
                raise ValueError(f"query {at} stands where {query.number} should")
        elif name == "told":
            query = self.rows[at]
            self.tell(at, event["accuracy"], event["loss"], scores(event))
            query.told = event["time"]
        elif name in ("started", "finished", "failed"):
            self.note(event)

    def note(self, event: Mapping[str, Any]) -> None:
        """Applies `started`, `finished` or `failed`, which leave the searcher alone."""
        query = self.rows[event["query"]]
        if event["event"] == "started":
            query.attempts += 1
        elif event["event"] == "finished":
            query.result = event["accuracy"], event["loss"], scores(event)
            query.seconds, query.worker = event["seconds"], event["worker"]
            query.error = ""
        else:
            query.failures += bool(event.get("counted", True))
            query.error = event.get("error", "")

    def _arch(self, event: Mapping[str, Any]) -> np.ndarray:
        return np.asarray(event["arch"], np.uint8).reshape(self.space.arch_shape)


# Compiled once for a searcher, however many searches it makes.
_ask = jax.jit(search.ask, static_argnames="searcher")
_tell = jax.jit(search.tell, static_argnames="searcher")
_adopt = jax.jit(search.adopt, static_argnames="searcher")


def _some(metrics: Mapping[str, float]) -> dict[str, Any]:
    """The field of an event: none if there are no metrics."""
    return {"metrics": dict(metrics)} if metrics else {}


def _words(key: chex.PRNGKey) -> list[int]:
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = jax.random.key_data(jax.random.clone(key)) if typed else key
    return np.asarray(words).ravel().tolist()
