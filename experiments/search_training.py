"""Searches that train every queried architecture from scratch, several at a time.

    python experiments/search_training.py --space nb201 --preset cpu --workers 2
    python experiments/search_training.py --space darts --workers 4 --devices 0,1,2,3
    python experiments/search_training.py --workers 8 --scheduler HOST:8786

A query trains a network for a few epochs on half of the training images and scores it
on the other half. Each of `--workers` processes has its own GPU (`--devices`) or its
share of the CPU cores; with one worker this process evaluates. The trained network is
one path of a supernet with random weights of its own, so that a process compiles one
program for all architectures instead of one for each. An architecture is trained once,
also where several searches ask it; of NAS-Bench-201 one cell stands for its isomorphism
class.

Each method and seed is a search of `nasjax.parallel` with a journal of its own in
`--out`/METHOD/seed-N. A run that was killed goes on with --resume, also with more
queries, seeds or methods. The best `--candidates` of each method are trained longer, as
networks of their own, and tested on all test images. Cells of NAS-Bench-201 are printed
with their accuracies in the benchmark where its table is found. Written are
results.json, results.txt and searches.png.

`--scheduler` evaluates on a dask cluster (extra `dask`) that sees --out and the data; a
script for SLURM is in experiments/README.md.
"""

import argparse
import contextlib
import dataclasses
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nasjax import parallel
from nasjax.analysis import plots, statistics, text
from nasjax.data import nb201
from nasjax.data.images import NAMES
from nasjax.networks import families
from nasjax.runs import candidate_training, cli, methods, plugins
from nasjax.runs.candidate_training import PRESETS, CandidateRun
from nasjax.runs.folder import Folder
from nasjax.runs.script import Experiment, refusals, script, write_results, written

EXPERIMENT = Experiment(
    "search-training",
    ("results.json", "results.txt", "searches.png"),
    grows=("methods", "seeds", "queries", "candidates", *plugins.ABSENT),
    absent=plugins.ABSENT,
)
METHODS = (methods.BEST, "random")
QUERIES = {"cpu": 40, "full": 200}
TABLE = ("cifar10_valid", "cifar10_test")
Results = dict[str, list[parallel.Result]]


def parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, CandidateRun]:
    """The command line, and the training that it describes."""
    parser = cli.Parser(__doc__ or "")
    add = parser.add_argument
    add("--space", choices=tuple(families.variants()), default="nb201", help="(nb201)")
    add("--preset", choices=tuple(PRESETS), default="full", help="(full)")
    add("--dataset", choices=NAMES, default="cifar10", help="(cifar10)")
    add("--data-dir", default=None, help="folder of the data set's official files")
    add("--queries", type=cli.at_least(1), help="per search (200; preset cpu: 40)")
    add("--seeds", type=cli.seeds, default="1-3", help="of the searches (1-3)")
    add("--candidates", type=cli.at_least(0), default=3, help="trained longer (3)")
    add = EXPERIMENT.add_flags(parser, "runs/search-training")
    plugins.add(parser, argv)
    offered = (*methods.SEARCHERS, *methods.PLUGINS)
    usual = ",".join(METHODS)
    add("--methods", type=cli.names(offered), default=usual, help=f"({usual})")
    add("--workers", type=cli.at_least(1), default=1, help="evaluations at a time (1)")
    add("--devices", type=cli.numbers(0), help="GPUs of the workers, such as 0,1,2,3")
    add("--scheduler", metavar="ADDRESS", help="of dask.distributed")
    add("--timeout", type=cli.at_least(1), help="seconds of an evaluation (no limit)")
    add("--retries", type=cli.at_least(0), default=1, help="of an evaluation (1)")
    add("--max-failures", type=cli.at_least(0), default=10, help="in a row (10)")
    cli.add_config_flags(parser, CandidateRun(), "", "the training (preset full)")
    args = parser.parse_args(argv)
    args.queries = args.queries or QUERIES[args.preset]
    if args.devices and args.workers == 1:
        parser.error("--devices needs --workers of at least 2")
    changes = cli.given(args, CandidateRun(), "") | {"dataset": args.dataset}
    try:
        run = candidate_training.preset(args.space, args.preset, **changes)
        for method in args.methods:
            methods.factory(method, {})(run.searched)  # or raise
    except ValueError as error:
        parser.error(str(error))
    return args, run


@contextlib.contextmanager
def executor_of(args: argparse.Namespace):
    """The executor of the flags; None for this process."""
    if args.scheduler:
        try:
            from distributed import Client
        except ImportError as error:
            raise ValueError("--scheduler needs the extra dask") from error
        with Client(args.scheduler, timeout=30) as client:
            yield client
    elif args.workers > 1:
        with parallel.processes(args.workers, args.devices) as pool:
            yield pool
    else:
        yield None


def search(args: argparse.Namespace, run: CandidateRun, executor: Any) -> Results:
    """Every method with every seed, one search after another."""
    cache = str(args.out / "cache")
    evaluate = candidate_training.Evaluate(run, cache, args.data_dir)
    results: Results = {method: [] for method in args.methods}
    searches = list(itertools.product(args.methods, args.seeds))
    for number, (method, seed) in enumerate(searches, start=1):
        print(f"{method}, seed {seed} ({number}/{len(searches)})", flush=True)
        result = parallel.search(
            jax.random.key(seed),
            methods.factory(method, {})(run.searched),
            evaluate,
            queries=args.queries,
            executor=executor,
            pending=args.workers,
            out=args.out / method / f"seed-{seed}",
            resume=args.resume,
            overwrite=args.overwrite,
            timeout=args.timeout,
            retries=args.retries,
            max_failures=args.max_failures,
            space=run.searched,
        )
        results[method].append(result)
    return results


def best_so_far(results: Sequence[parallel.Result], queries: int) -> np.ndarray:
    """[S, queries], in the order of telling; NaN before the first success."""
    rows = [sorted(result.rows, key=lambda row: row.order) for result in results]
    accuracy = [[row.accuracy for row in told[:queries]] for told in rows]
    return np.fmax.accumulate(np.array(accuracy), axis=1)


def table_of(run: CandidateRun) -> nb201.Table | None:
    """NAS-Bench-201 where these cells and images are its own."""
    if (run.space, run.dataset) != ("nb201", "cifar10"):
        return None
    try:
        return nb201.load(columns=TABLE, predictor=False, log=lambda _: None)
    except nb201.TableError:
        return None


def in_table(table: nb201.Table, arch: np.ndarray) -> dict[str, float]:
    """The benchmark's accuracies of a cell."""
    (row,) = np.flatnonzero((table.ops == np.asarray(arch).ravel()).all(axis=1))
    return {name: float(table.columns[name].values[row]) for name in TABLE}


def retrain(
    args: argparse.Namespace, run: CandidateRun, results: Results, executor: Any
) -> dict[str, list[dict[str, Any]]]:
    """The best of each method, trained longer; each architecture once."""
    table, trained = table_of(run), {}
    lists: dict[str, list[dict[str, Any]]] = {}
    for method, searches in results.items():
        best = sorted(
            (row for result in searches for row in result.best),
            key=lambda row: -row.accuracy,
        )
        chosen = {
            candidate_training.canonical(run, row.arch).tobytes(): row
            for row in best[::-1]
        }
        best = sorted(chosen.values(), key=lambda row: -row.accuracy)[: args.candidates]
        lists[method] = []
        for row in best:
            key = candidate_training.canonical(run, row.arch).tobytes()
            if key not in trained:
                call = candidate_training.retrain, run, run.searched, row.arch
                trained[key] = (
                    executor.submit(*call, args.data_dir)
                    if executor
                    else call[0](*call[1:], args.data_dir)
                )
            entry = {"arch": row.arch, "accuracy": row.accuracy, "key": key}
            lists[method].append(entry | (in_table(table, row.arch) if table else {}))
    for entry in itertools.chain(*lists.values()):
        done = trained[entry.pop("key")]
        entry |= done if isinstance(done, dict) else done.result()
    return lists


def write(
    folder: Folder,
    args: argparse.Namespace,
    config: dict[str, Any],
    run: CandidateRun,
    results: Results,
    candidates: dict[str, list[dict[str, Any]]],
) -> None:
    """results.json, results.txt and the picture; prints the tables."""
    curves = {name: best_so_far(part, args.queries) for name, part in results.items()}
    first, *others = args.methods
    pairs = {
        name: statistics.paired(curves[first][:, -1], curves[name][:, -1])
        for name in others
        if len(args.seeds) > 1
    }
    rows = [
        [name, *(f"{100 * x:.2f}" for x in (last.mean(), last.min(), last.max()))]
        for name, last in ((name, curve[:, -1]) for name, curve in curves.items())
    ]
    parts = [text.text_table(["best of a search", "mean", "lowest", "highest"], rows)]
    if pairs:
        scaled = [
            (
                [f"{first} - {name}"],
                pair._replace(
                    **{field: 100 * getattr(pair, field) for field in pair._fields[:3]}
                ),
            )
            for name, pair in pairs.items()
        ]
        parts.append(text.paired_table(["paired by seed"], scaled))
    entries = [(name, entry) for name in candidates for entry in candidates[name]]
    if entries:
        scores = ["accuracy", "test_accuracy", *TABLE]
        scores = [name for name in scores if name in entries[0][1]]
        cells = [
            [name, *(f"{100 * entry[x]:.2f}" for x in scores), entry["genotype"]]
            for name, entry in entries
        ]
        parts.append(text.text_table(["candidate of", *scores, "genotype"], cells))
    content: dict[str, Any] = {
        "best": {name: curve[:, -1] for name, curve in curves.items()},
        "best_so_far": curves,
        "paired": {name: pair._asdict() for name, pair in pairs.items()},
        "candidates": candidates,
    }
    known = candidate_training.remembered(args.out / "cache")
    content["trainings"] = len(known)
    if (table := table_of(run)) and len(known) > 2:
        truth = [in_table(table, arch)[TABLE[0]] for arch, _ in known]
        rank = statistics.spearman(np.array([x for _, x in known]), np.array(truth))
        content["spearman"] = rank
        parts.append(
            f"Spearman with {TABLE[0]} of {len(known)} trained cells: {rank:.2f}"
        )
    report = "\n\n".join(parts)
    write_results(folder, config, content)
    folder.write_text("results.txt", report + "\n")
    shown = {name: curve[None] for name, curve in curves.items()}
    plots.anytime(
        folder.file("searches.png"), shown, [f"{args.space} by training"], None
    )
    print(f"{report}\n{written(folder)}")


@script
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the experiment."""
    args, run = parse(argv)
    if args.devices:
        jax.config.update("jax_platforms", "cpu")  # the GPUs are the workers'
    cli.say_seeds(args.seeds)
    names = ("methods", "seeds", "queries", "candidates")
    config = {name: getattr(args, name) for name in names}
    config |= {"training": dataclasses.asdict(run), **plugins.record(args)}
    with contextlib.ExitStack() as stack:
        with refusals():
            inputs = [Path(args.data_dir)] if args.data_dir else []
            folder = stack.enter_context(EXPERIMENT.open(args, config, inputs))
            executor = stack.enter_context(executor_of(args))
        results = search(args, run, executor)
        candidates = retrain(args, run, results, executor)
        write(folder, args, config, run, results, candidates)


if __name__ == "__main__":
    sys.exit(main())
