"""Searches of one table as a job: lanes of one jitted computation."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
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
    """Where chunks end: fixed by the steps alone, and none is one step long.

    Args:
      steps: the whole budget.
      chunk: steps per chunk, at least 2.
      milestones: further ends (for their states); a regular end one step away makes
        room, an end of the run or another milestone does not.

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
    """What all methods share.

    Attributes:
      space: the search space.
      env: a tabular environment that carries the V columns.
      rows: `(arch uint8 [..., E]) -> int32 [...]`, rows of the table.
      columns: names of the V columns, in the environment's order.
      seeds: the S seeds; a seed's key does not depend on the column.
      steps: queries per search.
      milestones: steps after which states are kept, besides the last.
      incomplete: architectures are missing; factories are then called with a second
        argument, the table's params.
      sign: -1 if the environment's values are the table's with the other sign, which
        the progress bar and the log then turn back.
    """

    space: CellSpace
    env: search.Environment
    rows: Callable[[np.ndarray], np.ndarray]
    columns: Sequence[str]
    seeds: Sequence[int]
    steps: int
    milestones: Sequence[int] = ()
    incomplete: bool = False
    sign: float = 1.0


@dataclasses.dataclass
class Group:
    """Lanes that are computed together, and where their checkpoints lie.

    A study that was extended has one group for each extension.
    """

    folder: str
    columns: list[str]  # of each lane
    seeds: list[int]  # of each lane
    steps: list[int]  # all budgets that checkpoints may have been written with
    used: bool = True  # False if it was begun anew in another group

    def lanes(self) -> list[tuple[str, int]]:
        return list(zip(self.columns, self.seeds, strict=True))


class Lanes(job.Job):
    """One group of a method's searches as a job."""

    def __init__(
        self,
        study: Study,
        method: str,
        factory: Factory,
        group: Group,
        *,
        chunk: int,
        inner: str,
        mesh: Any,
        keep: Callable[[search.SearchState], Any],
    ):
        self.name, self.label, self.steps = group.folder, f"{method:>12}", study.steps
        self._study, self._method, self._group = study, method, group
        self._factory, self._inner, self._mesh = factory, inner, mesh
        self._keep = keep
        ends = edges(study.steps, chunk, study.milestones)
        self._ends = ends
        self._marks = self._marks_of(study.steps)
        places = {column: i for i, column in enumerate(study.columns)}
        self._column = np.array([places[c] for c in group.columns], np.int32)
        self.runner = self._runner(study.steps)

    def _marks_of(self, steps: int) -> list[int]:
        of_study = [m for m in self._study.milestones if 2 <= m <= steps - 2]
        return sorted({*of_study, steps})

    def _runner(self, steps: int) -> lanes.Runner:
        study, seeds = self._study, jnp.asarray(self._group.seeds, jnp.uint32)

        def make(params, lane):
            state = TabularState(lane)
            env = dataclasses.replace(study.env, params=params, state=state)
            if study.incomplete:
                return self._factory(study.space, params), env
            return self._factory(study.space), env

        return lanes.Runner(
            make,
            study.env.params,
            jax.vmap(jax.random.key)(seeds),
            self._column,
            steps=steps,
            inner=self._inner,
            mesh=self._mesh,
        )

    def template(self, steps: int | None = None) -> dict[str, Any]:
        """Of a checkpoint written with a budget of `steps` (the whole by default)."""
        steps = self.steps if steps is None else steps
        runner = self.runner if steps == self.steps else self._runner(steps)
        state, trace = runner.shapes(steps)
        kept = jax.eval_shape(self._keep, state)
        return {
            "state": state,
            "trace": jax.tree.map(_zeros, trace),
            "kept": {m: jax.tree.map(_zeros, kept) for m in self._marks_of(steps)},
            "clock": np.zeros(2),
        }

    def templates(self, checkpoints: Any) -> list[dict[str, Any]]:
        del checkpoints
        return [self.template(steps) for steps in reversed(self._group.steps)]

    def start(self) -> dict[str, Any]:
        """Everything but the state, which the first chunk makes."""
        return self.template() | {"state": None}

    def unpack(self, step: int, tree: Any) -> dict[str, Any]:
        carry = jax.tree.map(np.array, {k: tree[k] for k in ("trace", "kept", "clock")})
        # Columns may have other places than when the checkpoint was written.
        state = tree["state"]._replace(environment=TabularState(self._column))
        whole = self.template()
        if carry["trace"].accuracy.shape[1] != self.steps:  # a larger budget
            state = self.runner.gather(self.runner.grow(self.runner.place(state)))
            carry["trace"] = jax.tree.map(corner, whole["trace"], carry["trace"])
            filled = {m: x for m, x in carry["kept"].items() if m in whole["kept"]}
            carry["kept"] = whole["kept"] | filled
        return carry | {"state": self.runner.place(state)}

    def pack(self, carry: Any) -> Any:
        return {k: carry[k] for k in ("trace", "kept")} | {
            "state": carry["home"],
            "clock": self.seconds(carry),
        }

    def seconds(self, carry: Any) -> np.ndarray:
        """Compiling and running, [2], with those before a resume."""
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
        for whole, part in zip(
            jax.tree.leaves(carry["trace"]),
            jax.tree.leaves(self.runner.gather(trace)),
            strict=True,
        ):
            whole[:, first:last] = part
        return carry | {"state": state, "chunk": slice(first, last)}

    def before_save(self, carry: Any, step: int) -> Any:
        home = self.runner.gather(carry["state"])
        if step in carry["kept"]:
            kept = jax.tree.map(np.asarray, self._keep(home))
            carry["kept"][step] = kept
        return carry | {"home": home}

    def best(self, carry: Any, step: int) -> dict[str, float | None]:
        """Mean over seeds of the best so far, by column; of what did not fail."""
        seen = carry["trace"].accuracy[:, :step]
        best = np.where(np.isfinite(seen), seen, -np.inf).max(axis=1)
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


def _zeros(shape):
    return np.zeros(shape.shape, shape.dtype)
