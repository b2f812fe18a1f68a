"""Images that networks are trained on: halves, shrunk pixels, constants."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nasjax.data import images as image_data
from nasjax.data.images import ImageData
from nasjax.runs.network_config import NetworkRun
from nasjax.runs.supernet_config import SupernetRun


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


def halves(
    run: SupernetRun,
    data_dir: str | None = None,
    log: Callable[[str], None] = print,
) -> Halves:
    """The data set of a supernet's run and its halves, shrunk as the run says.

    Args:
      run: its `dataset`, `split_seed`, `train_images`, `shrink` and `constants` count.
      data_dir, log: see `images.load`.

    Raises:
      ValueError: the data set cannot be used, or has fewer images than asked for.

    Source: thesis 4.2.2: half of the training images trains the supernet, the other
    half scores architectures.
    """
    whole = image_data.load(run.dataset, data_dir, log=log)
    train, valid = image_data.halves(len(whole.train_labels), run.split_seed)
    count = run.train_images or len(train)
    if not 1 <= count <= len(train):
        raise ValueError(f"train_images is {count}; the training half has {len(train)}")
    train, smaller = train[:count], functools.partial(shrink, factor=run.shrink)
    return Halves(
        smaller(whole.train_images[train]),
        whole.train_labels[train],
        smaller(whole.train_images[valid]),
        whole.train_labels[valid],
        smaller(whole.test_images),
        whole.test_labels,
        whole.classes,
        *pixel_constants(whole, run.constants),
        whole.source,
        whole.sha256,
    )


def whole(
    run: NetworkRun,
    data_dir: str | None = None,
    log: Callable[[str], None] = print,
) -> ImageData:
    """The data set of a network's run: all training images, or the first so many.

    Args and errors: as for `halves`.
    """
    data = image_data.load(run.dataset, data_dir, log=log)
    count = run.train_images or len(data.train_labels)
    if not 1 <= count <= len(data.train_labels):
        raise ValueError(
            f"train_images is {count}; {run.dataset} has {len(data.train_labels)}"
        )
    mean, std = pixel_constants(data, run.constants)
    return data._replace(
        train_images=shrink(data.train_images[:count], run.shrink),
        train_labels=data.train_labels[:count],
        test_images=shrink(data.test_images, run.shrink),
        mean=mean,
        std=std,
    )


def pixel_constants(
    data: ImageData, name: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of pixels: the data set's own, or CIFAR-10's.

    Source: the public code of PC-DARTS normalises CIFAR-100 by CIFAR-10's, and cuts 16
    pixels out (`constants="cifar10", cutout=16`).
    """
    facts = data if name == "own" else image_data.PUBLISHED[name]
    return facts.mean, facts.std


def shrink(images: np.ndarray, factor: int) -> np.ndarray:
    """Averages factor x factor pixels."""
    if factor == 1:
        return images
    N, H, W, C = images.shape
    if H % factor or W % factor:
        raise ValueError(f"images of {H} x {W} cannot be divided by {factor}")
    blocks = images.reshape(N, H // factor, factor, W // factor, factor, C)
    return np.round(blocks.mean(axis=(2, 4))).astype(np.uint8)
