"""Every method with every seed, one method after another."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import jax

from nasjax.runs import driven_search, table_search
from nasjax.runs.driven_search import SearchRun
from nasjax.runs.folder import Folder
from nasjax.runs.script import Report
from nasjax.runs.table_search import Factory, Result, Study
from nasjax.search import Environment, Searcher, SearchState


def on_table(
    study: Study,
    factories: Mapping[str, Factory],
    args: argparse.Namespace,
    folder: Folder,
    report: Report,
    *,
    steps_name: str = "steps",
    keep: Mapping[str, Callable[[SearchState], Any]] | None = None,
) -> dict[str, Result]:
    """Each method's searches of all columns and seeds of a table.

    Args:
      study: see `table_search.Study`.
      factories: by method.
      args: `resume`, `chunk`, `inner` and `checkpoint_seconds`.
      folder: of the run.
      report: gets a line of seconds for each method.
      steps_name: name of the budget in config.json.
      keep: by method, see `table_search.run`.
    """
    before = table_search.lanes_before(folder, steps_name)
    results = {}
    for method, factory in factories.items():
        results[method] = result = table_search.run(
            study,
            method,
            factory,
            folder=folder,
            resume=args.resume,
            chunk=args.chunk,
            inner=args.inner,
            checkpoint_seconds=args.checkpoint_seconds,
            keep=(keep or {}).get(method, lambda state: ()),
            before=before,
        )
        report.add(
            f"{method}: compile {result.compile_seconds:.1f} s, run "
            f"{result.run_seconds:.1f} s, {len(study.columns) * len(study.seeds)} "
            f"lanes x {study.steps} steps"
        )
    return results


def driven(
    searchers: Mapping[str, Callable[[int], Searcher]],
    env: Environment,
    args: argparse.Namespace,
    folder: Folder,
) -> dict[str, list[SearchRun]]:
    """Each method's searches, one for each seed, one after another.

    Args:
      searchers: by method, from the seed.
      env: shared by all, see `driven_search.run`.
      args: `seeds`, `steps`, `resume` and `checkpoint_seconds`.
      folder: of the run.
    """
    before = folder.before["steps"] if folder.before else None
    searches: dict[str, list[SearchRun]] = {name: [] for name in searchers}
    count = len(searchers) * len(args.seeds)
    for i, (name, build) in enumerate(searchers.items()):
        for s, seed in enumerate(args.seeds):
            search = driven_search.run(
                jax.random.key(seed),
                build(seed),
                env,
                args.steps,
                folder,
                f"{name}/seed{seed}",
                steps_before=before,
                resume=args.resume,
                checkpoint_seconds=args.checkpoint_seconds,
                label=f"{name} seed {seed} ({i * len(args.seeds) + s + 1}/{count})",
            )
            searches[name].append(search)
    return searches
