"""Data sets of runs: split, shrunk, normalised, checked."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from nasjax.data import images, user_images
from nasjax.data.images import ImageData
from nasjax.networks import augment
from nasjax.networks.examples import Examples
from nasjax.networks.training import epoch_of
from nasjax.runs import feeds
from nasjax.runs.image_config import ImageRun
from nasjax.runs.network_config import NetworkRun
from nasjax.runs.supernet_config import SupernetRun
from nasjax.spaces import image_sizes

Run = TypeVar("Run", SupernetRun, NetworkRun)
Data = ImageData | feeds.Source


def halves(
    run: SupernetRun,
    data_dir: str | None = None,
    log: Callable[[str], None] = print,
) -> ImageData:
    """The data set of a supernet's run, its training images split in two halves.

    Args:
      run: its `dataset`, `split_seed`, `train_images`, `shrink` and `constants` count;
        of a data set of one's own, also `image_size` and `corrupt`.
      data_dir, log: see `images.load`.

    Returns:
      The data set; `train` is one half, or its first `train_images`, `valid` the other.
      In a data set of one's own each class is halved, and a validation part that it has
      stays what it is.

    Raises:
      ValueError: the data set cannot be used, has fewer images than asked for, or is
        not the one that the run was trained on.

    Source: thesis 4.2.2: half of the training images trains the supernet, the other
    half scores architectures.
    """
    data = _load(run, data_dir, log)
    if len(data.valid.labels):
        return _prepared(run, data, "the training part")
    labels = data.train.labels
    if run.own:
        classes = data.facts["classes"]
        name = f"{data.source}, training part"
        rows = user_images.stratified(labels, 0.5, run.split_seed, classes, name)
    else:
        rows = images.halves(labels, run.split_seed)
    train, valid = map(data.train.at, rows)
    split = data._replace(train=train, valid=valid)
    return _prepared(run, split, "the training half")


def whole(
    run: NetworkRun,
    data_dir: str | None = None,
    log: Callable[[str], None] = print,
) -> Data:
    """The data set of a network's run: all training images, or its `train_images`.

    A streamed one is only opened. A validation part of one's own counts as training
    images. Arguments and errors are those of `halves`, without the split.
    """
    if run.streamed:
        return feeds.open_source(data_dir=data_dir)
    data = _load(run, data_dir, log)
    if len(data.valid.labels):
        both = (
            (data.train.images, data.valid.images),
            (data.train.labels, data.valid.labels),
        )
        train = Examples(*map(np.concatenate, both))
        data = data._replace(train=train, valid=data.valid.at(slice(0)))
    return _prepared(run, data, run.dataset)


def _load(run: Run, data_dir: str | None, log: Callable[[str], None]) -> ImageData:
    if not run.own:
        return images.load(run.dataset, data_dir, log=log)
    data = user_images.load(
        run.dataset,
        size=image_sizes.sides(run.image_size)[0],
        seed=run.split_seed,
        corrupt=run.corrupt,
        data_dir=data_dir,
        log=log,
    )
    if run.data_sha256 not in ("", data.sha256):
        raise ValueError(
            f"{data.source} holds other images than the run was trained on (SHA-256 "
            f"{data.sha256[:12]}, not {run.data_sha256[:12]})"
        )
    return data


def moved(folder: Path, run: SupernetRun, dataset: str | None) -> SupernetRun:
    """The run of a supernet with its images where they lie now.

    Args:
      folder: of the run, for errors.
      run: of its config.json.
      dataset: the data set; None for the run's own. Another path may name a data set of
        one's own; `halves` then compares the images.

    Raises:
      ValueError: it is another data set.
    """
    if dataset in (None, run.dataset):
        return run
    if not (run.own and user_images.is_own(dataset)):
        raise ValueError(f"{folder} was trained on {run.dataset}, not {dataset}")
    return dataclasses.replace(run, dataset=dataset)


def _prepared(run: ImageRun, data: ImageData, name: str) -> ImageData:
    """The data with the run's number of training images, shrunk; constants of pixels.

    The public code of PC-DARTS normalises CIFAR-100 by CIFAR-10's constants
    (`constants="cifar10"`).
    """
    available = len(data.train.labels)
    count = run.train_images or available
    if not 1 <= count <= available:
        raise ValueError(f"train_images is {count}; {name} has {available}")

    def small(examples: Examples) -> Examples:
        return Examples(shrink(examples.images, run.shrink), examples.labels)

    facts = data if run.constants == "own" else images.PUBLISHED[run.constants]
    return data._replace(
        train=small(data.train.at(slice(count))),
        valid=small(data.valid),
        test=small(data.test),
        mean=facts.mean,
        std=facts.std,
    )


def shrink(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Images, averaged over blocks of factor x factor pixels and rounded.

    Args:
      pixels: uint8 [N, H, W, C].
      factor: 1 changes nothing.

    Returns:
      uint8 [N, H / factor, W / factor, C].

    Raises:
      ValueError: the factor does not divide a side.
    """
    if factor == 1:
        return pixels
    N, H, W, C = pixels.shape
    if H % factor or W % factor:
        raise ValueError(f"images of {H} x {W} cannot be divided by {factor}")
    blocks = pixels.reshape(N, H // factor, factor, W // factor, factor, C)
    return np.round(blocks.mean(axis=(2, 4))).astype(np.uint8)


def with_data(run: Run, data: Data) -> Run:
    """The run with the settings that follow from its data.

    Raises:
      ValueError: the network does not fit the images or labels, naming which; fewer
        images than a batch takes.
    """
    if isinstance(data, feeds.Source):
        count, size, channels = len(data.train.source), run.image_size, 3
    else:
        pixels, labels = data.train
        count, channels = len(labels), pixels.shape[-1]
        size = image_sizes.size_of(pixels)
        network = dataclasses.replace(
            run.network, classes=data.classes, image_channels=channels
        )
        for part in ("train", "valid", "test"):
            examples: Examples = getattr(data, part)
            image_sizes.check_examples(*examples, network, f"{part} images")
        augment.check_statistics(data.mean, data.std, channels)
    if run.own and count < (batch := run.recipe.batch_size):
        raise ValueError(f"{count} images are too few for a batch of {batch}")
    return dataclasses.replace(
        run,
        classes=data.classes,
        image_size=size,
        image_channels=channels,
        steps_per_epoch=epoch_of(count, run.recipe).steps,
        data_sha256=data.sha256,
        image_facts=None
        if isinstance(data, feeds.Source)
        else dict(data.facts) or None,
    )


def augmentation(run: ImageRun, data: ImageData) -> augment.AugmentConfig:
    """The augmentation of training images; only a scale if `preprocess` is False."""
    if isinstance(run, SupernetRun) and not run.preprocess:
        return augment.AugmentConfig(padding=0, flip=False)
    return augment.AugmentConfig(
        padding=run.padding, cutout=run.cutout, mean=data.mean, std=data.std
    )
