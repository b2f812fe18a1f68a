"""Searchers at equal queries on any benchmark table.

    python experiments/compare.py --table nb201.npz --columns cifar100_valid \\
        --goal max --queries 200 --seeds 1-50

searches each column for itself with every method, 200 queries per search; every query
counts, also one that was asked before. `--table` is an npz file with `ops` uint8 [n, E]
(a row per architecture; any number of edges and operations, complete or not), optional
`op_names` and value columns of any unit. `--goal min` looks for the lowest value;
`--trial random` returns one of a row's `NAME_trials` [n, R] at each query, and reports
the values (means) of what looked best. What a table does not hold cannot be asked: a
proposal is replaced by the row that differs on the fewest edges (of several, the lowest
row), and the searcher is told so. A value that is not finite is an evaluation that
failed: with `--failed worst` it can be asked, counts as a query and is learnt as bad;
with `absent` its row cannot be asked. Columns that cannot be used are listed.

Scores that are no fractions are scaled, for CADAM's reward 100^x, by the lowest and
highest seen so far. `--ablation` adds the parts of the best searcher left out one by
one. The folder `--out` receives results.json, results.npz (rows of the file and values
of every query), report.txt, log.jsonl, regret.png (mean and 95% band over seeds) and,
with `--ablation`, ablation.png. A run that was killed goes on with `--resume`, to the
same bits.

Measured on NAS-Bench-201 (v1_1), 50 seeds, `--methods bayesian-actor-critic`: mean best
after 100 queries 91.61, 94.37, 73.49, 73.51, 46.66, 47.21 on the six columns in their
usual order (the nearest published, CoLLM-NAS: 91.59, 94.37, 73.44, 73.44, 46.62,
46.79); after 200 the optimum in all 50 seeds of every column.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np

from nasjax import lanes
from nasjax.analysis import plots, query_results, regret
from nasjax.data import tables
from nasjax.environments.tabular import from_arrays
from nasjax.runs import cli, devices, files, flags, methods, plugins, table_search
from nasjax.runs.configs import Rules, defaults
from nasjax.runs.folder import Folder, open_run
from nasjax.runs.script import refusals, script

MARKS = (50, 100, 200)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Reads the command line; a bad value ends the program before any work."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--table", type=Path, required=True, metavar="FILE.npz")
    add("--columns", default=None, help="comma-separated (default: all numbers)")
    add("--goal", choices=("max", "min"), default="max")
    add("--queries", type=cli.at_least(1), default=200, help="per search (200)")
    add("--seeds", type=cli.seeds, default="1-50", help="default 1-50")
    add("--ablation", action="store_true", help="add the best searcher's ablations")
    add = parser.add_argument_group("the run").add_argument
    add("--out", type=Path, default=Path("runs/compare"), help="default runs/compare")
    add("--resume", action="store_true", help="continue the run in --out")
    add("--overwrite", action="store_true", help="replace the run in --out")
    add("--chunk", type=cli.at_least(2), default=50, help="steps per report (50)")
    add("--checkpoint-seconds", type=cli.at_least(0), default=20)
    add("--inner", choices=lanes.INNER, default="auto", help="lanes in a device")
    add = parser.add_argument_group("the table").add_argument
    text = "what a query returns: the value, or one of NAME_trials [n, R] at random"
    add("--trial", choices=("mean", "random"), default="mean", help=text)
    text = "a value that is not finite: a query that fails, or a row to leave out"
    add("--failed", choices=("worst", "absent"), default="worst", help=text)
    flags.add(parser, argv, methods.ALL, usual=methods.COMPARED)
    args = parser.parse_args(argv)
    args.methods = args.methods or list(methods.COMPARED)
    if args.ablation:
        args.methods += [m for m in methods.ABLATIONS if m not in args.methods]
    if args.columns is not None:
        args.columns = [name.strip() for name in args.columns.split(",")]
    try:
        args.configs = flags.configs(args, methods.ALL)
    except ValueError as error:
        parser.error(str(error))
    return args


def prepare(args: argparse.Namespace) -> tuple[tables.Table, dict]:
    """The table, and what fixes the run's results."""
    table = tables.load(
        args.table, args.columns, trials=args.trial == "random", failed=args.failed
    )
    values = np.stack(list(table.values.values()))
    low, high = np.nanmin(values), np.nanmax(values)
    if args.goal == "min" or low < 0 or high > 1:
        if args.config_reward == "power":
            raise ValueError(
                f"--reward power needs --goal max and values in [0, 1], got --goal "
                f"{args.goal} and values from {low:.6g} to {high:.6g}; left out, "
                "scores are scaled"
            )
        for name, config in args.configs.items():
            if name.startswith("cadam") and config.reward == "power":
                args.configs[name] = config.replace(reward="scaled")
    fixed = {
        "table": {"sha256": table.sha256, "rows": table.rows},
        "columns": list(table.values),
        **{name: getattr(args, name) for name in ("goal", "trial", "queries", "seeds")},
        **{n: getattr(args, n) for n in ("methods", "inner", "preset", "failed")},
        "plugins": plugins.names(args),
        "configs": {
            name: dataclasses.asdict(config)
            for name, config in args.configs.items()
            if name in args.methods
        },
    }
    for method in args.methods:
        methods.on_table(method, args.configs)(table.space)  # or raise
    return table, fixed


def run(args: argparse.Namespace, folder: Folder, table: tables.Table) -> dict:
    """All methods, one after another; what is to be minimised changes its sign."""
    sign = 1.0 if args.goal == "max" else -1.0
    values = [sign * x for x in table.values.values()]
    trials = [sign * x for x in table.trials.values()] or None
    shared = table_search.Study(
        space=table.space,
        env=from_arrays(table.space, table.ops, values, trials),
        rows=table_search.rows_of(table.space, table.ops),
        columns=list(table.values),
        seeds=args.seeds,
        steps=args.queries,
        incomplete=not table.complete,
        sign=sign,
    )
    found = {}
    for method in args.methods:
        found[method] = one = table_search.run(
            shared,
            method,
            methods.on_table(method, args.configs),
            folder=folder,
            resume=args.resume,
            before=table_search.lanes_before(folder, "queries"),
            chunk=args.chunk,
            inner=args.inner,
            checkpoint_seconds=args.checkpoint_seconds,
        )
        print(
            f"{method}: compile {one.compile_seconds:.1f} s, run "
            f"{one.run_seconds:.1f} s, {len(values) * len(args.seeds)} searches",
            flush=True,
        )
    return found


def write(args, folder, table: tables.Table, config: dict, found: dict) -> None:
    """Files, picture and tables."""
    sign = 1.0 if args.goal == "max" else -1.0
    columns = list(table.values)
    values = sign * np.stack(list(table.values.values()))
    optimum = np.nanmax(values, axis=1)
    marks = sorted({*(m for m in MARKS if m < args.queries), args.queries})
    exact = found
    if args.trial == "mean":  # the table's own numbers: float32 was searched
        exact = {
            name: one._replace(
                accuracy=np.stack(
                    [v[i] for v, i in zip(values, one.arch_index, strict=True)]
                )
            )
            for name, one in found.items()
        }
    reached = {name: regret.incumbent(one, values) for name, one in exact.items()}
    regrets = {name: regret.regret(x, optimum) for name, x in reached.items()}
    classes = np.arange(len(table.ops))
    described = {
        name: query_results.describe(one, values, classes, columns, args.seeds, marks)
        for name, one in exact.items()
    }
    for name, one in described.items():
        first = regret.first_optimum(found[name].arch_index, values)
        for v, column in enumerate(one["columns"].values()):
            for s, entry in enumerate(column["seeds"].values()):
                hit = first[v, s]
                entry["optimum_after"] = int(hit) if np.isfinite(hit) else None
                for part in (entry, *entry["queries"].values()):
                    part["arch_index"] = int(table.row[part["arch_index"]])
                    for k in ("best", "table_value"):
                        part[k] = None if part[k] is None else sign * part[k]
    content = {"config": config, **files.provenance(), "table": str(args.table)}
    content["left_out"] = dict(table.left_out)
    content["optimum"] = dict(zip(columns, (sign * optimum).tolist(), strict=True))
    folder.write_json("results.json", content | {"methods": described})
    signed = {
        n: one._replace(
            accuracy=sign * one.accuracy, arch_index=table.row[one.arch_index]
        )
        for n, one in exact.items()
    }
    folder.write_npz("results.npz", **query_results.arrays(signed, columns, args.seeds))
    noisy = ", one trial" if args.trial == "random" else ""
    titles = [f"{name} ({args.goal}{noisy}), {args.table.name}" for name in columns]
    parts = {n: x for n, x in regrets.items() if n in methods.ABLATIONS}
    searchers = {n: x for n, x in regrets.items() if n not in parts}
    plots.regret(folder.file("regret.png"), searchers or parts, titles)
    if args.ablation:
        whole = {n: x for n, x in regrets.items() if n == methods.BEST}
        plots.regret(folder.file("ablation.png"), whole | parts, titles)
    texts = [
        regret.best_text(reached, columns, optimum, marks, sign),
        regret.optimum_text(exact, values, columns),
    ]
    if len(args.seeds) > 1 and len(found) > 1:
        texts.append(regret.paired_text(reached, columns, marks, args.methods[0]))
    text = "\n\n".join(texts)
    folder.write_text("report.txt", text + "\n")
    print("\n" + text)
    print(f"\nwritten: {args.out}/ {folder.names()}")


OUTPUTS = (
    "results.json",
    "results.npz",
    "report.txt",
    "regret.png",
    "ablation.png",
)
RULES = Rules(
    free=("chunk",),
    grows=("seeds", "methods", "plugins", "columns", "queries", "configs"),
    absent={"failed": "worst", "plugins": []},
)


@script
def main(argv: list[str] | None = None) -> None:
    """Runs the experiment."""
    devices.use_cpu_cores(threads_inside_operations=False)
    args = parse(argv)
    cli.say_seeds(args.seeds)
    with refusals():
        table, config = prepare(args)
        folder = open_run(
            args.out,
            "compare",
            config,
            outputs=OUTPUTS,
            inputs=[args.table],
            resume=args.resume,
            overwrite=args.overwrite,
            rules=RULES._replace(absent={**RULES.absent, **defaults(args.configs)}),
        )
    for name, reason in table.left_out.items():
        print(f"left out: column {name!r} {reason}")
    if gone := config["table"]["rows"] - len(table.ops):
        print(f"left out: {gone:,} rows that failed in one of the columns")
    for name, values in table.values.items():
        if count := np.isnan(values).sum():
            print(f"{name}: {count:,} rows failed; asking one is a query without score")
    missing = "complete" if table.complete else f"of {table.space.size:,} possible"
    print(
        f"{args.table}: {len(table.ops):,} architectures ({missing}), "
        f"{table.space.num_edges} edges, {table.space.num_operations} operations; "
        f"columns {', '.join(table.values)}, goal {args.goal}",
        flush=True,
    )
    with folder:
        write(args, folder, table, config, run(args, folder, table))


if __name__ == "__main__":
    sys.exit(main())
