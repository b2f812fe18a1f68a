"""Trains a weight-sharing supernet (thesis 3.1.2, 4.1.3, 4.2.2).

    python experiments/train_supernet.py --space nb201 --preset cpu --dataset cifar10
    python experiments/train_supernet.py --space darts --dataset cifar10

trains one uniformly drawn architecture per batch (`--policy uniform`) or the whole
network at once (`--policy one-shot`) on half of the training images, scores fixed
random architectures on the other half as training goes on, and writes config.json,
checkpoints, log.jsonl, results.json, results.npz and curves.png into `--out`. A run
that was killed goes on with `--resume`, on CPU to the same bits.

Presets: `cadam`, `pc-cadam` and `imagenet32` (4.4.2), `ddas` (3.4.1: one-shot warm-up
of 6 cells), `nb201` (Dong and Yang's supernet of random sampling), and for two cores
`cpu` and `cpu-ddas`, small ones. Every field has a flag of its own. With `--policy
one-shot` the whole network is scored too.

On NAS-Bench-201 the scores are held against the true table: Kendall's tau and
Spearman's rho, by batch statistics and by running ones. The
`cpu` preset gave 0.19, 0.37, 0.44, 0.53, 0.43 after 20, 40, 60, 80, 100 epochs by batch
statistics, 0.29, 0.34, 0.28, 0.34, 0.40 by running ones, in 1,110 s on two CPU cores
(AMD EPYC); DARTS and PC-DARTS 776 and 378 s, mean accuracy of 30 architectures 43.8
and 41.7 %.
"""

import argparse
import os
import sys
from pathlib import Path

import jax
import numpy as np

from nasjax.analysis import candidates, plots, supernet_training
from nasjax.data.images import NAMES
from nasjax.networks import supernet
from nasjax.networks.training import ABSENT
from nasjax.runs import cli, devices, files, image_sets, supernets
from nasjax.runs.configs import Rules
from nasjax.runs.folder import Folder, open_run
from nasjax.runs.image_sets import Halves
from nasjax.runs.script import refusals, script
from nasjax.runs.supernet_config import PRESETS, SPACES, USUAL, SupernetRun, preset
from nasjax.runs.training import Trainer

OUTPUTS = ("results.json", "results.npz", "curves.png")


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, SupernetRun]:
    """The command line, and the run that it describes."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--space", choices=SPACES, default="darts")
    add(
        "--dataset",
        choices=NAMES,
        default=None,
        help="default: cifar10, or the preset's",
    )
    add("--data-dir", default=None, help="folder of the data set's official files")
    add(
        "--preset",
        choices=tuple(PRESETS),
        default=None,
        help="default: " + ", ".join(f"{p} for {s}" for s, p in USUAL.items()),
    )
    add = parser.add_argument_group("the run").add_argument
    add("--out", type=Path, default=None, help="default runs/supernet-SPACE")
    add("--resume", action="store_true", help="continue the run in --out")
    add("--overwrite", action="store_true", help="replace the run in --out")
    add("--checkpoint-seconds", type=cli.at_least(0), default=60)
    add("--devices", type=cli.at_least(1), default=None, help="divide batches over")
    add("--distributed", action="store_true", help="call jax.distributed.initialize()")
    add("--no-table", action="store_true", help="do not look for the true table")
    default, title = PRESETS["cadam"]["darts"], "settings (defaults: those of cadam)"
    cli.add_config_flags(parser, default, "", title)
    args = parser.parse_args(argv)
    args.out = args.out or Path(f"runs/supernet-{args.space}")
    changes = cli.given(args, default, "")
    if args.dataset is not None:
        changes["dataset"] = args.dataset
    try:
        return args, preset(args.space, args.preset, **changes)
    except ValueError as error:
        parser.error(str(error))


@script
def main(argv: list[str] | None = None) -> None:
    """Runs the experiment."""
    args, run = parse(argv)
    with refusals():
        if args.distributed:
            devices.join_hosts()
        on_cpu = jax.default_backend() == "cpu"
        count = args.devices or (1 if on_cpu else jax.device_count())
        if count > jax.device_count():
            raise ValueError(f"--devices {count}, but JAX sees {jax.device_count()}")
        halves = image_sets.halves(run, args.data_dir)
        run = supernets.with_data(run, halves, count)
        mesh = devices.mesh_of(jax.devices()[:count], [run.seed])
        trainer = supernets.trainer(run, halves, mesh)
        folder = open_run(
            args.out,
            "train_supernet",
            run.to_json(),
            outputs=OUTPUTS,
            rules=Rules(absent=ABSENT),
            inputs=[args.data_dir],
            resume=args.resume,
            overwrite=args.overwrite,
            writes=jax.process_index() == 0,
        )
    with folder:
        train(args, folder, run, halves, trainer)


def train(
    args: argparse.Namespace,
    folder: Folder,
    run: SupernetRun,
    halves: Halves,
    trainer: Trainer,
) -> None:
    """Trains; writes and prints everything."""
    config = run.network
    archs = supernets.scored(run, config.space)
    truth = None if args.no_table else candidates.truth(config.space, run.dataset)
    true = None if truth is None else truth.of(archs)["true_accuracy"]
    shapes = jax.eval_shape(lambda key: supernet.init(key, config), jax.random.key(0))
    print(
        f"{run.space} supernet, {supernet.count(shapes):,} parameters; "
        f"{halves.source}: {len(halves.train_labels):,} images to train, "
        f"{len(halves.valid_labels):,} to validate, {run.steps_per_epoch} steps an "
        f"epoch on {run.devices} {jax.default_backend()} device(s)",
        flush=True,
    )
    _, curves = supernets.fit(
        trainer,
        folder,
        run.eval_epochs,
        len(archs),
        supernets.scorer(run, halves, archs),
        resume=args.resume,
        checkpoint_seconds=args.checkpoint_seconds,
    )
    if jax.process_index() != 0:
        return
    rows = supernet_training.scores(curves, true)
    print("\n" + supernet_training.text(rows))
    content = {
        "config": run.to_json(),
        **files.provenance(),
        "data": halves.source,
        "marks": rows,
        "images_per_second": float(trainer.epoch.images / np.median(curves.seconds)),
        "train_seconds": float(curves.seconds.sum()),
    }
    folder.write_json("results.json", content)
    arrays = curves._asdict() | {"archs": archs}
    if true is not None:
        arrays["true"] = true
    folder.write_npz("results.npz", **arrays)
    plots.training(folder.file("curves.png"), curves, true)
    print(f"\nwritten: {args.out}{os.sep} {folder.names()}")


if __name__ == "__main__":
    sys.exit(main())
