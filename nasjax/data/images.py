"""Images to train networks on: CIFAR, downsampled ImageNet, and made-up ones.

    data = images.load("cifar10")
    train, valid = images.halves(data.train.labels)  # rows of the two halves

Images stay uint8 until `nasjax.networks.augment` has them on the device.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from nasjax.data import image_files, locations
from nasjax.data.image_files import PUBLISHED, Arrays, ImageDataError, Published
from nasjax.networks.examples import Examples

__all__ = ["NAMES", "ImageData", "ImageDataError", "halves", "load", "synthetic"]

NAMES = (*PUBLISHED, "synthetic")
Log = Callable[[str], object]


class ImageData(NamedTuple):
    """A data set in memory, of NumPy arrays, and its facts for results files."""

    name: str
    train: Examples
    valid: Examples  # empty until `runs.image_sets.halves` splits the training images
    test: Examples
    classes: int
    mean: tuple[float, ...]  # of pixels scaled to [0, 1], per channel
    std: tuple[float, ...]
    source: str  # a folder, or a data set of tensorflow_datasets
    sha256: str  # of images and labels as loaded
    facts: Mapping[str, Any] = MappingProxyType({})  # of one's own, see `user_images`


def load(
    name: str, data_dir: str | os.PathLike[str] | None = None, *, log: Log = print
) -> ImageData:
    """Loads a data set from the first place that has it.

    The places: `data_dir`, the entries of `$NASJAX_DATA` and the user's cache, each
    the folder of the data set or its parent; then a copy that tensorflow_datasets has
    prepared in `data_dir` or `$TFDS_DATA_DIR`; then its download, unless
    `NASJAX_OFFLINE=1`. A folder that exists but is damaged is an error.

    Args:
      name: one of `NAMES`; "synthetic" is made up and needs no file.
      data_dir: where to look first.
      log: called with each message to the user.

    Raises:
      ImageDataError: if the name is unknown, a file is not valid, or no place has the
        data set; the message names the file, or every place looked at.
    """
    if name == "synthetic":
        log("images: synthetic is made up; accuracies on it say nothing of real images")
        return synthetic()
    if name not in PUBLISHED:
        raise ImageDataError(f"no data set {name!r}; choose from {', '.join(NAMES)}")
    facts = PUBLISHED[name]
    places = [] if locations.listed() else ["$NASJAX_DATA is not set"]
    explicit = None if data_dir is None else Path(data_dir).expanduser()
    for why, root in _roots(explicit):
        if folder := image_files.find(facts, root):
            splits, source = image_files.read(facts, folder), str(folder)
            break
        places.append(f"no {facts.folders[0]} in {why} {root}")
    else:
        splits, source = _tfds(name, explicit, places, log)
    if explicit is not None and root != explicit:
        log(f"images: no {facts.folders[0]} in {explicit}; {name} is from {source}")
    counts = tuple(len(labels) for _, labels in splits)
    if counts != facts.counts:
        log(
            f"images: {source} has {counts[0]:,} training and {counts[1]:,} test "
            f"images; the whole {name} has {facts.counts[0]:,} and {facts.counts[1]:,}"
        )
    return pack(name, splits, facts.classes, facts.mean, facts.std, source)


def halves(
    labels: Sequence[int] | np.ndarray | int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of a fixed random permutation: to train and to validate on.

    Args:
      labels: [N] anything, or N itself; if N is odd, one index is in neither half.
      seed: of the permutation.

    Returns:
      Indices of the training and of the validation half, [N // 2] int32 each.
    """
    count = labels if isinstance(labels, int | np.integer) else len(labels)
    order = np.random.default_rng(seed).permutation(count).astype(np.int32)
    return order[: count // 2], order[count // 2 : count // 2 * 2]


def synthetic(
    train: int = 2_000, test: int = 1_000, *, size: int = 32, noise: int = 24
) -> ImageData:
    """Ten classes of coloured waves under noise, the same on every machine.

    A class is a sum of three waves of low frequency in each colour. An image shows it
    shifted around the torus by a random offset, on a random ground colour: the mean
    colour says nothing of the class, and neither does any pixel for itself.

    Args:
      train: number of training images.
      test: number of test images.
      size: height and width, in pixels.
      noise: the noise is a sum of four uniform draws from -noise to noise (of 255).
    """
    classes, rng = 10, np.random.default_rng(10)
    cycles = rng.integers(-3, 4, (classes, 3, 3, 2, 1, 1))  # class, colour, wave, y x
    cycles[:, :, :, 0] += ~cycles.any(3)  # A wave of no cycles would be a colour.
    phase = rng.random((classes, 3, 3, 1, 1))
    at = np.arange(size) / size
    turns = cycles[:, :, :, 0] * at[:, None] + cycles[:, :, :, 1] * at + phase
    waves = np.cos(2 * np.pi * turns).sum(2).transpose(0, 2, 3, 1)
    # Whole numbers from here on, so that machines do not differ in rounding.
    waves = np.rint(20 * waves).astype(np.int16)

    def draw(count: int) -> Arrays:
        labels = rng.permutation(count).astype(np.int32) % classes
        y, x = (rng.integers(0, size, (2, count, 1)) + np.arange(size)) % size
        images = waves[labels[:, None, None], y[:, :, None], x[:, None, :]]
        images += rng.integers(104, 152, (count, 1, 1, 3), dtype=np.int16)
        for _ in range(4):
            images += rng.integers(-noise, noise + 1, images.shape, dtype=np.int16)
        return images.clip(0, 255).astype(np.uint8), labels

    splits = draw(train), draw(test)
    pixels = splits[0][0].reshape(-1, 3) / 255
    mean, std = tuple(pixels.mean(0).tolist()), tuple(pixels.std(0).tolist())
    return pack("synthetic", splits, classes, mean, std, "synthetic (made up)")


def pack(
    name: str,
    splits: Sequence[Arrays],
    classes: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    source: str,
) -> ImageData:
    """The data set of some arrays, with their checksum.

    Args:
      splits: training, test and perhaps validation images with their labels.
      name, classes, mean, std, source: see `ImageData`.
    """
    train, test, *valid = (Examples(*arrays) for arrays in splits)
    checksum = hashlib.sha256()
    for array in (array for part in (train, test, *valid) for array in part):
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        checksum.update(f"{little.dtype.str}{little.shape}".encode())
        checksum.update(little)
    (held_out,) = valid or [train.at(slice(0))]
    facts = classes, mean, std, source, checksum.hexdigest()
    return ImageData(name, train, held_out, test, *facts)


def _roots(explicit: Path | None) -> list[tuple[str, Path]]:
    """Folders to look in, each after its origin."""
    return [
        *([("data_dir", explicit)] if explicit else []),
        *(("$NASJAX_DATA", path) for path in locations.listed()),
        ("the cache", locations.cache()),
    ]


def _tfds(
    name: str, explicit: Path | None, places: list[str], log: Log
) -> tuple[tuple[Arrays, Arrays], str]:
    """Splits and source from tensorflow_datasets: prepared, else downloaded.

    Reading needs no TensorFlow; preparing does, to encode images.
    """
    import tensorflow_datasets as tfds  # Slow to import.

    facts = PUBLISHED[name]
    default = os.environ.get("TFDS_DATA_DIR") or None
    folders = [*([explicit] if explicit else []), default]
    attempts = [(folder, False) for folder in folders]
    online = not locations.offline()
    if online:
        attempts.append((folders[0], True))
    for folder, download in attempts:
        source = (
            f"tensorflow_datasets {facts.tfds} in {folder or '~/tensorflow_datasets'}"
        )
        if download:
            log(f"images: preparing {source}")
        try:
            prepared = tfds.data_source(
                facts.tfds,
                data_dir=folder,
                download=download,
                builder_kwargs={"file_format": "array_record"},
            )
        except Exception as error:  # A builder may raise anything.
            reason = str(error).strip().partition("\n")[0]
            places.append(f"{source}: {reason or type(error).__name__}")
            continue
        names = "train", facts.tfds_test
        if set(names) <= set(prepared):
            train, test = (_decode(facts, prepared[n], f"{source}, {n}") for n in names)
            return (train, test), source
        places.append(f"{source}: not prepared")
    if not online:
        places.append("download switched off by NASJAX_OFFLINE")
    raise ImageDataError(
        f"found no {name}; looked at: {'; '.join(places)}. Unpack {facts.archive} into "
        f"a folder {facts.folders[0]} and name it in --data-dir or $NASJAX_DATA, or "
        "take made-up images: --dataset synthetic"
    )


def _decode(
    facts: Published, examples: Iterable[Mapping[str, Any]], where: str
) -> Arrays:
    """Images and labels of one split, ordered by their ids where they have any."""
    unused = range(facts.classes, facts.labels)  # Dropped at once: ImageNet is large.
    shape = (facts.size, facts.size, 3)
    rows = []
    try:
        for example in examples:
            image, label = example["image"], int(example["label"])
            if label not in unused:
                rows.append((example.get("id", b""), np.asarray(image), label))
    except Exception as error:  # A damaged file raises nearly anything.
        raise ImageDataError(f"{where}: cannot be read ({error!r})") from error
    kinds = {(image.dtype.name, image.shape) for _, image, _ in rows}
    if kinds != {("uint8", shape)}:
        raise ImageDataError(
            f"{where}: images are {kinds or 'none'}, not uint8 {shape}"
        )
    rows.sort(key=lambda row: row[0])
    images = np.stack([image for _, image, _ in rows])
    return image_files.keep(facts, images, [label for *_, label in rows], 0, where)
