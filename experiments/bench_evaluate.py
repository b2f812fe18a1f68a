"""Speed of training from scratch: images per second against the device's matrix rate.

    python experiments/bench_evaluate.py --genotype DARTS_V2 --preset ddas
    python experiments/bench_evaluate.py --genotype DARTS_V2 --preset cpu --lanes 2

times what `evaluate.py` runs with the same flags (genotype, preset, seeds, lanes,
devices, sizes), augmentation included, on made-up images: `--steps` steps of a whole
batch per round, after one round that compiles, and all test images. A training step
counts as three forward passes: 6 operations per multiply-add and image (the auxiliary
head's are left out).

Measured on two CPU cores (AMD EPYC, 162 GFLOP/s in matrix products), jax 0.10.2:
`--genotype DARTS_V2 --preset cpu` trains 1,546 images/s (6.1 % of the matrix rate) and
tests 7,279 (9.6 %). GPUs: not measured yet.
"""

import argparse
import sys
import time
from collections.abc import Mapping
from typing import Any

import evaluate
import jax
import numpy as np

from nasjax.analysis.text import text_table
from nasjax.runs import cli, devices, files, networks
from nasjax.runs.script import script


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, argparse.Namespace]:
    """The flags of this script, and those of evaluate.py."""
    mine = cli.Parser(__doc__, epilog="All other flags are those of evaluate.py.")
    mine.add_argument("--steps", type=cli.at_least(1), default=10, help="per round")
    mine.add_argument("--rounds", type=cli.at_least(1), default=3)
    args, rest = mine.parse_known_args(argv)
    theirs = evaluate.parser().parse_args([*rest, "--dataset", "synthetic"])
    if theirs.genotype is None:
        mine.error("needs one --genotype")
    return args, theirs


class Bench:
    """One network, as evaluate.py trains it."""

    def __init__(self, theirs: argparse.Namespace):
        (self.found,) = evaluate.architectures(theirs, evaluate.entries_of(theirs))
        self.settings = settings = evaluate.settings_of(theirs, self.found.kind)
        settings["genotype"] = self.found.printed
        settings["devices"], settings["lanes"] = evaluate.layout(theirs, settings)
        data = networks.data(settings, None)
        group = networks.groups(theirs.seeds, settings["lanes"])[0]
        self.trainer = evaluate.make(theirs, settings, data, group)
        self.classes, self.seeds = data.classes, len(group)
        self._state = self.trainer.init()
        self.train_rates: list[float] = []
        self.test_rates: list[float] = []

    def costs(self) -> Mapping[str, Any]:
        """Of one image."""
        sizes = (self.settings, self.classes, self.trainer.image_size)
        return networks.describe(self.found, **evaluate.sizes(*sizes))

    def train(self, steps: int) -> float:
        """Seconds of `steps` steps."""
        clock = time.perf_counter()
        self._state, metrics = self.trainer.advance(self._state, range(steps))
        jax.block_until_ready((self._state, metrics))
        return time.perf_counter() - clock

    def test(self) -> float:
        """Seconds of all test images."""
        clock = time.perf_counter()
        self.trainer.test(self._state)
        return time.perf_counter() - clock

    def round(self, steps: int) -> None:
        """Adds images per second, over all seeds that run together."""
        images = steps * self.settings["batch_size"] * self.seeds
        self.train_rates.append(images / self.train(steps))
        self.test_rates.append(self.trainer.tested * self.seeds / self.test())


@script
def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark; returns the exit status."""
    args, theirs = parse(argv)
    devices.use_cpu_cores()
    try:
        bench = Bench(theirs)
        if args.steps > bench.trainer.steps_per_epoch:
            most = bench.trainer.steps_per_epoch
            raise ValueError(f"--steps {args.steps}: an epoch has {most} here")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    settings, costs = bench.settings, bench.costs()
    device = files.provenance()["device"]
    used = jax.devices()[: settings["devices"]]
    rate = devices.matrix_rate(used, settings["dtype"])
    size = bench.trainer.image_size
    print(
        f"{settings['devices']} x {device['kind']} ({device['platform']}), jax "
        f"{jax.__version__}, {settings['dtype']}; matrix products "
        f"{rate / 1e9:,.0f} GFLOP/s\n{settings['cells']} cells, C = "
        f"{settings['channels']}, {size} x {size} pixels, batch "
        f"{settings['batch_size']}, {bench.seeds} seed(s) at a time: "
        f"{costs['params_with_auxiliary']:,} parameters with auxiliary head, "
        f"{costs['macs']:,} multiply-adds",
        flush=True,
    )
    first = bench.train(args.steps), bench.test()
    for _ in range(args.rounds):
        bench.round(args.steps)
    rows = []
    whole = args.steps * settings["batch_size"] * bench.seeds
    for name, images, compiled, rates, passes in (
        ("train", whole, first[0], bench.train_rates, 3),
        ("test", bench.trainer.tested * bench.seeds, first[1], bench.test_rates, 1),
    ):
        speed = float(np.median(rates))
        share = 2 * passes * costs["macs"] * speed / rate
        row = [f"{speed:,.0f}", f"{compiled - images / speed:.0f}", f"{share:.1%}"]
        rows.append([name, *row])
    header = ["images per second", "median", "compile s", "of the matrix rate"]
    print("\n" + text_table(header, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
