"""Trains architectures from scratch (thesis 3.2.2, 3.4.3, 4.2.3, 4.4.4).

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
data. `--export` also writes each trained network as network-SEED.npz, which
`nasjax.load_network` reads, and as StableHLO; with `--resume` of a finished run, too.

ImageNet is what tensorflow_datasets has prepared in DIR as ArrayRecord files, tested
on all its validation images, top-1 and top-5. It is read while the devices work: the
progress line shows images/s of the training and, in brackets, of the pipeline alone,
which should be larger (`--workers`). With `--distributed` on several hosts, each reads
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
work. Full size: not measured yet.
"""

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax.analysis import evaluation, plots
from nasjax.data.images import ImageDataError
from nasjax.networks import families, linear
from nasjax.networks.training import ABSENT
from nasjax.runs import cli, devices, exporting, image_flags, network_flags, networks
from nasjax.runs.configs import Rules
from nasjax.runs.errors import RunError
from nasjax.runs.folder import Folder, open_run
from nasjax.runs.image_sets import Data
from nasjax.runs.network_config import NetworkRun
from nasjax.runs.script import Experiment, refusals, script, written
from nasjax.spaces import architectures
from nasjax.spaces.architectures import Architecture

OUTPUTS = ("results.json", "results.npz", "curves.png", *exporting.FILES)
EXPERIMENT = Experiment("evaluate", OUTPUTS)


def parser() -> argparse.ArgumentParser:
    command_line = cli.Parser(__doc__)
    network_flags.add(command_line)
    add = command_line.add_argument
    add("--describe", action="store_true", help="print sizes as JSON and exit")
    add("--classes", type=cli.at_least(1), default=None, help="with --describe")
    add = EXPERIMENT.add_flags(command_line, "runs/evaluate")
    add("--export", action="store_true", help="write the trained networks as files")
    add("--distributed", action="store_true", help="call jax.distributed.initialize()")
    add(
        "--linear-baseline",
        action="store_true",
        help="fit logistic regression on the pixels, too (the cpu preset always does)",
    )
    network_flags.add_settings(command_line)
    return command_line


class Task(NamedTuple):
    """The training of one architecture."""

    run: NetworkRun
    entry: Mapping[str, Any]  # the object that named it
    folder: Folder
    finished: bool  # and nothing was added: its results stand


def prepare(
    args: argparse.Namespace, architecture: Architecture
) -> tuple[NetworkRun, Data, dict]:
    """The run, its data and trainers; every refusal comes before any training."""
    run = network_flags.run(args, architecture)
    if args.linear_baseline and run.streamed:
        raise ValueError(f"--linear-baseline: not with --dataset {run.dataset}")
    run, data = network_flags.load(args, architecture)
    if args.classes not in (None, data.classes):
        raise ValueError(f"--classes {args.classes}: the data has {data.classes}")
    return run, data, networks.trainers(run, data, args.workers)


def open_folders(args, stack, run: NetworkRun, pairs) -> list[Task]:
    """A folder for each architecture; a frontier's lie below `--out`."""
    options: dict[str, Any] = {
        "resume": args.resume,
        "overwrite": args.overwrite,
        "writes": jax.process_index() == 0,
        "inputs": [args.genotypes, *image_flags.inputs(args)],
    }
    if args.genotypes is not None:
        fixed = {"genotypes": [architecture.printed for architecture, _ in pairs]}
        outputs = ("frontier.json",)
        older = outputs if (args.out / "000" / "config.json").exists() else ()
        top = open_run(
            args.out, "evaluate", fixed, outputs=outputs, adopt=older, **options
        )
        args.top = stack.enter_context(top)
    tasks = []
    rules = Rules(free=("image_facts",), grows=("seeds",), absent=ABSENT)
    for i, (architecture, entry) in enumerate(pairs):
        path = args.out if args.genotypes is None else args.out / f"{i:03d}"
        own = dataclasses.replace(run, genotype=architecture.printed)
        folder = open_run(
            path,
            "evaluate",
            own.to_json(),
            outputs=EXPERIMENT.outputs,
            rules=rules,
            **options,
        )
        stack.enter_context(folder).root = args.out
        same = folder.before is not None and folder.before["seeds"] == args.seeds
        finished = same and (path / "results.json").exists()
        tasks.append(Task(own, entry, folder, finished and args.genotypes is not None))
    return tasks


def work(args, task: Task, data: Data, compiled: dict) -> dict[str, Any]:
    """Trains an architecture; reads the results instead if it is finished."""
    run, folder, writes = task.run, task.folder, jax.process_index() == 0
    if task.finished:
        print(f"{folder.path} is finished: skipped")
        return json.loads((folder.path / "results.json").read_text())
    if run.genotype not in compiled:  # one set of compiled programs at a time
        compiled.clear()
        compiled[run.genotype] = networks.trainers(run, data, args.workers)
    trainers = compiled[run.genotype]
    trainer = next(iter(trainers.values()))
    if writes:
        print(
            f"{run.genotype}\n{data.source}: {trainer.feed.trained:,} images to train, "
            f"{trainer.feed.tested:,} to test, {run.steps_per_epoch} steps an epoch on "
            f"{run.devices} {jax.default_backend()} device(s), {run.lanes} seed(s) at "
            "a time",
            flush=True,
        )
    options = {"resume": args.resume, "checkpoint_seconds": args.checkpoint_seconds}
    parts = networks.fit_groups(trainers, run, folder, **options)
    images = trainer.epoch.images
    content, arrays = evaluation.results(run, parts, data.source, images)
    if run.streamed:
        content["pipeline_images_per_second"] = trainer.feed.rate
    if args.genotypes is not None:
        content["entry"] = task.entry
    if args.linear_baseline or run.preset == "cpu":
        if args.baseline is None:  # the same for all genotypes
            args.baseline = linear.accuracy(
                data.train,
                data.test,
                classes=data.classes,
                mean=data.mean,
                std=data.std,
            )
        content["linear_baseline"] = args.baseline
    if writes:
        folder.write_json("results.json", content)
        folder.write_npz("results.npz", seeds=np.array(args.seeds), **arrays)
        curves = (arrays[name] for name in ("loss", "accuracy", "test"))
        baseline = content.get("linear_baseline")
        plots.evaluation(folder.file("curves.png"), *curves, baseline)
        print("\n" + evaluation.text(content))
        print(written(folder), flush=True)
    return content


@script
def main(argv: list[str] | None = None) -> None:
    """Runs the experiment."""
    args = parser().parse_args(argv)
    args.baseline = None  # logistic regression's accuracy, once it is known
    with refusals():
        if args.distributed:  # before anything starts a JAX backend
            devices.join_hosts()
        devices.use_cpu_cores()
        if args.genotypes is None:
            pairs = [(architectures.read(args.genotype), {"genotype": args.genotype})]
        else:
            pairs = architectures.read_all(args.genotypes)
        if args.describe:
            run = network_flags.run(args, pairs[0][0])
            if run.own and not args.classes:
                raise ValueError(f"--describe: --dataset {run.dataset} needs --classes")
            run = dataclasses.replace(run, classes=args.classes or run.classes)
            costs = [
                families.describe(architecture, **run.sizes)
                for architecture, _ in pairs
            ]
            print(json.dumps(costs if args.genotypes else costs[0], indent=2))
            return
        run, data, trainers = prepare(args, pairs[0][0])
    cli.say_seeds(args.seeds)
    compiled = {run.genotype: trainers}
    with contextlib.ExitStack() as stack:
        with refusals():
            tasks = open_folders(args, stack, run, pairs)
            for task in tasks if args.export else ():
                exporting.claim(task.folder, args.seeds)
        try:
            contents = [work(args, task, data, compiled) for task in tasks]
            for task in tasks if args.export else ():
                exporting.write(task.folder, data, args.seeds)
        except ImageDataError as error:
            goes_on = f"--out {args.out} --resume goes on"
            raise RunError(f"{error}; {goes_on}") from error
        if args.genotypes is not None and jax.process_index() == 0:
            rows = [
                evaluation.frontier_row(task.entry, task.folder.path.name, content)
                for task, content in zip(tasks, contents, strict=True)
            ]
            args.top.write_json("frontier.json", rows)
            if line := evaluation.agreement(contents):
                print(line)


if __name__ == "__main__":
    sys.exit(main())
