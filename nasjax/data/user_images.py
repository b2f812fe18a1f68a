"""A data set of one's own, ready to train on: parts, mean and deviation, facts.

    data = user_images.load("/data/ants", size=32)  # a folder for each class
    data = user_images.load("/data/cells.npz", size=28)
    data = user_images.load("tfds:oxford_flowers102", size=64)

`image_forms` describes the three forms. Without a test part, the validation part
becomes one; without either, a fifth of each class does, drawn by a seed.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasjax.data import image_forms, images
from nasjax.data.image_files import Arrays, ImageDataError
from nasjax.data.image_forms import CORRUPT, Parts
from nasjax.data.images import ImageData

TFDS = "tfds:"
LEAST = 8  # pixels a side
TEST_SHARE = 0.2  # of a class, where there is no test part


def is_own(dataset: str) -> bool:
    """Whether it names a user's data set: an absolute path, or `tfds:NAME`."""
    return dataset.startswith(TFDS) or os.path.isabs(dataset)


def short_name(dataset: str) -> str:
    """A name for files and titles: of a path its last part, others as they are."""
    if dataset.startswith(TFDS):
        return dataset.removeprefix(TFDS).replace("/", "-").replace(":", "-")
    return Path(dataset).stem if is_own(dataset) else dataset


def load(
    dataset: str,
    *,
    size: int = 32,
    seed: int = 0,
    corrupt: str = "refuse",
    data_dir: str | os.PathLike[str] | None = None,
    log: Callable[[str], object] = print,
) -> ImageData:
    """Loads a folder, an npz or a data set prepared by tensorflow_datasets.

    Args:
      dataset: an absolute path, or `tfds:NAME`.
      size: height and width: the largest centred square is resized to it.
      seed: of the test part, if the set has none.
      corrupt: "refuse" or "skip" files that cannot be decoded.
      data_dir: folder of tensorflow_datasets; not for paths.
      log: called with each message to the user.

    Returns:
      The data set; `valid` is empty unless the set has both a validation and a test
      part; each is in a fixed random order; mean and deviation are those of `train`.
      `facts`: classes, images of each class by part, `imbalance` (largest / smallest
      class of `train`), `files_sha256` over names and bytes, skipped files.

    Raises:
      ValueError: a size below 8, another `corrupt`, a data_dir for a path.
      ImageDataError: as `image_forms`; fewer than two classes, or one with too few
        images.
    """
    if size < LEAST:
        raise ValueError(f"--image-size {size}: allowed is at least {LEAST}")
    if corrupt not in CORRUPT:
        raise ValueError(f"corrupt is {corrupt!r}; allowed: {', '.join(CORRUPT)}")
    parts = _read(dataset, size, corrupt, data_dir, log)
    if len(parts.classes) < 2:
        raise ImageDataError(
            f"{parts.source}: only one class, {parts.classes[0]}; needs two or more"
        )
    # Files come class by class; the first images of a part are to be of all classes.
    examples = {
        part: _permuted(*arrays) for part, arrays in _with_test(parts, seed).items()
    }
    number = len(parts.classes)
    if (empty := np.setdiff1d(np.arange(number), examples["train"][1])).size:
        names = ", ".join(parts.classes[i] for i in empty[:5])
        raise ImageDataError(f"{parts.source}: no training image of {names}")
    mean, std = _moments(examples["train"][0])
    ordered = [examples[p] for p in ("train", "test", "valid") if p in examples]
    name = short_name(dataset)
    data = images.pack(name, ordered, number, mean, std, parts.source)
    facts = _facts(parts, examples)
    log(_described(facts, parts.source))
    return data._replace(facts=facts)


def stratified(
    labels: np.ndarray, share: float, seed: int, classes: Sequence[str], what: str
) -> tuple[np.ndarray, np.ndarray]:
    """Two parts of a fixed random permutation, with images of every class in each.

    Args:
      labels: [N] integers.
      share: of each class that the second part has, rounded down, at least one image.
      seed: of the permutation.
      classes: their names, for errors.
      what: name of the data set, for errors.

    Returns:
      Indices of the two parts, int32, each in the order of the permutation.

    Raises:
      ImageDataError: a class has fewer than two images.
    """
    counts = np.bincount(labels, minlength=len(classes))
    if (few := np.flatnonzero(counts < 2)).size:
        names = ", ".join(f"{classes[i]} ({counts[i]})" for i in few[:5])
        raise ImageDataError(
            f"{what}: a split needs at least 2 images of each class; {len(few)} of "
            f"{len(classes)} classes have fewer: {names}"
        )
    order = np.random.default_rng(seed).permutation(len(labels)).astype(np.int32)
    second = np.zeros(len(labels), bool)
    for label, count in enumerate(counts):
        rows = order[labels[order] == label]
        second[rows[: max(int(count * share), 1)]] = True
    return order[~second[order]], order[second[order]]


def _read(
    dataset: str,
    size: int,
    corrupt: str,
    data_dir: str | os.PathLike[str] | None,
    log: Callable[[str], object],
) -> Parts:
    if dataset.startswith(TFDS):
        name = dataset.removeprefix(TFDS)
        return image_forms.read_tfds(name, data_dir, size, corrupt, log)
    if data_dir is not None:
        raise ValueError(f"--data-dir {data_dir}: not with --dataset {dataset}")
    path = Path(dataset)
    if path.is_dir():
        return image_forms.read_folder(path, size, corrupt, log)
    if not path.exists():
        raise ImageDataError(f"{path}: no such file or folder")
    return image_forms.read_npz(path, size, log)


def _with_test(parts: Parts, seed: int) -> dict[str, Arrays]:
    """The examples by part, with a test part."""
    examples = dict(parts.examples)
    if "test" in examples:
        return examples
    if "valid" in examples:
        examples["test"] = examples.pop("valid")
        return examples
    pixels, labels = examples["train"]
    rows = stratified(labels, TEST_SHARE, seed, parts.classes, parts.source)
    train, test = ((pixels[x], labels[x]) for x in rows)
    return {"train": train, "test": test}


def _permuted(pixels: np.ndarray, labels: np.ndarray) -> Arrays:
    """The examples in a fixed random order."""
    order = np.random.default_rng(0).permutation(len(labels))
    return pixels[order], labels[order]


def _moments(pixels: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, of pixels scaled to [0, 1].

    Values are counted, so that the result is the same on every machine.
    """
    counts = np.zeros((3, 256), np.int64)
    for start in range(0, len(pixels), 1_000):
        block = pixels[start : start + 1_000]
        for channel in range(3):
            values = block[..., channel].ravel()
            counts[channel] += np.bincount(values, minlength=256)
    shares = counts / counts.sum(1, keepdims=True)
    values = np.arange(256) / 255
    mean = (shares * values).sum(1)
    std = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(1))
    return tuple(mean.tolist()), tuple(std.tolist())


def _facts(parts: Parts, examples: Mapping[str, Arrays]) -> dict[str, Any]:
    number = len(parts.classes)
    counts = {
        part: np.bincount(labels, minlength=number).tolist()
        for part, (_, labels) in examples.items()
    }
    return {
        "classes": list(parts.classes),
        "counts": counts,
        "imbalance": max(counts["train"]) / min(counts["train"]),
        "files_sha256": parts.sha256,
        "skipped": list(parts.skipped),
    }


def _described(facts: Mapping[str, Any], source: str) -> str:
    """A line for the user."""
    counts = facts["counts"]
    text = ", ".join(f"{sum(counts[part]):,} {part}" for part in sorted(counts))
    train = counts["train"]
    return (
        f"images: {source}: {len(train)} classes, {text}; {min(train)} to {max(train)} "
        f"training images of a class (imbalance {facts['imbalance']:.3g})"
    )
