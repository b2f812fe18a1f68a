"""Labelled images of one's own: a folder for each class, an npz, or prepared by TFDS.

Each `read_*` returns the parts of a data set, of one size and three channels.
"""

import functools
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from nasjax.data import encoded, locations, prepared
from nasjax.data.encoded import Encoded
from nasjax.data.image_files import Arrays, ImageDataError

Log = Callable[[str], object]
# Parts by the names that folders and splits have.
PARTS = {
    "train": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "test": "test",
}
CORRUPT = ("refuse", "skip")
_PREFIXES = {"train": "", "valid": "valid_", "test": "test_"}  # of keys in an npz
_NAMED = 5  # damaged files that an error names


class Parts(NamedTuple):
    """A data set as it lies there, before any split."""

    classes: tuple[str, ...]
    examples: dict[str, Arrays]  # by part: train, perhaps valid and test
    sha256: str  # of the names and bytes of the files
    skipped: tuple[str, ...]  # damaged files
    source: str  # where it lies


def read_folder(root: Path, size: int, corrupt: str, log: Log) -> Parts:
    """Reads a folder of a folder for each class, or of such in train, val and test.

    Classes are numbered in the order of their folders' names.

    Args:
      root: the folder.
      size: height and width of the images.
      corrupt: of CORRUPT, what to do about damaged files.
      log: called with each message.

    Raises:
      ImageDataError: there are no class folders, one without images, a class that the
        training part lacks, or damaged files and `corrupt` is "refuse".
    """
    folders = {part: _folders(path) for part, path in _part_folders(root).items()}
    classes = tuple(path.name for path in folders["train"])
    if not classes:
        raise ImageDataError(
            f"{root} has no class folders; expected a folder of images for each class, "
            "or such folders in train, val and test"
        )
    files: dict[str, list[Encoded]] = {}
    others: list[Path] = []
    for part, paths in folders.items():
        if unknown := [path.name for path in paths if path.name not in classes]:
            raise ImageDataError(
                f"{paths[0].parent}: no training images of {_some(unknown)}"
            )
        files[part] = []
        for path in paths:
            images, rest = _images(path)
            others += rest
            files[part] += [
                Encoded(
                    file.relative_to(root).as_posix(),
                    classes.index(path.name),
                    file.read_bytes,
                )
                for file in images
            ]
    if others:
        names = [file.relative_to(root).as_posix() for file in others]
        log(f"images: {len(others)} files are no images: {_some(names)}")
    return _decoded(classes, files, size, corrupt, str(root), log)


def read_npz(path: Path, size: int, log: Log) -> Parts:
    """Reads `images`, `labels`, and perhaps `valid_images`, `test_images` and so on.

    Images are uint8 [N, H, W] or [N, H, W, C] of 1 or 3 channels, labels [N] integers
    or strings; classes are the sorted labels of the training part. Arguments as of
    `read_folder`.

    Raises:
      ImageDataError: names the key and what is allowed.
    """
    try:
        arrays = locations.read_npz(path, objects=True)
    except ValueError as error:
        raise ImageDataError(f"{path}: cannot be read ({error})") from error
    keys = {
        part: (f"{prefix}images", f"{prefix}labels")
        for part, prefix in _PREFIXES.items()
    }
    wanted = [key for pair in keys.values() for key in pair]
    if unused := [key for key in arrays if key not in wanted]:
        log(f"images: {path}: {_some(unused)} are not read, only {', '.join(wanted)}")
    pairs = {}
    for part, pair in keys.items():
        missing = [key for key in pair if key not in arrays]
        if missing and (part == "train" or len(missing) == 1):
            raise ImageDataError(f"{path}: no {_some(missing)}, only {_some(arrays)}")
        if not missing:
            pairs[part] = _checked(path, arrays, *pair)
    for part, (_, labels) in pairs.items():
        first = pairs["train"][1]
        if (labels.dtype.kind in "iu") != (first.dtype.kind in "iu"):
            raise ImageDataError(
                f"{path}: {keys[part][1]} are {labels.dtype}, labels {first.dtype}; "
                "allowed: integers in both, or strings in both"
            )
    names, examples = np.unique(pairs["train"][1]), {}
    for part, (images, labels) in pairs.items():
        if len(unknown := np.setdiff1d(labels, names)):
            raise ImageDataError(
                f"{path}: {keys[part][1]} has {_some(map(str, unknown))}, which no "
                "training image has"
            )
        rows = np.searchsorted(names, labels).astype(np.int32)
        examples[part] = _resized(images, size), rows
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Parts(tuple(map(str, names)), examples, digest, (), str(path))


def read_tfds(
    name: str,
    data_dir: str | os.PathLike[str] | None,
    size: int,
    corrupt: str,
    log: Log,
) -> Parts:
    """Reads splits train, validation and test of a data set prepared as ArrayRecord.

    Args:
      name: in tensorflow_datasets, of a data set with an `image` and a class `label`.
      data_dir: see `prepared.encoded`.
      size, corrupt, log: see `read_folder`.

    Raises:
      ImageDataError: it is not prepared, is of another kind, or cannot be read.
    """
    found = prepared.encoded(name, data_dir)
    source = f"tensorflow_datasets {name} in {found.folder}"
    if "train" not in found.splits:
        raise ImageDataError(
            f"no train split of {name} as ArrayRecord files in {found.folder} "
            f"({found.reason}). To prepare it: tfds build {name} "
            f"--file_format=array_record --data_dir={found.folder}"
        )
    features = found.splits["train"].dataset_info.features
    classes = getattr(dict(features.items()).get("label"), "names", None)
    if "image" not in features or classes is None:
        names = ", ".join(features.keys())
        raise ImageDataError(
            f"{source}: its features are {names}; expected an `image` and a class "
            "`label`"
        )
    files = {}
    for split in found.splits.keys() & PARTS.keys():
        read = functools.partial(_record, found.splits[split], split, classes, source)
        files[PARTS[split]] = [read(i) for i in range(len(found.splits[split]))]
    return _decoded(tuple(classes), files, size, corrupt, source, log)


def _record(
    records: Any, split: str, classes: Sequence[str], source: str, index: int
) -> Encoded:
    where = f"{source}, {split}, record {index}"
    try:
        record = records[index]
        data, label = bytes(record["image"]), int(record["label"])
    except Exception as error:  # A damaged file raises nearly anything.
        raise ImageDataError(f"{where}: cannot be read ({error!r})") from error
    if not 0 <= label < len(classes):
        raise ImageDataError(f"{where}: label {label}, not 0 to {len(classes) - 1}")
    return Encoded(f"{split}/{classes[label]}/{index}", label, lambda: data)


def _decoded(
    classes: tuple[str, ...],
    files: Mapping[str, list[Encoded]],
    size: int,
    corrupt: str,
    source: str,
    log: Log,
) -> Parts:
    every = [file for part in sorted(files) for file in files[part]]
    decoded = encoded.decode(every, size, log)
    skipped = tuple(every[row].name for row in decoded.damaged)
    if skipped:
        reasons = [f"{every[row].name} ({why})" for row, why in decoded.damaged.items()]
        text = f"{len(skipped)} of {len(every)} images are damaged: {_some(reasons)}"
        if corrupt == "refuse":
            raise ImageDataError(f"{source}: {text}; --corrupt skip leaves them out")
        log(f"images: skipped {text}")
    good = np.ones(len(every), bool)
    good[list(decoded.damaged)] = False
    labels = np.array([file.label for file in every], np.int32)
    examples, start = {}, 0
    for part in sorted(files):
        rows = np.flatnonzero(good[start : start + len(files[part])]) + start
        examples[part] = decoded.images[rows], labels[rows]
        start += len(files[part])
    return Parts(classes, examples, decoded.sha256, skipped, source)


def _part_folders(root: Path) -> dict[str, Path]:
    """The folders of class folders by part; `root` alone if it has no parts."""
    names = [path.name for path in _folders(root)]
    parts = [name for name in names if name in PARTS]
    if "train" not in parts or (len(parts) == 1 and len(names) > 1):
        return {"train": root}
    if others := [name for name in names if name not in PARTS]:
        raise ImageDataError(
            f"{root} has {', '.join(parts)} and also {_some(others)}: expected either "
            "parts or classes"
        )
    if len({PARTS[name] for name in parts}) < len(parts):
        raise ImageDataError(f"{root} has {', '.join(parts)}: two validation parts")
    return {PARTS[name]: root / name for name in parts}


def _folders(path: Path) -> list[Path]:
    """Folders in a folder, by name, without hidden ones."""
    inside = sorted(path.iterdir(), key=lambda entry: entry.name)
    return [x for x in inside if x.is_dir() and not x.name.startswith(".")]


def _images(folder: Path) -> tuple[list[Path], list[Path]]:
    """Image files of a class folder, by name, and whatever else lies there."""
    kinds = Image.registered_extensions()
    paths = [p for p in folder.iterdir() if not p.name.startswith(".")]
    images: list[Path] = []
    others: list[Path] = []
    for path in sorted(paths, key=lambda path: path.name):
        known = kinds.get(path.suffix.lower()) in Image.OPEN and not path.is_dir()
        (images if known else others).append(path)
    if not images:
        raise ImageDataError(f"{folder}: no image file in this class folder")
    return images, others


def _checked(
    path: Path, arrays: Mapping[str, Any], image_key: str, label_key: str
) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, H, W, C] and labels [N] of an npz."""
    for key in (image_key, label_key):
        if arrays[key] is None:
            raise ImageDataError(
                f"{path}: {key} are Python objects; allowed: uint8 images of one size, "
                "labels as integers or strings"
            )
    images, labels = arrays[image_key], arrays[label_key]
    whole = images[..., None] if images.ndim == 3 else images
    if (
        images.dtype != np.uint8
        or whole.ndim != 4
        or whole.shape[-1] not in (1, 3)
        or not whole.size
    ):
        raise ImageDataError(
            f"{path}: {image_key} are {images.dtype} {list(images.shape)}; allowed: "
            "uint8 [N, H, W] or [N, H, W, C] with C = 1 or 3"
        )
    if labels.shape != whole.shape[:1] or labels.dtype.kind not in "iuUS":
        raise ImageDataError(
            f"{path}: {label_key} are {labels.dtype} {list(labels.shape)}; allowed: an "
            f"integer or a string for each of {len(whole)} images"
        )
    return whole, labels.astype(np.str_) if labels.dtype.kind == "S" else labels


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    """uint8 [N, size, size, 3] of [N, H, W, 1 or 3]."""
    images = np.broadcast_to(images, (*images.shape[:3], 3))
    if images.shape[1:3] == (size, size):
        return np.ascontiguousarray(images)
    return np.stack([encoded.square(Image.fromarray(x), size) for x in images])


def _some(names: Any) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
