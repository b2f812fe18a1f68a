"""Searches of one table as a job: lanes of one jitted computation."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax import lanes, search
from nasjax.environments.tabular import TabularState
from nasjax.runs import job
from nasjax.runs.checkpoints import corner
from nasjax.spaces import CellSpace

Factory = Callable[..., search.Searcher]


def edges(steps: int, chunk: int, milestones: Sequence[int] = ()) -> list[int]:
    """The steps at which chunks end; no chunk is one step long unless the run is.

    Args:
      steps: the whole budget.
      chunk: steps per chunk, at least 2.
      milestones: further ends (for their states). Of two ends one step apart a
        milestone stays rather than a regular one, an earlier milestone rather than a
        later one, and the run's start and end rather than any.

    Raises:
      ValueError: steps below 1, chunk below 2, or no integers.
    """
    search.check_integer("steps", steps, 1)
    search.check_integer("chunk", chunk, 2)
    ends: list[int] = []
    for end in sorted({*range(chunk, steps, chunk), *milestones}):
        if not 2 <= end <= steps - 2:
            continue
        if ends and end - ends[-1] < 2:
            if end not in milestones or ends[-1] in milestones:
                continue
            ends.pop()
            if end - (ends[-1] if ends else 0) < 2:
                continue
        ends.append(end)
    return [*ends, steps]


class Study(NamedTuple):
    """Searches of the columns of one table, whatever the method."""

    space: CellSpace
    env: search.Environment  # tabular, with the V columns
    # From architectures uint8 [..., *arch_shape] to int32 [...], their rows of the
    # table, -1 if not in it.
    rows: Callable[[np.ndarray], np.ndarray]
    columns: Sequence[str]  # V names, in the environment's order
    seeds: Sequence[int]  # S; the key of a seed is the same for every column
    steps: int  # queries per search
    milestones: Sequence[int] = ()  # steps after which states are kept, as at the end
    # The table lacks architectures; factories also take the table's params.
    incomplete: bool = False
    # -1 if the environment negates the table's values; progress and log undo that.
    sign: float = 1.0
    slacks: Sequence[str] = ()  # metrics that are at least 0 where a row is feasible


@dataclasses.dataclass
class Group:
    """Lanes that are computed together, as their listing in the folder holds them.

    A method that was extended by seeds, columns or steps has further groups.
    """

    folder: str  # of the checkpoints
    columns: list[str]  # of each lane
    seeds: list[int]  # of each lane
    steps: list[int]  # all budgets that checkpoints may have been written with
    used: bool = True  # False if its lanes were begun anew in another group

    @classmethod
    def of(cls, folder: str, lanes: Iterable[tuple[str, int]], *steps: int) -> "Group":
        columns, seeds = map(list, zip(*lanes, strict=True))
        return cls(folder, columns, seeds, list(steps))

    def lanes(self) -> list[tuple[str, int]]:
        return list(zip(self.columns, self.seeds, strict=True))


class Lanes(job.Job):
    """One group of a method's searches as a job.

    Args:
      study, method, factory: as in `table_search.run`; `factory` is of `method`.
      group: the lanes.
      chunk: steps per chunk, at least 2.
      inner: see `nasjax.lanes`.
      keep: the part of the gathered state [L, ...] that is kept at milestones.
      values: pytrees of arrays [L]; a lane's are the factory's last arguments.
      options: `room` and `programs` of `lanes.Runner`.
    """

    def __init__(
        self,
        study: Study,
        method: str,
        factory: Factory,
        group: Group,
        *,
        chunk: int,
        inner: str,
        keep: Callable[[search.SearchState], Any] = lambda state: (),
        values: tuple[Any, ...] = (),
        **options: Any,
    ):
        self.name, self.label, self.steps = group.folder, f"{method:>12}", study.steps
        self._study, self._method, self._group = study, method, group
        self._factory, self._inner, self._keep = factory, inner, keep
        self._values, self._options = values, options
        self._ends = edges(study.steps, chunk, study.milestones)
        self._marks = self._marks_of(study.steps)
        places = {column: i for i, column in enumerate(study.columns)}
        self._column = np.array([places[c] for c in group.columns], np.int32)
        self.runner = self._runner(study.steps)
        self._template = self._template_of(study.steps, self.runner)

    def _marks_of(self, steps: int) -> list[int]:
        of_study = [m for m in self._study.milestones if 2 <= m <= steps - 2]
        return sorted({*of_study, steps})

    def _runner(self, steps: int) -> lanes.Runner:
        study, seeds = self._study, jnp.asarray(self._group.seeds, jnp.uint32)

        def make(params, lane):
            column, values = lane
            state = TabularState(column)
            env = dataclasses.replace(study.env, params=params, state=state)
            table = (params,) if study.incomplete else ()
            return self._factory(study.space, *table, *values), env

        return lanes.Runner(
            make,
            study.env.params,
            jax.vmap(jax.random.key)(seeds),
            (self._column, self._values),
            steps=steps,
            inner=self._inner,
            **self._options,
        )

    def _template_of(self, steps: int, runner: lanes.Runner) -> dict[str, Any]:
        """A checkpoint written with a budget of `steps`; tracing it takes a second."""
        state, trace = runner.shapes(steps)
        trace, kept = jax.tree.map(
            lambda x: np.zeros(x.shape, x.dtype),
            (trace, jax.eval_shape(self._keep, state)),
        )
        return {
            "state": state,
            "trace": trace,
            "kept": dict.fromkeys(self._marks_of(steps), kept),
            "clock": np.zeros(2),
        }

    def template(self) -> dict[str, Any]:
        return self._template

    def templates(self, checkpoints: Any) -> list[dict[str, Any]]:
        del checkpoints
        return [
            self._template
            if steps == self.steps
            else self._template_of(steps, self._runner(steps))
            for steps in reversed(self._group.steps)
        ]

    def start(self) -> dict[str, Any]:
        """A carry without its state, which the first chunk makes."""
        arrays = {k: self._template[k] for k in ("trace", "kept", "clock")}
        return job.writable(arrays) | {"state": None}

    def unpack(self, step: int, tree: Any) -> dict[str, Any]:
        carry = jax.tree.map(np.array, {k: tree[k] for k in ("trace", "kept", "clock")})
        # Columns may have other places than when the checkpoint was written.
        state = tree["state"]._replace(environment=TabularState(self._column))
        whole = self._template
        if carry["trace"].accuracy.shape[1] != self.steps:  # a larger budget
            state = self.runner.gather(self.runner.grow(self.runner.place(state)))
            carry["trace"] = jax.tree.map(corner, whole["trace"], carry["trace"])
            kept = {m: x for m, x in carry["kept"].items() if m in whole["kept"]}
            carry["kept"] = whole["kept"] | kept
        return carry | {"state": self.runner.place(state)}

    def pack(self, carry: Any) -> Any:
        return {k: carry[k] for k in ("trace", "kept")} | {
            "state": carry["home"],
            "clock": self.seconds(carry),
        }

    def seconds(self, carry: Any) -> np.ndarray:
        """[2], spent on compiling and running, before a resume too."""
        spent = [self.runner.compile_seconds, self.runner.run_seconds]
        return carry["clock"] + np.array(spent)

    def end_after(self, step: int) -> int:
        # Never one step: a loop of one trip may round differently.
        ends = [e for e in self._ends if e >= step + 2 or e in self._marks]
        return min(e for e in ends if e > step)

    def must_save(self, step: int) -> bool:
        return step in self._marks

    def advance(self, carry: Any, first: int, last: int) -> Any:
        state = self.runner.init() if carry["state"] is None else carry["state"]
        state, trace = self.runner.advance(state, first, last - first)
        jax.tree.map(
            lambda whole, part: np.copyto(whole[:, first:last], part),
            carry["trace"],
            self.runner.gather(trace),
        )
        return carry | {"state": state, "chunk": slice(first, last)}

    def before_save(self, carry: Any, step: int) -> Any:
        home = self.runner.gather(carry["state"])
        if step in carry["kept"]:
            carry["kept"][step] = jax.tree.map(np.asarray, self._keep(home))
        return carry | {"home": home}

    def best(self, carry: Any, step: int) -> dict[str, float | None]:
        """Each column's mean over seeds of the best feasible score."""
        scores = carry["trace"].accuracy[:, :step]
        counts = np.isfinite(scores)
        for name in self._study.slacks:
            counts &= carry["trace"].metrics[name][:, :step] >= 0
        best = np.where(counts, scores, -np.inf).max(axis=1)
        column_of = np.array(self._group.columns)
        means = {}
        for column in dict.fromkeys(self._group.columns):
            values = best[(column_of == column) & np.isfinite(best)]
            mean = self._study.sign * float(values.mean()) if values.size else None
            means[column] = mean
        return means

    def postfix(self, carry: Any, step: int) -> str:
        # Columns may have different units: the first one stands for all.
        column, best = next(iter(self.best(carry, step).items()))
        return f"best of {column} {'-' if best is None else f'{best:.4f}'}"

    def log(self, carry: Any, step: int, saved: bool) -> Mapping[str, Any]:
        del saved
        compiling, running = self.seconds(carry)
        return {
            "method": self._method,
            "step": step,
            "steps": self.steps,
            "best": self.best(carry, step),
            "compile_seconds": float(compiling),
            "run_seconds": float(running),
            **{
                name: float(np.mean(x[:, carry["chunk"]]))
                for name, x in carry["trace"].info.items()
            },
        }
