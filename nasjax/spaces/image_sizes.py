"""Sizes of images, and whether a network fits them.

Where a side is odd, a halved image is rounded up: 33 pixels become 17, then 9. Images
are [B, H, W, C].
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

Sides = tuple[int, int]
Size = int | Sides  # `image_size`: pixels a side, or (height, width)


def sides(image_size: Size | Sequence[int], halvings: int = 0) -> Sides:
    """Height and width, from a pair or from a number for both.

    Args:
      image_size: the pair or the number.
      halvings: number of times that a network halves such images.

    Raises:
      ValueError: neither, a side below 1, or fewer pixels than can be halved.
    """
    pair = image_size if isinstance(image_size, Sequence) else (image_size, image_size)
    if (
        len(pair) != 2
        or not all(isinstance(n, int | np.integer) for n in pair)
        or (min(pair) < 1)
    ):
        raise ValueError(
            f"image_size is {image_size!r}; allowed: a whole number from 1 on, or two "
            "(height, width)"
        )
    if min(pair) < 2**halvings:
        raise ValueError(
            f"images of {pair[0]} x {pair[1]} pixels: a network that halves them "
            f"{halvings} times needs sides of at least {2**halvings}"
        )
    return int(pair[0]), int(pair[1])


def size_of(images: Any) -> Size:
    """`image_size` of images: one number if they are square, else (height, width)."""
    height, width = images.shape[1:3]
    return height if height == width else (height, width)


def areas(image_size: Size, halvings: int) -> list[int]:
    """Pixels of an image, and after each of so many halvings; errors as `sides`."""
    height, width = sides(image_size, halvings)
    return [-(-height // 2**n) * -(-width // 2**n) for n in range(halvings + 1)]


def check(shape: Sequence[int], channels: int, halvings: int) -> None:
    """Raises ValueError unless a network fits images.

    Args:
      shape: of the images.
      channels: of the network's input.
      halvings: number of times that it halves them.

    Raises:
      ValueError: not four axes, other channels, or fewer pixels than can be halved.
    """
    if len(shape) != 4:
        raise ValueError(f"images are [B, H, W, C], got {list(shape)}")
    if shape[3] != channels:
        raise ValueError(
            f"images have {shape[3]} channels; the network has "
            f"image_channels={channels}"
        )
    sides(shape[1:3], halvings)


def check_examples(images: Any, labels: Any, config: Any, what: str = "images") -> None:
    """Raises ValueError unless a network can be trained or evaluated on a data set.

    Args:
      images: uint8 [N, H, W, C]; like labels, of NumPy or JAX.
      labels: integers [N]; their values are not looked at under `jit`.
      config: of the network, with `image_channels`, `halvings` and `classes`.
      what: names the data set in errors.

    Raises:
      ValueError: images of another type, size or channels than the network takes,
        another number of labels, or labels outside 0 .. classes - 1, whose loss would
        be NaN.
    """
    try:
        if images.dtype != np.uint8:
            raise ValueError(f"images are {images.dtype}, not uint8")
        check(images.shape, config.image_channels, config.halvings)
        if labels.shape != images.shape[:1] or not np.issubdtype(
            labels.dtype, np.integer
        ):
            raise ValueError(
                f"labels are {labels.dtype} {list(labels.shape)}, not one integer for "
                f"each of {len(images)} images"
            )
        if not len(labels) or not _known(labels):
            return
        least, most = np.asarray(labels).min(), np.asarray(labels).max()
        if least < 0 or most >= config.classes:
            raise ValueError(
                f"labels are {least} to {most}; allowed: 0 to {config.classes - 1}, "
                f"since classes={config.classes}"
            )
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None


def _known(array: Any) -> bool:
    """Whether this process can see all values: not under `jit`, not of other hosts."""
    if isinstance(array, jax.core.Tracer):
        return False
    return not isinstance(array, jax.Array) or array.is_fully_addressable
