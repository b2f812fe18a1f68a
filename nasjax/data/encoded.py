"""Image files decoded to squares of one size, once, and kept in the user's cache.

    decoded = encoded.decode(files, size=32)

The cache is keyed by a checksum of names and bytes: a file that changes is decoded
again, whatever its date.
"""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from nasjax.data import locations

_VERSION = 1  # of `pixels`; another one decodes again


class Encoded(NamedTuple):
    """An image file."""

    name: str  # no other file of the data set has it
    label: int
    read: Callable[[], bytes]


class Decoded(NamedTuple):
    """N files of one data set."""

    images: np.ndarray  # uint8 [N, size, size, 3]; zeros where a file is damaged
    damaged: dict[int, str]  # the reason, by row
    sha256: str  # of names and bytes


def pixels(data: bytes, size: int) -> np.ndarray:
    """An encoded image, as uint8 [size, size, 3].

    It is turned as its EXIF tag says; gray is repeated for each colour, transparency is
    dropped.

    Raises:
      Exception: nearly any, if the data are damaged.
    """
    with Image.open(io.BytesIO(data)) as image:
        if image.mode[0] in "IF":
            raise ValueError(f"pixels of mode {image.mode}, not of 8 bits")
        return square(ImageOps.exif_transpose(image).convert("RGB"), size)


def square(image: Image.Image, size: int) -> np.ndarray:
    """The largest square at an image's centre, resized (bicubic): uint8 [size, ...]."""
    shape = (size, size)
    return np.asarray(ImageOps.fit(image, shape, Image.Resampling.BICUBIC))


def decode(
    files: Sequence[Encoded], size: int, log: Callable[[str], object] = print
) -> Decoded:
    """Decodes files in threads, or reads what an earlier call has decoded.

    Args:
      files: their order and names enter the checksum, labels do not.
      size: height and width of the images.
      log: called with a message if the cache cannot be written.
    """
    digests = _digests(files)
    sha256 = _checksum(files, digests)
    name = f"{sha256[:40]}-{size}-{_VERSION}.npz"
    path = locations.cache() / "images" / name
    shape = (len(files), size, size, 3)
    known = _remembered(path, shape)
    images, before = (np.zeros(shape, np.uint8), None) if known is None else known
    # What was damaged is tried again: a disk may have failed for a moment.
    rows = list(range(len(files))) if before is None else sorted(before)

    def fill(row: int) -> str:
        try:
            data = files[row].read()
            if hashlib.sha256(data).digest() != digests[row]:
                raise ValueError("it changed while it was read")
            images[row] = pixels(data, size)
        except Exception as error:  # A damaged file raises nearly anything.
            return f"{type(error).__name__}: {error}".partition("\n")[0]
        return ""

    reasons = zip(rows, _each(fill, rows, "decoding images"), strict=True)
    damaged = {row: reason for row, reason in reasons if reason}
    if damaged != before:
        _remember(path, images, damaged, log)
    return Decoded(images, damaged, sha256)


def checksum(files: Sequence[Encoded]) -> str:
    """SHA-256 of the files' names and bytes; of one that cannot be read, its name."""
    return _checksum(files, _digests(files))


def _digests(files: Sequence[Encoded]) -> list[bytes]:
    """Of each file's bytes; empty if it cannot be read."""

    def one(file: Encoded) -> bytes:
        try:
            return hashlib.sha256(file.read()).digest()
        except OSError:
            return b""

    return list(_each(one, files, "reading images"))


def _checksum(files: Sequence[Encoded], digests: Sequence[bytes]) -> str:
    whole = hashlib.sha256()
    for file, digest in zip(files, digests, strict=True):
        whole.update(file.name.encode() + b"\0" + digest)
    return whole.hexdigest()


def _each(
    function: Callable[[Any], Any], items: Sequence[Any], text: str
) -> Iterator[Any]:
    """The function of each item, in order, by threads; progress if it takes long."""
    with ThreadPoolExecutor() as pool:
        results = pool.map(function, items)
        yield from tqdm(results, text, len(items), unit="file", delay=2, leave=False)


def _remembered(path: Path, shape: tuple[int, ...]) -> tuple[Any, dict] | None:
    """Images and damaged rows of an earlier call; None if there are none, or broken."""
    if not path.is_file():
        return None
    try:
        arrays = locations.read_npz(path)
        images, rows, reasons = (arrays[n] for n in ("images", "rows", "reasons"))
    except (ValueError, KeyError):
        return None
    if (images.dtype, images.shape) != (np.uint8, shape):
        return None
    return images, dict(zip(rows.tolist(), reasons.tolist(), strict=True))


def _remember(
    path: Path,
    images: np.ndarray,
    damaged: dict[int, str],
    log: Callable[[str], object],
) -> None:
    arrays: dict[str, Any] = {
        "images": images,
        "rows": np.array(list(damaged), np.int64),
        "reasons": np.array(list(damaged.values()), np.str_),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        locations.write_file(path, lambda file: np.savez(file, **arrays), shared=True)
    except OSError as error:
        log(f"images: decoded again next time, {path} cannot be written ({error})")
