"""Speed of supernets: images per second, compile seconds, memory, per space and mode.

    python experiments/bench_supernet.py --pytorch

times training steps (augmentation, gradient, SGD on the selected weights) and
evaluation of random architectures on the device that JAX finds, `path` against `dense`,
and, if PyTorch is installed, PyTorch in eager mode on the same DARTS supernet, in turn
with this one: by itself (contiguous images) and with channels last, which is faster.

Operations count 2 per multiply-add of convolutions and classifier of the mean
architecture, three times that for training; the fraction is of the rate of large
matrix products on the same device.

Two idle CPU cores (AMD EPYC, jax 0.12.0.1, PyTorch 2.14), DARTS, batch 64, three runs:
`path` trains at 1.26 to 1.49 and evaluates at 1.67 to 1.85 times the speed of PyTorch
as it comes, at 0.77 to 0.91 and 0.72 to 0.86 times that of its channels-last layout.
Not measured on a GPU.
"""

import argparse
import functools
import itertools
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.analysis.text import text_table
from nasjax.networks import families, supernet, training
from nasjax.networks.augment import AugmentConfig, normalize
from nasjax.networks.supernet import training as supernet_training
from nasjax.runs import cli, devices, files
from nasjax.runs.script import script
from nasjax.runs.supernet_config import preset
from nasjax.spaces import costs

MODES = ("path", "dense")
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
ARCHS = 64  # random ones, in turn


def multiply_adds(config: supernet.SupernetConfig, archs: np.ndarray) -> float | None:
    """Of one image under the mean architecture; None where it is not counted."""
    if config.parts > 1:
        return None
    table = families.FAMILIES[config.kind].cost_table(
        config.space,
        cells=config.cells,
        channels=config.channels,
        classes=config.classes,
        stem=config.stem,
        image_size=32,
        image_channels=config.image_channels,
    )
    return float(np.mean(costs.macs(table, archs)))


class Bench:
    """One supernet, compiled for training and evaluation in one mode.

    Attributes:
      compile_seconds, megabytes: of both programs; temporary memory.
      seconds: of every step, "train" and "evaluate".
    """

    def __init__(self, config: supernet.SupernetConfig, mode: str, batch: int):
        self.config, self.mode, self._batch = config, mode, batch
        self.seconds: dict[str, list[float]] = {"train": [], "evaluate": []}
        rng, key = np.random.default_rng(0), jax.random.key(0)
        images = rng.integers(0, 256, (2 * batch, 32, 32, 3), np.uint8)
        labels = rng.integers(0, config.classes, 2 * batch).astype(np.int32)
        self._data = jax.device_put((images, labels))
        self._index = jnp.arange(batch, dtype=jnp.int32)
        self.archs = np.asarray(
            jax.vmap(config.space.random)(jax.random.split(key, ARCHS))
        )
        recipe = training.Recipe(batch_size=batch)
        start = functools.partial(
            supernet_training.init, config=config, recipe=recipe, image_size=32
        )
        self._state = jax.jit(start)(key)
        step = functools.partial(
            supernet_training.step,
            config=config,
            recipe=recipe,
            augment=AugmentConfig(mean=MEAN, std=STD),
            policy="uniform" if mode == "path" else "one-shot",
            steps_per_epoch=100,
        )

        def evaluate(params, arch, images, labels):
            images = normalize(images[:batch], MEAN, STD, config.dtype)
            choice = config.space.one_hot(arch) if mode == "dense" else arch
            logits, _ = supernet.apply(params, choice, images, config, mode=mode)
            return jnp.mean(jnp.argmax(logits, -1) == labels[:batch])

        clock = time.perf_counter()
        lowered = jax.jit(step, donate_argnums=1).lower(
            key, self._state, *self._data, self._index
        )
        self._step = lowered.compile()
        middle = time.perf_counter()
        lowered = jax.jit(evaluate).lower(
            self._state.params, self.archs[0], *self._data
        )
        self._evaluate = lowered.compile()
        self.compile_seconds = (middle - clock, time.perf_counter() - middle)
        self.megabytes = [
            program.memory_analysis().temp_size_in_bytes / 1e6
            for program in (self._step, self._evaluate)
        ]

    def train(self, steps: int) -> None:
        """Times `steps` steps, each of a fresh architecture, after one to warm up."""
        key = jax.random.key(1)

        def step() -> supernet_training.Metrics:
            self._state, metrics = self._step(
                key, self._state, *self._data, self._index
            )
            return metrics

        jax.block_until_ready(step())
        if jax.default_backend() != "cpu":  # a single step would time the call
            clock = time.perf_counter()
            jax.block_until_ready([step() for _ in range(steps)])
            self.seconds["train"] += [(time.perf_counter() - clock) / steps]
            return
        for _ in range(steps):
            clock = time.perf_counter()
            jax.block_until_ready(step())
            self.seconds["train"].append(time.perf_counter() - clock)

    def evaluate(self, steps: int) -> None:
        """Times `steps` evaluations of a batch, after one to warm up."""
        for i in range(-1, steps):
            clock = time.perf_counter()
            arch = self.archs[i % ARCHS]
            jax.block_until_ready(self._evaluate(self._state.params, arch, *self._data))
            if i >= 0:
                self.seconds["evaluate"].append(time.perf_counter() - clock)

    def rates(self) -> tuple[float, float]:
        """Images per second of training and evaluation: means over architectures."""
        train, evaluate = (self._batch / np.mean(x) for x in self.seconds.values())
        return float(train), float(evaluate)


def row(bench: Bench, rate: float) -> list[str]:
    """One line of the table."""
    train, evaluate = bench.rates()
    macs = multiply_adds(bench.config, bench.archs)
    share = "-"
    if macs is not None and bench.mode == "path":
        parts = (6 * macs * train / rate, 2 * macs * evaluate / rate)
        share = " / ".join(f"{100 * part:.1f}%" for part in parts)
    seconds = " / ".join(f"{s:.0f}" for s in bench.compile_seconds)
    memory = " / ".join(f"{m:,.0f}" for m in bench.megabytes)
    return [f"{train:,.0f}", f"{evaluate:,.0f}", seconds, memory, share]


def pytorch(**sizes: Any) -> dict[str, tuple[float, float]]:
    """PyTorch eager on the same supernet: images per second, contiguous and not."""
    import pytorch_supernet

    rates = {}
    for last, name in ((False, "contiguous"), (True, "channels last")):
        bench = pytorch_supernet.bench(
            device="cuda" if jax.default_backend() == "gpu" else "cpu",
            channels_last=last,
            **sizes,
        )
        rates[name] = tuple(
            bench[f"{kind}_images_per_second"] for kind in ("train", "eval")
        )
    return rates


def compared(args: argparse.Namespace, cells: int, steps: int) -> dict:
    """`pytorch` with the flags' sizes; empty where it is not installed."""
    sizes = {"cells": cells, "batch": args.batch_size, "steps": steps}
    try:
        return pytorch(**sizes, bfloat16=args.dtype == "bfloat16")
    except ImportError:
        print("PyTorch is not installed: no comparison")
        return {}


@script
def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    spaces = families.variants()
    text = f"comma-separated (default {','.join(spaces)})"
    add("--spaces", type=cli.names(tuple(spaces)), default=list(spaces), help=text)
    text = "comma-separated (default path,dense)"
    add("--modes", type=cli.names(MODES), default=list(MODES), help=text)
    add("--batch-size", type=cli.at_least(1), default=64, help="images (64)")
    add("--cells", type=cli.at_least(1), default=None, help="default: the thesis's")
    add("--dtype", choices=("float32", "bfloat16"), default="float32")
    text = "per round (10); dense: a fifth"
    add("--steps", type=cli.at_least(1), default=10, help=text)
    add("--rounds", type=cli.at_least(1), default=3, help="in turn with PyTorch (3)")
    add("--pytorch", action="store_true", help="compare DARTS' path with PyTorch")
    args = parser.parse_args(argv)
    device = files.provenance()["device"]
    rate = devices.matrix_rate(jax.devices()[:1], args.dtype)
    print(
        f"{device['kind']}, {device['platform']}; {args.dtype}, batch "
        f"{args.batch_size}; matrix products {rate / 1e9:,.0f} GFLOP/s\n"
    )
    header = ["space, mode", "train img/s", "evaluate img/s", "compile s", "MB"]
    header += ["of rate"]
    rows = []
    changes = {"dtype": args.dtype} | ({"cells": args.cells} if args.cells else {})
    for space, mode in itertools.product(args.spaces, args.modes):
        config = preset(space, **changes).network
        bench = Bench(config, mode, args.batch_size)
        steps = args.steps if mode == "path" else max(args.steps // 5, 1)
        others: dict[str, list[tuple[float, float]]] = {}
        for _ in range(args.rounds if mode == "path" else 1):
            bench.train(steps)
            bench.evaluate(steps)
            if args.pytorch and (space, mode) == ("darts", "path"):
                for name, rates in compared(args, config.cells, steps).items():
                    others.setdefault(name, []).append(rates)
        rows.append([f"{space}, {mode}", *row(bench, rate)])
        print(text_table(header, rows[-1:]).splitlines()[-1], flush=True)
        for name, measured in others.items():
            train, evaluate = np.median(measured, axis=0)
            own = bench.rates()
            ratio = f"{own[0] / train:.2f}x / {own[1] / evaluate:.2f}x"
            cells = [f"{train:,.0f}", f"{evaluate:,.0f}", "-", "-", ratio]
            rows.append([f"  PyTorch, {name}", *cells])
    print("\n" + text_table(header, rows))
    print("\ncompile, MB (temporary memory) and the last column: training / evaluation")


if __name__ == "__main__":
    sys.exit(main())
