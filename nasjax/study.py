"""A study: methods x columns x seeds on one table, as lanes, resumable.

Every method searches every column with every seed. The lanes of a method are one
jitted computation, run in chunks of steps; after each chunk the state and the trace
are checkpointed, so that a killed study goes on to the same bits.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from nasjax import lanes, search
from nasjax.checkpoint import Checkpoints
from nasjax.environments.tabular import TabularState
from nasjax.spaces import CellSpace

Factory = Callable[..., search.Searcher]


class Result(NamedTuple):
    """One method's queries: V columns, S seeds, T steps."""

    arch_index: np.ndarray  # int32 [V, S, T], row of the table, -1 if not in it
    accuracy: np.ndarray  # float32 [V, S, T], as observed
    info: dict[str, np.ndarray]  # of [V, S, T], the searcher's diagnostics
    states: dict[int, Any]  # searcher states [V, S, ...] after so many steps
    compile_seconds: float
    run_seconds: float


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
    """

    space: CellSpace
    env: search.Environment
    rows: Callable[[np.ndarray], np.ndarray]
    columns: Sequence[str]
    seeds: Sequence[int]
    steps: int
    milestones: Sequence[int] = ()
    incomplete: bool = False


def run(
    study: Study,
    method: str,
    factory: Factory,
    *,
    out: Path | None = None,
    resume: bool = False,
    chunk: int = 50,
    inner: str = "auto",
    mesh: Any = None,
    checkpoint_seconds: float = 20.0,
    keep: Callable[[search.SearchState], Any] = lambda state: (),
) -> Result:
    """Runs one method over all columns and seeds.

    Args:
      study: see `Study`.
      method: its name, for files and the progress bar.
      factory: builds the searcher from the space (and a table, see `Study`).
      out: folder for checkpoints and the log; nothing is written if None.
      resume: start from the newest checkpoint in `out`, if there is one.
      chunk, inner, mesh: see `nasjax.lanes`.
      checkpoint_seconds: a checkpoint after the first chunk that ends so long after
        the last one (and at every milestone and the end).
      keep: what of the gathered state to return at milestones.

    Returns:
      A `Result`; seconds include those before a resume.
    """
    V, S, T = len(study.columns), len(study.seeds), study.steps
    keys = jax.vmap(jax.random.key)(jnp.asarray(np.tile(study.seeds, V), jnp.uint32))
    column = np.repeat(np.arange(V, dtype=np.int32), S)

    def make(params, lane):
        env = study.env.replace(params=params, state=TabularState(lane))
        if study.incomplete:
            return factory(study.space, params), env
        return factory(study.space), env

    runner = lanes.Runner(
        make, study.env.params, keys, column, steps=T, inner=inner, mesh=mesh
    )
    ends = lanes.edges(T, chunk, study.milestones)
    marks = [end for end in ends if end in study.milestones or end == T]
    state_shapes, trace_shapes = runner.shapes(T)
    trace = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), trace_shapes)
    kept_shapes = jax.eval_shape(keep, state_shapes)
    kept = {m: jax.tree.map(_zeros, kept_shapes) for m in marks}
    clock = np.zeros(2)
    first, state, checkpoints = 0, None, None
    if out is not None:
        checkpoints = Checkpoints(Path(out) / "checkpoints" / method)
        if resume:
            template = (state_shapes, trace, kept, clock)
            found = checkpoints.restore(template)
            if found is not None:
                first, (home, *rest) = found
                trace, kept, clock = jax.tree.map(np.array, tuple(rest))
                state = runner.place(home)
    saved = time.monotonic()
    bar = tqdm(
        total=T, initial=first, desc=f"{method:>12}", unit="step", disable=not _main()
    )
    for done in runner.run(ends, state, first) if first < T else ():
        for whole, part in zip(
            jax.tree.leaves(trace), jax.tree.leaves(done.trace), strict=True
        ):
            whole[:, done.first : done.last] = part
        seconds = clock + np.array([runner.compile_seconds, runner.run_seconds])
        bar.update(done.last - done.first)
        best = np.nanmax(trace.accuracy[:, : done.last], axis=1).mean()
        bar.set_postfix_str(f"mean best {best:.4f}")
        mark = done.last in kept
        if mark or time.monotonic() - saved >= checkpoint_seconds:
            home = runner.gather(done.state)
            if mark:
                kept[done.last] = jax.tree.map(np.asarray, keep(home))
            if checkpoints is not None:
                checkpoints.save(done.last, (home, trace, kept, seconds))
            saved = time.monotonic()
        if out is not None and _main():
            _log(Path(out), method, done, T, best, seconds)
    bar.close()
    if checkpoints is not None:
        checkpoints.close()
    clock = clock + np.array([runner.compile_seconds, runner.run_seconds])

    def shape(x):
        return np.asarray(x).reshape(V, S, *np.shape(x)[1:])

    return Result(
        study.rows(shape(trace.arch)),
        shape(trace.accuracy),
        {name: shape(x) for name, x in trace.info.items()},
        {m: jax.tree.map(shape, tree) for m, tree in kept.items()},
        *(float(x) for x in clock),
    )


def rows_of(space: CellSpace, ops: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """`Study.rows` of a table's `ops` [A, E]: a dictionary of its rows' bytes."""
    ops = np.ascontiguousarray(ops, np.uint8).reshape(len(ops), -1)
    index = {row.tobytes(): i for i, row in enumerate(ops)}

    def rows(arch):
        arch = np.ascontiguousarray(arch, np.uint8)
        axes = arch.ndim - len(space.arch_shape)
        flat = arch.reshape(-1, ops.shape[1])
        found = [index.get(row.tobytes(), -1) for row in flat]
        return np.array(found, np.int32).reshape(arch.shape[:axes])

    return rows


def _zeros(shape):
    return np.zeros(shape.shape, shape.dtype)


def _main() -> bool:
    return jax.process_index() == 0


def _log(out: Path, method: str, done: Any, steps: int, best: float, seconds) -> None:
    info: Mapping[str, np.ndarray] = done.trace.info
    line = {
        "method": method,
        "step": done.last,
        "steps": steps,
        "mean_best": float(best),
        "compile_seconds": float(seconds[0]),
        "run_seconds": float(seconds[1]),
        **{name: float(np.mean(x)) for name, x in info.items()},
    }
    with (out / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
