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
(NL), 96.81 % (G), 96.74 % (4S), 97.16 % (RS). Measured with `cpu`, in which 4S has a
larger hypervolume than RS in every seed: experiments/README.md.
"""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from nasjax import searchers
from nasjax.analysis import ddas as ddas_searches
from nasjax.analysis import supernet_training
from nasjax.data import user_images
from nasjax.data.images import NAMES
from nasjax.networks.training import ABSENT
from nasjax.runs import cli, ddas, driven_search, flags, image_flags
from nasjax.runs.ddas import PRESETS, WarmedUp
from nasjax.runs.errors import StoppedError
from nasjax.runs.folder import Folder, refuse_inputs
from nasjax.runs.script import Experiment, refusals, script, write_results, written
from nasjax.runs.supernet_config import preset
from nasjax.searchers.ddas import VARIANTS

EXPERIMENT = Experiment(
    "ddas",
    outputs=(
        "results.json",
        "results.npz",
        "frontier.json",
        "curves.png",
        "front-*.png",
        "widths.png",
        "hypervolume.png",
        "cells-*.png",
    ),
    grows=("seeds", "variants", "steps", "configs"),
    absent={f"warm_up.{name}": value for name, value in ABSENT.items()},
)
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
    text = f"comma-separated, of {', '.join(names)} (default nl)"
    add("--variant", type=cli.names(names), default=["nl"], help=text)
    text = "terms of the reward to leave out, one after another (default none)"
    add("--ablate", type=cli.names(ddas.TERMS), default=["none"], help=text)
    image_flags.add(parser, NAMES, "cifar10")
    add("--seeds", type=cli.seeds, default="2", help="3, 0-2 or 1,4,7 (default 2)")
    add("--preset", choices=tuple(PRESETS), default="thesis")
    add("--warm-up", type=Path, default=None, help="a supernet's run: used, or made")
    for name, (least, text) in FLAGS.items():
        flag = "--" + name.replace("_", "-")
        add(flag, type=cli.at_least(least), default=None, help=text)
    add("--learning-rate", type=float, default=1e-3, help="of the supernet (1e-3)")
    EXPERIMENT.add_flags(parser)
    image_flags.add_own(parser)
    title = "settings of DDAS (defaults: those of nl)"
    cli.add_config_flags(parser, searchers.DdasConfig(), "", title)
    args = parser.parse_args(argv)
    if user_images.is_own(args.dataset):  # the presets count CIFAR's images
        args.valid_images = args.valid_images or 0
    cli.fill(args, PRESETS[args.preset], FLAGS)
    name = user_images.short_name(args.dataset)
    args.out = args.out or Path(f"runs/ddas-{name}")
    warm_up = Path(f"runs/ddas-warm-up-{name}-{args.preset}")
    args.warm_up = args.warm_up or warm_up
    with parser.refusals():
        changes = image_flags.changes(args)
        if args.dataset == "synthetic":  # has fewer images than the presets ask for
            changes["train_images"] = 0
        args.warm_run = preset("darts", PRESETS[args.preset].warm_up, **changes)
        args.configs = configs(args)
        if (rate := args.learning_rate) < 0:
            raise ValueError(f"--learning-rate must not be negative: {rate}")
    return args


def configs(args: argparse.Namespace) -> dict[str, searchers.DdasConfig]:
    """DDAS's config of every variant and ablation; `rs` has none.

    Raises:
      ValueError: a value out of range, or a flag that changes none of them.
    """
    names = [name for name in args.variant if name != "rs"]
    chosen = ddas.variants(names, args.ablate, PRESETS[args.preset])
    if not chosen and args.ablate != ["none"]:
        raise ValueError(
            f"--ablate {','.join(args.ablate)} would change nothing: --variant rs has "
            "no reward"
        )
    for name in ("os_accuracy", "os_loss"):
        if (value := getattr(args, f"config_{name}")) is not None and value < 0:
            raise ValueError(
                f"{cli.flag('', name)} {value}: allowed is at least 0; left out, it is "
                "the warm-up's"
            )
    usual, offered = searchers.DdasConfig(), list(VARIANTS)
    flags.refuse_idle(args, "", usual, chosen, offered, "--variant")
    return {
        name: flags.configured(args, "", method).validate()
        for name, method in chosen.items()
    }


def warm(args: argparse.Namespace) -> None:
    """Trains the one-shot supernet unless that is done."""
    if (args.warm_up / "results.json").exists():
        return
    print(f"warm-up: training a one-shot supernet into {args.warm_up}", flush=True)
    try:
        supernet_training.train(
            args.warm_run,
            args.warm_up,
            data_dir=args.data_dir,
            resume=args.warm_up.exists(),
        )
    except StoppedError as error:  # its text names the flags of train_supernet.py
        number = error.status - 128
        text = "the same command goes on with the warm-up"
        raise StoppedError(number, text) from None


def prepare(args: argparse.Namespace) -> tuple[WarmedUp, dict[str, Any]]:
    """The warmed-up supernet, and the configuration that fixes the run's results.

    Acc(OS) and the first loss are the warm-up's, or what flags say.
    """
    warmed = ddas.load(
        args.warm_up,
        args.dataset,
        args.data_dir,
        own=image_flags.own(args),
        batches=args.batches,
        valid_images=args.valid_images,
        eval_batch=args.eval_batch,
        learning_rate=args.learning_rate,
    )
    flagged = args.config_os_accuracy, args.config_os_loss
    pairs = zip(flagged, warmed.one_shot, strict=True)
    accuracy, loss = (own if value is None else value for value, own in pairs)
    fields = (*FLAGS, "dataset", "seeds", "learning_rate")
    return warmed._replace(one_shot=(accuracy, loss)), {
        **{name: getattr(args, name) for name in fields},
        "variants": [*args.configs, *(["rs"] if "rs" in args.variant else [])],
        "configs": {n: dataclasses.asdict(c) for n, c in args.configs.items()},
        "one_shot": {"accuracy": accuracy, "loss": loss},
        "warm_up": warmed.net.run.to_json(),
        "network": ddas_searches.NETWORK,
        "data_sha256": warmed.sha256,
    }


def used(args: argparse.Namespace, warmed: WarmedUp) -> dict[str, searchers.DdasConfig]:
    """The configs with Acc(OS) and the first loss that all searches share."""
    accuracy, loss = warmed.one_shot
    return {
        name: config.replace(os_accuracy=accuracy, os_loss=loss)
        for name, config in args.configs.items()
    }


def search(args, folder: Folder, warmed: WarmedUp) -> ddas_searches.Searches:
    """All searches, one after another, each from the warmed-up supernet."""
    space = warmed.net.config.space
    made = {n: searchers.ddas(space, c) for n, c in used(args, warmed).items()}
    if "rs" in args.variant:
        made["rs"] = searchers.random_search(space)
    runs = driven_search.run(made, lambda n, _: made[n], warmed.env, args, folder)
    classes = warmed.net.config.classes
    return ddas_searches.searches(space, classes, runs, args.seeds)


def write(args, folder: Folder, warmed: WarmedUp, config, searches) -> None:
    """Pictures, files and tables."""
    fronts = searches.fronts()
    folder.write_json("frontier.json", fronts)
    folder.write_npz("results.npz", **searches.arrays())
    configs = {n: dataclasses.asdict(c) for n, c in used(args, warmed).items()}
    pairs = {", ".join(key): pair._asdict() for key, pair in searches.pairs().items()}
    content = {"data": warmed.source, "warm_up": str(args.warm_up)}
    content |= {"box": searches.reference._asdict(), "paired_points": pairs}
    content |= {"variants": searches.describe()}
    write_results(folder, config | {"configs": configs}, content)
    name = user_images.short_name(args.dataset)
    title = f"{name}, preset {args.preset}, seeds {args.seeds}"
    searches.draw(folder, warmed.one_shot[0], name, title)
    print("\n" + searches.text())
    accuracy = 100 * warmed.one_shot[0]
    print(f"\nAcc(OS) {accuracy:.2f} %, {len(fronts)} architectures on fronts")
    print(written(folder))


@script
def main(argv: list[str] | None = None) -> None:
    """Runs the experiment."""
    args = parse(argv)
    cli.say_seeds(args.seeds)
    inputs = [args.warm_up, *image_flags.inputs(args)]
    with refusals():
        refuse_inputs(args.out, EXPERIMENT.outputs, inputs)
    warm(args)
    with refusals():
        warmed, config = prepare(args)
        folder = EXPERIMENT.open(args, config, inputs, args.configs)
    print(
        f"{args.warm_up}: Acc(OS) {100 * warmed.one_shot[0]:.2f} %; each step trains "
        f"{args.batches} batches and scores {len(warmed.env.params.valid.labels):,} "
        "images",
        flush=True,
    )
    with folder:
        write(args, folder, warmed, config, search(args, folder, warmed))


if __name__ == "__main__":
    sys.exit(main())
