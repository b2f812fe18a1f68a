"""Augmentation: against loops over images, and the distribution of what is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from nasjax.networks import augment
from nasjax.networks.augment import AugmentConfig

pytestmark = pytest.mark.usefixtures("quick_compile")
# Compiled once per shape and config: operation by operation takes seconds to start.
run = jax.jit(augment.augment, static_argnames="dtype")
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
NOTHING = AugmentConfig(padding=0, flip=False)


def random_images(count, height=32, width=32):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def loop_crop(images, dy, dx, padding, mirror):
    """torchvision's RandomCrop and RandomHorizontalFlip, one pixel at a time."""
    out = np.zeros_like(images)
    _, height, width, _ = images.shape
    for i in range(len(images)):
        for row in range(height):
            for column in range(width):
                y = row + dy[i] - padding
                x = (width - 1 - column if mirror[i] else column) + dx[i] - padding
                if 0 <= y < height and 0 <= x < width:
                    out[i, row, column] = images[i, y, x]
    return out


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_crop_is_the_loop(padding):
    images, rng = random_images(12, 6, 9), np.random.default_rng(padding)
    dy, dx = rng.integers(0, 2 * padding + 1, (2, 12))
    mirror = rng.random(12) < 0.5
    found = augment.crop(images, dy, dx, padding, mirror)
    assert found.dtype == jnp.uint8
    np.testing.assert_array_equal(found, loop_crop(images, dy, dx, padding, mirror))
    straight = loop_crop(images, dy, dx, padding, np.zeros(12, bool))
    np.testing.assert_array_equal(augment.crop(images, dy, dx, padding), straight)


def test_crop_by_hand():
    image = np.arange(1, 5, dtype=np.uint8).reshape(1, 2, 2, 1)  # 1 2 / 3 4

    def crop(dy, dx, *mirror):
        args = (jnp.array([n]) for n in (dy, dx))
        return augment.crop(image, *args, 1, *map(jnp.array, mirror))[
            0, ..., 0
        ].tolist()

    assert crop(1, 1) == [[1, 2], [3, 4]]
    assert crop(1, 1, [True]) == [[2, 1], [4, 3]]
    assert crop(0, 0) == [[0, 0], [0, 1]]
    assert crop(2, 1) == [[3, 4], [0, 0]]
    assert crop(1, 2, [True]) == [[0, 2], [0, 4]]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 16, 50])
def test_cutout_is_the_loop_of_darts(length):
    """y1 = clip(y - length // 2, 0, h), y2 = clip(y1 + length, 0, h), as DARTS does."""
    height, width = 7, 10
    y, x = np.indices((height, width)).reshape(2, -1)
    expected = np.ones((len(y), height, width), bool)
    for i in range(len(y)):
        top, left = y[i] - length // 2, x[i] - length // 2
        rows = slice(max(top, 0), min(max(top + length, 0), height))
        expected[i, rows, max(left, 0) : min(max(left + length, 0), width)] = False
    found = augment.cutout_mask((height, width), y, x, length)
    np.testing.assert_array_equal(found, expected)
    one = augment.cutout_mask((height, width), 3, 4, length)
    np.testing.assert_array_equal(one, expected[3 * width + 4])


def test_cutout_by_hand():
    mask = augment.cutout_mask((4, 5), jnp.array([2, 0]), jnp.array([2, 4]), 2)
    assert (~mask[0]).nonzero()[0].tolist() == [1, 1, 2, 2]
    assert (~mask[0]).nonzero()[1].tolist() == [1, 2, 1, 2]
    assert (~mask[1]).sum() == 2 and not mask[1, 0, 3] and not mask[1, 0, 4]


def test_normalize_is_float64_arithmetic():
    images = random_images(3)
    exact = (images.astype(np.float64) / 255 - MEAN) / STD
    found = augment.normalize(images, MEAN, STD)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, exact, atol=2e-6)
    half = augment.normalize(images, MEAN, STD, jnp.bfloat16)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_array_equal(half, found.astype(jnp.bfloat16))  # Rounded once.
    plain = augment.normalize(images, None, None)
    np.testing.assert_allclose(plain, images / 255, atol=1e-7)


def test_no_preprocessing_only_scales():
    images = random_images(5)
    found = run(jax.random.key(0), images, NOTHING)
    np.testing.assert_allclose(found, images / 255, atol=1e-7)


def coordinates(count, size):
    """Images whose pixels hold their own row + 1, column + 1 and image number."""
    y, x = np.indices((size, size), dtype=np.uint8) + 1
    images = np.zeros((count, size, size, 3), np.uint8)
    images[..., 0], images[..., 1] = y, x
    images[..., 2] = (np.arange(count) % 255 + 1)[:, None, None]
    return images


def drawn_crops(count, size, padding, flip=True):
    """Offsets and flips that `augment` drew, read off the pixels; each is checked."""
    images = coordinates(count, size)
    config = AugmentConfig(padding=padding, flip=flip)
    out = run(jax.random.key(3), images, config)
    out = np.rint(np.asarray(out) * 255).astype(np.uint8)
    centre = out[:, size // 2, size // 2].astype(int)  # Padding never reaches it.
    mirror = out[:, size // 2, size // 2 - 1, 1] > centre[:, 1]
    dy = centre[:, 0] - 1 - size // 2 + padding
    column = np.where(mirror, size - 1 - size // 2, size // 2)
    dx = centre[:, 1] - 1 - column + padding
    first = slice(0, 100)
    expected = loop_crop(images[first], dy[first], dx[first], padding, mirror[first])
    np.testing.assert_array_equal(out[first], expected)
    return dy, dx, mirror


def test_crops_and_flips_are_uniform_and_independent():
    padding, count = 2, 8000
    dy, dx, mirror = drawn_crops(count, 10, padding)
    for offset in (dy, dx):
        assert set(offset.tolist()) == set(range(2 * padding + 1))
    cells = np.ravel_multi_index((dy, dx, mirror.astype(int)), (5, 5, 2))
    counts = np.bincount(cells, minlength=50)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
    assert abs(mirror.mean() - 0.5) < 4 * 0.5 / count**0.5


def test_the_whole_range_of_four_pixels():
    dy, dx, _ = drawn_crops(2000, 12, 4)
    assert set(dy.tolist()) == set(dx.tolist()) == set(range(9))


def test_flip_and_crop_can_be_left_out():
    dy, dx, mirror = drawn_crops(300, 10, 2, flip=False)
    assert not mirror.any() and len(set(dy.tolist())) == len(set(dx.tolist())) == 5
    dy, dx, mirror = drawn_crops(300, 10, 0)
    assert not dy.any() and not dx.any() and 100 < mirror.sum() < 200


def test_cutout_centres_are_uniform_and_clipped():
    size, length, count = 8, 4, 6400
    config = AugmentConfig(padding=0, flip=False, cutout=length)
    images = np.full((count, size, size, 3), 200, np.uint8)
    out = np.asarray(run(jax.random.key(1), images, config))
    cut = out == 0
    assert (cut == cut[..., :1]).all()  # The same pixels in every channel.
    np.testing.assert_allclose(out[~cut], 200 / 255, atol=1e-6)
    y, x = np.indices((size, size)).reshape(2, -1)
    masks = ~np.asarray(augment.cutout_mask((size, size), y, x, length))
    centre = {mask.tobytes(): i for i, mask in enumerate(masks)}
    assert len(centre) == size**2
    counts = np.bincount([centre[mask.tobytes()] for mask in cut[..., 0]], minlength=64)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_padding_before_and_cutout_after_the_normalisation():
    images = np.full((64, 8, 8, 3), 255, np.uint8)
    config = AugmentConfig(padding=3, cutout=4, mean=MEAN, std=STD)
    out = np.asarray(run(jax.random.key(0), images, config))
    black, white = -np.array(MEAN) / STD, (1 - np.array(MEAN)) / STD
    kinds = {"black": black, "cut": np.zeros(3), "white": white}
    is_kind = {k: np.isclose(out, v, atol=1e-5).all(-1) for k, v in kinds.items()}
    assert (sum(is_kind.values()) == 1).all()
    assert all(mask.any() for mask in is_kind.values())
    assert (out[is_kind["cut"]] == 0).all()


def test_images_are_drawn_for_alone():
    same = np.repeat(random_images(1), 32, axis=0)
    config = AugmentConfig(cutout=8, mean=MEAN, std=STD)
    out = np.asarray(run(jax.random.key(0), same, config))
    assert len({image.tobytes() for image in out}) == 32
    again = run(jax.random.key(0), same, config)
    np.testing.assert_array_equal(out, again)
    assert (out != np.asarray(run(jax.random.key(1), same, config))).any()


def test_jit_and_vmap():
    images = random_images(2 * 8).reshape(2, 8, 32, 32, 3)
    config = AugmentConfig(cutout=16, mean=MEAN, std=STD)
    traces = []

    def keys():
        return jax.random.split(jax.random.key(0), 2)

    @jax.jit
    def mapped(keys, images, config):
        traces.append(config)
        return jax.vmap(lambda k, x: augment.augment(k, x, config))(keys, images)

    loop = [run(key, x, config) for key, x in zip(keys(), images, strict=True)]
    # A config is static by itself: no static_argnames, and equal ones share a trace.
    for _ in range(2):
        equal = AugmentConfig(cutout=16, mean=tuple(map(float, MEAN)), std=STD)
        np.testing.assert_allclose(mapped(keys(), images, equal), loop, atol=1e-5)
    assert len(traces) == 1 and hash(traces[0]) == hash(config)
    plain = mapped(keys(), images, NOTHING)
    np.testing.assert_allclose(plain, images / 255, atol=1e-6)
    assert len(traces) == 2


def test_result_type():
    config = AugmentConfig(cutout=8, mean=MEAN, std=STD)
    images = random_images(4)
    out = run(jax.random.key(0), images, config, dtype=jnp.bfloat16)
    assert out.dtype == jnp.bfloat16
    full = run(jax.random.key(0), images, config)
    np.testing.assert_array_equal(out, full.astype(jnp.bfloat16))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"padding": -1}, "padding -1 .* not be negative"),
        ({"cutout": -2}, "cutout -2 must not be negative"),
        ({"mean": MEAN}, "give both or neither"),
        ({"std": STD}, "give both or neither"),
        ({"mean": MEAN, "std": (0.2, 0.0, 0.2)}, "must be positive"),
    ],
)
def test_wrong_configs(fields, message):
    with pytest.raises(ValueError, match=message):
        AugmentConfig(**fields)


def test_only_bytes_and_batches():
    images = random_images(2)
    for wrong in (images / 255, images[0], images.astype(np.int32)):
        with pytest.raises(AssertionError):
            augment.augment(jax.random.key(0), wrong, NOTHING)
    with pytest.raises(AssertionError):
        augment.normalize(images, (0.5, 0.5), (0.2, 0.2))


def test_statistics_of_other_channels():
    augment.check_statistics((0.5,), (0.2,), 1)
    augment.check_statistics(None, None, 1)
    with pytest.raises(ValueError, match="the images have 1 channels"):
        augment.check_statistics((0.5,) * 3, (0.2,) * 3, 1)
