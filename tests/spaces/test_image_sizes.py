"""Sizes of images: what a network takes, and halving odd ones."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.networks import halving
from nasjax.spaces import image_sizes

CONFIG = types.SimpleNamespace(image_channels=1, halvings=2, classes=3)
IMAGES = np.zeros((4, 5, 6, 1), np.uint8)
LABELS = np.array([0, 2, 1, 2], np.int32)


def test_sides():
    assert image_sizes.sides(32) == image_sizes.sides([32, np.int64(32)]) == (32, 32)
    assert image_sizes.size_of(IMAGES) == (5, 6)
    assert image_sizes.size_of(np.zeros((2, 7, 7, 3))) == 7
    assert image_sizes.areas((33, 47), 3) == [33 * 47, 17 * 24, 9 * 12, 5 * 6]


@pytest.mark.parametrize("size", [0, (4, -1), (4, 4, 3), 2.5, "32"])
def test_sides_refuses(size):
    with pytest.raises(ValueError, match=r"image_size is .*; allowed: a whole number"):
        image_sizes.sides(size)


def test_examples_that_fit():
    for labels in (LABELS, LABELS.astype(np.uint8), jnp.asarray(LABELS)):
        image_sizes.check_examples(IMAGES, labels, CONFIG)
    jax.jit(lambda x, y: image_sizes.check_examples(x, y, CONFIG))(IMAGES, LABELS)
    known = jnp.asarray(LABELS)  # its values are known under `jit`, too
    jax.jit(lambda x: image_sizes.check_examples(x, known, CONFIG))(IMAGES)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, LABELS + 1, "test set: labels are 1 to 3; allowed: 0 to 2"),
        (IMAGES, LABELS - 1, "labels are -1 to 1; allowed: 0 to 2, since classes=3"),
        (IMAGES, jnp.asarray(LABELS + 1), "labels are 1 to 3; allowed: 0 to 2"),
        (IMAGES, LABELS[:3], r"labels are int32 \[3\], not one integer for each of 4"),
        (IMAGES, LABELS / 2, "labels are float64"),
        (IMAGES / 255, LABELS, "images are float64, not uint8"),
        (IMAGES[..., 0], LABELS, r"images are \[B, H, W, C\], got \[4, 5, 6\]"),
        (IMAGES.repeat(3, -1), LABELS, "3 channels; the network has image_channels=1"),
        (IMAGES[:, :3], LABELS, "3 x 6 pixels: .* sides of at least 4"),
    ],
)
def test_examples_that_do_not_fit(images, labels, message):
    with pytest.raises(ValueError, match=message):
        image_sizes.check_examples(images, labels, CONFIG, "test set")


@pytest.mark.parametrize("size", [(4, 6), (5, 6), (4, 3), (7, 5), (1, 1)])
def test_halving(size):
    """Of windows at an odd end, what lies in the image."""
    x = np.random.default_rng(0).standard_normal((2, *size, 3), np.float32)
    shape = tuple(-(-n // 2) for n in size)
    for pool, reduce in (
        (halving.max_pool_2x2, np.max),
        (halving.average_pool_2x2, np.mean),
    ):
        wanted = np.empty((2, *shape, 3))
        for i, j in np.ndindex(shape):
            window = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            wanted[:, i, j] = reduce(window, axis=(1, 2))
        np.testing.assert_allclose(pool(x), wanted, rtol=1e-5, atol=1e-6)
    odd = np.zeros((2, *shape, 3), np.float32)
    odd[:, : size[0] // 2, : size[1] // 2] = x[:, 1::2, 1::2]
    np.testing.assert_array_equal(halving.odd_pixels(x), odd)
