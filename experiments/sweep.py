"""Sweeps of searchers' hyper-parameters on NAS-Bench-201: thousands of searches.

    python experiments/sweep.py --methods cadam --columns cifar10_valid \\
        --set tau=0.5:0.99:6 --set actor-lr=1e-8,1e-7,1e-6 \\
        --set hidden=128x256x128,128x128x128 --seeds 1-100

searches each column with each seed and each combination of the values (`--design
one-at-a-time`: the base, then each value alone). Names are those of nb201.py's flags
without the searcher's prefix, `METHOD.NAME` where several methods run; the flags
themselves set the base. `low:high:count` are equal steps, `log:low:high:count` equal
factors. A setting that differs from another only in fields without effect is left out.

Settings that differ in numbers which only enter the arithmetic are lanes of one
compiled program. Before it starts the script prints settings, programs, lanes and the
memory a lane takes, after each chunk of lanes the time left. A run that was killed goes
on with `--resume` to the same bits, also on another number of devices, or with more
values, seeds, columns or methods; what is done is kept.

It writes sweep.csv and sweep.npz (a row per search and number of queries: best
accuracy, its rank in the column, mean accuracy of the policy's own last actions,
queries to the optimum), report.txt (means with 95% intervals, comparisons with
`--reference` paired over seeds), results.json, log.jsonl, and a picture for each
hyper-parameter and, in a grid, for each pair.
"""

import argparse
import sys
from typing import Any

import jax
import numpy as np

from nasjax import spaces
from nasjax.analysis import nb201 as nb201_searches
from nasjax.analysis import plots, printed, sweep_effects, sweeps
from nasjax.data import nb201
from nasjax.runs import (
    cli,
    devices,
    flags,
    methods,
    plugins,
    setting_flags,
    table_search,
)
from nasjax.runs.script import (
    Experiment,
    Report,
    refusals,
    script,
    write_results,
    written,
)
from nasjax.runs.settings import DESIGNS, settings
from nasjax.runs.sweeps import Sweep

EXPERIMENT = Experiment(
    "sweep",
    ("sweep.csv", "sweep.npz", "results.json", "report.txt", "*.png"),
    grows=("seeds", "methods", *plugins.ABSENT, "columns", "settings", "configs"),
    absent=plugins.ABSENT,
)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Reads the command line; a bad value ends the program before any work."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    text = "values of a hyper-parameter, see above; may be repeated"
    add("--set", action="append", default=[], metavar="NAME=VALUES", help=text)
    text = "all combinations, or the base and each value alone (default grid)"
    add("--design", choices=DESIGNS, default="grid", help=text)
    add("--seeds", type=cli.seeds, default="1-10", help="3, 1,4,7 or 1-10 (default)")
    add("--steps", type=cli.at_least(1), default=1000, help="queries (default 1000)")
    text = f"comma-separated, of {', '.join(nb201.COLUMNS)} (default: all)"
    add("--columns", type=cli.names(nb201.COLUMNS), default=None, help=text)
    text = "numbers of queries to report, such as 100,500 (default: the end)"
    add("--at", type=cli.numbers(1), default=[], metavar="N,N,...", help=text)
    text = "queries of the late policy's mean accuracy (default 100)"
    add("--late", type=cli.at_least(1), default=sweeps.LATE, help=text)
    text = "setting to compare with, as report.txt names them (default: the base)"
    add("--reference", default=None, metavar="'NAME=VALUE ...'", help=text)
    text = "score every setting by a printed table: see experiments/README.md"
    add("--against", choices=tuple(printed.TABLES), default=None, help=text)
    add = table_search.add_flags(parser, EXPERIMENT)
    add("--plan", action="store_true", help="print what the sweep takes, and stop")
    add("--lanes", type=cli.at_least(1), default=None, help="most lanes per chunk")
    text = "MB for lanes on each device, of a CPU on each core (default: half of what "
    add("--memory", type=cli.at_least(1), default=None, help=f"{text}is free)")
    add("--distributed", action="store_true", help="call jax.distributed.initialize()")
    add = parser.add_argument_group("the table").add_argument
    add("--table", default=None, metavar="PATH", help="npz, CSV or folder to read")
    add("--no-predictor", action="store_true", help="refuse predicted columns")
    flags.add(parser, argv, usual=("cadam",))
    args = parser.parse_args(argv)
    args.methods = args.methods or ["cadam"]
    args.columns = args.columns or list(nb201.COLUMNS)
    args.at = sorted({*args.at, args.steps})
    with parser.refusals():
        if args.at[-1] > args.steps:
            raise ValueError(f"--at {args.at[-1]} is over --steps {args.steps}")
        if args.against is not None:
            against = printed.TABLES[args.against](args.columns)
            if lacking := [str(n) for n in against.budgets if n not in args.at]:
                needed = ",".join(map(str, against.budgets))
                raise ValueError(
                    f"--against {args.against} needs --at {needed}: "
                    f"{', '.join(lacking)} is missing"
                )
            if len(args.seeds) < 2:
                raise ValueError(f"--against {args.against} needs at least 2 seeds")
        if args.distributed:  # before anything starts a JAX backend
            devices.join_hosts()
        args.configs = flags.configs(args)
        read = setting_flags.read_sets(args.set, args.methods)
        args.settings = [
            setting
            for name in args.methods
            for setting in settings(
                name, read[name], args.configs.get(name), args.design
            )
        ]
        for name in args.methods:
            methods.factory(name, args.configs)(spaces.nas_bench_201())
        args.compared_with = reference(args)
    return args


def reference(args: argparse.Namespace) -> Any:
    """The setting of `--reference`; by default the base, None if it is not searched."""
    if args.reference is not None:
        return setting_flags.named(args.reference, args.settings)
    base = settings(args.methods[0], {}, args.configs.get(args.methods[0]))
    return next((x for x in args.settings if x.name == base[0].name), None)


def record(args: argparse.Namespace, described: dict[str, dict]) -> dict[str, Any]:
    """The configuration that fixes a run's results."""
    return {
        **{name: getattr(args, name) for name in ("seeds", "steps", "methods")},
        "inner": args.inner,
        "columns": {
            name: {key: d[key] for key in ("sha256", "benchmark_version")}
            for name, d in described.items()
        },
        "settings": [setting.name for setting in args.settings],
        **flags.record(args),
    }


def write(args, folder, report, config, described, results) -> None:
    """Files, pictures and the screen."""
    folder.write_text("sweep.csv", results.csv())
    folder.write_npz("sweep.npz", **results.tidy())
    report.add(results.report(args.compared_with))
    content: dict[str, Any] = {"columns": described}
    if args.against is not None:
        found = printed.scores(results, printed.TABLES[args.against](results.columns))
        report.add(f"\n{args.against}, as printed\n{found.report()}")
        content["against"] = {args.against: found.to_json()}
        plots.scores(
            folder.file("against.png"), found.names, found.score, found.interval
        )
    report.write(folder)
    ranks = dict(zip(results.names, results.mean_ranks().tolist(), strict=True))
    asked = {"at": args.at, "late": args.late, "design": args.design, "set": args.set}
    content |= {"asked": asked, "mean_rank": ranks}
    write_results(folder, config, content)
    sweep_effects.draw(results, folder.file)
    print(results.screen())
    print(written(folder))


def planned(args, table, folder=None, plan=None) -> tuple[table_search.Study, Sweep]:
    """The sweep of the command line."""
    study = sweeps.study_of(table, args.seeds, args.steps)
    sweep = Sweep(
        study,
        args.settings,
        folder,
        resume=args.resume and folder is not None,
        lanes=args.lanes,
        bytes_per_device=args.memory and args.memory * 10**6,
        steps_per_report=args.chunk,
        inner=args.inner,
        checkpoint_seconds=args.checkpoint_seconds,
        plan=plan,
    )
    return study, sweep


@script
def main(argv: list[str] | None = None) -> None:
    """Runs the experiment."""
    devices.use_cpu_cores(threads_inside_operations=False)
    args = parse(argv)
    writes = jax.process_index() == 0
    cli.say_seeds(args.seeds)
    report = Report(args.verbose and writes)
    with refusals():
        predictor = not args.no_predictor
        table = nb201.load(args.table, columns=args.columns, predictor=predictor)
        plan = planned(args, table)[1]  # or raise, before anything is written
        if args.plan:
            print(plan.describe())
            return
        described = nb201_searches.describe_columns(table, "mean")
        for item in described.items():
            report.add(nb201_searches.column_line(*item))
        config = record(args, described)
        inputs = [args.table]
        folder = EXPERIMENT.open(args, config, inputs, args.configs, writes=writes)
    with folder:
        with refusals():
            study, sweep = planned(args, table, folder, plan)
        text = sweep.describe()
        report.add(text)
        say = (lambda line: print(line, flush=True)) if writes else (lambda line: None)
        say(text)
        values = np.stack([column.values for column in table.columns.values()])
        chunks = sweep.run(say)
        results = sweeps.collect(
            chunks, args.settings, study, values, args.at, args.late
        )
        if writes:
            write(args, folder, report, config, described, results)


if __name__ == "__main__":
    sys.exit(main())
