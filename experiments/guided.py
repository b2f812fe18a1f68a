"""Searches of NAS-Bench-201 with and without a zero-cost score.

    python experiments/guided.py --scores runs/zero-cost/scores.npz --seeds 1-50

The Bayesian actor-critic as it is (`without`), and with a prior mean of its critic:
`--slope` times the normal score of `--score` among all architectures, as written by
zero_cost.py. With it the searches begin without space-filling queries (`--warm-up`).
Every column is searched for itself. Written are the queries until its best accuracy is
found, the seeds at it and the mean accuracies after 50, 100 and 200 queries:
results.json, results.txt, guided.png. A run that was killed goes on with --resume. The
measured values: experiments/README.md.
"""

import argparse
import functools
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from nasjax import spaces
from nasjax.analysis import shared_tasks, statistics
from nasjax.analysis.text import text_table
from nasjax.data import locations, nb201
from nasjax.environments import tabular
from nasjax.networks import zero_cost
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
from nasjax.spaces import isomorphism

EXPERIMENT = Experiment(
    "guided",
    ("results.json", "results.txt", "report.txt", "guided.png"),
    grows=("seeds", *plugins.ABSENT, "configs"),
    free=("chunk",),
    absent=plugins.ABSENT,
)
SPACE = spaces.nas_bench_201()
WITHOUT = "without"
BUDGETS = (50, 100, 200)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line; a bad value ends the program before any work."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    text = "scores.npz of zero_cost.py"
    add("--scores", type=Path, required=True, metavar="FILE.npz", help=text)
    text = f"one of {', '.join(zero_cost.NAMES)} (default naswot)"
    add("--score", choices=zero_cost.NAMES, default="naswot", help=text)
    text = "of the critic's prior mean against the score (1)"
    add("--slope", type=float, default=1.0, help=text)
    text = "space-filling queries of the guided searches (0)"
    add("--warm-up", type=cli.at_least(0), default=0, help=text)
    add("--seeds", type=cli.seeds, default="1-50", help="3, 1,4,7 or 1-10 (1-50)")
    add("--queries", type=cli.at_least(2), default=200, help="per search (200)")
    text = f"comma-separated, of {', '.join(nb201.COLUMNS)} (default: all)"
    add("--columns", type=cli.names(nb201.COLUMNS), help=text)
    add("--table", default=None, metavar="PATH", help="npz or folder to read")
    table_search.add_flags(parser, EXPERIMENT)
    flags.add(parser, argv, (methods.BEST,), usual=(methods.BEST,))
    args = parser.parse_args(argv)
    args.columns = args.columns or list(nb201.COLUMNS)
    if not np.isfinite(args.slope):
        parser.error(f"--slope {args.slope} is not finite")
    args.methods = [methods.BEST]
    with parser.refusals():
        args.configs = flags.configs(args, (methods.BEST,))
    return args


def prior(args: argparse.Namespace) -> tuple[np.ndarray, str]:
    """The prior mean float32 [A] by the space's index, and the file's SHA-256.

    Raises:
      ValueError: the file is not one of zero_cost.py, or lacks architectures.
    """
    content = args.scores.read_bytes()
    try:
        arrays = locations.read_npz(content)
    except ValueError as error:
        raise ValueError(f"{args.scores}: {error}") from error
    if missing := {"ops", args.score} - arrays.keys():
        raise ValueError(f"{args.scores} has no {min(missing)}: see zero_cost.py")
    ops, values = arrays["ops"], arrays[args.score]
    if ops.shape != (len(values), SPACE.num_edges):
        raise ValueError(
            f"{args.scores}: ops is {list(ops.shape)}, {args.score} "
            f"{list(values.shape)}; needs [n, {SPACE.num_edges}] and [n]"
        )
    scores = isomorphism.of_class(SPACE, ops, values)
    if count := np.isnan(scores).sum():
        raise ValueError(f"{args.scores} lacks the scores of {count:,} architectures")
    mean = args.slope * statistics.normal_scores(scores)
    return mean.astype(np.float32), hashlib.sha256(content).hexdigest()


def search(
    args: argparse.Namespace,
    folder: Folder,
    report: Report,
    table: nb201.Table,
    mean: np.ndarray,
) -> dict[str, table_search.Result]:
    """Both searches of all columns with all seeds."""
    config = args.configs[methods.BEST]
    known = jnp.asarray(mean)
    made = {
        WITHOUT: methods.factory(methods.BEST, args.configs),
        args.score: functools.partial(
            methods.METHODS[methods.BEST].factory,
            config=config.replace(warm_up=args.warm_up),
            prior_mean=lambda arch: known[SPACE.index(arch)],
        ),
    }
    rows, names = table_search.rows_of(SPACE, nb201.official_ops()), args.columns
    env = tabular(SPACE, table, names)
    study = table_search.Study(SPACE, env, rows, names, args.seeds, args.queries)
    return table_search.run(study, made, args, folder, report)


class Guided:
    """The searches as `shared_tasks.Searches`, and their values after some queries."""

    def __init__(self, args, results: dict[str, table_search.Result], optima):
        queries = dict.fromkeys(results, [args.queries] * len(args.columns))
        firsts = {
            name: shared_tasks.separate(result, optima)
            for name, result in results.items()
        }
        self.searches = shared_tasks.Searches(firsts, args.columns, queries, WITHOUT)
        self._results, self._firsts, self._columns = results, firsts, args.columns
        self._budgets = sorted({min(n, args.queries) for n in BUDGETS})

    def describe(self) -> list[dict[str, Any]]:
        """An entry for each search, column and number of queries."""
        entries = []
        for name, result in self._results.items():
            best = np.maximum.accumulate(result.accuracy, axis=-1)
            for n in self._budgets:
                for v, column in enumerate(self._columns):
                    entries.append(
                        {
                            "search": name,
                            "queries": n,
                            "column": column,
                            "mean": float(best[v, :, n - 1].mean(dtype=np.float64)),
                            "share": float((self._firsts[name][v] <= n).mean()),
                        }
                    )
        return entries

    def report(self) -> str:
        """Tables of queries to the optimum, mean accuracies, and seeds at it."""
        rows: dict[tuple[str, int], list[str]] = {}
        for x in self.describe():
            cell = f"{100 * x['mean']:.2f} {100 * x['share']:.0f}%"
            rows.setdefault((x["search"], x["queries"]), []).append(cell)
        header = ["best accuracy [%],\nseeds at the optimum"]
        header += [column.replace("_", "\n") for column in self._columns]
        lines = [[f"{name}, {n}", *cells] for (name, n), cells in rows.items()]
        return f"{self.searches.report()}\n\n{text_table(header, lines)}"


@script
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the experiment."""
    devices.use_cpu_cores(threads_inside_operations=False)
    args = parse(argv)
    cli.say_seeds(args.seeds)
    report = Report(args.verbose)
    with refusals():
        mean, sha256 = prior(args)
        table = nb201.load(args.table, columns=args.columns, predictor=False)
        fields = ("score", "slope", "warm_up", "seeds", "queries", "inner", "preset")
        config = {
            **{name: getattr(args, name) for name in fields},
            "scores": sha256,
            "columns": {n: table.columns[n].sha256 for n in args.columns},
            **flags.record(args),
        }
        folder = EXPERIMENT.open(args, config, [args.table, args.scores], args.configs)
    optima = np.array([table.columns[n].values.max() for n in args.columns])
    with folder:
        found = Guided(args, search(args, folder, report, table, mean), optima)
        content = {"optimum": found.searches.describe(), "values": found.describe()}
        write_results(folder, config, content)
        folder.write_text("results.txt", f"{found.report()}\n")
        found.searches.draw(folder.file("guided.png"))
        report.write(folder)
        print(found.report())
        print(written(folder))


if __name__ == "__main__":
    sys.exit(main())
