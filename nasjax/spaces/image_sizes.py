"""Sizes of images, and checks that a network can process them.

Halving rounds an odd side up: 33 pixels become 17, then 9. Images are [B, H, W, C].
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

Sides = tuple[int, int]
Size = int | Sides  # `image_size`: pixels a side, or (height, width)


def sides(image_size: Size | Sequence[int], halvings: int = 0) -> Sides:
    """Height and width of images.

    Args:
      image_size: a pair, or a number for both.
      halvings: number of times that a network halves such images.

    Raises:
      ValueError: neither of these, a side below 1, or one below 2^halvings.
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
    """`image_size` of images [B, H, W, C]: a number if square, else (height, width)."""
    height, width = images.shape[1:3]
    return height if height == width else (height, width)


def areas(image_size: Size, halvings: int) -> list[int]:
    """Pixels of an image after 0, 1, ..., `halvings` halvings; errors as `sides`."""
    height, width = sides(image_size, halvings)
    return [-(-height // 2**n) * -(-width // 2**n) for n in range(halvings + 1)]


def check(shape: Sequence[int], channels: int, halvings: int) -> None:
    """Checks that a network can process images of this shape.

    Args:
      shape: of the images, [B, H, W, C].
      channels: of the network's input.
      halvings: number of times that the network halves them.

    Raises:
      ValueError: not four axes, other channels, or a side below 2^halvings.
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
    """Checks that a network can be trained or evaluated on a data set.

    Args:
      images: uint8 [N, H, W, C]; like labels, NumPy or JAX.
      labels: integers [N]; their values are not checked under `jit`.
      config: of the network, with `image_channels`, `halvings` and `classes`.
      what: name of the data set in errors.

    Raises:
      ValueError: images whose type, size or channels do not fit the network, another
        number of labels, or labels outside 0 .. classes - 1 (their loss would be NaN).
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
    """Whether this process has all values: no tracer, no array on other hosts."""
    if isinstance(array, jax.core.Tracer):
        return False
    return not isinstance(array, jax.Array) or array.is_fully_addressable
