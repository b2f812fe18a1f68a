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

from nasjax.analysis import candidates, plots, statistics
from nasjax.analysis.text import text_table
from nasjax.data.images import NAMES
from nasjax.environments.frozen_supernet import score
from nasjax.networks import supernet
from nasjax.networks.supernet import training as supernet_training
from nasjax.networks.training import ABSENT
from nasjax.runs import cli, devices, files, supernets, trainer
from nasjax.runs import training as runs
from nasjax.runs.configs import Rules
from nasjax.runs.folder import open_run
from nasjax.runs.script import refusals, script

SETTINGS = {
    "policy": "uniform",
    "channels": 16,
    "cells": 8,
    "parts": 1,
    "none": False,
    "stem": "cifar",
    "dtype": "float32",
    "seed": 2,
    "split_seed": 0,
    "learning_rate": 0.025,
    "final_learning_rate": 1e-3,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 3e-4,
    "clip": 5.0,
    "batch_size": 250,
    "drop_last": False,
    "epochs": 10_000,
    "preprocess": True,
    "padding": 4,
    "constants": "own",
    "cutout": 0,
    "train_images": 0,
    "shrink": 1,
    "validate": 10,
    "validate_archs": 30,
    "validate_images": 5_000,
    "validate_batch": 500,
}
NB201 = {
    "batch_size": 64,
    "nesterov": True,
    "weight_decay": 5e-4,
    "validate_archs": 300,
}
PRESETS = {
    "cadam": {"cutout": 16},
    "pc-cadam": {},
    "imagenet32": {
        "dataset": "imagenet32-120",
        "epochs": 5_000,
        "batch_size": 750,
        "preprocess": False,
    },
    "ddas": {
        "policy": "one-shot",
        "none": True,
        "cells": 6,
        "batch_size": 64,
        "epochs": 75,
        "validate": 25,
        "validate_images": 25_000,
    },
    "nb201": NB201 | {"cells": 5, "epochs": 250},
}
SMALL = {
    "channels": 8,
    "shrink": 2,
    "padding": 2,
    "batch_size": 64,
    "drop_last": True,
    "validate": 5,
}
SMALL_CELLS = SMALL | {"cells": 3, "epochs": 25, "validate_images": 1_000}
CPU = {
    "darts": SMALL_CELLS,
    "pc-darts": SMALL_CELLS,
    "nb201": SMALL
    | NB201
    | {
        "cells": 1,
        "epochs": 100,
        "learning_rate": 0.05,
        "validate_images": 500,
        "validate_batch": 250,
    },
}
# A warm-up of `ddas` for two cores.
PRESETS["cpu-ddas"] = (
    SMALL
    | PRESETS["ddas"]
    | {
        "channels": 8,
        "cells": 3,
        "train_images": 6_400,
        "epochs": 4,
        "validate": 4,
        "validate_archs": 10,
        "validate_images": 500,
        "validate_batch": 250,
    }
)
SPACES_OF = {
    "cadam": ("darts",),
    "pc-cadam": ("pc-darts",),
    "imagenet32": ("darts", "pc-darts"),
    "ddas": ("darts",),
    "cpu-ddas": ("darts",),
    "nb201": ("nb201",),
    "cpu": supernets.SPACES,
}
# Settings that change nothing in a space, by the value that says so.
IDLE = {
    "darts": {"parts": 1},
    "pc-darts": {},
    "nb201": {"parts": 1, "none": False, "stem": "cifar"},
}
USUAL = {"darts": "cadam", "pc-darts": "pc-cadam", "nb201": "nb201"}
HELP = {
    "policy": f"what a batch trains: {' or '.join(supernet_training.POLICIES)}",
    "cells": "number of cells; per stage for nb201",
    "channels": "C of the first cells",
    "parts": "PC-DARTS' K: operations see 1/K of the channels",
    "none": "make `none` an eighth operation",
    "stem": "cifar or imagenet",
    "dtype": "float32 or bfloat16",
    "drop_last": "leave out an epoch's last batch if it is smaller than the others",
    "split_seed": "seed of the halves: training, validation",
    "constants": "mean and deviation of pixels: own, or cifar10's (as PC-DARTS' code)",
    "cutout": "side of the square cut out of training images",
    "preprocess": "crop, flip, cutout and normalise; false: scale to [0, 1] only",
    "train_images": "use so many of the training half; 0: all",
    "shrink": "average so many by so many pixels first",
    "validate": "number of times that architectures are scored",
    "validate_archs": "architectures scored each time",
    "validate_images": "validation images used for it",
    "validate_batch": "images per batch there",
}


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, dict]:
    """The command line and the settings that fix a run's results."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--space", choices=supernets.SPACES, default="darts")
    add(
        "--dataset",
        choices=NAMES,
        default=None,
        help="default: cifar10, or the preset's",
    )
    add("--data-dir", default=None, help="folder of the data set's official files")
    add(
        "--preset",
        choices=(*PRESETS, "cpu"),
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
    group = parser.add_argument_group("settings (defaults depend on the preset)")
    for name, value in SETTINGS.items():
        group.add_argument(
            "--" + name.replace("_", "-"),
            dest=f"set_{name}",
            type=cli.reader(value),
            default=None,
            metavar=type(value).__name__.upper(),
            help=HELP.get(name, name.replace("_", " ")),
        )
    args = parser.parse_args(argv)
    preset = args.preset or USUAL[args.space]
    base = {"space": args.space, "dataset": "cifar10", "preset": preset, **SETTINGS}
    base |= CPU[args.space] if preset == "cpu" else PRESETS[preset]
    if args.space == "pc-darts":
        base["parts"] = 4
    given = {name: getattr(args, f"set_{name}") for name in SETTINGS}
    given["dataset"] = args.dataset
    base |= {name: value for name, value in given.items() if value is not None}
    args.out = args.out or Path(f"runs/supernet-{args.space}")
    try:
        if args.space not in SPACES_OF[preset]:
            raise ValueError(
                f"--preset {preset} is for --space {' or '.join(SPACES_OF[preset])}, "
                f"not {args.space}"
            )
        for name, value in IDLE[args.space].items():
            if base[name] != value:
                raise ValueError(
                    f"{name} is {base[name]}; --space {args.space} has only {value}"
                )
        supernets.check_constants(base)
        supernets.recipe(base)
        supernets.config(base, 10)
        if base["policy"] not in supernet_training.POLICIES:
            raise ValueError(
                f"policy is {base['policy']!r}; allowed: "
                f"{', '.join(supernet_training.POLICIES)}"
            )
        for name in ("validate", "validate_archs", "validate_images", "shrink"):
            if base[name] < 1:
                raise ValueError(f"{name} must be at least 1, got {base[name]}")
    except ValueError as error:
        parser.error(str(error))
    return args, base


def scorer(settings: dict, halves: supernets.Halves, archs: np.ndarray):
    """What is measured at a mark, see `trainer.run`."""
    n = min(settings["validate_images"], len(halves.valid_labels))
    config = supernets.config(settings, halves.classes)
    shown = supernets.augmentation(settings, halves)
    images = jax.device_put(halves.valid_images[:n])
    labels = jax.device_put(halves.valid_labels[:n])

    @jax.jit
    def one(params, statistics, arch, images, labels):
        return score(
            config,
            params,
            arch,
            images,
            labels,
            mean=shown.mean,
            std=shown.std,
            batch_size=min(settings["validate_batch"], n),
            statistics=statistics,
        )

    def all_three(state):
        found = [
            np.array(
                [one(state.params, by, arch, images, labels).accuracy for arch in archs]
            )
            for by in (None, state.statistics)
        ]
        whole = np.full(2, np.nan, np.float32)
        if settings["policy"] == "one-shot":
            alpha = np.ones(config.space.alpha_shape, np.float32)
            whole = np.array(one(state.params, None, alpha, images, labels))
        return *found, whole

    return all_three


def correlations(curves: supernets.Curves, true: np.ndarray) -> list[dict]:
    """Kendall's tau and Spearman's rho at every mark."""
    return [
        {
            "epoch": int(epoch),
            "kendall_batch": statistics.kendall(batch, true),
            "spearman_batch": statistics.spearman(batch, true),
            "kendall_running": statistics.kendall(running, true),
            "spearman_running": statistics.spearman(running, true),
        }
        for epoch, batch, running in zip(
            curves.marks, curves.batch, curves.running, strict=True
        )
    ]


def describe(curves: supernets.Curves, true: np.ndarray | None) -> list[dict]:
    """Prints the table of marks; returns it."""
    marks = [
        {
            "epoch": int(epoch),
            "batch_mean": float(batch.mean()),
            "batch_best": float(batch.max()),
            "running_mean": float(running.mean()),
            "running_best": float(running.max()),
        }
        for epoch, batch, running in zip(
            curves.marks, curves.batch, curves.running, strict=True
        )
    ]
    if not np.isnan(curves.one_shot).all():
        for mark, whole in zip(marks, curves.one_shot.tolist(), strict=True):
            mark |= dict(
                zip(("one_shot_accuracy", "one_shot_loss"), whole, strict=True)
            )
    if true is not None:
        for mark, more in zip(marks, correlations(curves, true), strict=True):
            mark |= more
    header = list(marks[0])
    rows = [
        [str(mark["epoch"]), *(f"{mark[name]:.3f}" for name in header[1:])]
        for mark in marks
    ]
    print("\n" + text_table([name.replace("_", " ") for name in header], rows))
    return marks


OUTPUTS = ("results.json", "results.npz", "curves.png")
RULES = Rules(absent=ABSENT)


@script
def main(argv: list[str] | None = None) -> None:
    """Runs the experiment."""
    args, settings = parse(argv)
    with refusals():
        if args.distributed:
            devices.join_hosts()
        count = args.devices or (
            1 if jax.default_backend() == "cpu" else jax.device_count()
        )
        if count > jax.device_count():
            raise ValueError(f"--devices {count}, but JAX sees {jax.device_count()}")
        mesh = None
        if count > 1:
            mesh = jax.sharding.Mesh(jax.devices()[:count], (supernet_training.AXIS,))
        halves = supernets.data(settings, args.data_dir)
        training = trainer.Trainer(settings, halves, mesh)
        every = np.linspace(0, settings["epochs"], settings["validate"] + 1)[1:]
        settings |= {
            "classes": halves.classes,
            "image_size": training.image_size,
            "image_channels": training.config.image_channels,
            "steps_per_epoch": training.steps_per_epoch,
            "marks": sorted({max(round(epoch), 1) for epoch in every}),
            "data_sha256": halves.sha256,
            "devices": count,
        }
        folder = open_run(
            args.out,
            "train_supernet",
            settings,
            outputs=OUTPUTS,
            rules=RULES,
            inputs=[args.data_dir],
            resume=args.resume,
            overwrite=args.overwrite,
            writes=jax.process_index() == 0,
        )
    with folder:
        work(args, folder, settings, halves, training)


def work(args, folder, settings: dict, halves, training: trainer.Trainer) -> None:
    """Trains; writes and prints everything."""
    space = training.config.space
    archs = supernets.validated(settings, space)
    true = None if args.no_table else candidates.truth(space, settings["dataset"])
    if true is not None:
        true = true.of(archs)["true_accuracy"]
    shapes = jax.eval_shape(
        lambda key: supernet.init(key, training.config), jax.random.key(0)
    )
    print(
        f"{args.space} supernet, {supernet.count(shapes):,} parameters; "
        f"{halves.source}: {len(halves.train_labels):,} images to train, "
        f"{len(halves.valid_labels):,} to validate, {training.steps_per_epoch} steps "
        f"an epoch on {settings['devices']} {jax.default_backend()} device(s)",
        flush=True,
    )
    _, curves = runs.supernet(
        training,
        folder,
        settings["marks"],
        len(archs),
        scorer(settings, halves, archs),
        resume=args.resume,
        checkpoint_seconds=args.checkpoint_seconds,
    )
    if jax.process_index() != 0:
        return
    marks = describe(curves, true)
    images = training.epoch.images
    content = {
        "config": settings,
        **files.provenance(),
        "data": halves.source,
        "marks": marks,
        "images_per_second": float(images / np.median(curves.seconds)),
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
