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
    sha256 = checksum(files)
    name = f"{sha256[:40]}-{size}-{_VERSION}.npz"
    path = locations.cache() / "images" / name
    shape = (len(files), size, size, 3)
    if (known := _remembered(path, shape)) is not None:
        return Decoded(*known, sha256)
    images, damaged = np.zeros(shape, np.uint8), {}

    def fill(row: int) -> str:
        try:
            images[row] = pixels(files[row].read(), size)
        except Exception as error:  # A damaged file raises nearly anything.
            return f"{type(error).__name__}: {error}".partition("\n")[0]
        return ""

    for row, reason in enumerate(_each(fill, range(len(files)), "decoding images")):
        if reason:
            damaged[row] = reason
    _remember(path, images, damaged, log)
    return Decoded(images, damaged, sha256)


def checksum(files: Sequence[Encoded]) -> str:
    """SHA-256 of the files' names and bytes; of one that cannot be read, its name."""

    def one(file: Encoded) -> bytes:
        try:
            return hashlib.sha256(file.read()).digest()
        except OSError:
            return b""

    whole = hashlib.sha256()
    for file, digest in zip(files, _each(one, files, "reading images"), strict=True):
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
