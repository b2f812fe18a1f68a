"""Pre-trained supernets: what a run's settings mean, and loading its result.

A run's folder holds config.json (its settings) and checkpoints; both are all that
`load` needs. `nasjax.runs.trainer` makes them.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax.data import images as image_data
from nasjax.networks import augment, supernet, training
from nasjax.networks.supernet import training as supernet_training
from nasjax.runs.checkpoints import Checkpoints
from nasjax.runs.configs import read_object
from nasjax.spaces import image_sizes

CONSTANTS = ("own", "cifar10")
SPACES = ("darts", "pc-darts", "nb201")


class Halves(NamedTuple):
    """A data set, its training images divided in two.

    Images are uint8 [N, H, W, C], labels int32 [N].
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    valid_images: np.ndarray
    valid_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    sha256: str


class Curves(NamedTuple):
    """What a run has to show; arrays with one entry per epoch or per validation."""

    loss: np.ndarray  # float32 [epochs], mean over the epoch's batches
    accuracy: np.ndarray  # float32 [epochs], fractions
    seconds: np.ndarray  # float32 [epochs]
    marks: np.ndarray  # int32 [V], epochs after which architectures were scored
    batch: np.ndarray  # float32 [V, M], accuracy by batch statistics
    running: np.ndarray  # float32 [V, M], by running ones
    one_shot: np.ndarray  # float32 [V, 2], accuracy and loss of the whole network


class Pretrained(NamedTuple):
    """A supernet as a run left it."""

    config: supernet.SupernetConfig
    params: Any
    statistics: Any  # running averages
    settings: dict[str, Any]  # of the run's config.json
    step: int
    epoch: float
    curves: Curves  # up to there
    state: supernet_training.TrainState  # with momentum, to train on


def no_curves(epochs: int, marks: Sequence[int], archs: int) -> Curves:
    """Curves before the first step."""
    scores = np.full((len(marks), archs), np.nan, np.float32)
    zeros = np.zeros(epochs, np.float32)
    return Curves(
        zeros,
        zeros.copy(),
        zeros.copy(),
        np.array(marks, np.int32),
        scores,
        scores.copy(),
        np.full((len(marks), 2), np.nan, np.float32),
    )


def config(settings: Mapping[str, Any], classes: int) -> supernet.SupernetConfig:
    """The network that a run's settings describe."""
    settings = training.ABSENT | settings
    chosen = {
        "channels": settings["channels"],
        "image_channels": settings["image_channels"],
        "cells": settings["cells"],
        "classes": classes,
        "dtype": settings["dtype"],
    }
    if settings["space"] == "nb201":
        return supernet.nas_bench_201(**chosen)
    chosen |= {"none": settings["none"], "stem": settings["stem"]}
    if settings["space"] == "pc-darts":
        return supernet.pc_darts(parts=settings["parts"], **chosen)
    return supernet.darts(**chosen)


def data(
    settings: Mapping[str, Any],
    data_dir: str | None = None,
    log: Callable[[str], None] = print,
) -> Halves:
    """The data set of a run and its halves, shrunk as the settings say.

    Source: thesis 4.2.2: half of the training images trains the supernet, the other
    half scores architectures.
    """
    found = with_constants(
        image_data.load(settings["dataset"], data_dir, log=log), settings
    )
    halves = image_data.halves(len(found.train_labels), settings["split_seed"])
    most = settings["train_images"] or len(halves[0])
    if not 1 <= most <= len(halves[0]):
        raise ValueError(
            f"train_images is {most}; the training half has {len(halves[0])}"
        )
    train, valid = halves[0][:most], halves[1]
    smaller = functools.partial(shrink, factor=settings["shrink"])
    return Halves(
        smaller(found.train_images[train]),
        found.train_labels[train],
        smaller(found.train_images[valid]),
        found.train_labels[valid],
        smaller(found.test_images),
        found.test_labels,
        found.classes,
        found.mean,
        found.std,
        found.source,
        found.sha256,
    )


def check_constants(settings: Mapping[str, Any]) -> None:
    """ValueError if `constants` is unknown, or not for the data set."""
    chosen = settings.get("constants", training.ABSENT["constants"])
    if chosen not in CONSTANTS:
        raise ValueError(f"constants is {chosen!r}; allowed: {', '.join(CONSTANTS)}")
    if chosen != "own" and settings["dataset"] not in ("cifar10", "cifar100"):
        raise ValueError(
            f"constants {chosen}: not with --dataset {settings['dataset']}"
        )


def with_constants(
    found: image_data.ImageData, settings: Mapping[str, Any]
) -> image_data.ImageData:
    """The data set with the mean and deviation that the settings name.

    Source: the public code of PC-DARTS normalises CIFAR-100 by CIFAR-10's, and cuts 16
    pixels out (`constants="cifar10", cutout=16`).
    """
    check_constants(settings)
    if settings.get("constants", "own") == "own":
        return found
    facts = image_data.PUBLISHED["cifar10"]
    return found._replace(mean=facts.mean, std=facts.std)


def shrink(images: np.ndarray, factor: int) -> np.ndarray:
    """Averages factor x factor pixels."""
    if factor == 1:
        return images
    N, H, W, C = images.shape
    if H % factor or W % factor:
        raise ValueError(f"images of {H} x {W} cannot be divided by {factor}")
    blocks = images.reshape(N, H // factor, factor, W // factor, factor, C)
    return np.round(blocks.mean(axis=(2, 4))).astype(np.uint8)


def augmentation(settings: Mapping[str, Any], halves: Halves) -> augment.AugmentConfig:
    """What is done to training images; nothing at all with `preprocess=False`."""
    if not settings["preprocess"]:
        return augment.AugmentConfig(padding=0, flip=False)
    return augment.AugmentConfig(
        padding=settings["padding"],
        cutout=settings["cutout"],
        mean=halves.mean,
        std=halves.std,
    )


def check_halves(halves: Halves, network: supernet.SupernetConfig) -> None:
    """ValueError if the network does not fit the images or labels, naming which."""
    for part in ("train", "valid", "test"):
        images, labels = (getattr(halves, f"{part}_{x}") for x in ("images", "labels"))
        image_sizes.check_examples(images, labels, network, f"{part} images")
    augment.check_statistics(halves.mean, halves.std, network.image_channels)


def recipe(settings: Mapping[str, Any]) -> training.Recipe:
    """The optimizer's part of a run's settings."""
    fields, known = training.Recipe.__dataclass_fields__, training.ABSENT | settings
    return training.Recipe(**{name: known[name] for name in fields})


def validated(settings: Mapping[str, Any], space) -> np.ndarray:
    """uint8 [M, ...]: the architectures that a run scores, fixed by its seed."""
    key = jax.random.fold_in(jax.random.key(settings["seed"]), 3)
    keys = jax.random.split(key, settings["validate_archs"])
    return np.asarray(jax.vmap(space.random)(keys))


def load(folder: str | Path) -> Pretrained:
    """The supernet of a run's newest checkpoint.

    Raises:
      FileNotFoundError: the folder holds no run, or no checkpoint.
    """
    folder = Path(folder)
    path = folder / "config.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{folder} holds no supernet: {path} is missing (train one with "
            f"experiments/train_supernet.py --out {folder})"
        )
    settings = training.ABSENT | read_object(path)
    found_config = config(settings, settings["classes"])
    shapes = jax.eval_shape(
        functools.partial(
            supernet_training.init,
            config=found_config,
            recipe=recipe(settings),
            image_size=settings["image_size"],
        ),
        jax.random.key(0),
    )
    curves = no_curves(
        settings["epochs"], settings["marks"], settings["validate_archs"]
    )
    checkpoints = Checkpoints(folder / "checkpoints")
    found = checkpoints.restore({"state": shapes, "curves": curves})
    if found is None:
        raise FileNotFoundError(f"{folder / 'checkpoints'} holds no checkpoint")
    step, (state, curves) = found[0], (found[1][n] for n in ("state", "curves"))
    per_epoch = settings["steps_per_epoch"]
    return Pretrained(
        found_config,
        state.params,
        state.statistics,
        settings,
        int(step),
        int(step) / per_epoch,
        Curves(*curves),
        supernet_training.TrainState(*state),
    )
