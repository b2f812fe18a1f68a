"""Colour jitter on the device, with mirroring and normalisation: ImageNet's recipe.

The recipe of DARTS and PC-DARTS for ImageNet (thesis 4.4.4), in the arithmetic of
torchvision's ColorJitter for float images in [0, 1]: nothing is rounded to bytes
between the four operations.
"""

from typing import Any

import chex
import flax.struct
import jax
import jax.numpy as jnp

from nasjax.networks.augment import check_statistics, normalize, standardize, static

_GRAY = (0.2989, 0.587, 0.114)  # luma of ITU-R BT.601


@flax.struct.dataclass
class ColorConfig:
    """Random mirroring and colours, and normalisation; all static, so hashable.

    Raises:
      ValueError: brightness, contrast or saturation outside [0, 1], hue outside
        [0, 0.5], or as `augment.check_statistics`.
    """

    flip: bool = static(True, "mirror left to right with probability 1/2")
    brightness: float = static(0.4, "factors from 1 - this to 1 + this; 0 is none")
    contrast: float = static(0.4, "as brightness")
    saturation: float = static(0.4, "as brightness")
    hue: float = static(0.2, "turns by up to this share of the circle, either way")
    mean: tuple[float, ...] | None = static(None, "per channel, of pixels in [0, 1]")
    std: tuple[float, ...] | None = static(None, "deviation per channel, likewise")

    def __post_init__(self):
        factors = (self.brightness, self.contrast, self.saturation)
        if not all(0 <= x <= 1 for x in factors) or not 0 <= self.hue <= 0.5:
            raise ValueError(
                f"brightness, contrast and saturation {factors}: allowed are 0 to 1; "
                f"hue {self.hue}: 0 to 0.5"
            )
        check_statistics(self.mean, self.std)


def gray(pixels: chex.Array) -> chex.Array:
    """Gray values 0.2989 R + 0.587 G + 0.114 B: [..., 3] -> [..., 1]."""
    return jnp.sum(pixels * jnp.asarray(_GRAY, pixels.dtype), -1, keepdims=True)


def _blend(pixels: chex.Array, other: chex.Array, factor: chex.Numeric) -> chex.Array:
    return jnp.clip(factor * pixels + (1 - factor) * other, 0, 1)


def adjust_brightness(pixels: chex.Array, factor: chex.Numeric) -> chex.Array:
    """Brightness times `factor`, clipped to [0, 1].

    Args:
      pixels: float [H, W, 3] in [0, 1], here and in the functions below.
      factor: [], at least 0.
    """
    return _blend(pixels, jnp.zeros_like(pixels), factor)


def adjust_contrast(pixels: chex.Array, factor: chex.Numeric) -> chex.Array:
    """Contrast: factor x + (1 - factor) (mean gray of the image), in [0, 1]."""
    return _blend(pixels, gray(pixels).mean(), factor)


def adjust_saturation(pixels: chex.Array, factor: chex.Numeric) -> chex.Array:
    """Saturation: factor x + (1 - factor) (gray of the pixel), in [0, 1]."""
    return _blend(pixels, gray(pixels), factor)


def adjust_hue(pixels: chex.Array, turn: chex.Numeric) -> chex.Array:
    """Hue turned by the share `turn` of the circle; value and saturation stay.

    With V the largest channel, c = V - (the smallest) and h the turned hue, a channel
    is V - c max(0, min(k, 4 - k, 1)), k = (n + 6 h) mod 6, n = 5, 3, 1 for R, G, B.

    Source: the HSV model (Smith, SIGGRAPH 1978).
    """
    value = pixels.max(-1, keepdims=True)
    chroma = value - pixels.min(-1, keepdims=True)
    # The hue of a gray pixel does not matter: its chroma is 0.
    r, g, b = jnp.moveaxis(pixels / jnp.where(chroma > 0, chroma, 1), -1, 0)
    top = value[..., 0]
    sextant = jnp.where(
        pixels[..., 0] == top,
        g - b,
        jnp.where(pixels[..., 1] == top, 2 + b - r, 4 + r - g),
    )
    k = jnp.array([5, 3, 1], pixels.dtype) + sextant[..., None] + 6 * turn
    k = jnp.mod(k, 6)
    return value - chroma * jnp.clip(jnp.minimum(k, 4 - k), 0, 1)


def jitter(
    pixels: chex.Array, factors: chex.Array, turn: chex.Numeric, order: chex.Array
) -> chex.Array:
    """Changes brightness, contrast, saturation and hue of an image, in a given order.

    Args:
      pixels: float [H, W, 3] in [0, 1].
      factors: [3], of brightness, contrast and saturation; 1 changes nothing.
      turn: share of the circle by which the hue turns; 0 changes nothing.
      order: int [4], a permutation: 0 brightness, 1 contrast, 2 saturation, 3 hue.

    Source: ColorJitter of torchvision.
    """
    chex.assert_shape([pixels, factors, order], [(None, None, 3), (3,), (4,)])
    operations = [
        lambda x: adjust_brightness(x, factors[0]),
        lambda x: adjust_contrast(x, factors[1]),
        lambda x: adjust_saturation(x, factors[2]),
        lambda x: adjust_hue(x, turn),
    ]
    for operation in order:
        pixels = jax.lax.switch(operation, operations, pixels)
    return pixels


def augment(
    key: chex.PRNGKey,
    images: chex.Array,
    config: ColorConfig,
    dtype: Any = jnp.float32,
) -> chex.Array:
    """Random mirroring and colours, drawn for each image, then the normalisation.

    Args:
      key: consumed once.
      images: [B, H, W, 3] uint8.
      config: static.
      dtype: of the result, static.

    Returns:
      [B, H, W, 3] `dtype`.

    Raises:
      AssertionError: images of another shape or type.
    """
    chex.assert_shape(images, (None, None, None, 3))
    batch = images.shape[0]
    mirror_key, factor_key, turn_key, order_key = jax.random.split(key, 4)
    if config.flip:
        mirror = jax.random.bernoulli(mirror_key, 0.5, (batch, 1, 1, 1))
        images = jnp.where(mirror, images[:, :, ::-1], images)
    pixels = normalize(images, None, None)
    widths = (config.brightness, config.contrast, config.saturation)
    if any(widths) or config.hue:
        draws = jax.random.uniform(factor_key, (batch, 3), minval=-1.0)
        turns = jax.random.uniform(turn_key, (batch,), minval=-1.0) * config.hue
        # The order of four random numbers is a uniform permutation.
        orders = jnp.argsort(jax.random.uniform(order_key, (batch, 4)))
        factors = 1 + draws * jnp.asarray(widths)
        pixels = jax.vmap(jitter)(pixels, factors, turns, orders)
    return standardize(pixels, config.mean, config.std).astype(dtype)
