"""Zero-cost scores of every architecture of NAS-Bench-201 against its accuracies.

    python experiments/zero_cost.py

scores untrained networks on one batch of CIFAR-10 images: naswot, synflow and the
covariance of the Jacobian, all with the same random weights, in a network of
`--cells` cells a stage from `--channels` channels on. Isomorphic architectures have
the scores of one of them. Beside them stand parameters, multiply-adds (of the
benchmark's own networks) and depth: the most operations on a path, skip connections
left out.

Written are rank correlations with the columns of the table, beside published ones, and
the accuracies that a search by a score alone finds: results.json, report.txt,
zero_cost.png, and scores.npz: `ops` uint8 [A, 6], one of each class, and each score
[A], larger is better. A run that was killed goes on with --resume. The measured values:
experiments/README.md.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax import lanes, spaces
from nasjax.analysis.zero_cost import Scores
from nasjax.data import images, nb201
from nasjax.networks import augment, supernet, zero_cost
from nasjax.runs import cli, devices, job
from nasjax.runs.script import (
    Experiment,
    Report,
    refusals,
    script,
    write_results,
    written,
)
from nasjax.spaces import costs, isomorphism, topology

EXPERIMENT = Experiment(
    "zero-cost",
    ("results.json", "report.txt", "scores.npz", "zero_cost.png"),
    grows=("columns",),
)
SPACE = spaces.nas_bench_201()
NAMES = zero_cost.NAMES


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line; a bad value ends the program before any work."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    text = f"of the images: {', '.join(images.NAMES)} (default cifar10)"
    add("--dataset", choices=images.NAMES, default="cifar10", help=text)
    add("--data-dir", default=None, metavar="DIR", help="where images are looked for")
    add("--images", type=cli.at_least(2), default=16, help="in the batch (16)")
    add("--cells", type=cli.at_least(1), default=1, help="per stage (1)")
    add("--channels", type=cli.at_least(2), default=8, help="of the first stage (8)")
    text = "of the weights and of the choice of images (0)"
    add("--seed", type=cli.at_least(0), default=0, help=text)
    text = "classes of isomorphic architectures, drawn at random (default: all)"
    add("--architectures", type=cli.at_least(2), default=None, help=text)
    text = f"comma-separated, of {', '.join(nb201.COLUMNS)} (default: all)"
    add("--columns", type=cli.names(nb201.COLUMNS), help=text)
    add("--table", default=None, metavar="PATH", help="npz or folder to read")
    text = "print the lines of report.txt, too"
    add("--verbose", action="store_true", help=text)
    EXPERIMENT.add_flags(parser, "runs/zero-cost", seconds=30)
    args = parser.parse_args(argv)
    args.columns = args.columns or list(nb201.COLUMNS)
    with parser.refusals():
        args.network = supernet.nas_bench_201(cells=args.cells, channels=args.channels)
    return args


def representatives(args: argparse.Namespace) -> np.ndarray:
    """uint8 [n, 6]: one architecture of each class, in lexicographic order."""
    represent = isomorphism.representative(SPACE)
    every = represent(SPACE.from_index(jnp.arange(SPACE.size)))
    classes = np.unique(np.asarray(every), axis=0)
    count = min(args.architectures or len(classes), len(classes))
    chosen = np.random.default_rng(0).permutation(len(classes))[:count]
    return classes[np.sort(chosen)]


class Scoring(job.Job):
    """Scores [n, 3] of architectures, a chunk after the other."""

    label, unit = "scores", "architecture"

    def __init__(self, args: argparse.Namespace, arch: np.ndarray, batch: Any):
        self._arch, self._batch, self.steps = arch, batch, len(arch)
        config = args.network
        init = jax.jit(supernet.init, static_argnums=1)
        self.network = init(jax.random.key(args.seed), config)

        def scores(shared, arch):
            params, batch = shared
            return jnp.stack(
                [
                    zero_cost.naswot(config, params, arch, batch),
                    zero_cost.synflow(config, params, arch, batch.shape[1:3]),
                    zero_cost.jacobian_covariance(config, params, arch, batch),
                ]
            )

        mesh = lanes.lane_mesh()
        self._devices = mesh.devices.size
        self._chunk = 16 * self._devices
        self._scores = jax.jit(lanes.spread(scores, mesh))

    def template(self) -> dict[str, np.ndarray]:
        return {
            "scores": np.zeros((self.steps, len(NAMES)), np.float32),
            "seconds": np.zeros(()),
        }

    def start(self) -> dict[str, np.ndarray]:
        return self.template()

    def unpack(self, step: int, tree: Any) -> dict[str, np.ndarray]:
        del step
        return job.writable(tree)

    def pack(self, carry: Any) -> Any:
        return carry

    def end_after(self, step: int) -> int:
        return min(step + self._chunk, self.steps)

    def advance(self, carry: Any, first: int, last: int) -> Any:
        clock = time.perf_counter()
        rows = np.minimum(np.arange(first, first + self._chunk), last - 1)
        count = np.full(self._devices, self._chunk // self._devices, np.int32)
        new = self._scores((self.network, self._batch), count, self._arch[rows])
        carry["scores"][first:last] = np.asarray(new)[: last - first]
        carry["seconds"] += time.perf_counter() - clock
        return carry

    def log(self, carry: Any, step: int, saved: bool) -> dict[str, Any]:
        return {"step": step, "seconds": float(carry["seconds"]), "saved": saved}


def batch_of(args: argparse.Namespace, data: images.ImageData) -> jax.Array:
    """Training images, chosen at random and normalised.

    Raises:
      ValueError: there are not as many.
    """
    count = len(data.train.images)
    if args.images > count:
        raise ValueError(f"--images {args.images}: {args.dataset} has {count:,}")
    rows = np.random.default_rng(args.seed).choice(count, args.images, replace=False)
    return augment.normalize(jnp.asarray(data.train.images[rows]), data.mean, data.std)


def features(ops: np.ndarray) -> dict[str, np.ndarray]:
    """Parameters, multiply-adds and depth of architectures [A, 6]."""
    table = costs.nb201_network()
    return {
        "parameters": costs.params(table, ops),
        "multiply-adds": costs.macs(table, ops),
        "depth": np.asarray(topology.operations_in_sequence(SPACE, ops))[:, 0],
    }


def compare(
    args: argparse.Namespace, table: nb201.Table, arch: np.ndarray, scores: np.ndarray
) -> Scores:
    """The scores of every row of the table whose class has one."""
    at = np.asarray(SPACE.index(table.ops))
    known = [isomorphism.of_class(SPACE, arch, x)[at] for x in scores.T]
    rows = ~np.isnan(known[0])
    by_name = {name: x[rows] for name, x in zip(NAMES, known, strict=True)}
    values = {name: table.columns[name].values[rows] for name in args.columns}
    return Scores(by_name | features(table.ops[rows]), values)


@script
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the experiment."""
    devices.use_cpu_cores()
    args = parse(argv)
    report = Report(args.verbose)
    with refusals():
        table = nb201.load(args.table, columns=args.columns, predictor=False)
        data = images.load(args.dataset, args.data_dir)
        batch, arch = batch_of(args, data), representatives(args)
        fields = ("dataset", "images", "cells", "channels", "seed", "architectures")
        config = {name: getattr(args, name) for name in fields}
        config["columns"] = {n: table.columns[n].sha256 for n in args.columns}
        config["sha256"] = data.sha256
        inputs: list[str | Path | None] = [args.table, args.data_dir]
        folder = EXPERIMENT.open(args, config, inputs)
    with folder:
        scoring = Scoring(args, arch, batch)
        options = {"resume": args.resume, "checkpoint_seconds": args.checkpoint_seconds}
        carry = job.run(scoring, folder, **options)
        found = compare(args, table, arch, carry["scores"])
        seconds = float(carry["seconds"])
        by_name = dict(zip(NAMES, carry["scores"].T, strict=True))
        folder.write_npz("scores.npz", ops=arch, **by_name)
        found.draw(folder.file("zero_cost.png"), args.columns[0])
        rows = len(next(iter(found.values.values())))
        report.add(
            f"{rows:,} architectures, {len(arch):,} networks scored in "
            f"{seconds:.0f} s, compiling included\n\n{found.report()}"
        )
        write_results(folder, config, {"seconds": seconds, "results": found.describe()})
        report.write(folder)
        if not args.verbose:
            print(found.report())
        print(written(folder))


if __name__ == "__main__":
    sys.exit(main())
