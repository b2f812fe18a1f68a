"""Colours: by hand, against NumPy and Python's colorsys, and what is drawn."""

import colorsys
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from nasjax.networks import color
from nasjax.networks.color import ColorConfig

pytestmark = pytest.mark.usefixtures("quick_compile")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STILL = ColorConfig(flip=False, brightness=0, contrast=0, saturation=0, hue=0)
run = jax.jit(color.augment, static_argnames="dtype")


def random_pixels(*shape):
    return np.random.default_rng(0).random((*shape, 3), np.float32)


def random_images(*shape):
    return np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)


# The reference: one pixel at a time in float64, hues by Python's colorsys.


def luma(pixels):
    return pixels @ np.array([0.2989, 0.587, 0.114])


def reference(pixels, factors, turn, order):
    pixels = np.asarray(pixels, np.float64)
    for step in order:
        if step == 0:
            pixels = pixels * factors[0]
        elif step == 1:
            pixels = factors[1] * pixels + (1 - factors[1]) * luma(pixels).mean()
        elif step == 2:
            level = luma(pixels)[..., None]
            pixels = factors[2] * pixels + (1 - factors[2]) * level
        else:
            flat = pixels.reshape(-1, 3).copy()
            for row in flat:
                h, s, v = colorsys.rgb_to_hsv(*row)
                row[:] = colorsys.hsv_to_rgb((h + turn) % 1, s, v)
            pixels = flat.reshape(pixels.shape)
        pixels = pixels.clip(0, 1)
    return pixels


def pixel(*values):
    return jnp.array([[values]], jnp.float32)


def test_operations_by_hand():
    half = color.adjust_brightness(pixel(0.2, 0.5, 0.9), 1.5)
    np.testing.assert_allclose(half[0, 0], [0.3, 0.75, 1.0], rtol=1e-6)
    red = pixel(1.0, 0.0, 0.0)  # Its gray is 0.2989.
    faded = color.adjust_saturation(red, 0.5)[0, 0]
    np.testing.assert_allclose(faded, [0.64945, 0.14945, 0.14945], rtol=1e-5)
    np.testing.assert_allclose(color.adjust_saturation(red, 0)[0, 0], 0.2989, 1e-5)
    # Black and white: the mean gray is 0.49995.
    pair = jnp.array([[[0.0] * 3, [1.0] * 3]])
    flat = color.adjust_contrast(pair, 0.5)[0, :, 0]
    np.testing.assert_allclose(flat, [0.249975, 0.749975], rtol=1e-5)
    np.testing.assert_allclose(color.adjust_contrast(pair, 1.4)[0, :, 1], [0, 1])


def test_hues_by_hand():
    turned = {
        1 / 3: (0, 1, 0),
        -1 / 3: (0, 0, 1),
        1 / 6: (1, 1, 0),
        0.5: (0, 1, 1),
        1 / 12: (1, 0.5, 0),
    }
    for turn, expected in turned.items():
        found = color.adjust_hue(pixel(1, 0, 0), turn)[0, 0]
        np.testing.assert_allclose(found, expected, atol=1e-6)
    gray = color.adjust_hue(pixel(0.3, 0.3, 0.3), 0.17)[0, 0]
    np.testing.assert_allclose(gray, 0.3, rtol=1e-6)


@pytest.mark.parametrize("turn", [-0.5, -0.2, 0.0, 0.07, 0.2, 0.5])
def test_hue_is_that_of_colorsys(turn):
    pixels = random_pixels(8, 9)
    # Equal channels, in every combination: where the sextants meet.
    pixels[0, :8] = list(itertools.product((0.25, 0.75), repeat=3))
    found = color.adjust_hue(pixels, turn)
    expected = reference(pixels, (1, 1, 1), turn, [3])
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_every_order_is_the_reference():
    pixels, rng = random_pixels(5, 4), np.random.default_rng(2)
    orders = np.array(list(itertools.permutations(range(4))))
    factors = rng.uniform(0.6, 1.4, (24, 3)).astype(np.float32)
    turns = rng.uniform(-0.2, 0.2, 24).astype(np.float32)
    found = jax.jit(jax.vmap(color.jitter, in_axes=(None, 0, 0, 0)))(
        pixels, factors, turns, orders
    )
    expected = [reference(pixels, *x) for x in zip(factors, turns, orders, strict=True)]
    np.testing.assert_allclose(found, expected, atol=5e-6)
    # Where colours saturate, no two orders give the same.
    bright = [reference(pixels, (1.4, 1.4, 1.4), 0.2, order) for order in orders]
    assert len({image.round(4).tobytes() for image in bright}) == 24


def test_nothing_to_do_is_the_normalisation():
    images = random_images(3, 6, 5)
    found = run(jax.random.key(0), images, STILL.replace(mean=MEAN, std=STD))
    exact = (images.astype(np.float64) / 255 - MEAN) / STD
    np.testing.assert_allclose(found, exact, atol=2e-6)


def test_flips_are_fair_and_whole():
    images = random_images(2000, 1, 4)
    found = run(jax.random.key(1), images, STILL.replace(flip=True)) * 255
    found = np.rint(np.asarray(found)).astype(np.uint8)
    straight = (found == images).all((1, 2, 3))
    mirrored = (found == images[:, :, ::-1]).all((1, 2, 3))
    assert (straight ^ mirrored).all()
    assert abs(mirrored.mean() - 0.5) < 4 * 0.5 / 2000**0.5


@pytest.mark.parametrize(
    ("name", "width"), [("brightness", 0.4), ("contrast", 0.4), ("saturation", 0.3)]
)
def test_factors_are_uniform(name, width):
    """One operation at a time, its factor read off a difference of 60."""
    images = np.zeros((3000, 1, 2, 3), np.uint8)
    images[:, 0, 0] = (120, 60, 90)
    images[:, 0, 1] = (60, 120, 90)
    out = run(jax.random.key(2), images, STILL.replace(**{name: width}))
    # Between pixels, but for the saturation between channels.
    other = out[:, 0, 0, 1] if name == "saturation" else out[:, 0, 1, 0]
    factor = np.asarray(out[:, 0, 0, 0] - other) * 255 / 60
    uniform = scipy.stats.uniform(1 - width, 2 * width)
    assert scipy.stats.kstest(factor, uniform.cdf).pvalue > 1e-3


def test_hues_are_uniform():
    images = np.zeros((3000, 1, 1, 3), np.uint8)
    images[..., 0] = 255
    out = np.asarray(run(jax.random.key(3), images, STILL.replace(hue=0.2)))
    hue = np.array([colorsys.rgb_to_hsv(*x[0, 0])[0] for x in out])
    hue = (hue + 0.5) % 1 - 0.5
    uniform = scipy.stats.uniform(-0.2, 0.4)
    assert scipy.stats.kstest(hue, uniform.cdf).pvalue > 1e-3


def test_orders_are_uniform(monkeypatch):
    def spy(pixels, factors, turn, order):
        del factors, turn
        return jnp.broadcast_to(order[:3].astype(jnp.float32), pixels.shape)

    monkeypatch.setattr(color, "jitter", spy)
    images = np.zeros((4800, 1, 1, 3), np.uint8)
    seen = np.asarray(color.augment(jax.random.key(4), images, ColorConfig()))
    index = {x[:3]: i for i, x in enumerate(itertools.permutations(range(4)))}
    counts = np.bincount([index[tuple(map(int, x[0, 0]))] for x in seen], minlength=24)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_images_are_drawn_for_alone_and_the_key_decides():
    same = np.repeat(random_images(1, 6, 6), 16, axis=0)
    config = ColorConfig(mean=MEAN, std=STD)
    out = np.asarray(run(jax.random.key(0), same, config))
    assert out.shape == same.shape and out.dtype == np.float32
    assert len({image.tobytes() for image in out}) == 16
    np.testing.assert_array_equal(out, run(jax.random.key(0), same, config))
    assert (out != np.asarray(run(jax.random.key(1), same, config))).any()
    low, high = (x.min() for x in ((out * STD + MEAN), (1 - (out * STD + MEAN))))
    assert low > -1e-6 and high > -1e-6
    half = run(jax.random.key(0), same, config, dtype=jnp.bfloat16)
    np.testing.assert_array_equal(half, jnp.asarray(out).astype(jnp.bfloat16))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"brightness": -0.1}, "-0.1"),
        ({"saturation": 1.5}, "allowed are 0 to 1"),
        ({"hue": 0.6}, "hue 0.6: 0 to 0.5"),
        ({"mean": MEAN}, "give both or neither"),
    ],
)
def test_wrong_configs(fields, message):
    with pytest.raises(ValueError, match=message):
        ColorConfig(**fields)


def test_only_bytes_of_three_channels():
    for wrong in (random_pixels(2, 3, 3), random_images(3, 3), np.zeros((1, 2, 2, 1))):
        with pytest.raises(AssertionError):
            color.augment(jax.random.key(0), wrong, ColorConfig())
