"""Searches that train every queried architecture from scratch, several at a time.

    python experiments/search_training.py --space nb201 --preset cpu --workers 2
    python experiments/search_training.py --space darts --workers 4 --devices 0,1,2,3
    python experiments/search_training.py --workers 8 --scheduler HOST:8786

A query trains a network for a few epochs on half of the training images and scores it
on the other half. Each of `--workers` processes has its own GPU (`--devices`) or its
share of the CPU cores; with one worker this process evaluates. The trained network is
one path of a supernet with random weights of its own, so that a process compiles one
program for all architectures instead of one for each. An architecture is trained once,
even if several searches query it; cells of NAS-Bench-201 that compute the same function
count as one.

Each method and seed is a search of `nasjax.parallel` with a journal of its own in
`--out`/METHOD/seed-N. A run that was killed goes on with --resume, also with more
queries, seeds or methods. The best `--candidates` of each method are trained longer, as
networks of their own, and tested on all test images. Cells of NAS-Bench-201 are printed
with their accuracies in the benchmark where its table is found. Written are
results.json, results.txt and searches.png.

`--fidelities 1,3,9` lets hyperband, successive-halving and bohb choose the epochs of
each training; others train for the last number. Every level is a training from scratch
and costs its epochs; `--budget` ends a search when so many are spent.

`--scheduler` evaluates on a dask cluster (extra `dask`) that sees --out and the data; a
script for SLURM is in experiments/README.md.
"""

import argparse
import contextlib
import dataclasses
import itertools
import sys
from collections.abc import Sequence
from typing import Any

import jax

from nasjax import parallel
from nasjax.analysis import training_searches
from nasjax.data.images import NAMES
from nasjax.networks import families
from nasjax.parallel.executors import Serial
from nasjax.runs import (
    bounds,
    candidate_config,
    candidate_training,
    cli,
    configs,
    image_flags,
    methods,
    plugins,
)
from nasjax.runs.candidate_config import PRESETS, CandidateRun
from nasjax.runs.script import Experiment, refusals, script, written
from nasjax.search import constrained, fidelity

EXPERIMENT = Experiment(
    "search-training",
    ("results.json", "results.txt", "searches.png"),
    grows=("methods", "seeds", "queries", "budget", "candidates", *plugins.ABSENT),
    free=("image_facts",),
    absent={"fidelities": [], "budget": None} | plugins.ABSENT | bounds.ABSENT,
)
METHODS = (methods.BEST, "random")
QUERIES = {"cpu": 40, "full": 200}
Results = dict[str, list[parallel.Result]]


def parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, CandidateRun]:
    """The command line, and the training that it describes."""
    parser = cli.Parser(__doc__ or "")
    add = parser.add_argument
    add(
        "--preset",
        choices=tuple(PRESETS),
        default="full",
        help="of the training (full)",
    )
    image_flags.add(parser, NAMES, "cifar10")
    add(
        "--queries",
        type=cli.at_least(1),
        help="architectures per search (200; preset cpu: 40)",
    )
    add("--seeds", type=cli.seeds, default="1-3", help="of the searches (1-3)")
    add("--candidates", type=cli.at_least(0), default=3, help="trained longer (3)")
    add = EXPERIMENT.add_flags(parser, "runs/search-training")
    plugins.add(parser, argv)
    spaces = tuple(families.variants())
    text = "search space (nb201)"
    parser.add_argument("--space", choices=spaces, default="nb201", help=text)
    offered = (*methods.SEARCHERS, *methods.FIDELITIES, *methods.PLUGINS)
    usual = ",".join(METHODS)
    text = f"of {', '.join(offered)} (default: {usual})"
    read = cli.names(offered)
    add("--methods", type=read, default=usual, metavar="NAME,...", help=text)
    add("--workers", type=cli.at_least(1), default=1, help="evaluations at a time (1)")
    add("--devices", type=cli.numbers(0), help="GPUs of the workers, such as 0,1,2,3")
    add("--scheduler", metavar="ADDRESS", help="of dask.distributed")
    add("--timeout", type=cli.at_least(1), help="seconds of an evaluation (no limit)")
    add("--retries", type=cli.at_least(0), default=1, help="of a failed evaluation (1)")
    text = "a search ends when more queries than this fail in a row (10)"
    add("--max-failures", type=cli.at_least(0), default=10, help=text)
    text = "epochs of the levels, rising, such as 1,3,9"
    add("--fidelities", type=cli.numbers(1), default=[], help=text)
    text = "epochs of trainings in all, after which a search ends (with --fidelities)"
    add("--budget", type=cli.at_least(1), help=text)
    image_flags.add_own(parser)
    bounds.add(parser, "the networks that the best are trained longer as")
    cli.add_config_flags(parser, CandidateRun(), "", "the training (preset full)")
    args = parser.parse_args(argv)
    args.queries = args.queries or QUERIES[args.preset]
    if args.devices and (args.workers == 1 or args.scheduler):
        parser.error("--devices needs --workers of at least 2 and no --scheduler")
    changes = cli.changes(args, CandidateRun(), "") | image_flags.changes(args)
    if args.budget and not args.fidelities:
        parser.error("--budget needs --fidelities: epochs are counted of levels")
    try:
        if args.fidelities:
            fidelity.check_costs(args.fidelities)
            if changes.setdefault("epochs", top := args.fidelities[-1]) != top:
                raise ValueError(f"--epochs is the last of --fidelities, {top}")
        run = candidate_config.preset(args.space, args.preset, **changes)
        for method in args.methods:
            methods.factory(method, {}, args.fidelities or None)(run.searched)
        args.constraint = bounds.constraint(args, run.searched, run.costs)
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
    epochs = tuple(args.fidelities)
    evaluate = candidate_training.Evaluate(run, cache, args.data_dir, epochs)
    names = [f"{n} epochs" for n in epochs]
    levels = fidelity.levels(epochs, names) if epochs else None
    results: Results = {method: [] for method in args.methods}
    searches = list(itertools.product(args.methods, args.seeds))
    for number, (method, seed) in enumerate(searches, start=1):
        print(f"{method}, seed {seed} ({number}/{len(searches)})", flush=True)
        searcher = methods.factory(method, {}, epochs or None)(run.searched)
        if args.constraint is not None:
            searcher = constrained(searcher, args.constraint)
        result = parallel.search(
            jax.random.key(seed),
            searcher,
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
            levels=levels,
            budget=args.budget,
            space=run.searched,
        )
        results[method].append(result)
    return results


def retrain(
    args: argparse.Namespace, run: CandidateRun, results: Results, executor: Any
) -> dict[str, list[dict[str, Any]]]:
    """The best of each method, trained longer; each architecture once."""
    submit = (executor or Serial()).submit
    table, trained = training_searches.table_of(run), {}
    lists: dict[str, list[dict[str, Any]]] = {}
    for method, searches in results.items():
        best = [row for result in searches for row in result.best]
        best.sort(key=lambda row: row.accuracy)
        keys = [candidate_training.canonical(run, row.arch).tobytes() for row in best]
        chosen = dict(zip(keys, best, strict=True))
        chosen = dict(sorted(chosen.items(), key=lambda pair: -pair[1].accuracy))
        lists[method] = []
        for key, row in itertools.islice(chosen.items(), args.candidates):
            if key not in trained:
                call = candidate_training.retrain, run, run.searched, row.arch
                trained[key] = submit(*call, args.data_dir)
            entry = {"arch": row.arch, "accuracy": row.accuracy, "key": key}
            true = training_searches.in_table(table, row.arch) if table else {}
            lists[method].append(entry | true)
    for entry in itertools.chain(*lists.values()):
        entry |= trained[entry.pop("key")].result()
    return lists


@script
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the experiment."""
    args, run = parse(argv)
    if args.devices:
        jax.config.update("jax_platforms", "cpu")  # the GPUs are the workers'
    cli.say_seeds(args.seeds)
    names = ("methods", "seeds", "queries", "candidates", "fidelities", "budget")
    config = {name: getattr(args, name) for name in names}
    config |= {"training": configs.to_json(run), **plugins.record(args)}
    config |= bounds.record(args)
    with contextlib.ExitStack() as stack:
        with refusals():
            data = candidate_training.check(run, args.data_dir)
            if data.facts:  # of the user's own images, whose classes are known now
                run = dataclasses.replace(run, classes=data.classes)
                args.constraint = bounds.constraint(args, run.searched, run.costs)
                config |= {"training": configs.to_json(run)}
                config |= {"data_sha256": data.sha256, "image_facts": data.facts}
            inputs = image_flags.inputs(args)
            executor = stack.enter_context(executor_of(args))
            folder = stack.enter_context(EXPERIMENT.open(args, config, inputs))
        if args.constraint is not None:
            print(bounds.described(run.searched, args.constraint))
        results = search(args, run, executor)
        candidates = retrain(args, run, results, executor)
        known = candidate_training.remembered(args.out / "cache")
        report = training_searches.write(
            folder, config, run, results, candidates, known
        )
        print(f"{report}\n{written(folder)}")


if __name__ == "__main__":
    sys.exit(main())
