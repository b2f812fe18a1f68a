"""Trains found architectures from scratch (thesis 3.2.2, 3.4.3, 4.2.3, 4.4.4).

    python experiments/evaluate.py --genotype DARTS_V2 --dataset cifar10 --seeds 0-4
    python experiments/evaluate.py --genotypes FRONTIER.json --preset ddas
    python experiments/evaluate.py --genotype DARTS_V2 --preset cpu --dataset cifar10
    python experiments/evaluate.py --genotype PC_DARTS_cifar --describe --cells 20
    python experiments/evaluate.py --genotype DARTS_V2 --preset imagenet --data-dir DIR

trains on all official training images and tests on all test images after each epoch.
`--genotype` takes a published name, a file, a genotype as the DARTS code prints it, or
NAS-Bench-201's `|nor_conv_3x3~0|+...`; `--genotypes` a JSON list of objects with a
field "genotype" (frontier.json, genotypes.json), each trained in a folder of its own
(finished ones are skipped with `--resume`). A run writes config.json, checkpoints,
log.jsonl, results.json, results.npz and curves.png into `--out`; killed, it goes on
with `--resume`, on CPU to the same bits. `--describe` prints exact sizes and needs no
data.

ImageNet is what tensorflow_datasets has prepared in DIR as ArrayRecord files, tested
on all its validation images, top-1 and top-5. It is read while the devices work: the
progress line tells images/s of the training and, in brackets, of the pipeline alone,
which ought to be more (`--workers`). With `--distributed` on several hosts, each reads
its share of a batch.

Presets: `cadam` and `pc-cadam` (4.4.4: 20 cells, 1,000 epochs), `ddas` (3.4.3: 10
cells on CIFAR-10, 20 on CIFAR-100, 600 epochs), `imagenet` (the recipe of PC-DARTS:
14 cells, 250 epochs, batches of 1,024), `nb201` (the benchmark's 200 epochs), and
`cpu`: a small network on images of 16 x 16 for two cores. Every field has a flag.

Published test accuracies in percent, and parameters:

    CIFAR-10    DARTS_V2          97.24 +- 0.09   3.3M   (Liu et al. 2019)
                PC_DARTS_cifar    97.43 +- 0.07   3.6M   (Xu et al. 2020)
                CADAM             97.46 +- 0.09   3.7M    (Table 4.2)
                PC-CADAM          97.42 +- 0.08   3.8M    (Table 4.2)
                DDAS-NL           97.27   3.23M with the auxiliary head (Table 3.1)
    CIFAR-100   DARTS_V2          82.65   3.95M   (Table 3.1, with the auxiliary head)
                DDAS-4S           82.00   3.14M   (Table 3.1, with the auxiliary head)
    ImageNet    DARTS_V2          73.3    4.7M    (Liu et al. 2019)

Measured: `--genotype DARTS_V2 --preset cpu --dataset cifar10` (3 cells, C = 8, images
of 16 x 16, 8,234 parameters, 12 epochs) 63.22 after the last epoch, logistic regression
on the same pixels 41.68; 641 s of training on two AMD EPYC cores that also did other
work.
Full size: not measured yet.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax.analysis import plots, retrained, statistics
from nasjax.data.images import ImageData, ImageDataError
from nasjax.networks import linear
from nasjax.networks.training import ABSENT
from nasjax.runs import cli, devices, evaluator, feeds, files, networks, presets
from nasjax.runs import training as runs
from nasjax.runs.configs import Rules
from nasjax.runs.errors import RunError
from nasjax.runs.folder import Folder, open_run
from nasjax.runs.script import refusals, script
from nasjax.spaces import genotypes


def parser() -> argparse.ArgumentParser:
    made = cli.Parser(__doc__)
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument("--genotype", help="a name, a file or the text of one")
    what.add_argument("--genotypes", type=Path, help="JSON list of objects with one")
    add = made.add_argument
    add(
        "--dataset",
        choices=tuple(networks.DATASETS),
        default=None,
        help="default: cifar10, or the preset's",
    )
    add("--data-dir", default=None, help="folder of the data set's official files")
    add(
        "--preset",
        choices=(*presets.PRESETS, "cpu"),
        default=None,
        help="default: cadam; nb201 for a cell of NAS-Bench-201",
    )
    add("--seeds", type=cli.seeds, default=[0], help="such as 0-4 (default 0)")
    add("--describe", action="store_true", help="print sizes as JSON and exit")
    add("--classes", type=cli.at_least(1), default=None, help="with --describe")
    add = made.add_argument_group("the run").add_argument
    add("--out", type=Path, default=Path("runs/evaluate"))
    add("--resume", action="store_true", help="continue the run in --out")
    add("--overwrite", action="store_true", help="replace the run in --out")
    add("--checkpoint-seconds", type=cli.at_least(0), default=60)
    add("--distributed", action="store_true", help="call jax.distributed.initialize()")
    add("--devices", type=cli.at_least(1), default=None, help="how many to use")
    add(
        "--lanes",
        type=cli.at_least(1),
        default=None,
        help="seeds at a time, a device each; 1: one after another, batches divided "
        "over the devices (default: on CPU 1, else as many as there are devices)",
    )
    add(
        "--linear-baseline",
        action="store_true",
        help="fit logistic regression on the pixels, too (the cpu preset always does)",
    )
    add("--image-size", type=cli.at_least(1), help="imagenet: side (default 224)")
    add("--resize", type=cli.at_least(1), help="imagenet: shorter side (default 256)")
    add("--workers", type=cli.at_least(0), default=0, help="imagenet: threads; 0: all")
    group = made.add_argument_group("settings (defaults depend on the preset)")
    for name, value in presets.SETTINGS.items():
        group.add_argument(
            "--" + name.replace("_", "-"),
            dest=f"set_{name}",
            type=cli.reader(value),
            default=None,
            metavar=type(value).__name__.upper(),
            help=presets.HELP.get(name, name.replace("_", " ")),
        )
    return made


def entries_of(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The objects of a frontier's file, or one for `--genotype`.

    Raises:
      ValueError: no such file, or not a list of objects with a genotype.
    """
    if args.genotypes is None:
        return [{"genotype": args.genotype}]
    try:
        found = json.loads(args.genotypes.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{args.genotypes}: {error}") from error
    if not isinstance(found, list) or not found:
        raise ValueError(f"{args.genotypes} is no list of objects with a genotype")
    for i, entry in enumerate(found):
        if not isinstance(entry, dict) or genotype_of(entry) is None:
            raise ValueError(f"{args.genotypes}, entry {i}: no object with a genotype")
        if not isinstance(genotype_of(entry), str | dict):
            raise ValueError(f"{args.genotypes}, entry {i}: {genotype_of(entry)!r}")
    return found


def genotype_of(entry: Mapping[str, Any]) -> Any:
    """The field "genotype"; of older files of NAS-Bench-201's cells, "printed"."""
    return entry.get("genotype", entry.get("printed"))


def architectures(args, entries) -> list[networks.Architecture]:
    """Reads every genotype before any work; all are of one space."""
    found = []
    for i, entry in enumerate(entries):
        try:
            found.append(networks.read(genotype_of(entry)))
        except ValueError as error:
            where = f"{args.genotypes}, entry {i}: " if args.genotypes else ""
            raise ValueError(f"{where}{error}") from error
    kinds = sorted({architecture.kind for architecture in found})
    if len(kinds) > 1:
        raise ValueError(f"{args.genotypes} mixes spaces: {', '.join(kinds)}")
    return found


def settings_of(args: argparse.Namespace, kind: str) -> dict[str, Any]:
    """What fixes a run's results, from the preset and the flags.

    Raises:
      ValueError: as `presets.settings`; a flag that does not fit the data set.
    """
    given = {name: getattr(args, f"set_{name}") for name in presets.SETTINGS}
    given |= {name: getattr(args, name) for name in presets.STREAMED}
    given = {name: value for name, value in given.items() if value is not None}
    found = presets.settings(kind, args.preset, args.dataset, given)
    if args.workers and found["dataset"] not in networks.STREAMED:
        raise ValueError(f"--workers: not with --dataset {found['dataset']}")
    if args.linear_baseline and found["dataset"] in networks.STREAMED:
        raise ValueError(f"--linear-baseline: not with --dataset {found['dataset']}")
    return found


def sizes(settings: Mapping[str, Any], classes: int, image_size: int) -> dict[str, Any]:
    """The arguments of `networks.describe`."""
    names = ("cells", "channels", "stem", "image_channels")
    chosen = {name: (ABSENT | settings)[name] for name in names}
    return chosen | {"classes": classes, "image_size": image_size}


def layout(args, settings: Mapping[str, Any], images: int = 0) -> tuple[int, int]:
    """How many devices, and how many seeds at a time, for so many training images.

    Dividing the batches of one seed over CPU cores was measured to be 1.5 times as fast
    as a seed per core with small networks, and as fast with larger ones: a smaller
    share stays in the caches. Below 32 images a share is too small.

    Raises:
      ValueError: more devices or lanes than there are.
    """
    present, batch = jax.device_count(), settings["batch_size"]
    left = 0 if settings["drop_last"] else images % batch
    on_cpu = jax.default_backend() == "cpu"
    count = args.devices or present
    if count > present:
        raise ValueError(f"--devices {count}, but JAX sees {present}")
    streamed = settings["dataset"] in networks.STREAMED
    lanes = args.lanes or (1 if on_cpu or streamed else min(count, len(args.seeds)))
    if lanes > count:
        raise ValueError(f"--lanes {lanes}, but there are {count} devices")
    if streamed and lanes > 1:
        raise ValueError(f"--lanes {lanes}: imagenet trains one seed after another")
    if jax.process_count() > 1 and count != present:
        raise ValueError(f"--devices {count}: several hosts use all {present}")
    if args.devices is None and lanes == jax.process_count() == 1:
        least = 32 if on_cpu else 1
        fitting = [n for n in range(1, count + 1) if not (batch % n or left % n)]
        count = max(n for n in fitting if n == 1 or batch // n >= least)
    return count, lanes


def make(
    args, settings: Mapping[str, Any], data: ImageData | feeds.Source, group
) -> evaluator.Evaluator | feeds.Streamer:
    """What trains a group of seeds."""
    mesh = evaluator.mesh_of(jax.devices()[: settings["devices"]], group)
    if isinstance(data, feeds.Source):
        return feeds.Streamer(settings, data, group, mesh, args.workers)
    return evaluator.Evaluator(settings, data, group, mesh)


def train(args, settings: Mapping[str, Any], data, folder: Folder, entry) -> dict:
    """All seeds of one architecture; writes its folder's files, returns results."""
    parts, made = [], {}
    for group in networks.groups(args.seeds, settings["lanes"]):
        if len(group) not in made:
            made[len(group)] = make(args, settings, data, group)
        trainer = made[len(group)].with_seeds(group)
        _, curves = runs.network(
            trainer,
            folder,
            test_every=settings["test_every"],
            resume=args.resume,
            checkpoint_seconds=args.checkpoint_seconds,
        )
        parts.append(curves)
    seconds = np.stack([part.seconds for part in parts])
    loss, accuracy, test = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("loss", "accuracy", "test")
    )
    images = trainer.epoch.images * len(parts[0].loss)
    found = networks.read(settings["genotype"])
    shown = found.printed
    if found.kind == "darts":
        shown = genotypes.to_json(genotypes.parse(found.printed))
    size = settings["image_size"]
    content = {
        "config": dict(settings),
        **files.provenance(),
        "data": data.source,
        "dataset": settings["dataset"],
        "genotype": shown,
        "printed": found.printed,
        **networks.describe(found, **sizes(settings, data.classes, size)),
        "test_accuracy": networks.summary(test),
        "images_per_second": float(images / np.median(seconds[0])),
        "train_seconds": float(seconds.sum()),
    }
    arrays = {"loss": loss, "accuracy": accuracy, "test": test, "seconds": seconds}
    if trainer.top5:
        arrays["top5"] = np.concatenate([part.top5 for part in parts])
        last = networks.summary(arrays["top5"])["last"]
        content["top5_accuracy"] = {"last": last}
        content["pipeline_images_per_second"] = trainer.rate
    if args.genotypes is not None:
        content["entry"] = entry
    if known := networks.benchmark(found, settings["dataset"]):
        content["benchmark"] = known
    if args.linear_baseline or settings["preset"] == "cpu":
        if args.baseline is None:  # of all genotypes the same
            args.baseline = linear.accuracy(
                (data.train_images, data.train_labels),
                (data.test_images, data.test_labels),
                classes=data.classes,
                mean=data.mean,
                std=data.std,
            )
        content["linear_baseline"] = args.baseline
    if jax.process_index() != 0:
        return content
    folder.write_json("results.json", content)
    folder.write_npz("results.npz", seeds=np.array(args.seeds), **arrays)
    baseline = content.get("linear_baseline")
    plots.evaluation(folder.file("curves.png"), loss, accuracy, test, baseline)
    return content


def show(content: Mapping[str, Any], folder: Folder) -> None:
    """Prints what a run found."""
    last, best = (content["test_accuracy"][name] for name in ("last", "best"))
    if retrained.chosen_by_test(content.get("entry", {})):
        print(f"\nthe architecture was chosen {retrained.LEAK}", end="")
    print(f"\ntest accuracy, last epoch: {statistics.mean_std(last['values'])} %")
    print(
        f"test accuracy, best epoch: {statistics.mean_std(best['values'])} % "
        "(chosen on test images: a leak)"
    )
    if "top5_accuracy" in content:
        top5 = content["top5_accuracy"]["last"]["values"]
        print(f"top-5 accuracy, last epoch: {statistics.mean_std(top5)} %")
    if rate := content.get("pipeline_images_per_second"):
        print(
            f"images/s: {content['images_per_second']:.0f} in training, "
            f"{rate:.0f} from the pipeline alone"
        )
    if known := content.get("benchmark"):
        print(
            f"NAS-Bench-201 ({known['version']}) has {100 * known['accuracy']:.2f} % "
            "after 200 epochs"
        )
    if "linear_baseline" in content:
        print(
            f"logistic regression on the same pixels: "
            f"{100 * content['linear_baseline']:.2f} %"
        )
    print(f"written: {folder.path}{os.sep} {folder.names()}", flush=True)


def agreement(contents: list[Mapping[str, Any]]) -> None:
    """Prints how retrained cells are ordered beside NAS-Bench-201's table."""
    known = [content for content in contents if "benchmark" in content]
    if len(known) < 3:
        return
    mine = [content["test_accuracy"]["last"]["mean"] for content in known]
    table = [content["benchmark"]["accuracy"] for content in known]
    kendall, spearman = (
        statistics.kendall(mine, table),
        statistics.spearman(mine, table),
    )
    print(
        f"{len(known)} cells, test accuracy against NAS-Bench-201's: "
        f"Kendall {kendall:.3f}, Spearman {spearman:.3f}"
    )


OUTPUTS = ("results.json", "results.npz", "curves.png")
RULES = Rules(grows=("seeds",), absent=ABSENT)


class Run(NamedTuple):
    """One architecture's training."""

    folder: Folder
    settings: Mapping[str, Any]
    entry: Mapping[str, Any]
    finished: bool  # and nothing was added: its results stand


def described(args, found, settings: Mapping[str, Any]) -> None:
    """Prints exact sizes."""
    usual = 224 if settings["stem"] == "imagenet" else 32
    side = settings.get("image_size", usual)
    classes = args.classes or networks.DATASETS[settings["dataset"]]
    chosen = sizes(settings, classes, side // settings["shrink"])
    shown = [networks.describe(one, **chosen) for one in found]
    print(json.dumps(shown if args.genotypes else shown[0], indent=2))


def open_folders(args, stack, settings: Mapping[str, Any], found, entries) -> list[Run]:
    """A folder for each architecture; a frontier's lie below `--out`."""
    options = {
        "resume": args.resume,
        "overwrite": args.overwrite,
        "writes": jax.process_index() == 0,
        "inputs": [args.genotypes, args.data_dir],
    }
    runs_of = []
    if args.genotypes is not None:
        fixed = {"genotypes": [one.printed for one in found]}
        outputs = ("frontier.json",)
        older = outputs if (args.out / "000" / "config.json").exists() else ()
        top = open_run(
            args.out, "evaluate", fixed, outputs=outputs, adopt=older, **options
        )
        args.top = stack.enter_context(top)
    for i, (one, entry) in enumerate(zip(found, entries, strict=True)):
        path = args.out if args.genotypes is None else args.out / f"{i:03d}"
        chosen = dict(settings) | {"genotype": one.printed}
        outputs, rules = {"outputs": OUTPUTS}, {"rules": RULES}
        folder = open_run(path, "evaluate", chosen, **outputs, **options, **rules)
        stack.enter_context(folder).root = args.out
        same = folder.before is not None and folder.before["seeds"] == args.seeds
        finished = same and (path / "results.json").exists()
        finished = finished and args.genotypes is not None
        runs_of.append(Run(folder, chosen, entry, finished))
    return runs_of


def prepare(args, found) -> tuple[dict[str, Any], Any, Any]:
    """The settings, the data and a trainer; every refusal comes before any training."""
    settings = settings_of(args, found[0].kind)
    count, lanes = layout(args, settings)
    if settings["dataset"] in networks.STREAMED:
        data = feeds.open_source(data_dir=args.data_dir)
    else:
        data = networks.data(settings, args.data_dir)
        count, lanes = layout(args, settings, len(data.train_labels))
    if args.classes not in (None, data.classes):
        raise ValueError(f"--classes {args.classes}: the data has {data.classes}")
    settings |= {
        "seeds": args.seeds,
        "devices": count,
        "lanes": lanes,
        "classes": data.classes,
        "data_sha256": data.sha256,
    }
    groups = networks.groups(args.seeds, lanes)
    for group in {len(group): group for group in groups}.values():
        one = settings | {"genotype": found[0].printed}
        trainer = make(args, one, data, group)
    settings |= {
        "image_size": trainer.image_size,
        "image_channels": trainer.config.image_channels,
        "steps_per_epoch": trainer.steps_per_epoch,
    }
    return settings, data, trainer


@script
def main(argv: list[str] | None = None) -> None:
    """Runs the experiment."""
    args = parser().parse_args(argv)
    if not args.describe:
        cli.say_seeds(args.seeds)
    args.baseline = None  # logistic regression's accuracy, once it is known
    with refusals():
        if args.distributed:  # before anything starts a JAX backend
            devices.join_hosts()
        devices.use_cpu_cores()
        entries = entries_of(args)
        found = architectures(args, entries)
        if args.describe:
            described(args, found, settings_of(args, found[0].kind))
            return
        settings, data, trainer = prepare(args, found)
    cli.say_seeds(args.seeds)
    with contextlib.ExitStack() as stack:
        with refusals():
            folders = open_folders(args, stack, settings, found, entries)
        try:
            contents = [work(args, one, data, trainer) for one in folders]
        except ImageDataError as error:
            goes_on = f"--out {args.out} --resume goes on"
            raise RunError(f"{error}; {goes_on}") from error
        if args.genotypes is not None and jax.process_index() == 0:
            fields = ("params", "flops", "macs", "test_accuracy", "benchmark")
            rows = [
                one.entry
                | {"folder": one.folder.path.name}
                | {name: content[name] for name in fields if name in content}
                for one, content in zip(folders, contents, strict=True)
            ]
            args.top.write_json("frontier.json", rows)
            agreement(contents)


def work(args, one: Run, data, trainer) -> dict[str, Any]:
    """The results of one architecture, of a finished one as they are."""
    writes, settings = jax.process_index() == 0, one.settings
    if one.finished:
        print(f"{one.folder.path} is finished: skipped")
        return json.loads((one.folder.path / "results.json").read_text())
    if writes:
        print(
            f"{settings['genotype']}\n{data.source}: {trainer.trained:,} "
            f"images to train, {trainer.tested:,} to test, "
            f"{settings['steps_per_epoch']} steps an epoch on {settings['devices']} "
            f"{jax.default_backend()} device(s), {settings['lanes']} seed(s) at a time",
            flush=True,
        )
    content = train(args, settings, data, one.folder, one.entry)
    if writes:
        show(content, one.folder)
    return content


if __name__ == "__main__":
    sys.exit(main())
