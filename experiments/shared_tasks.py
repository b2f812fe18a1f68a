"""One search over the data sets of NAS-Bench-201, against separate searches.

    python experiments/shared_tasks.py --seeds 1-50

Three searches with a Gaussian process: `separate`, the Bayesian actor-critic on each
data set alone; `together`, one critic of all data sets, which are queried in turn;
`transfer`, one critic again, after `--first` queries of the first data set (60) the
others in turn. Each data set has as many queries in each of them (the first one of a
transfer `--first`). Written are the queries of each data set until its best accuracy is
found: results.json, results.txt, shared.png. A run that was killed goes on with
--resume. The measured values: experiments/README.md.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from nasjax import spaces
from nasjax.analysis import shared_tasks
from nasjax.data import nb201
from nasjax.environments import multi_fidelity, tabular
from nasjax.runs import cli, devices, flags, methods, plugins, table_search
from nasjax.runs.folder import Folder
from nasjax.runs.script import (
    Experiment,
    Report,
    refusals,
    script,
    write_results,
    written,
)

EXPERIMENT = Experiment(
    "shared-tasks",
    ("results.json", "results.txt", "report.txt", "shared.png"),
    grows=("seeds", *plugins.ABSENT, "configs"),
    free=("chunk",),
    absent=plugins.ABSENT,
)
COLUMNS = ("cifar10_valid", "cifar100_valid", "imagenet16_valid")
METHODS = (methods.BEST, methods.TASKS)
SPACE = spaces.nas_bench_201()


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line; a bad value ends the program before any work."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--seeds", type=cli.seeds, default="1-50", help="3, 1,4,7 or 1-10 (1-50)")
    text = "queries of each data set (default 100)"
    add("--queries", type=cli.at_least(2), default=100, help=text)
    text = "queries of the first data set before the others, in a transfer (60)"
    add("--first", type=cli.at_least(1), default=60, help=text)
    text = f"two or more, in this order (default: {','.join(COLUMNS)})"
    add("--columns", type=cli.names(nb201.COLUMNS), default=list(COLUMNS), help=text)
    add("--table", default=None, metavar="PATH", help="npz or folder to read")
    table_search.add_flags(parser, EXPERIMENT)
    flags.add(parser, argv, METHODS, usual=METHODS)
    args = parser.parse_args(argv)
    if len(args.columns) < 2:
        parser.error(f"--columns {args.columns[0]}: two or more are needed")
    args.methods = list(METHODS)
    with parser.refusals():
        args.configs = flags.configs(args, METHODS)
    chosen, usual = args.configs[methods.TASKS], methods.METHODS[methods.TASKS].config
    if (chosen.schedule, chosen.first) != (usual.schedule, usual.first):
        parser.error(
            "--tasks-schedule and --tasks-first: both schedules are run here, and the "
            "queries of the first data set are --first"
        )
    return args


def search(
    args: argparse.Namespace, folder: Folder, report: Report, table: nb201.Table
) -> shared_tasks.Searches:
    """The separate and the shared searches."""
    names, queries = args.columns, args.queries
    optima = np.array([table.columns[name].values.max() for name in names])
    rows, count = table_search.rows_of(SPACE, nb201.official_ops()), len(names)
    env = tabular(SPACE, table, names)
    study = table_search.Study(SPACE, env, rows, names, args.seeds, queries)
    made = {methods.BEST: methods.factory(methods.BEST, args.configs)}
    results = table_search.run(study, made, args, folder, report)
    firsts = {shared_tasks.SEPARATE: shared_tasks.separate(*results.values(), optima)}
    every = {shared_tasks.SEPARATE: [queries] * count}
    every["together"] = [queries] * count
    every["transfer"] = [args.first] + [queries] * (count - 1)
    env, whole = multi_fidelity(SPACE, table, [names], cost=(1,) * count), ["all"]
    for kind in ("together", "transfer"):
        steps = sum(every[kind])
        study = table_search.Study(SPACE, env, rows, whole, args.seeds, steps)
        config = args.configs[methods.TASKS].replace(schedule=kind, first=args.first)
        made = {
            kind: methods.factory(methods.TASKS, {methods.TASKS: config}, (1,) * count)
        }
        result = table_search.run(study, made, args, folder, report)[kind]
        firsts[kind] = shared_tasks.shared(result, optima)
    return shared_tasks.Searches(firsts, names, every)


@script
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the experiment."""
    devices.use_cpu_cores(threads_inside_operations=False)
    args = parse(argv)
    cli.say_seeds(args.seeds)
    report = Report(args.verbose)
    with refusals():
        table = nb201.load(args.table, columns=args.columns, predictor=False)
        config = {
            **{name: getattr(args, name) for name in ("seeds", "queries", "first")},
            "preset": args.preset,
            "inner": args.inner,
            "columns": {n: table.columns[n].sha256 for n in args.columns},
            **flags.record(args),
        }
        folder = EXPERIMENT.open(args, config, [args.table], args.configs)
    with folder:
        found = search(args, folder, report, table)
        found.draw(folder.file("shared.png"))
        folder.write_text("results.txt", f"{found.report()}\n")
        write_results(folder, config, {"results": found.describe()})
        report.write(folder)
        print(found.report())
        print(written(folder))


if __name__ == "__main__":
    sys.exit(main())
