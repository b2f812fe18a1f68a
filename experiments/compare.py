"""Searchers at equal queries on any benchmark table.

    python experiments/compare.py --table nb201.npz --columns cifar100_valid \\
        --goal max --queries 200 --seeds 1-50

searches each column for itself with every method, 200 queries per search; every query
counts, also one that repeats an earlier one. `--table` is an npz file with `ops` uint8
[n, E] (a row per architecture; any number of edges and operations, complete or not),
optional `op_names` and value columns of any unit. `--goal min` looks for the lowest
value; `--trial random` returns one of a row's `NAME_trials` [n, R] at each query, and
reports the values (means) of what looked best. A proposal that is not in the table is
replaced by the row that differs on the fewest edges (of several, the lowest row), and
the searcher is told so. A value that is not finite is an evaluation that failed: with
`--failed worst` it can be queried, counts as a query and is learnt as bad; with
`absent` its row cannot be queried. Columns that cannot be used are listed.

    python experiments/compare.py --table nb201.npz,hw_nb201.npz \\
        --objectives cifar100_valid:max,help_*_latency_ms:min

searches for the front of several columns (files of the same rows are joined), once
for each column that a shell pattern matches. It prints the hypervolume, from the worst
value of each objective over the table and in percent of the exact front's, and the
queries to 90, 95 and 99 % of it; hypervolume.png and fronts.png show them. Bounds, such
as `--constraint "latency<=5.0"` or, a quantile, `"latency<=50%"`, are learnt as well.

Scores that are no fractions are scaled, for CADAM's reward 100^x, by the lowest and
highest seen so far. `--ablation` adds the parts of the best searcher left out one by
one. It prints the means, best method first; the long tables are in report.txt of the
folder `--out` (`--verbose` prints them too), with results.json, results.npz (rows of
the file and values of every query), log.jsonl, regret.png (mean and 95% band over
seeds) and, with `--ablation`, ablation.png. A run that was killed goes on with
`--resume`, to the same bits.

Measured on NAS-Bench-201 (experiments/README.md): after 200 queries the Bayesian
actor-critic is at the optimum in all 50 seeds of every column.
"""

import argparse
import sys
import textwrap
from typing import Any

import numpy as np

from nasjax.analysis import front_report, table_report
from nasjax.analysis.fronts import Fronts
from nasjax.data import tables
from nasjax.environments.tabular import from_arrays
from nasjax.runs import (
    bounds,
    cli,
    devices,
    flags,
    methods,
    objective_flags,
    plugins,
    table_search,
)
from nasjax.runs.script import (
    SCREEN,
    Experiment,
    Report,
    refusals,
    script,
    wrapped,
    write_results,
    written,
)

EXPERIMENT = Experiment(
    "compare",
    (
        *("results.json", "results.npz", "report.txt"),
        *("regret.png", "ablation.png", "hypervolume.png", "fronts.png"),
    ),
    grows=("seeds", "methods", *plugins.ABSENT, "columns", "queries", "configs"),
    free=("chunk",),
    absent={**objective_flags.ABSENT, **plugins.ABSENT},
)
BUDGETS = (50, 100, 200)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Reads the command line; a bad value ends the program before any work."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    kind, text = objective_flags.paths, "several are joined; see below"
    add("--table", type=kind, required=True, metavar="FILE.npz,...", help=text)
    add("--columns", default=None, help="comma-separated (default: all numbers)")
    text = "look for the highest or the lowest value (default max)"
    add("--goal", choices=("max", "min"), default="max", help=text)
    add("--queries", type=cli.at_least(1), default=200, help="per search (200)")
    add("--seeds", type=cli.seeds, default="1-50", help="default 1-50")
    add("--ablation", action="store_true", help="add the best searcher's ablations")
    table_search.add_flags(parser, EXPERIMENT)
    objective_flags.add(parser)
    add = parser.add_argument_group("the table").add_argument
    text = "result of a query: the value, or one of NAME_trials [n, R] at random"
    add("--trial", choices=("mean", "random"), default="mean", help=text)
    text = "a value that is not finite: a query that fails, or a row to leave out"
    add("--failed", choices=("worst", "absent"), default="worst", help=text)
    bounds.add(parser, "NAS-Bench-201's networks, or the columns params and macs")
    flags.add(parser, argv, methods.ALL, usual=methods.COMPARED)
    args = parser.parse_args(argv)
    usual = methods.PARETO if args.objectives else methods.COMPARED
    args.methods = args.methods or list(usual)
    args.files = ", ".join(map(str, args.table))
    with parser.refusals():
        idle = ("columns", "goal", "trial", "ablation")
        objective_flags.refuse_idle(args, parser, idle)
    if args.ablation:
        args.methods += [m for m in methods.ABLATIONS if m not in args.methods]
    if args.columns is not None:
        args.columns = [name.strip() for name in args.columns.split(",")]
    with parser.refusals():
        args.configs = flags.configs(args, methods.ALL)
    return args


def prepare(args: argparse.Namespace) -> tuple[tables.Table, dict[str, Any]]:
    """The table, and the configuration that fixes the run's results."""
    table = objective_flags.load(args)
    values = np.stack(list(table.values.values()))
    low, high = np.nanmin(values), np.nanmax(values)
    minimum = args.objectives[0].goal if args.objectives else args.goal
    if minimum == "min" or low < 0 or high > 1:
        if args.config_reward == "power":
            raise ValueError(
                f"--reward power needs --goal max and values in [0, 1], got --goal "
                f"{minimum} and values from {low:.6g} to {high:.6g}; left out, "
                "scores are scaled"
            )
        for name, config in args.configs.items():
            if name.startswith("cadam") and config.reward == "power":
                args.configs[name] = config.replace(reward="scaled")
    args.terms = args.tasks.terms() if args.objectives else {}
    for method in args.methods:
        methods.on_table(method, args.configs, args.terms)(table.space)  # or raise
    fields = ("goal", "trial", "queries", "seeds", "methods", "inner", "preset")
    return table, {
        "table": {"sha256": table.sha256, "rows": table.rows},
        "columns": list(table.values),
        **{name: getattr(args, name) for name in (*fields, "failed")},
        **bounds.record(args),
        **flags.record(args),
        **objective_flags.record(args),
    }


def search(args, folder, report, table) -> dict[str, table_search.Result]:
    """All methods, one after another; columns to be minimised change their sign."""
    options = args.configs, args.terms, args.bounded
    made = {name: methods.on_table(name, *options) for name in args.methods}
    if args.objectives:
        study = args.tasks.study(table, args.seeds, args.queries)
        return table_search.run(study, made, args, folder, report)
    sign = 1.0 if args.goal == "max" else -1.0
    values = [sign * x for x in table.values.values()]
    trials = [sign * x for x in table.trials.values()] or None
    study = table_search.Study(
        space=table.space,
        env=from_arrays(table.space, table.ops, values, trials),
        rows=table_search.rows_of(table.space, table.ops),
        columns=list(table.values),
        seeds=args.seeds,
        steps=args.queries,
        incomplete=not table.complete,
        sign=sign,
    )
    return table_search.run(study, made, args, folder, report)


def describe(args: argparse.Namespace, table: tables.Table) -> list[str]:
    """Lines on the table: its size and columns, then all that is left out of it."""
    goal = f"goal {args.goal}"
    if args.objectives:
        terms = ", ".join(map(str, (*args.objectives, *args.constraint)))
        count = len(args.tasks.tasks)
        goal = f"{count} task{'s' * (count > 1)} of {terms}"
    missing = "complete" if table.complete else f"of {table.space.size:,} possible"
    lines = [
        f"{args.files}: {len(table.ops):,} architectures ({missing}), "
        f"{table.space.num_edges} edges, {table.space.num_operations} operations; "
        f"columns {', '.join(table.values)}, {goal}"
    ]
    lines += [f"left out: column {n!r} {why}" for n, why in table.left_out.items()]
    if bounds.record(args):
        lines.append(bounds.counted(len(table.ops), len(table.ops) + args.above))
    if gone := table.rows - len(table.ops) - args.above:
        lines.append(f"left out: {gone:,} rows that failed in one of the columns")
    for name, values in table.values.items():
        if count := np.isnan(values).sum():
            lines.append(f"{name}: {count:,} rows failed; querying one gives no score")
    return lines


def write(args, folder, report, config, searches, used: int) -> None:
    """Files, pictures and the screen, of which some lines are used."""
    table = searches.table
    content = {"table": args.files, "left_out": dict(table.left_out)}
    content |= {"optimum": searches.optimum, "methods": searches.describe()}
    write_results(folder, config, content)
    folder.write_npz("results.npz", **searches.arrays())
    noisy = ", one trial" if args.trial == "random" else ""
    title = f"({args.goal}{noisy}), {args.table[0].name}"
    parts = [name for name in args.methods if name in methods.ABLATIONS]
    others = [name for name in args.methods if name not in parts]
    searches.draw_regret(folder.file("regret.png"), others or parts, title)
    if args.ablation:
        names = [name for name in others if name == methods.BEST] + parts
        searches.draw_regret(folder.file("ablation.png"), names, title)
    report.add("\n" + searches.report())
    report.write(folder)
    print(searches.screen(used))
    print(written(folder))


@script
def main(argv: list[str] | None = None) -> None:
    """Runs the experiment."""
    devices.use_cpu_cores(threads_inside_operations=False)
    args = parse(argv)
    cli.say_seeds(args.seeds)
    report = Report(args.verbose)
    with refusals():
        table, config = prepare(args)
        folder = EXPERIMENT.open(args, config, args.table, args.configs)
    lines = describe(args, table)
    report.add("\n".join(lines))
    shown = [textwrap.shorten(lines[0], 2 * SCREEN, placeholder=" ..."), *lines[1:5]]
    shown += [f"{len(lines) - 5} more such lines: report.txt"] if lines[5:] else []
    print(wrapped("\n".join(shown)), flush=True)
    with folder:
        results = search(args, folder, report, table)
        budgets = sorted({*(n for n in BUDGETS if n < args.queries), args.queries})
        if args.objectives:
            fronts = Fronts(args.tasks, results, args.seeds, budgets, table.row)
            content = {"table": args.files, "left_out": dict(table.left_out)}
            write_results(folder, config, content | fronts.describe())
            front_report.write(fronts, folder, report)
            print(written(folder))
            return
        searches = table_report.searches(
            table, results, args.seeds, budgets, args.goal, args.trial
        )
        write(args, folder, report, config, searches, len(shown) + 1)


if __name__ == "__main__":
    sys.exit(main())
