"""Searches of a table: methods x columns x seeds, resumable.

Every method searches every column with every seed. The lanes of a method are one
jitted computation, run in chunks of steps by `nasjax.runs.job`, so that a run that was
killed goes on to the same bits. A resumed run may also have more columns, seeds,
methods or steps: finished lanes are kept and, if there are more steps, go on (or start
anew where what a searcher remembers depends on their number); new ones are computed.
"""

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax import lanes, search
from nasjax.runs import cli, job
from nasjax.runs.configs import read_object
from nasjax.runs.folder import CHECKPOINTS, Folder
from nasjax.runs.script import Experiment, Report
from nasjax.runs.table_lanes import Factory, Group, Lanes, Study
from nasjax.spaces import CellSpace

__all__ = ["Factory", "Result", "Study", "rows_of", "run"]

Keep = Callable[[search.SearchState], Any]


class Result(NamedTuple):
    """One method's queries: V columns, S seeds, T steps."""

    arch_index: np.ndarray  # int32 [V, S, T], row of the table, -1 if not in it
    accuracy: np.ndarray  # float32 [V, S, T], as observed
    info: dict[str, np.ndarray]  # of [V, S, T], the searcher's diagnostics
    states: dict[int, Any]  # `keep` of the states [V, S, ...] after so many steps
    compile_seconds: float  # with those before a resume
    run_seconds: float  # likewise
    metrics: Mapping[str, np.ndarray] = {}  # of the outcomes, float32 [V, S, T] each


def add_flags(
    parser: argparse.ArgumentParser, experiment: Experiment
) -> Callable[..., argparse.Action]:
    """The flags of a run of these searches; returns `add_argument` of their group."""
    text = "print the lines of report.txt, too"
    parser.add_argument("--verbose", action="store_true", help=text)
    add = experiment.add_flags(parser, f"runs/{experiment.name}", seconds=20)
    add("--chunk", type=cli.at_least(2), default=50, help="steps per report (50)")
    add("--inner", choices=lanes.INNER, default="auto", help="lanes within a device")
    return add


def run(
    study: Study,
    factories: Mapping[str, Factory],
    args: argparse.Namespace,
    folder: Folder,
    report: Report,
    keep: Mapping[str, Keep] | None = None,
) -> dict[str, Result]:
    """Runs the methods one after another, each over all columns and seeds.

    Args:
      study: see `Study`.
      factories: by method: a searcher from the space (and a table, see `Study`).
      args: `resume`; `checkpoint_seconds`, the least time between checkpoints, which
        milestones and the end have anyway; `chunk`, steps between reports, which change
        no result; `inner`, see `nasjax.lanes`.
      folder: of the run, for checkpoints and the log.
      report: gets a line of seconds for each method.
      keep: by method, the part of the gathered state to return at milestones.

    Returns:
      Results by method.

    Raises:
      StoppedError, RunError, CheckpointError: as `job.run`.
    """
    results = {}
    for method, factory in factories.items():
        kept = (keep or {}).get(method, lambda state: ())
        results[method] = result = _run(study, method, factory, args, folder, kept)
        report.add(
            f"{method}: compile {result.compile_seconds:.1f} s, run "
            f"{result.run_seconds:.1f} s, {len(study.columns) * len(study.seeds)} "
            f"lanes x {study.steps} steps"
        )
    return results


def _run(
    study: Study,
    method: str,
    factory: Factory,
    args: argparse.Namespace,
    folder: Folder,
    keep: Keep,
) -> Result:
    wanted = [(c, int(s)) for c in study.columns for s in study.seeds]
    listing = f"{CHECKPOINTS}/{method}.json"
    groups = _groups(study, method, factory, folder, listing) if args.resume else []
    started = {lane for group in groups for lane in group.lanes() if group.used}
    if new := [lane for lane in wanted if lane not in started]:
        name = f"{method}+{len(groups)}" if groups else method
        groups.append(Group.of(name, new))
    used = [group for group in groups if group.used]
    for group in used:
        if study.steps not in group.steps:
            group.steps.append(study.steps)
    content = [dataclasses.asdict(group) for group in groups]
    folder.write_json(listing, {"groups": content})
    parts, clock = [], np.zeros(2)
    for group in used:
        options = {"chunk": args.chunk, "inner": args.inner, "keep": keep}
        task = Lanes(study, method, factory, group, **options)
        seconds = args.checkpoint_seconds
        carry = job.run(task, folder, resume=args.resume, checkpoint_seconds=seconds)
        parts.append((carry["trace"], carry["kept"]))
        clock = clock + task.seconds(carry)
    computed = [lane for group in used for lane in group.lanes()]
    place = {lane: i for i, lane in enumerate(computed)}
    index = np.array([place[lane] for lane in wanted])

    def shape(*x):
        whole = np.concatenate([np.asarray(part) for part in x])[index]
        return whole.reshape(len(study.columns), len(study.seeds), *whole.shape[1:])

    trace, kept = jax.tree.map(shape, *parts)
    info, rows = dict(trace.info), study.rows(trace.arch)
    compiling, running = map(float, clock)
    metrics = dict(trace.metrics)
    return Result(rows, trace.accuracy, info, kept, compiling, running, metrics)


def _groups(
    study: Study, method: str, factory: Factory, folder: Folder, listing: str
) -> list[Group]:
    """The groups of a resumed method; those that can be extended are `used`."""
    before = folder.before
    if (folder.path / listing).exists():
        content = read_object(folder.path / listing)
        groups = [Group(**entry) for entry in content["groups"]]
    elif before is not None and (folder.checkpoints / method).is_dir():
        # An earlier version, which listed no lanes: every column with every seed.
        columns = [column for column in before["columns"] if column in study.columns]
        pairs = [(column, seed) for column in columns for seed in before["seeds"]]
        # config.json calls the budget as the script's flag does.
        steps = before["steps"] if "steps" in before else before["queries"]
        groups = [Group.of(method, pairs, steps)]
    else:
        return []
    extended = [g for g in groups if g.used and g.steps[-1] != study.steps]
    if extended:
        table = (study.env.params,) if study.incomplete else ()
        searcher = factory(study.space, *table)
        if not all(search.budget_free(searcher, g.steps[-1]) for g in extended):
            print(
                f"{method}: what it remembers depends on the number of queries "
                f"({extended[0].steps[-1]} then, {study.steps} now): it starts anew"
            )
            groups = [dataclasses.replace(group, used=False) for group in groups]
    return groups


def rows_of(space: CellSpace, ops: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """`Study.rows` of a table, by a dictionary of its rows' bytes.

    Args:
      space: of the table.
      ops: uint8 [A, *arch_shape], or flattened [A, E].
    """
    ops = np.ascontiguousarray(ops, np.uint8).reshape(len(ops), -1)
    index = {row.tobytes(): i for i, row in enumerate(ops)}

    def rows(arch):
        arch = np.ascontiguousarray(arch, np.uint8)
        axes = arch.ndim - len(space.arch_shape)
        flat = arch.reshape(-1, ops.shape[1])
        indices = [index.get(row.tobytes(), -1) for row in flat]
        return np.array(indices, np.int32).reshape(arch.shape[:axes])

    return rows
