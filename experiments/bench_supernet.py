"""Speed of supernets: images per second, compile seconds, memory, per space and mode.

    python experiments/bench_supernet.py --pytorch

times training steps (augmentation, gradient, SGD on the selected weights) and
evaluation of random architectures on the device that JAX finds, `path` against `dense`,
and, if PyTorch is installed, PyTorch in eager mode on the same DARTS supernet, in turn
with this one: by itself (contiguous images) and with channels last, which is faster.

Operations count 2 per multiply-add of convolutions and classifier of the mean
architecture, three times that for training; the fraction is of the rate of large
matrix products on the same device.

Two CPU cores (AMD EPYC, jax 0.10.2), DARTS, batch 64: `path` trains 81 and evaluates
428 images/s, `dense` 6 and 61, PyTorch as it comes 74 and 261, with channels last 112
and 610. Not measured on a GPU.
"""

import functools
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.analysis.text import text_table
from nasjax.networks import supernet, training
from nasjax.networks.augment import AugmentConfig, normalize
from nasjax.networks.supernet import training as supernet_training
from nasjax.runs import cli, devices, files
from nasjax.runs.script import script
from nasjax.spaces import costs

SPACES = ("darts", "pc-darts", "nb201")
MODES = ("path", "dense")
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def network(space: str, cells: int | None, dtype: str) -> supernet.SupernetConfig:
    """The supernets of the thesis, C = 16."""
    make = {
        "darts": supernet.darts,
        "pc-darts": supernet.pc_darts,
        "nb201": supernet.nas_bench_201,
    }[space]
    return make(dtype=dtype, **({"cells": cells} if cells else {}))


def _seconds(function, times: int) -> list[float]:
    found = []
    for _ in range(times):
        clock = time.perf_counter()
        jax.block_until_ready(function())
        found.append(time.perf_counter() - clock)
    return found


def multiply_adds(config: supernet.SupernetConfig, archs: np.ndarray) -> float | None:
    """Of one image under the mean architecture; None where it is not counted."""
    if config.parts > 1:
        return None
    if config.kind == "nb201":
        table = costs.nb201_network(
            cells_per_stage=config.cells, channels=config.channels
        )
    else:
        table = costs.darts_network(
            config.space, cells=config.cells, channels=config.channels
        )
    return float(np.mean(costs.macs(table, archs)))


class Bench:
    """One supernet, compiled for training and evaluation in one mode."""

    def __init__(self, config: supernet.SupernetConfig, mode: str, batch: int):
        self.config, self.batch, self.mode = config, batch, mode
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (2 * batch, 32, 32, 3), np.uint8)
        labels = rng.integers(0, config.classes, 2 * batch).astype(np.int32)
        self._data = jax.device_put((images, labels))
        recipe = training.Recipe(batch_size=batch)
        key = jax.random.key(0)
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

        self._index = jnp.arange(batch, dtype=jnp.int32)
        keys = jax.random.split(key, 64)
        self.archs = np.asarray(jax.vmap(config.space.random)(keys))
        clock = time.perf_counter()
        self._step = (
            jax.jit(step, donate_argnums=1)
            .lower(key, self._state, *self._data, self._index)
            .compile()
        )
        middle = time.perf_counter()
        self._evaluate = (
            jax.jit(evaluate)
            .lower(self._state.params, self.archs[0], *self._data)
            .compile()
        )
        self.compile_seconds = (middle - clock, time.perf_counter() - middle)
        programs = (self._step, self._evaluate)
        self.megabytes = [
            p.memory_analysis().temp_size_in_bytes / 1e6 for p in programs
        ]
        self.train_seconds: list[float] = []
        self.evaluate_seconds: list[float] = []

    def train(self, steps: int) -> None:
        """Times `steps` steps, each of a fresh architecture, after one to warm up."""
        key = jax.random.key(1)

        def one():
            self._state, metrics = self._step(
                key, self._state, *self._data, self._index
            )
            return metrics

        jax.block_until_ready(one())
        if jax.default_backend() == "cpu":
            self.train_seconds += _seconds(one, steps)
        else:  # a single step would time the call
            clock = time.perf_counter()
            jax.block_until_ready([one() for _ in range(steps)])
            self.train_seconds += [(time.perf_counter() - clock) / steps]

    def evaluate(self, steps: int) -> None:
        """Times `steps` evaluations of a batch."""
        archs = iter(
            np.tile(self.archs, (1 + steps // 64, *[1] * (self.archs.ndim - 1)))
        )

        def one():
            return self._evaluate(self._state.params, next(archs), *self._data)

        jax.block_until_ready(
            self._evaluate(self._state.params, self.archs[0], *self._data)
        )
        self.evaluate_seconds += _seconds(one, steps)

    def rates(self) -> tuple[float, float]:
        """Images per second of training and evaluation: means over architectures."""
        return (
            self.batch / np.mean(self.train_seconds),
            self.batch / np.mean(self.evaluate_seconds),
        )


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


def pytorch(device: str, cells: int, batch: int, steps: int, bfloat16: bool) -> dict:
    """PyTorch eager on the same supernet: images per second, contiguous and not."""
    try:
        import pytorch_supernet
    except ImportError:
        print("PyTorch is not installed: no comparison")
        return {}
    found = {}
    for last in (False, True):
        one = pytorch_supernet.bench(
            cells=cells,
            batch=batch,
            steps=steps,
            device=device,
            bfloat16=bfloat16,
            channels_last=last,
        )
        name = "channels last" if last else "contiguous"
        found[name] = (one["train_images_per_second"], one["eval_images_per_second"])
    return found


@script
def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark; returns the exit status."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--spaces", type=cli.names(SPACES), default=list(SPACES))
    add("--modes", type=cli.names(MODES), default=list(MODES))
    add("--batch-size", type=cli.at_least(1), default=64)
    add("--cells", type=cli.at_least(1), default=None, help="default: the thesis's")
    add("--dtype", choices=("float32", "bfloat16"), default="float32")
    add("--steps", type=cli.at_least(1), default=10, help="per round; dense: a fifth")
    add("--rounds", type=cli.at_least(1), default=3, help="in turn with PyTorch")
    add("--pytorch", action="store_true", help="compare DARTS' path with PyTorch")
    args = parser.parse_args(argv)
    device = files.provenance()["device"]
    rate = devices.matrix_rate(jax.devices()[:1], args.dtype)
    print(
        f"{device['kind']}, {device['platform']}; {args.dtype}, batch "
        f"{args.batch_size}; matrix products {rate / 1e9:,.0f} GFLOP/s\n"
    )
    header = [
        "space, mode",
        "train img/s",
        "evaluate img/s",
        "compile s",
        "MB",
        "of rate",
    ]
    rows = []
    for space in args.spaces:
        config = network(space, args.cells, args.dtype)
        for mode in args.modes:
            bench = Bench(config, mode, args.batch_size)
            steps = args.steps if mode == "path" else max(args.steps // 5, 1)
            compare = args.pytorch and (space, mode) == ("darts", "path")
            others: dict[str, list] = {}
            for _ in range(args.rounds if mode == "path" else 1):
                bench.train(steps)
                bench.evaluate(steps)
                if compare:
                    kind = "cuda" if jax.default_backend() == "gpu" else "cpu"
                    found = pytorch(
                        kind,
                        config.cells,
                        args.batch_size,
                        steps,
                        args.dtype == "bfloat16",
                    )
                    for name, rates in found.items():
                        others.setdefault(name, []).append(rates)
            rows.append([f"{space}, {mode}", *row(bench, rate)])
            print(text_table(header, rows[-1:]).splitlines()[-1], flush=True)
            for name, rates in others.items():
                train, evaluate = np.median(rates, axis=0)
                mine = bench.rates()
                rows.append([f"  PyTorch, {name}", f"{train:,.0f}", f"{evaluate:,.0f}"])
                rows[-1] += [
                    "-",
                    "-",
                    f"{mine[0] / train:.2f}x / {mine[1] / evaluate:.2f}x",
                ]
            del bench
    print("\n" + text_table(header, rows))
    print("\ncompile, MB (temporary memory) and the last column: training / evaluation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
