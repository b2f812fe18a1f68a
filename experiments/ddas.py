"""DDAS: supernet and policy trained in parallel, the Pareto frontier in one run.

    python experiments/ddas.py --variant nl --dataset cifar10 --seeds 2

warms a one-shot supernet up (once: `--warm-up` is its folder), then searches it: each
step discretises the actor's action, trains that architecture's shared weights on M
batches and scores it on the validation half (thesis chapter 3, Algorithm 1).

Variants, comma-separated: `nl`, `g`, `4s` (Table 3.3), `td3` (twin critics, smoothed
and delayed targets: the thesis's future work) and `rs`, random search with shared
weights (Li and Talwalkar 2020). `--ablate none,loss,accuracy` repeats each without a
term of the reward (Fig. 3.2). The folder `--out` receives results.json, results.npz
(every step), frontier.json (genotypes of every front, for evaluate.py), log.jsonl,
curves.png (Fig. 3.3), front-flops.png and front-parameters.png (Fig. 3.4), widths.png
(Fig. 3.5), hypervolume.png and cells-VARIANT.png (Figs 3.8, 3.9). FLOPS and parameters
are those of a 6-cell network with C = 16. A run that was killed goes on with
`--resume`, on CPU to the same bits.

Presets: `thesis` (3.4.1: 6 cells, C = 16, warm-up of 75 epochs, 1,500 steps of 25
batches of 64 and 25,000 validation images; 24 + 6 hours on a 2080 Ti) and `cpu`.

Published (Table 3.1), test accuracy on CIFAR-10 after training from scratch: 97.27 %
(NL), 96.81 % (G), 96.74 % (4S), 97.16 % (RS).
Measured: `--variant 4s,rs --preset cpu --recent 500 --seeds 0-2` in 1,007 s after the
warm-up, on two CPU cores (AMD EPYC): hypervolume of accuracy and FLOPS 12.9 +- 1.6 %
(4S) against 9.7 +- 0.4 % (RS), 4S ahead in every seed; from another warm-up NL 13.5 %,
without the loss term 13.9 %, without the accuracy term 13.4 % (Fig. 3.2 has them close
to RS), RS 9.1 %. The thesis preset: not measured yet.
"""

import argparse
import dataclasses
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import train_supernet

from nasjax import searchers
from nasjax.analysis import frontier, frontier_tables, plots
from nasjax.data.images import NAMES
from nasjax.environments.trainable_supernet import Images, trainable_supernet
from nasjax.networks.training import ABSENT
from nasjax.runs import cli, driven_search, files, flags, methods, supernets
from nasjax.runs.configs import Rules, defaults
from nasjax.runs.folder import Folder, open_run, refuse_inputs
from nasjax.runs.script import refusals, script
from nasjax.searchers.ddas import VARIANTS
from nasjax.spaces import costs

TERMS = ("none", "loss", "accuracy")
NETWORK = {"cells": 6, "channels": 16}  # whose FLOPS and parameters are drawn


class Preset(NamedTuple):
    """What a preset fixes; every value has a flag."""

    steps: int
    explore: int
    exploit: int
    recent: int  # of the phase of bursts: as many as it and `exploit` have steps
    batches: int  # M, of training, per step
    valid_images: int  # per step; 0: the whole half
    eval_batch: int
    warm_up: tuple[str, ...]  # flags of train_supernet.py


PRESETS = {
    "thesis": Preset(1_500, 500, 500, 500, 25, 0, 500, ("--preset", "ddas")),
    "cpu": Preset(600, 200, 200, 200, 2, 500, 250, ("--preset", "cpu-ddas")),
}
FLAGS = {
    "steps": (1, "architectures per search"),
    "batches": (1, "M: batches that each is trained on"),
    "valid_images": (0, "validation images per step; 0: the whole half"),
    "eval_batch": (1, "images per batch there: part of what is measured"),
}


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Reads the command line; a bad value ends the program before any work."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    names = (*VARIANTS, "rs")
    add(
        "--variant",
        type=cli.names(names),
        default=["nl"],
        help=f"comma-separated, of {', '.join(names)} (default nl)",
    )
    add(
        "--ablate",
        type=cli.names(TERMS),
        default=["none"],
        help="terms of the reward to leave out, one after another (default none)",
    )
    add("--dataset", choices=NAMES, default="cifar10")
    add("--data-dir", default=None, help="folder of the data set's official files")
    add("--seeds", type=cli.seeds, default="2", help="3, 0-2 or 1,4,7 (default 2)")
    add("--preset", choices=tuple(PRESETS), default="thesis")
    add("--warm-up", type=Path, default=None, help="a supernet's run: used, or made")
    for name, (least, text) in FLAGS.items():
        flag = "--" + name.replace("_", "-")
        add(flag, type=cli.at_least(least), default=None, help=text)
    add("--learning-rate", type=float, default=1e-3, help="of the supernet (1e-3)")
    add = parser.add_argument_group("the run").add_argument
    add("--out", type=Path, default=None, help="default runs/ddas-DATASET")
    add("--resume", action="store_true", help="continue the run in --out")
    add("--overwrite", action="store_true", help="replace the run in --out")
    add("--checkpoint-seconds", type=cli.at_least(0), default=60)
    cli.add_config_flags(
        parser, searchers.DdasConfig(), "", "settings of DDAS (defaults: those of nl)"
    )
    args = parser.parse_args(argv)
    preset = PRESETS[args.preset]
    for name in FLAGS:
        if getattr(args, name) is None:
            setattr(args, name, getattr(preset, name))
    args.out = args.out or Path(f"runs/ddas-{args.dataset}")
    usual = f"runs/ddas-warm-up-{args.dataset}-{args.preset}"
    args.warm_up = args.warm_up or Path(usual)
    try:
        args.configs = configs(args, preset)
        if args.learning_rate < 0:
            raise ValueError(
                f"--learning-rate must not be negative: {args.learning_rate}"
            )
    except ValueError as error:
        parser.error(str(error))
    return args


def configs(args: argparse.Namespace, preset: Preset) -> dict[str, Any]:
    """DDAS's config of every variant and ablation; `rs` has none.

    Raises:
      ValueError: a value out of range, or a flag that changes none of them.
    """
    chosen = {}
    for variant in (name for name in args.variant if name != "rs"):
        for term in args.ablate:
            method = methods.METHODS[f"ddas-{variant}"]
            config = method.config.replace(
                explore=preset.explore, exploit=preset.exploit, recent=preset.recent
            )
            name, fixed = variant, method.fixed
            if term != "none":
                weight = f"{term}_weight"
                config = config.replace(**{weight: 0.0})
                # Acc(OS) enters the term of the accuracy alone, and so on.
                fixed = (*fixed, weight, f"os_{term}")
                name = f"{variant}-no-{term}"
            chosen[name] = method._replace(config=config, fixed=fixed)
    if not chosen and args.ablate != ["none"]:
        raise ValueError(
            f"--ablate {','.join(args.ablate)} would change nothing: --variant rs has "
            "no reward"
        )
    offered = list(VARIANTS)
    usual = searchers.DdasConfig()
    for name in ("os_accuracy", "os_loss"):
        if (value := getattr(args, f"config_{name}")) is not None and value < 0:
            raise ValueError(
                f"{cli.flag('', name)} {value}: allowed is at least 0; left out, it is "
                "the warm-up's"
            )
    flags.refuse_idle(args, "", usual, chosen, offered, "--variant")
    return {
        name: flags.configured(args, "", method).validate()
        for name, method in chosen.items()
    }


class Setting(NamedTuple):
    """What all searches share."""

    net: supernets.Pretrained
    source: str  # of the images
    env: Any  # search.Environment, at the warmed-up supernet
    one_shot: tuple[float, float]  # Acc(OS), and the loss before the first step: the
    # warm-up's best and last, or what flags say


def warm(args: argparse.Namespace) -> int:
    """Trains the one-shot supernet unless that is done; returns an exit status."""
    if (args.warm_up / "results.json").exists():
        return 0
    print(f"warm-up: training a one-shot supernet into {args.warm_up}", flush=True)
    flags = ["--space", "darts", "--dataset", args.dataset, "--out", str(args.warm_up)]
    flags += [*PRESETS[args.preset].warm_up, "--no-table", "--resume"]
    flags += ["--data-dir", args.data_dir] if args.data_dir else []
    if args.dataset == "synthetic":  # has fewer images than the presets ask for
        flags += ["--train-images", "0"]
    return train_supernet.main(flags)


def prepare(args: argparse.Namespace) -> tuple[Setting, dict]:
    """Loads supernet and images; also returns what fixes the run's results."""
    net = supernets.load(args.warm_up)
    whole = net.curves.one_shot
    if np.isnan(whole[-1]).any():
        raise ValueError(
            f"{args.warm_up} is no finished one-shot supernet: DDAS needs one trained "
            "with --policy one-shot"
        )
    if "none" not in net.config.space.operations or net.config.kind != "darts":
        raise ValueError(f"{args.warm_up}: DDAS needs --space darts --none true")
    if net.settings["dataset"] != args.dataset:
        raise ValueError(
            f"{args.warm_up} was trained on {net.settings['dataset']}, not "
            f"{args.dataset}"
        )
    halves = supernets.data(net.settings, args.data_dir)
    n = args.valid_images or len(halves.valid_labels)
    if n > len(halves.valid_labels):
        raise ValueError(
            f"--valid-images {n}: the validation half has {len(halves.valid_labels)}"
        )
    recipe = dataclasses.replace(
        supernets.recipe(net.settings), learning_rate=args.learning_rate
    )
    env = trainable_supernet(
        net.config,
        net.state,
        Images(
            halves.train_images,
            halves.train_labels,
            halves.valid_images[:n],
            halves.valid_labels[:n],
        ),
        recipe=recipe,
        augment=supernets.augmentation(net.settings, halves),
        batches=args.batches,
        eval_batch=args.eval_batch,
    )
    if env.traceable:
        env = env.replace(evaluate=jax.jit(env.evaluate))
    one_shot = float(whole[:, 0].max()), float(whole[-1, 1])
    given = args.config_os_accuracy, args.config_os_loss
    one_shot = tuple(
        ours if flag is None else flag
        for ours, flag in zip(one_shot, given, strict=True)
    )
    fixed = {name: getattr(args, name) for name in FLAGS}
    fixed |= {n: getattr(args, n) for n in ("dataset", "seeds", "learning_rate")}
    fixed |= {
        "variants": [*args.configs, *(["rs"] if "rs" in args.variant else [])],
        "configs": {n: dataclasses.asdict(c) for n, c in args.configs.items()},
        "one_shot": {"accuracy": one_shot[0], "loss": one_shot[1]},
        "warm_up": net.settings,
        "network": NETWORK,
        "data_sha256": halves.sha256,
    }
    return Setting(net, halves.source, env, one_shot), fixed


def used(args: argparse.Namespace, setting: Setting) -> dict[str, Any]:
    """The configs with Acc(OS) and the first loss that all searches share."""
    accuracy, loss = setting.one_shot
    return {
        name: config.replace(os_accuracy=accuracy, os_loss=loss)
        for name, config in args.configs.items()
    }


def run(
    args: argparse.Namespace, folder: Folder, setting: Setting
) -> dict[str, list[driven_search.Driven]]:
    """All searches, one after another, each from the warmed-up supernet."""
    space = setting.net.config.space
    before = folder.before["steps"] if folder.before else None
    made = {
        name: searchers.ddas(space, config)
        for name, config in used(args, setting).items()
    }
    if "rs" in args.variant:
        made["rs"] = searchers.random_search(space)
    count = len(made) * len(args.seeds)
    found: dict[str, list[driven_search.Driven]] = {name: [] for name in made}
    for name, searcher in made.items():
        for seed in args.seeds:
            place = sum(map(len, found.values())) + 1
            one = driven_search.run(
                jax.random.key(seed),
                searcher,
                setting.env,
                args.steps,
                folder,
                f"{name}/seed{seed}",
                steps_before=before,
                resume=args.resume,
                checkpoint_seconds=args.checkpoint_seconds,
                label=f"{name} seed {seed} ({place}/{count})",
            )
            found[name].append(one)
    return found


def write(args, folder, setting: Setting, config: dict, found: dict) -> None:
    """Pictures, files and tables."""
    space, classes = setting.net.config.space, setting.net.config.classes
    table = costs.darts_network(space, classes=classes, **NETWORK)
    within = frontier.box(table, space, classes)
    searches = {
        name: [frontier.points(table, x.trace.arch, x.trace.accuracy) for x in rows]
        for name, rows in found.items()
    }
    each = {
        name: [frontier.hypervolumes(points, within) for points in rows]
        for name, rows in searches.items()
    }
    volumes = {
        name: {axis: np.stack([v[axis] for v in rows]) for axis in frontier.AXES}
        for name, rows in each.items()
    }
    described = frontier_tables.describe(space, found, searches, volumes, args.seeds)
    text, pairs = frontier_tables.compare(volumes, described)
    fronts = [
        entry
        for name, rows in searches.items()
        for seed, points in zip(args.seeds, rows, strict=True)
        for entry in frontier.entries(space, points, {"variant": name, "seed": seed})
    ]
    folder.write_json("frontier.json", fronts)
    arrays = {"seeds": np.array(args.seeds, np.int64)}
    for name, rows in found.items():
        for key in ("arch", "accuracy", "loss"):
            arrays[f"{name}__{key}"] = np.stack([getattr(x.trace, key) for x in rows])
        for axis in frontier.AXES:
            costs_of = [getattr(points, axis) for points in searches[name]]
            arrays[f"{name}__{axis}"] = np.stack(costs_of)
            arrays[f"{name}__hypervolume_{axis}"] = volumes[name][axis]
        for key in rows[0].trace.info:
            arrays[f"{name}__{key}"] = np.stack([x.trace.info[key] for x in rows])
    folder.write_npz("results.npz", **arrays)
    config = config | {
        "configs": {n: dataclasses.asdict(c) for n, c in used(args, setting).items()}
    }
    content = {"config": config, **files.provenance(), "data": setting.source}
    content |= {"warm_up": str(args.warm_up), "box": within._asdict()}
    content |= {"paired_points": pairs, "variants": described}
    folder.write_json("results.json", content)
    draw(args, folder, setting, searches, volumes, described)
    print("\n" + text)
    print(f"\nAcc(OS) {100 * setting.one_shot[0]:.2f} %, {len(fronts)} architectures")
    print(f"written: {args.out}{os.sep} {folder.names()}")


def draw(args, folder, setting: Setting, searches: dict, volumes: dict, described):
    """The pictures that the docstring names."""
    space = setting.net.config.space
    accuracy = {n: np.stack([x.accuracy for x in rows]) for n, rows in searches.items()}
    title = f"{args.dataset}, preset {args.preset}, seeds {args.seeds}"
    picture = folder.file("curves.png")
    plots.curves(picture, accuracy, setting.one_shot[0], title)
    for axis in frontier.AXES:
        plots.fronts(folder.file(f"front-{axis}.png"), searches, axis, title)
    plots.widths(folder.file("widths.png"), space, searches, args.dataset)
    flops = {name: by_axis["flops"] for name, by_axis in volumes.items()}
    plots.hypervolumes(folder.file("hypervolume.png"), flops, title)
    for name, rows in searches.items():
        accuracies = [points.accuracy.max() for points in rows]
        s = int(np.argmax(accuracies))
        step = described[name][str(args.seeds[s])]["best_step"]
        label = f"{name}, seed {args.seeds[s]}, step {step}: "
        label += f"{100 * accuracies[s]:.2f} %"
        picture = folder.file(f"cells-{name}.png")
        plots.cells(picture, space, rows[s].arch[step], label)


OUTPUTS = (
    "results.json",
    "results.npz",
    "frontier.json",
    "curves.png",
    "front-*.png",
    "widths.png",
    "hypervolume.png",
    "cells-*.png",
)
OLDER = {f"warm_up.{name}": value for name, value in ABSENT.items()}
RULES = Rules(grows=("seeds", "variants", "steps", "configs"))


@script
def main(argv: list[str] | None = None) -> int | None:
    """Runs the experiment."""
    args = parse(argv)
    cli.say_seeds(args.seeds)
    with refusals():
        refuse_inputs(args.out, OUTPUTS, [args.warm_up, args.data_dir])
    if status := warm(args):
        return status
    with refusals():
        setting, config = prepare(args)
        folder = open_run(
            args.out,
            "ddas",
            config,
            outputs=OUTPUTS,
            inputs=[args.warm_up, args.data_dir],
            resume=args.resume,
            overwrite=args.overwrite,
            rules=RULES._replace(absent=defaults(args.configs) | OLDER),
        )
    print(
        f"{args.warm_up}: Acc(OS) {100 * setting.one_shot[0]:.2f} %; each "
        f"step trains {args.batches} batches and scores "
        f"{len(setting.env.params.valid_labels):,} images",
        flush=True,
    )
    with folder:
        write(args, folder, setting, config, run(args, folder, setting))
    return None


if __name__ == "__main__":
    sys.exit(main())
