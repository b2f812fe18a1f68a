"""CIFAR and downsampled ImageNet, read from the files that their authors publish.

Every file has images as rows of 3 x H x W bytes, the red channel first, and one label
per row. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
Chrabaszcz et al., "A Downsampled Variant of ImageNet", 2017.
"""

import dataclasses
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nasjax.data import locations, pickles

Arrays = tuple[np.ndarray, np.ndarray]  # uint8 [N, H, W, 3] and int32 [N]


class ImageDataError(ValueError):
    """A file of images is missing or not valid, or no source has a data set."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """The published files and figures of a data set.

    Attributes:
      folders: names that its folder may have.
      parts: subfolders that may hold some of the files.
      train: names of the training files, in order.
      test: names of the test files.
      key: name of the labels inside a file.
      first: label of the first class in the files.
      labels: number of classes in the files.
      classes: number of classes used; images of the others are dropped.
      size: height and width of an image, in pixels.
      counts: training and test images of the classes used.
      mean: of each channel, of pixels scaled to [0, 1].
      std: the same for the standard deviation.
      tfds: its name in tensorflow_datasets.
      tfds_test: the split of tensorflow_datasets that is used as the test set.
      archive: address of the files.
    """

    folders: tuple[str, ...]
    parts: tuple[str, ...] = ()
    train: tuple[str, ...]
    test: tuple[str, ...]
    key: str
    first: int = 0
    labels: int
    classes: int
    size: int = 32
    counts: tuple[int, int] = (50_000, 10_000)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    tfds: str
    tfds_test: str = "test"
    archive: str


def _of_255(*values: float) -> tuple[float, ...]:
    return tuple(value / 255 for value in values)


def _imagenet(size: int) -> Published:
    names = [f"{name}{size}" for name in ("ImageNet", "Imagenet", "imagenet")]
    parts = [f"Imagenet{size}_{split}" for split in ("train", "val")]
    return Published(
        folders=(*names, *(f"{name}-120" for name in names)),
        parts=(*parts, *(f"{part}_npz" for part in parts)),
        train=tuple(f"train_data_batch_{i}" for i in range(1, 11)),
        test=("val_data",),
        key="labels",
        first=1,
        labels=1000,
        classes=120,
        size=size,
        counts=(151_700, 6_000),
        mean=_of_255(122.68, 116.66, 104.01),
        std=_of_255(63.22, 61.26, 65.09),
        tfds=f"imagenet_resized/{size}x{size}",
        tfds_test="validation",
        archive=f"Imagenet{size}_train.zip and Imagenet{size}_val.zip of "
        "https://image-net.org/download-images",
    )


# Means and deviations are those of the code of DARTS (CIFAR-10) and NAS-Bench-201.
PUBLISHED = {
    "cifar10": Published(
        folders=("cifar-10-batches-py",),
        train=tuple(f"data_batch_{i}" for i in range(1, 6)),
        test=("test_batch",),
        key="labels",
        labels=10,
        classes=10,
        mean=(0.49139968, 0.48215827, 0.44653124),
        std=(0.24703233, 0.24348505, 0.26158768),
        tfds="cifar10",
        archive="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    ),
    "cifar100": Published(
        folders=("cifar-100-python",),
        train=("train",),
        test=("test",),
        key="fine_labels",
        labels=100,
        classes=100,
        mean=_of_255(129.3, 124.1, 112.4),
        std=_of_255(68.2, 65.4, 70.4),
        tfds="cifar100",
        archive="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    ),
    "imagenet32-120": _imagenet(32),
    "imagenet16-120": _imagenet(16),
}
_FOLDERS = {name for facts in PUBLISHED.values() for name in facts.folders}


def find(facts: Published, root: Path) -> Path | None:
    """The folder of a data set: `root` itself or one inside it, known by its name.

    A folder of another name counts if it holds every file.
    """
    names = [root] if root.name in facts.folders else []
    for folder in (*names, *(root / name for name in facts.folders)):
        if folder.is_dir():
            return folder
    files = (*facts.train, *facts.test)
    if root.name not in _FOLDERS and all(_path(facts, root, name) for name in files):
        return root
    return None


def read(facts: Published, folder: Path) -> tuple[Arrays, Arrays]:
    """Reads the training and the test images of a folder.

    Raises:
      ImageDataError: if a file is missing or damaged, or holds anything but images of
        the right size with labels of the right range.
    """
    train = _read_split(facts, folder, facts.train)
    return train, _read_split(facts, folder, facts.test)


def keep(facts: Published, images: Any, labels: Any, first: int, where: str) -> Arrays:
    """Checks the labels and drops the images of unused classes.

    Args:
      facts: of the data set; its `labels` and `classes` are used.
      images: [N, ...], anything.
      labels: [N], integers from `first` on.
      first: label of the first class.
      where: name of the data in errors.

    Returns:
      The images of used classes, and their labels counted from 0, int32.

    Raises:
      ImageDataError: if a label is not an integer of the range, or one is missing.
    """
    try:
        labels = np.asarray(labels)
    except ValueError as error:
        raise ImageDataError(f"{where}: labels are not an array ({error})") from error
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise ImageDataError(
            f"{where}: labels are {labels.dtype} {list(labels.shape)}, not one integer "
            f"for each of {len(images)} images"
        )
    last = first + facts.labels - 1
    if len(wrong := labels[(labels < first) | (labels > last)]):
        raise ImageDataError(
            f"{where}: label {wrong[0]}, expected {first} to {last} ({len(wrong)} of "
            f"{len(labels)} labels are wrong)"
        )
    labels = labels.astype(np.int32) - first
    used = labels < facts.classes
    return (images, labels) if used.all() else (images[used], labels[used])


def _path(facts: Published, folder: Path, name: str) -> Path | None:
    """Path of a file in its folder, a pickle or an npz; None if there is none."""
    ends = ("", ".npz") if facts.parts else ("",)
    for part in ("", *facts.parts):
        for end in ends:
            if (path := folder / part / f"{name}{end}").is_file():
                return path
    return None


def _read_split(facts: Published, folder: Path, names: tuple[str, ...]) -> Arrays:
    batches = []
    for name in names:
        if (path := _path(facts, folder, name)) is None:
            raise ImageDataError(
                f"{folder / name}: no such file; {folder.name} consists of "
                f"{', '.join((*facts.train, *facts.test))}"
            )
        batches.append(_read_batch(facts, path))
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    if not len(labels):
        raise ImageDataError(f"{folder}: {', '.join(names)} hold no image to use")
    return images, labels


def _read_batch(facts: Published, path: Path) -> Arrays:
    batch = _load(path)
    for key in ("data", facts.key):
        if key not in batch:
            raise ImageDataError(
                f"{path}: no {key!r} in it, only {', '.join(map(repr, batch))}"
            )
    rows, width = batch["data"], 3 * facts.size**2
    kind = getattr(rows, "dtype", type(rows).__name__), getattr(rows, "shape", ())
    if kind != (np.uint8, (*kind[1][:1], width)):
        raise ImageDataError(
            f"{path}: data is {kind[0]} {list(kind[1])}, not uint8 [N, {width}], rows "
            f"of {facts.size} x {facts.size} images"
        )
    rows, labels = keep(facts, rows, batch[facts.key], facts.first, str(path))
    images = rows.reshape(-1, 3, facts.size, facts.size)
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)), labels


def _load(path: Path) -> Mapping[str, Any]:
    npz = path.suffix == ".npz"
    try:
        if npz:
            return locations.read_npz(path)
        batch = pickles.load_arrays(path.read_bytes())
    except (OSError, ValueError, pickle.UnpicklingError) as error:
        expected = "an npz of data and labels" if npz else "the official pickled batch"
        raise ImageDataError(
            f"{path}: cannot be read ({error}); expected {expected}"
        ) from error
    if not isinstance(batch, dict):
        raise ImageDataError(f"{path}: a {type(batch).__name__}, not a dict of a batch")
    # Keys are bytes where Python 3 wrote again what it read with encoding="bytes".
    return {k.decode("latin1") if isinstance(k, bytes) else k: batch[k] for k in batch}
