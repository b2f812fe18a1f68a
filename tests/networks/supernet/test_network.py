"""Supernets as a whole: statistics, selection, number types, refusals."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import numpy_supernet as reference
import pytest

from nasjax import spaces
from nasjax.networks import supernet

pytestmark = pytest.mark.usefixtures("quick_compile")

SMALL = supernet.darts(channels=8, cells=1)
NB201 = supernet.nas_bench_201(channels=8, cells=1)
PARTIAL = supernet.pc_darts(channels=8, cells=2, stem="imagenet")


def shapes(config):
    return jax.eval_shape(lambda: supernet.init(jax.random.key(0), config))


@functools.cache
def params_of(config):
    return reference.weights(shapes(config))


def images(config, batch=4):
    size = 32 if config.stem == "imagenet" else 8
    draw = np.random.default_rng(3).standard_normal
    return draw((batch, size, size, 3), np.float32)


@functools.cache
def compiled(config, mode):
    @jax.jit
    def run(params, choice, images, statistics=None):
        return supernet.apply(
            params, choice, images, config, mode=mode, statistics=statistics
        )

    return run


def run(config, choice, x=None, statistics=None, mode="path"):
    x = images(config) if x is None else x
    return compiled(config, mode)(params_of(config), choice, x, statistics)


def arch_of(config, seed=0):
    return config.space.random(jax.random.key(seed))


def test_all_operations_of_darts():
    """Random architectures of the published space, against NumPy."""
    for seed in range(4):
        arch = arch_of(SMALL, seed)
        alpha = SMALL.space.one_hot(arch)
        given = (params_of(SMALL), alpha, images(SMALL))
        given = jax.tree.map(lambda x: np.asarray(x, float), given)
        wanted = reference.network(*given, SMALL)
        np.testing.assert_allclose(run(SMALL, arch)[0], wanted, atol=1e-4)


@pytest.mark.parametrize(
    "config, shape, mode",
    [
        (supernet.darts(channels=8, cells=3, image_channels=1), (9, 14, 1), "path"),
        (supernet.pc_darts(channels=8, cells=2, image_channels=4), (7, 5, 4), "dense"),
        (supernet.nas_bench_201(channels=4, cells=1), (9, 7, 3), "path"),
    ],
)
def test_images_of_any_shape(config, shape, mode):
    """Odd sides are rounded up; grey images, and of four channels."""
    x = np.random.default_rng(0).standard_normal((3, *shape), np.float32)
    arch = arch_of(config)
    choice = config.space.one_hot(arch)
    given = jax.tree.map(lambda x: np.asarray(x, float), (params_of(config), choice, x))
    wanted = reference.network(*given, config)
    logits, used = run(config, arch if mode == "path" else choice, x, mode=mode)
    np.testing.assert_allclose(logits, wanted, atol=1e-4)
    start = supernet.initial_statistics(config, shape[:2])
    assert jax.tree.map(jnp.shape, start) == jax.tree.map(jnp.shape, used)


def test_apply_refuses_images():
    """Before any work, by name."""
    for shape, message in (
        ((2, 8, 8, 1), "images have 1 channels; the network has image_channels=3"),
        ((2, 8, 8), r"images are \[B, H, W, C\], got \[2, 8, 8\]"),
        ((2, 4, 3, 3), "4 x 3 pixels: a network that halves them 2 times"),
    ):
        with pytest.raises(ValueError, match=message):
            supernet.apply({}, arch_of(NB201), jnp.zeros(shape), NB201)


@pytest.mark.parametrize("config, mode", [(SMALL, "path"), (NB201, "dense")])
def test_given_statistics(config, mode):
    """The batch's own give the same logits; by others, images do not interact."""
    arch, x = arch_of(config), images(config)
    logits, used = run(config, arch, x, mode=mode)
    again, same = run(config, arch, x, used, mode)
    np.testing.assert_allclose(again, logits, atol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, same, used)
    x[1:] = 7
    alone, _ = run(config, arch, x, used, mode)
    np.testing.assert_allclose(alone[0], logits[0], atol=1e-4)
    assert np.all(np.abs(alone[1:] - logits[1:]).max(-1) > 1e-2)


@pytest.mark.parametrize("config", [SMALL, NB201, PARTIAL])
def test_initial_statistics(config):
    """Mean 0, variance 1, shaped as those that a batch gives."""
    start = supernet.initial_statistics(config)
    x = jnp.asarray(images(config))
    shape = jax.eval_shape(
        lambda p: supernet.apply(p, arch_of(config), x, config)[1], shapes(config)
    )
    assert jax.tree.map(jnp.shape, start) == jax.tree.map(jnp.shape, shape)
    for leaf in jax.tree.leaves(start):
        assert leaf.dtype == jnp.float32
        np.testing.assert_array_equal(leaf[..., 0, :], 0)
        np.testing.assert_array_equal(leaf[..., 1, :], 1)


def test_update_statistics():
    """A tenth of the way, and only where the architecture computes something."""
    config, place = NB201, "cell1.0"
    arch = np.array([0, 1, 2, 3, 4, 5], np.uint8)  # all operations, and none at all
    _, used = run(config, arch)
    start = supernet.initial_statistics(config)
    moved = supernet.update_statistics(config, start, used, arch)
    for name in ("stem", "block1.first", "block2.second", "last"):
        wanted = 0.9 * start[name] + 0.1 * used[name]
        np.testing.assert_allclose(moved[name], wanted, rtol=1e-6)
    assert not np.allclose(moved["stem"], start["stem"], atol=1e-2)
    changed = np.any(~np.isclose(moved[place], start[place]), axis=(2, 3, 4))
    computed = np.zeros((6, 5), bool)
    computed[2, 2] = computed[3, 3] = True  # only convolutions are normalised
    np.testing.assert_array_equal(changed, computed)
    for e in (2, 3):
        wanted = 0.9 * start[place][e, e, 0] + 0.1 * used[place][e, e, 0]
        np.testing.assert_allclose(moved[place][e, e, 0], wanted, rtol=1e-6)
    # What another architecture does not compute stays.
    other = arch[::-1].copy()
    again = supernet.update_statistics(config, moved, run(config, other)[1], other)
    np.testing.assert_array_equal(again[place][computed], moved[place][computed])
    assert other[2] != 2 and other[3] != 3
    assert not np.allclose(again["stem"], moved["stem"], atol=1e-2)
    # All of them with all operations; and by another step.
    _, used = run(config, np.ones((6, 5), np.float32), mode="dense")
    ones = jnp.ones(config.space.alpha_shape)
    moved = supernet.update_statistics(config, start, used, ones, momentum=1.0)
    jax.tree.map(np.testing.assert_array_equal, moved, used)


def test_selected_follows_the_architecture():
    """True outside the edges; in them where the operation stands on the edge."""
    config = SMALL
    arch = np.full((2, 14), 7, np.uint8)
    arch[1, [0, 3, 4]] = [3, 3, 6]  # sep 3x3 from inputs 0, 1; dil 5x5 from node 2
    tree = supernet.selected(config, arch)
    params = params_of(config)
    assert jax.tree.structure(tree) == jax.tree.structure(params)
    jax.tree.map(lambda m, x: np.broadcast_to(m, x.shape), tree, params)
    edges = tree["cell0"].pop("edges")
    assert all(map(np.all, jax.tree.leaves(tree)))
    inputs, rest = edges  # edges 0, 1, 2, 3, 5, 6, 9, 10 leave inputs
    for name in config.space.operations:
        flags = [np.ravel(x) for x in jax.tree.leaves((inputs[name], rest[name]))]
        true = [f"{name} {i}" for flag in flags for i in np.flatnonzero(flag)]
        wanted = {"sep_conv_3x3": [0, 3, 0, 3], "dil_conv_5x5": [0, 0]}.get(name, [])
        assert true == [f"{name} {i}" for i in wanted]


@pytest.mark.parametrize("config", [SMALL, NB201])
def test_bfloat16(config):
    """Logits and statistics are float32, and near those of float32."""
    arch, x = arch_of(config), images(config)
    params = params_of(config)
    narrow = dataclasses.replace(config, dtype="bfloat16")
    logits, used = compiled(narrow, "path")(params, arch, x)
    wanted, wanted_used = run(config, arch, x)
    assert logits.dtype == jnp.float32
    assert {s.dtype for s in jax.tree.leaves(used)} == {jnp.dtype(jnp.float32)}
    scale = np.abs(wanted).max()
    assert 0 < np.abs(logits - wanted).max() < 0.05 * scale
    first = min(used)  # a cell's, of the first one
    error = np.abs(used[first] - wanted_used[first]).max()
    assert error < 0.05 * np.abs(wanted_used[first]).max()


def test_gradients_of_bfloat16_are_float32():
    narrow = supernet.nas_bench_201(channels=8, cells=1, dtype="bfloat16")
    grads = jax.eval_shape(
        jax.grad(
            lambda p: supernet.apply(p, arch_of(NB201), images(NB201), narrow)[0].sum()
        ),
        params_of(NB201),
    )
    assert {g.dtype for g in jax.tree.leaves(grads)} == {jnp.dtype(jnp.float32)}


def test_integers_of_any_width():
    arch = np.array([3, 2, 1, 4, 3, 2])
    wanted, _ = run(NB201, arch.astype(np.uint8))
    np.testing.assert_array_equal(run(NB201, arch.astype(np.int32))[0], wanted)


def test_architecture_and_its_mask():
    arch = arch_of(NB201)
    logits = [run(NB201, c, mode="dense")[0] for c in (arch, NB201.space.one_hot(arch))]
    np.testing.assert_array_equal(*logits)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"cells": -1}, "cells must be at least 1, got -1"),
        ({"classes": 0}, "classes must be at least 1, got 0"),
        ({"parts": 0}, "parts must be at least 1, got 0"),
        ({"kind": "resnet"}, "kind is 'resnet'; allowed: darts, nb201"),
        ({"kind": "nb201"}, "kind nb201 has no operation dil_conv_3x3"),
        ({"stem": "mnist"}, "stem is 'mnist'; allowed: cifar, imagenet"),
        ({"dtype": "float16"}, "dtype is 'float16'; allowed: float32, bfloat16"),
        ({"channels": 12, "parts": 4}, "multiple of 2 x parts = 8, got 12"),
        ({"channels": 7}, "multiple of 2 x parts = 2, got 7"),
        ({"kind": "nb201", "parts": 2}, "nb201 has no partial channels"),
        ({"kind": "nb201", "stem": "imagenet"}, "no other stem"),
    ],
)
def test_config_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        supernet.SupernetConfig(spaces.darts(), **change)


def test_apply_refuses():
    params, x = params_of(NB201), images(NB201)
    arch = arch_of(NB201)
    with pytest.raises(ValueError, match="mode is 'fast'; allowed: path, dense"):
        supernet.apply(params, arch, x, NB201, mode="fast")
    with pytest.raises(ValueError, match="a mask of numbers needs mode='dense'"):
        supernet.apply(params, NB201.space.one_hot(arch), x, NB201)


@pytest.mark.parametrize("mode", ["path", "dense"])
def test_apply_refuses_other_shapes(mode):
    """Also transposed ones, of as many numbers."""
    params, x = params_of(SMALL), images(SMALL)
    for shape in ((14, 2), (28,), (14,), (2, 13)):
        with pytest.raises(AssertionError, match="shape"):
            supernet.apply(params, np.zeros(shape, np.uint8), x, SMALL, mode=mode)


def test_configs_are_static():
    """Hashable and equal by value: arguments of a compiled function."""
    assert hash(supernet.darts()) == hash(supernet.darts(cells=8))
    assert supernet.darts() != supernet.darts(none=True)
    assert supernet.pc_darts().parts == 4
    assert math.prod(supernet.nas_bench_201().space.alpha_shape) == 30


@pytest.mark.parametrize("config", [SMALL, NB201, PARTIAL], ids=lambda c: c.kind)
@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_any_channels_and_sides(config, channels):
    """Only the stem's first convolution differs; RGB is refused."""
    chosen = dataclasses.replace(config, image_channels=channels)
    stem = "stem" if config.kind == "nb201" else "stem0"
    kernel = shapes(config)[stem]["kernel"].shape
    more = supernet.count(shapes(chosen)) - supernet.count(shapes(config))
    assert more == 9 * (channels - 3) * kernel[-1]
    arch = jnp.ones(config.space.arch_shape, jnp.uint8)

    def logits(*size):
        x = jax.ShapeDtypeStruct((2, *size), jnp.float32)
        run = functools.partial(supernet.apply, config=chosen)
        return jax.eval_shape(run, shapes(chosen), arch, x)[0].shape

    assert logits(32, 64, channels) == (2, 10)
    assert logits(33, 47, channels) == (2, 10)
    with pytest.raises(ValueError, match=f"has image_channels={channels}"):
        logits(32, 32, 3)
    supernet.initial_statistics(chosen)
