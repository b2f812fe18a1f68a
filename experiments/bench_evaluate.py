"""Speed of training from scratch: images per second against the device's matrix rate.

    python experiments/bench_evaluate.py --genotype DARTS_V2 --preset ddas
    python experiments/bench_evaluate.py --genotype DARTS_V2 --preset cpu --lanes 2

times what `evaluate.py` runs with the same flags (genotype, preset, seeds, lanes,
devices, sizes), augmentation included, on made-up images (`--dataset` names others):
`--steps` steps of a whole batch per round, after one round that compiles, and all test
images. A training step counts as three forward passes: 6 operations per multiply-add
and image (the auxiliary head's are left out).

`--pytorch` times PyTorch in eager mode on the same DARTS network, in turn, on images
that are already augmented.

Two idle CPU cores (AMD EPYC, jax 0.12.0.1, PyTorch 2.14), four runs of `--genotype
DARTS_V2 --preset cpu --seeds 1 --pytorch`: it trains 1.09 to 1.47 and tests 1.82 to
2.16 times as many images as PyTorch with channels last. GPUs: not measured yet.
"""

import argparse
import sys
import time
from collections.abc import Callable

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
    run, data = network_flags.load(args, architectures.read(args.genotype))
    trainers = networks.trainers(run, data)
    if args.steps > run.steps_per_epoch:
        raise ValueError(
            f"--steps {args.steps}: an epoch has {run.steps_per_epoch} here"
        )
    return run, next(iter(trainers.values()))


def check_pytorch(run: NetworkRun, trainer: Trainer) -> None:
    """ValueError where the network of `pytorch_derived` is another one."""
    if (run.network.kind, run.network.stem) != ("darts", "cifar"):
        raise ValueError("--pytorch needs a DARTS genotype and the stem of CIFAR")
    if run.network.image_channels != 3 or not isinstance(run.image_size, int):
        raise ValueError("--pytorch needs square images of three channels")
    # PyTorch uses all cores of a CPU, which are several devices here.
    if len(trainer.seeds) > 1 or (run.devices > 1 and jax.default_backend() != "cpu"):
        raise ValueError("--pytorch needs --seeds 1 and --devices 1")
    try:
        import pytorch_derived  # noqa: F401
    except ImportError:
        raise ValueError("--pytorch needs PyTorch, which is not installed") from None


def pytorch(run: NetworkRun, steps: int) -> dict[str, tuple[float, float]]:
    """PyTorch eager on the same network: images per second by layout, trained, tested.

    Raises:
      AssertionError: it has another number of parameters.
    """
    import pytorch_derived

    network, speeds = run.network, {}
    wanted = families.describe(architectures.read(run.genotype), **run.sizes)
    for last, name in ((False, "contiguous"), (True, "channels last")):
        *speed, params = pytorch_derived.rates(
            (network.edges(0), network.edges(1)),
            cells=network.cells,
            channels=network.channels,
            classes=network.classes,
            image_size=run.image_size,
            batch=run.recipe.batch_size,
            steps=steps,
            auxiliary=run.recipe.auxiliary,
            drop_path=run.recipe.drop_path,
            device="cuda" if jax.default_backend() == "gpu" else "cpu",
            bfloat16=run.dtype == "bfloat16",
            channels_last=last,
        )
        kind = "params_with_auxiliary" if run.recipe.auxiliary else "params"
        assert params == wanted[kind], (params, wanted[kind])
        speeds[name] = (speed[0], speed[1])
    return speeds


def seconds_of(
    trainer: Trainer, steps: int, rounds: int, between: Callable[[], None]
) -> dict[str, list[float]]:
    """Seconds of training steps and of a test of all images, by round.

    The first round is not counted in rates: it compiles. `between` runs after each
    other one.
    """
    state, seconds = trainer.init(), {"train": [], "test": []}
    for i in range(1 + rounds):
        clock = time.perf_counter()
        state, _ = trainer.advance(state, range(steps))
        jax.block_until_ready(state)
        seconds["train"].append(time.perf_counter() - clock)
        clock = time.perf_counter()
        trainer.test(state)
        seconds["test"].append(time.perf_counter() - clock)
        if i:
            between()
    return seconds


def ratios(
    seconds: dict[str, list[float]],
    images: dict[str, int],
    others: list[dict[str, tuple[float, float]]],
) -> tuple[list[str], list[list[str]]]:
    """A table of PyTorch's speeds, and of nasjax's by them in the same round."""
    header, rows = ["PyTorch, images per second"], []
    for kind in others[0]:
        header += [kind, "nasjax by it"]
    for at, (name, (_, *rest)) in enumerate(seconds.items()):
        own, row = images[name] / np.array(rest), [name]
        for kind in others[0]:
            speed = np.array([other[kind][at] for other in others])
            row += [f"{np.median(speed):,.0f}", f"{np.median(own / speed):.2f}"]
        rows.append(row)
    return header, rows


@script
def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--steps", type=cli.at_least(1), default=10, help="per round (10)")
    add("--rounds", type=cli.at_least(1), default=3, help="timed rounds (3)")
    add("--pytorch", action="store_true", help="compare a DARTS network with PyTorch")
    network_flags.add(parser, several=False)
    network_flags.add_settings(parser)
    parser.set_defaults(dataset="synthetic")
    args = parser.parse_args(argv)
    devices.use_cpu_cores()
    with refusals():
        run, trainer = prepare(args)
        if args.pytorch:
            check_pytorch(run, trainer)
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
    others: list[dict[str, tuple[float, float]]] = []

    def compare() -> None:
        if args.pytorch:
            others.append(pytorch(run, args.steps))

    seconds = seconds_of(trainer, args.steps, args.rounds, compare)
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
    if others:
        print("\n" + text_table(*ratios(seconds, images, others)))


if __name__ == "__main__":
    sys.exit(main())
