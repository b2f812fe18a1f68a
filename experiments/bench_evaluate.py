"""Speed of training from scratch: images per second against the device's matrix rate.

    python experiments/bench_evaluate.py --genotype DARTS_V2 --preset ddas
    python experiments/bench_evaluate.py --genotype DARTS_V2 --preset cpu --lanes 2

times what `evaluate.py` runs with the same flags (genotype, preset, seeds, lanes,
devices, sizes), augmentation included, on made-up images (`--dataset` names others):
`--steps` steps of a whole batch per round, after one round that compiles, and all test
images. A training step counts as three forward passes: 6 operations per multiply-add
and image (the auxiliary head's are left out).

Measured on two CPU cores (AMD EPYC, 162 GFLOP/s in matrix products), jax 0.10.2:
`--genotype DARTS_V2 --preset cpu` trains 1,546 images/s (6.1 % of the matrix rate) and
tests 7,279 (9.6 %). GPUs: not measured yet.
"""

import argparse
import sys
import time

import jax
import numpy as np

from nasjax.analysis.text import text_table
from nasjax.networks import families
from nasjax.runs import cli, devices, files, network_flags, networks
from nasjax.runs.network_config import NetworkRun
from nasjax.runs.script import refusals, script
from nasjax.runs.training import Trainer
from nasjax.spaces import architectures


def prepare(args: argparse.Namespace) -> tuple[NetworkRun, Trainer]:
    """The network as evaluate.py trains it, on made-up images."""
    if args.genotype is None:
        raise ValueError("needs one --genotype")
    run, data = network_flags.load(args, architectures.read(args.genotype))
    trainers = networks.trainers(run, data)
    if args.steps > run.steps_per_epoch:
        raise ValueError(
            f"--steps {args.steps}: an epoch has {run.steps_per_epoch} here"
        )
    return run, next(iter(trainers.values()))


def seconds_of(trainer: Trainer, steps: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of training steps and of a test of all images, by round.

    The first round is not counted in rates: it compiles.
    """
    state, seconds = trainer.init(), {"train": [], "test": []}
    for _ in range(1 + rounds):
        clock = time.perf_counter()
        state, _ = trainer.advance(state, range(steps))
        jax.block_until_ready(state)
        seconds["train"].append(time.perf_counter() - clock)
        clock = time.perf_counter()
        trainer.test(state)
        seconds["test"].append(time.perf_counter() - clock)
    return seconds


@script
def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--steps", type=cli.at_least(1), default=10, help="per round (10)")
    add("--rounds", type=cli.at_least(1), default=3, help="timed rounds (3)")
    network_flags.add(parser)
    network_flags.add_settings(parser)
    parser.set_defaults(dataset="synthetic")
    args = parser.parse_args(argv)
    devices.use_cpu_cores()
    with refusals():
        run, trainer = prepare(args)
    costs = families.describe(architectures.read(run.genotype), **run.sizes)
    device = files.provenance()["device"]
    rate = devices.matrix_rate(jax.devices()[: run.devices], run.dtype)
    print(
        f"{run.devices} x {device['kind']} ({device['platform']}), jax "
        f"{jax.__version__}, {run.dtype}; matrix products {rate / 1e9:,.0f} GFLOP/s\n"
        f"{run.cells} cells, C = {run.channels}, {run.image_size} x {run.image_size} "
        f"pixels, batch {run.recipe.batch_size}, {len(trainer.seeds)} seed(s) at a "
        f"time: {costs['params']:,} parameters, {costs['macs']:,} multiply-adds "
        "(without an auxiliary head)",
        flush=True,
    )
    seconds = seconds_of(trainer, args.steps, args.rounds)
    images = {"train": args.steps * run.recipe.batch_size, "test": trainer.feed.tested}
    passes = {"train": 3, "test": 1}  # a gradient counts as two more forward passes
    rows = []
    for name, (first, *rest) in seconds.items():
        count = images[name] * len(trainer.seeds)
        speed = float(np.median(count / np.array(rest)))
        share = 2 * passes[name] * costs["macs"] * speed / rate
        row = [name, f"{speed:,.0f}", f"{first - count / speed:.0f}", f"{share:.1%}"]
        rows.append(row)
    header = ["images per second", "median", "compile s", "of the matrix rate"]
    print("\n" + text_table(header, rows))


if __name__ == "__main__":
    sys.exit(main())
