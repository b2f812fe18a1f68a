"""Augmentation of images on the device: crop, mirroring, normalisation, cutout.

The recipe for CIFAR of DARTS (Liu et al., ICLR 2019): torchvision's RandomCrop and
RandomHorizontalFlip, normalisation, and the Cutout of DeVries and Taylor (2017).
"""

from collections.abc import Sequence
from typing import Any

import chex
import flax.struct
import jax
import jax.numpy as jnp


def static(default: Any, text: str) -> Any:
    """A static field of a config, with its help text."""
    return flax.struct.field(
        default=default, pytree_node=False, metadata={"help": text}
    )


@flax.struct.dataclass
class AugmentConfig:
    """Random changes of an image, and its normalisation; all static, so hashable.

    `padding=0, flip=False, cutout=0` without `mean` and `std` only scales to [0, 1].

    Raises:
      ValueError: a negative padding or cutout, or as `check_statistics`.
    """

    padding: int = static(4, "zero pixels on each side before the random crop")
    flip: bool = static(True, "mirror left to right with probability 1/2")
    cutout: int = static(0, "side of the square set to zero, in pixels; 0 is none")
    mean: tuple[float, ...] | None = static(None, "per channel, of pixels in [0, 1]")
    std: tuple[float, ...] | None = static(None, "deviation per channel, likewise")

    def __post_init__(self):
        if self.padding < 0 or self.cutout < 0:
            raise ValueError(
                f"padding {self.padding} and cutout {self.cutout} must not be negative"
            )
        check_statistics(self.mean, self.std)


def check_statistics(
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    channels: int | None = None,
):
    """Checks a mean and a standard deviation per channel.

    Args:
      mean, std: numbers per channel; both may be None.
      channels: number of the images' channels; None if unknown.

    Raises:
      ValueError: only one of the two is None, a std is not positive, or there are not
        as many numbers as channels.
    """
    if (mean is None) != (std is None):
        raise ValueError(f"mean {mean} and std {std}: give both or neither")
    if mean is None or std is None:
        return
    if not all(value > 0 for value in std):
        raise ValueError(f"std {std} must be positive")
    if channels is not None and {len(mean), len(std)} != {channels}:
        raise ValueError(
            f"mean {mean} and std {std}: the images have {channels} channels"
        )


def normalize(
    images: chex.Array,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    dtype: Any = jnp.float32,
) -> chex.Array:
    """Normalised images: (x / 255 - mean) / std, computed in float32.

    Args:
      images: [B, H, W, C] uint8.
      mean: [C], of pixels in [0, 1]; None leaves x / 255.
      std: [C], likewise; None exactly if `mean` is.
      dtype: of the result, static.

    Returns:
      [B, H, W, C] `dtype`.

    Raises:
      ValueError: only one of mean and std is None, or a std is not positive.
      AssertionError: images of another rank or type, or with other channels than mean.
    """
    chex.assert_rank(images, 4)
    chex.assert_type(images, jnp.uint8)
    return standardize(images.astype(jnp.float32) / 255, mean, std).astype(dtype)


def standardize(
    pixels: chex.Array, mean: Sequence[float] | None, std: Sequence[float] | None
) -> chex.Array:
    """Standardised float images [B, H, W, C]: (x - mean) / std; else as `normalize`."""
    check_statistics(mean, std)
    if mean is None:
        return pixels
    chex.assert_shape([jnp.asarray(mean), jnp.asarray(std)], pixels.shape[3:])
    return (pixels - jnp.asarray(mean)) / jnp.asarray(std)


def crop(
    images: chex.Array,
    dy: chex.Array,
    dx: chex.Array,
    padding: int,
    mirror: chex.Array | None = None,
) -> chex.Array:
    """A window of each image's own size, cut out of the image padded with zeros.

    Args:
      images: [B, H, W, C].
      dy: [B] int, first row of each window, in [0, 2 padding].
      dx: [B] int, first column, likewise.
      padding: zero pixels on each side, static.
      mirror: [B] bool, the windows to reverse left to right; None reverses none.

    Returns:
      [B, H, W, C], of the type of the images.
    """
    chex.assert_rank([images, dy, dx], [4, 1, 1])
    batch, height, width, _ = images.shape
    rows = dy[:, None] + jnp.arange(height)
    columns = jnp.broadcast_to(jnp.arange(width), (batch, width))
    if mirror is not None:
        columns = jnp.where(mirror[:, None], columns[:, ::-1], columns)
    columns = dx[:, None] + columns
    side = (padding, padding)
    padded = jnp.pad(images, ((0, 0), side, side, (0, 0)))
    # One gather crops and mirrors; dynamic_slice under vmap takes 1.5 times as long on
    # CPU.
    return padded[
        jnp.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]
    ]


def cutout_mask(
    size: tuple[int, int], y: chex.Array, x: chex.Array, length: int
) -> chex.Array:
    """Mask of cutout: False in a square around a pixel, True elsewhere.

    The square is clipped at the border; its rows are y - length // 2 to
    y - length // 2 + length - 1, and its columns likewise. For an even length the code
    of DARTS cuts the same square; for an odd one, a row and a column less.

    Args:
      size: height and width of the image, static.
      y: [...] int, row of the centre.
      x: [...] int, column of the centre.
      length: side of the square in pixels.

    Returns:
      [..., H, W] bool.

    Source: DeVries and Taylor 2017.
    """

    def inside(extent: int, centre: chex.Array) -> chex.Array:
        offset = jnp.arange(extent) - (jnp.asarray(centre)[..., None] - length // 2)
        return (offset >= 0) & (offset < length)

    return ~(inside(size[0], y)[..., :, None] & inside(size[1], x)[..., None, :])


def augment(
    key: chex.PRNGKey,
    images: chex.Array,
    config: AugmentConfig,
    dtype: Any = jnp.float32,
) -> chex.Array:
    """Random crop, mirroring, normalisation and cutout, drawn for each image.

    Padding is zero before the normalisation, so it is black; the square of cutout is
    zero after it, so it has the mean colour.

    Args:
      key: consumed once.
      images: [B, H, W, C] uint8.
      config: static.
      dtype: of the result, static.

    Returns:
      [B, H, W, C] `dtype`.

    Raises:
      AssertionError: as `normalize`.
    """
    chex.assert_rank(images, 4)
    batch, height, width, _ = images.shape
    crop_key, mirror_key, cutout_key = jax.random.split(key, 3)
    if config.padding or config.flip:
        stop = 2 * config.padding + 1
        dy, dx = jax.random.randint(crop_key, (2, batch), 0, stop)
        mirror = jax.random.bernoulli(mirror_key, 0.5, (batch,))
        images = crop(images, dy, dx, config.padding, mirror if config.flip else None)
    pixels = normalize(images, config.mean, config.std, dtype)
    if config.cutout:
        y_key, x_key = jax.random.split(cutout_key)
        y = jax.random.randint(y_key, (batch,), 0, height)
        x = jax.random.randint(x_key, (batch,), 0, width)
        kept = cutout_mask((height, width), y, x, config.cutout)
        pixels = jnp.where(kept[..., None], pixels, 0)
    return pixels
