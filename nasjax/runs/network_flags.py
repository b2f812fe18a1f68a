"""Flags of scripts that train networks: architecture, data, preset, devices, settings.

    network_flags.add(parser)
    network_flags.add_settings(parser)
    run = network_flags.run(parser.parse_args(argv), architecture)

A script adds its own flags between the two.
"""

import argparse
import dataclasses
from pathlib import Path

from nasjax.data.images import ImageData
from nasjax.runs import cli, devices, image_flags, image_sets, network_config
from nasjax.runs.image_sets import Data
from nasjax.runs.network_config import DATASETS, PRESETS, NetworkRun
from nasjax.spaces.architectures import Architecture


def add(parser: argparse.ArgumentParser, several: bool = True) -> None:
    """Adds architecture, data set, preset and seeds; `add_settings` adds the rest.

    Args:
      several: whether there is also a flag for a file of architectures.
    """
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--genotype", help="a name, its text or a file")
    text = "a file: JSON list of objects with a field `genotype`"
    if several:
        source.add_argument("--genotypes", type=Path, help=text)
    add = parser.add_argument
    image_flags.add(parser, tuple(DATASETS), text="cifar10, or the preset's")
    add(
        "--preset",
        choices=tuple(PRESETS),
        default=None,
        help="default: cadam; nb201 for a cell of NAS-Bench-201",
    )
    add("--seeds", type=cli.seeds, default=[0], help="such as 0-4 (default 0)")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Adds the other flags that `run` and `load` read, and `--workers`."""
    add = parser.add_argument_group("devices and images on disk").add_argument
    add(
        "--devices",
        type=cli.at_least(1),
        default=None,
        help="number (default: all that fit)",
    )
    add(
        "--lanes",
        type=cli.at_least(1),
        default=None,
        help="seeds at a time, a device each; 1: one after another, batches divided "
        "over the devices (default: 1 on CPU and for imagenet, else one per device)",
    )
    add("--resize", type=cli.at_least(1), help="imagenet: shorter side (default 256)")
    add("--workers", type=cli.at_least(0), default=0, help="imagenet: threads; 0: all")
    image_flags.add_own(parser, streamed=True)
    default, title = PRESETS["cadam"]["darts"], "settings (defaults: those of cadam)"
    cli.add_config_flags(parser, default, "", title)


def run(args: argparse.Namespace, architecture: Architecture) -> NetworkRun:
    """The run that the flags describe, of one architecture.

    Raises:
      ValueError: as `network_config.preset`; a flag that does not fit the data set.
    """
    changes = cli.changes(args, PRESETS["cadam"]["darts"], "")
    changes |= image_flags.changes(args)
    if args.resize is not None:
        changes["resize"] = args.resize
    text, kind = architecture.printed, architecture.family
    described = network_config.preset(kind, args.preset, genotype=text, **changes)
    if args.workers and not described.streamed:
        raise ValueError(f"--workers: not with --dataset {described.dataset}")
    return described


def load(
    args: argparse.Namespace, architecture: Architecture
) -> tuple[NetworkRun, Data]:
    """The run with its seeds, devices and what follows from its data; and the data.

    Raises:
      ValueError: as `run`, `devices.layout`, `image_sets.whole` and
        `image_sets.with_data`.
    """

    def layout(images: int) -> tuple[int, int]:
        return devices.layout(
            described.recipe.batch_size,
            0 if described.recipe.drop_last else images,
            seeds=len(args.seeds),
            devices=args.devices,
            lanes=args.lanes,
            streamed=described.streamed,
        )

    described = run(args, architecture)
    count, lanes = layout(0)  # or raise, before any data is read
    data = image_sets.whole(described, args.data_dir)
    if isinstance(data, ImageData):
        count, lanes = layout(len(data.train.labels))
    described = dataclasses.replace(
        described, seeds=tuple(args.seeds), devices=count, lanes=lanes
    )
    return image_sets.with_data(described, data), data
