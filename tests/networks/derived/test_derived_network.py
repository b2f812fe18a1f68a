"""Derived networks: exact sizes, a NumPy reference, drop path, refusals."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import numpy_derived as reference
import pytest

from nasjax import spaces
from nasjax.networks import derived
from nasjax.networks.derived import cells, layers
from nasjax.spaces import costs, genotypes

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = spaces.darts(none=True)
IMAGENET = {"cells": 14, "channels": 48, "classes": 1000, "stem": "imagenet"}


def arch_of(seed=0):
    return np.asarray(SPACE.random(jax.random.key(seed)))


EVERYTHING = np.array(
    [
        [1, 4, 3, 8, 5, 0, 8, 2, 8, 8, 6, 8, 8, 7],
        [3, 5, 1, 7, 8, 8, 2, 8, 4, 6, 8, 8, 0, 8],
    ],
    np.uint8,
)


def published(name, **settings):
    return derived.darts(
        genotypes.to_arch(genotypes.PUBLISHED[name], SPACE), **settings
    )


def shapes(config, size=32):
    start = functools.partial(derived.init, config=config, image_size=size)
    return jax.eval_shape(start, jax.random.key(0))


@pytest.mark.parametrize(
    "name, settings, size, alone, with_head",
    [
        ("DARTS_V2", {}, 32, 3_349_342, 3_825_768),
        ("DARTS_V2", IMAGENET, 224, 4_718_752, 5_979_528),
        ("PC_DARTS_cifar", {}, 32, 3_634_678, 4_111_104),
        ("DDAS-NL", {}, 32, 2_748_646, 3_225_072),
    ],
)
def test_published_parameters(name, settings, size, alone, with_head):
    params = shapes(published(name, auxiliary=True, **settings), size)["params"]
    assert derived.count(params) == with_head
    assert with_head - derived.count(params["body"]["auxiliary"]) == alone


@pytest.mark.parametrize(
    "arch, wanted", [([3, 3, 3, 1, 3, 3], 1_288_506), ([3] * 6, 1_531_546)]
)
def test_published_parameters_of_nas_bench_201(arch, wanted):
    assert derived.count(shapes(derived.nas_bench_201(arch))["params"]) == wanted


@pytest.mark.parametrize("cells_", [1, 2, 4, 5])
def test_parameters_are_those_of_costs(cells_):
    table = costs.darts_network(SPACE, cells=cells_, channels=6, classes=7)
    for seed in (0, 1):
        config = derived.darts(arch_of(seed), cells=cells_, channels=6, classes=7)
        counted = derived.count(shapes(config)["params"])
        assert counted == costs.params(table, arch_of(seed))
    # Scales and shifts come in pairs with means and variances.
    tree = shapes(config)
    affine = [
        x.size
        for path, x in jax.tree_util.tree_leaves_with_path(tree["params"])
        if path[-1].key == "scale"
    ]
    assert 2 * sum(affine) == derived.count(tree["statistics"])


def same(mine, theirs, name=""):
    """To a share of the largest entry."""

    def check(a, b):
        bound = 1e-5 * max(np.abs(b).max(initial=0), 1e-3)
        np.testing.assert_allclose(a, b, rtol=0, atol=bound, err_msg=name)

    jax.tree.map(check, dict(enumerate(mine)), dict(enumerate(theirs)))


def double(function):
    """Runs in float64."""

    @functools.wraps(function)
    def run(*args, **options):
        with jax.enable_x64(True):
            return function(*args, **options)

    return run


def images(batch=3, size=32, channels=3, seed=0):
    return np.random.default_rng(seed).standard_normal((batch, size, size, channels))


def initial(module, *args):
    """Random variables of a module."""
    keys = {"params": jax.random.key(0), "drop_path": jax.random.key(1)}
    tree = jax.eval_shape(lambda: module.init(keys, *args))
    return {"params": {}, "statistics": {}} | dict(reference.weights(tree))


def norm_of(train):
    return functools.partial(layers.BatchNorm, train)


NAMES = (*spaces.DARTS_OPERATIONS, "nor_conv_1x1", "nor_conv_3x3")


@pytest.mark.parametrize("ratio, tolerance", [(10, 4e-6), (30, 8e-6), (100, 3e-5)])
def test_batch_norm_where_the_mean_is_large(ratio, tolerance):
    """In float32 near float64's values and gradient; statistics move as they should."""
    x = np.random.default_rng(0).standard_normal((64, 8, 8, 4)) + ratio
    x = x.astype(np.float32)
    norm = layers.BatchNorm(True)
    variables = norm.init(jax.random.key(0), x)

    def loss(x):
        y, moved = norm.apply(variables, x, mutable=["statistics"])
        return jnp.sum(jnp.sin(y)), (y, moved["statistics"])

    slope, (y, moved) = jax.jit(jax.grad(loss, has_aux=True))(x)
    wide = x.astype(np.float64)
    mean, variance = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
    wanted = (wide - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(y, wanted, rtol=0, atol=tolerance)
    unbiased = variance * 4096 / 4095
    np.testing.assert_allclose(moved["mean"], 0.1 * mean, rtol=1e-6)
    wanted_variance = 0.9 + 0.1 * unbiased
    np.testing.assert_allclose(moved["variance"], wanted_variance, rtol=tolerance)
    g = np.cos(wanted)
    along = (g * wanted).mean((0, 1, 2))
    wanted_slope = (g - g.mean((0, 1, 2)) - wanted * along) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(slope, wanted_slope, rtol=0, atol=2 * tolerance)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
@double
def test_operations(stride, train):
    """Also 5 x 5 dilated on 6 x 6: windows that stick out on both sides."""
    x = images(size=6, channels=4)
    modules = {n: cells.Operation(n, norm_of(train), stride) for n in NAMES}
    variables = {name: initial(module, x) for name, module in modules.items()}

    @jax.jit
    def run(variables, x):
        return {
            name: module.apply(variables[name], x, mutable=["statistics"])
            for name, module in modules.items()
        }

    for name, (y, moved) in run(variables, x).items():
        assert y.dtype == jnp.float64, name
        statistics = jax.tree.map(np.array, variables[name]["statistics"])
        place = reference.Place(variables[name]["params"], statistics, train)
        same([y], [place.operation(name, x, stride)], name)
        same([moved.get("statistics", {})], [place.statistics], name)


@pytest.mark.parametrize("train", [True, False])
@double
def test_reduction_cell(train):
    older, newer = images(size=8, channels=6), images(size=4, channels=10, seed=1)
    edges = derived.darts(EVERYTHING).edges(1)
    module = cells.DartsCell(4, True, edges, norm_of(train), 2)
    variables = initial(module, older, newer, None)
    run = jax.jit(functools.partial(module.apply, mutable=["statistics"]))
    y = run(variables, older, newer, None)[0]
    assert y.shape == (3, 2, 2, 16)
    place = reference.Place(
        variables["params"], jax.tree.map(np.array, variables["statistics"]), train
    )
    same([y], [place.darts_cell(edges, older, newer, 2, True)])


CONFIGS = {
    "cifar": derived.darts(EVERYTHING, channels=4, cells=4, auxiliary=True),
    "imagenet": derived.darts(
        EVERYTHING, channels=4, cells=3, stem="imagenet", auxiliary=True
    ),
    "nb201": derived.nas_bench_201([3, 1, 4, 2, 3, 0], channels=4, cells=1),
}
# The ImageNet head needs 7 x 7 pixels after five halvings.
SIZES = {"cifar": 32, "imagenet": 224, "nb201": 8}


def apply(config, variables, x, train, **options):
    return derived.Network(config).apply(
        variables, x, train, mutable=["statistics"], **options
    )


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", CONFIGS)
@double
def test_networks(name, train):
    config, x = CONFIGS[name], images(2, SIZES[name])
    variables = reference.weights(shapes(config, SIZES[name]))
    run = jax.jit(functools.partial(apply, config), static_argnums=2)
    (logits, auxiliary), moved = run(variables, x, train)
    assert logits.dtype == jnp.float64
    wanted, wanted_auxiliary, statistics = reference.network(
        variables, config, x, train
    )
    same([logits], [wanted])
    same([moved["statistics"]], [statistics])
    assert (auxiliary is None) == (name == "nb201" or not train)
    if auxiliary is not None:
        same([auxiliary], [wanted_auxiliary])


@pytest.mark.parametrize(
    "name, shape",
    [("cifar", (9, 14, 1)), ("imagenet", (33, 47, 4)), ("nb201", (7, 9, 1))],
)
@double
def test_images_of_any_shape(name, shape):
    """Odd sides are rounded up; grey images, and of four channels."""
    config = dataclasses.replace(
        CONFIGS[name], auxiliary=False, cells=3, image_channels=shape[2]
    )
    x = np.random.default_rng(0).standard_normal((2, *shape))
    variables = reference.weights(shapes(config, shape[:2]))
    (logits, _), moved = jax.jit(functools.partial(apply, config, train=True))(
        variables, x
    )
    wanted, _, statistics = reference.network(variables, config, x, True)
    same([logits], [wanted])
    same([moved["statistics"]], [statistics])


@pytest.mark.parametrize("name", ["cifar", "nb201"])
@double
def test_gradient_along_a_direction(name):
    config = dataclasses.replace(CONFIGS[name], auxiliary=False, cells=1)
    x = images(2, 9)  # 5 after a reduction, and 3
    variables = reference.weights(shapes(config, 9))
    along = reference.weights(variables["params"], seed=5)

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        logits = apply(config, variables | {"params": params}, x, True)[0][0]
        return jnp.sum(jnp.cos(logits))

    def shifted(h):
        return jax.tree.map(lambda p, d: p + h * d, variables["params"], along)

    h = 1e-6
    slope = (loss(shifted(h))[0] - loss(shifted(-h))[0]) / (2 * h)
    gradient = loss(variables["params"])[1]
    found = sum(
        np.vdot(g, d)
        for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(along), strict=True)
    )
    np.testing.assert_allclose(found, slope, rtol=1e-4)


def test_initial_weights_are_pytorchs():
    """Uniform within 1 / sqrt(fan in); scales 1, shifts 0, means 0, variances 1."""
    config = derived.nas_bench_201([2, 3, 1, 3, 2, 4], channels=16, cells=1)
    variables = jax.jit(functools.partial(derived.init, config=config))(
        jax.random.key(3)
    )
    for path, x in jax.tree_util.tree_leaves_with_path(variables):
        name, x = path[-1].key, np.asarray(x)
        if name in ("scale", "variance"):
            np.testing.assert_array_equal(x, 1)
        elif name == "mean" or (name == "bias" and "classifier" not in str(path)):
            np.testing.assert_array_equal(x, 0)
        elif name == "kernel":
            bound = np.prod(x.shape[:-1]) ** -0.5
            assert 0.9 * bound < np.abs(x).max() <= bound
            assert abs(x.std() - bound / 3**0.5) < 0.1 * bound
    bias = np.asarray(variables["params"]["classifier"]["bias"])
    assert 0 < np.abs(bias).max() <= 64**-0.5


def test_drop_path_drops_images_and_keeps_the_mean():
    x = jnp.ones((4000, 1, 1, 2))
    drop = layers.DropPath()
    y = drop.apply({}, x, 0.2, rngs={"drop_path": jax.random.key(0)})
    values, counts = np.unique(y, return_counts=True)
    np.testing.assert_allclose(values, [0, 1.25], rtol=1e-6)
    assert abs(counts[0] / 8000 - 0.2) < 0.03  # five standard errors
    np.testing.assert_array_equal(y[..., 0], y[..., 1])
    np.testing.assert_array_equal(
        x, drop.apply({}, x, 0.0, rngs={"drop_path": jax.random.key(0)})
    )


def test_drop_path_spares_identity_skips():
    """With one image in two dropped: skips alone change nothing, pools do."""
    x = images(8, 4, 4).astype(np.float32)
    key = {"drop_path": jax.random.key(0)}

    def cell(*operations):
        edges = tuple((0, i + 1, name) for i, name in enumerate(operations))
        run = jax.jit(cells.Cell(edges, norm_of(True)).apply)
        return run({}, (x,), 0.5, rngs=key)

    skip, average, most = cell("skip_connect", "avg_pool_3x3", "max_pool_3x3")
    np.testing.assert_array_equal(skip, x)
    dropped = [np.all(np.asarray(y) == 0, (1, 2, 3)) for y in (average, most)]
    assert all(0 < d.sum() < 8 for d in dropped)
    assert (dropped[0] != dropped[1]).any()  # each output has a mask of its own


@jax.jit
def nb201_logits(variables, x):
    return apply(CONFIGS["nb201"], variables, x, True)[0][0]


def test_drop_path_in_training_only():
    config, x = CONFIGS["nb201"], images(8, 8).astype(np.float32)
    variables = reference.weights(shapes(config, 8))
    variables = jax.tree.map(lambda x: np.asarray(x, np.float32), variables)
    key = {"drop_path": jax.random.key(0)}

    @functools.partial(jax.jit, static_argnums=1)
    def logits(rate, train):
        return apply(config, variables, x, train, drop_path=rate, rngs=key)[0][0]

    np.testing.assert_allclose(logits(0.0, True), nb201_logits(variables, x), atol=1e-3)
    assert np.abs(logits(0.5, True) - logits(0.0, True)).max() > 0.1
    np.testing.assert_array_equal(logits(0.5, False), logits(0.0, False))


def test_bfloat16():
    """Logits and statistics stay float32, near those of float32."""
    config, x = CONFIGS["nb201"], images(8, 8).astype(np.float32)
    narrow = dataclasses.replace(config, dtype="bfloat16")
    variables = jax.jit(functools.partial(derived.init, config=config, image_size=8))(
        jax.random.key(0)
    )
    (logits, _), moved = jax.jit(functools.partial(apply, narrow), static_argnums=2)(
        variables, x, True
    )
    assert {a.dtype for a in (logits, *jax.tree.leaves(moved))} == {
        jnp.dtype("float32")
    }
    wanted = nb201_logits(variables, x)
    assert 0 < np.abs(logits - wanted).max() < 0.1 * np.abs(wanted).max()


def test_configs_are_static():
    arch = arch_of()
    assert hash(derived.darts(arch)) == hash(derived.darts(arch.tolist()))
    assert derived.darts(arch) != derived.darts(arch_of(1))
    assert derived.darts(arch).reductions == (6, 13)
    assert isinstance(derived.Network(derived.darts(arch)), nn.Module)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"image_channels": 0}, "image_channels must be at least 1, got 0"),
        ({"channels": 7}, "channels must be even, got 7"),
        ({"stem": "mnist"}, "stem is 'mnist'; allowed: cifar, imagenet"),
        ({"dtype": "float16"}, "dtype is 'float16'; allowed: float32, bfloat16"),
        ({"arch": np.zeros((2, 14), int)}, r"nodes have \[2, 3, 4, 5\] in-edges; each"),
        ({"arch": np.full((2, 14), 9)}, "holds 9 to 9; allowed: 0 to 8"),
        ({"arch": np.zeros(6, int)}, r"darts is \[2, 14\] integers, got int64 \[6\]"),
        (
            {"space": spaces.table_space(6, ("a", "b"))},
            "no network is known for the space",
        ),
    ],
)
def test_config_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(derived.darts(arch_of()), **change)


def test_nas_bench_201_refuses():
    with pytest.raises(ValueError, match="no other stem and no auxiliary head"):
        derived.nas_bench_201([1] * 6, auxiliary=True)
    with pytest.raises(ValueError, match="holds 5 to 5; allowed: 0 to 4"):
        derived.nas_bench_201([5] * 6)


@pytest.mark.parametrize(
    "settings, size, message",
    [
        ({}, 3, "3 x 3 pixels: .* 2 times needs sides of at least 4"),
        ({"stem": "imagenet"}, (32, 31), "32 x 31 pixels: .* at least 32"),
        ({}, 0, "image_size is 0; allowed: a whole number from 1 on"),
        ({}, (4, 4, 3), r"image_size is \(4, 4, 3\)"),
        ({"auxiliary": True}, 16, "needs 8 to 10 pixels .* got 4 x 4"),
        ({"auxiliary": True}, (33, 47), "needs 8 to 10 pixels .* got 9 x 12"),
    ],
)
def test_networks_refuse_sizes(settings, size, message):
    with pytest.raises(ValueError, match=message):
        shapes(derived.darts(arch_of(), cells=3, channels=4, **settings), size)


def test_networks_refuse_other_channels():
    config = derived.darts(arch_of(), cells=1, channels=4, image_channels=1)
    with pytest.raises(
        ValueError, match="3 channels; the network has image_channels=1"
    ):
        jax.eval_shape(lambda v: apply(config, v, images(), True), shapes(config))
    with pytest.raises(ValueError, match=r"are \[B, H, W, C\], got \[3, 32, 32\]"):
        apply(config, {}, images()[..., 0], True)


@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_any_channels(channels):
    config = derived.darts(arch_of(), cells=3, channels=4)
    chosen = dataclasses.replace(config, image_channels=channels)
    more = derived.count(shapes(chosen, 8)["params"])
    more -= derived.count(shapes(config, 8)["params"])
    assert more == 9 * (channels - 3) * 3 * 4
    sizes = {"cells": 3, "channels": 4, "image_size": 8, "image_channels": channels}
    table = costs.darts_network(config.space, **sizes)
    count = derived.count(shapes(chosen, 8)["params"])
    assert costs.params(table, np.array(config.arch)) == count
    small = {"channels": 4, "image_size": 8, "image_channels": channels}
    nb201 = derived.nas_bench_201([1] * 6, channels=4, image_channels=channels)
    count = derived.count(shapes(nb201, 8)["params"])
    assert costs.params(costs.nb201_network(**small), np.array(nb201.arch)) == count
