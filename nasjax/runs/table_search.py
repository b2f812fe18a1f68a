"""A study: methods x columns x seeds on one table, as lanes, resumable.

Every method searches every column with every seed. The lanes of a method are one
jitted computation, run in chunks of steps by `nasjax.runs.job`, so that a killed study
goes on to the same bits. A resumed study may also have more columns, seeds, methods or
steps: what is there is kept, what is new is computed.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax import search
from nasjax.runs import job
from nasjax.runs.configs import read_object
from nasjax.runs.folder import CHECKPOINTS, Folder
from nasjax.runs.table_lanes import Factory, Group, Lanes, Study
from nasjax.spaces import CellSpace

__all__ = ["Factory", "Group", "Result", "Study", "rows_of", "run"]


class Result(NamedTuple):
    """One method's queries: V columns, S seeds, T steps."""

    arch_index: np.ndarray  # int32 [V, S, T], row of the table, -1 if not in it
    accuracy: np.ndarray  # float32 [V, S, T], as observed
    info: dict[str, np.ndarray]  # of [V, S, T], the searcher's diagnostics
    states: dict[int, Any]  # searcher states [V, S, ...] after so many steps
    compile_seconds: float
    run_seconds: float


def run(
    study: Study,
    method: str,
    factory: Factory,
    *,
    folder: Folder | None = None,
    resume: bool = False,
    chunk: int = 50,
    inner: str = "auto",
    mesh: Any = None,
    checkpoint_seconds: float = 20.0,
    keep: Callable[[search.SearchState], Any] = lambda state: (),
    before: Group | None = None,
) -> Result:
    """Runs one method over all columns and seeds.

    Args:
      study: see `Study`.
      method: its name, for files and the progress bar.
      factory: builds the searcher from the space (and a table, see `Study`).
      folder: of the run, for checkpoints and the log; nothing is written if None.
      resume: start from the newest checkpoints, if there are any.
      chunk, inner, mesh: see `nasjax.lanes`. The chunk fixes no result.
      checkpoint_seconds: a checkpoint after the first chunk that ends so long after
        the last one (and at every milestone and the end).
      keep: what of the gathered state to return at milestones.
      before: lanes of the checkpoints of a version that did not list them.

    Returns:
      A `Result`; seconds include those before a resume.
    """
    wanted = [(c, int(s)) for c in study.columns for s in study.seeds]
    groups = _groups(study, method, factory, folder, resume, before)
    held = {lane for group in groups for lane in group.lanes() if group.used}
    new = [lane for lane in wanted if lane not in held]
    if new:
        name = f"{method}+{len(groups)}" if groups else method
        columns, seeds = map(list, zip(*new, strict=True))
        groups.append(Group(name, columns, seeds, []))
    for group in groups:
        if group.used and study.steps not in group.steps:
            group.steps.append(study.steps)
    if folder is not None:
        content = [dataclasses.asdict(group) for group in groups]
        folder.write_json(_listing(method), {"groups": content})
    parts, order, clock = [], [], np.zeros(2)
    for group in groups:
        if group.used:
            options = {"chunk": chunk, "inner": inner, "mesh": mesh, "keep": keep}
            task = Lanes(study, method, factory, group, **options)
            carry = job.run(
                task, folder, resume=resume, checkpoint_seconds=checkpoint_seconds
            )
            parts.append((carry["trace"], carry["kept"]))
            order += group.lanes()
            clock = clock + task.seconds(carry)
    place = {lane: i for i, lane in enumerate(order)}
    index = np.array([place[lane] for lane in wanted])
    V, S = len(study.columns), len(study.seeds)

    def shape(*x):
        whole = np.concatenate([np.asarray(part) for part in x])[index]
        return whole.reshape(V, S, *whole.shape[1:])

    trace = jax.tree.map(shape, *(trace for trace, _ in parts))
    kept = jax.tree.map(shape, *(kept for _, kept in parts))
    return Result(
        study.rows(trace.arch),
        trace.accuracy,
        dict(trace.info),
        kept,
        *(float(x) for x in clock),
    )


def lanes_before(folder: Folder, steps: str = "steps") -> Group | None:
    """The lanes of a resumed run, of a version that did not list them.

    Args:
      folder: its configuration names `columns`, `seeds` and the budget.
      steps: what it calls the budget.
    """
    before = folder.before
    if before is None:
        return None
    lanes = [(c, s) for c in before["columns"] for s in before["seeds"]]
    columns, seeds = map(list, zip(*lanes, strict=True))
    return Group("", columns, seeds, [before[steps]])


def _listing(method: str) -> str:
    return f"{CHECKPOINTS}/{method}.json"


def _groups(
    study: Study,
    method: str,
    factory: Factory,
    folder: Folder | None,
    resume: bool,
    before: Group | None,
) -> list[Group]:
    """The groups of a resumed method; those that can be extended are `used`."""
    if folder is None or not resume:
        return []
    path = folder.path / _listing(method)
    if path.exists():
        groups = [Group(**entry) for entry in read_object(path)["groups"]]
    elif before is not None and (folder.checkpoints / method).is_dir():
        lanes = [lane for lane in before.lanes() if lane[0] in study.columns]
        columns, seeds = map(list, zip(*lanes, strict=True))
        groups = [Group(method, columns, seeds, before.steps)]
    else:
        return []
    extended = [g for g in groups if g.used and g.steps[-1] != study.steps]
    table = (study.env.params,) if study.incomplete else ()
    if extended:
        searcher = factory(study.space, *table)
        if not all(search.budget_free(searcher, g.steps[-1]) for g in extended):
            print(
                f"{method}: what it remembers depends on the number of queries "
                f"({extended[0].steps[-1]} then, {study.steps} now): it starts anew"
            )
            groups = [dataclasses.replace(group, used=False) for group in groups]
    return groups


def rows_of(space: CellSpace, ops: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """`Study.rows` of a table's `ops` [A, E]: a dictionary of its rows' bytes."""
    ops = np.ascontiguousarray(ops, np.uint8).reshape(len(ops), -1)
    index = {row.tobytes(): i for i, row in enumerate(ops)}

    def rows(arch):
        arch = np.ascontiguousarray(arch, np.uint8)
        axes = arch.ndim - len(space.arch_shape)
        flat = arch.reshape(-1, ops.shape[1])
        indices = [index.get(row.tobytes(), -1) for row in flat]
        return np.array(indices, np.int32).reshape(arch.shape[:axes])

    return rows
