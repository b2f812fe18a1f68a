"""Scores of untrained networks: by hand, and what must not change them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax import spaces
from nasjax.networks import supernet, zero_cost

pytestmark = pytest.mark.usefixtures("quick_compile")

# Compile times add up over operations.
FEW = dataclasses.replace(
    spaces.nas_bench_201(), operations=("none", "skip_connect", "nor_conv_1x1")
)
CONFIG = supernet.SupernetConfig(FEW, "nb201", channels=2, cells=1, image_channels=1)
CELLS = np.array(
    [
        [0, 0, 0, 0, 0, 0],
        [2, 2, 0, 0, 0, 0],  # nothing reaches the last node
        [0, 0, 0, 1, 0, 0],
        [2, 1, 2, 1, 2, 2],
        [0, 2, 0, 2, 0, 2],
        [2, 2, 0, 2, 0, 2],  # nothing reads node 1
        [0, 2, 2, 2, 2, 2],  # nothing reaches node 1
    ],
    np.uint8,
)
EMPTY, DEAD = [0, 1], [4, 5, 6]
IMAGES = np.random.default_rng(0).standard_normal((4, 8, 8, 1), np.float32)


def test_units_alike_by_hand():
    """Patterns 101, 110 and 101: the first two agree on one unit of three."""
    x = jnp.array([[1.0, -1, 2], [0.5, 3, 0], [2.0, -2, 1]])[:, None]
    alike = zero_cost.units_alike(x)
    np.testing.assert_array_equal(alike, [[3, 1, 3], [1, 3, 1], [3, 1, 3]])
    np.testing.assert_allclose(
        zero_cost.log_determinant(alike[:2, :2]), np.log(8), rtol=1e-6
    )
    assert zero_cost.log_determinant(alike) == -np.inf


def test_decorrelation_by_hand():
    """Correlation 0: eigenvalues 1 and 1; 0.5: 0.5 and 1.5; the scale is no matter."""
    for second, values in (([2, 2, -4], [1, 1]), ([3, 0, -3], [0.5, 1.5])):
        v = np.array(values) + 1e-5
        rows = jnp.array([[1.0, -1, 0], second]) + 7
        np.testing.assert_allclose(
            zero_cost.decorrelation(rows), -np.sum(np.log(v) + 1 / v), rtol=1e-5
        )
    assert zero_cost.decorrelation(jnp.array([[1.0, 2], [3, 3]])) == -np.inf


def weights(fill):
    """Alternating signs of `fill[name]` in place of random weights."""

    def entry(path, x):
        value = fill.get(jax.tree_util.keystr(path, simple=True, separator="."), 0.0)
        if x.ndim > 2:  # the middle of a convolution's kernel
            one = np.zeros(x.shape, np.float32)
            one[x.shape[0] // 2, x.shape[1] // 2] = value
            return one * (-1) ** np.arange(x.shape[-1])
        return value * (-1.0) ** np.arange(x.shape[-1]) * np.ones(x.shape)

    shapes = jax.eval_shape(lambda: supernet.init(jax.random.key(0), CONFIG))
    return jax.tree_util.tree_map_with_path(entry, shapes)


@pytest.fixture(scope="module")
def score():
    """All scores [3] of a cell, one program."""

    def score(params, arch, images):
        each = zero_cost.naswot, zero_cost.jacobian_covariance
        scores = [score(CONFIG, params, arch, images) for score in each]
        return jnp.stack([*scores, zero_cost.synflow(CONFIG, params, arch, (8, 8))])

    return jax.jit(score)


@pytest.fixture(scope="module")
def scored(score):
    """Scores [A, 3] of all cells; for images in the other order; of the first two."""
    params = supernet.init(jax.random.key(0), CONFIG)
    together = jax.jit(jax.vmap(score, (None, 0, None)))
    both = [np.asarray(together(params, CELLS, x)) for x in (IMAGES, IMAGES[::-1])]
    return *both, np.stack([score(params, arch, IMAGES) for arch in CELLS[2:4]])


def test_synflow_by_hand(score):
    """Only skip connections: each layer that all of R passes has sum w dR/dw = R.

    Stem 0.5, shortcuts of 2 x 0.25 and 4 x 0.5, classifier 8 x 0.125, ten classes: an
    image of ones gives 0.5, 0.25, 0.5 and logits of 0.5, so R = 5 in four layers.
    """
    layers = {
        "stem.kernel": 0.5,
        "stem.scale": 1.0,
        "block1.shortcut": 0.25,
        "block2.shortcut": 0.5,
        "classifier.kernel": 0.125,
        "classifier.bias": 3.0,  # no weight
    }
    flow = score(weights(layers), CELLS[2], IMAGES)[-1]
    np.testing.assert_allclose(flow, np.log(20), atol=3e-5)


def test_vmapped_scores_are_those_of_single_cells(scored):
    np.testing.assert_allclose(scored[0][2:4], scored[2], rtol=1e-3)


def test_what_passes_nothing_is_worst_and_dead_edges_do_not_count(scored):
    scores = np.asarray(scored[0])
    assert not np.isnan(scores).any()
    np.testing.assert_array_equal(scores[EMPTY], -np.inf)
    assert np.isfinite(scores[len(EMPTY) :]).all()
    for other in DEAD[1:]:
        np.testing.assert_allclose(scores[other], scores[DEAD[0]], rtol=1e-4)
    for living in (2, 3):
        assert (np.abs(scores[living] - scores[DEAD[0]]) > 1e-3).all()


def test_the_order_of_images_does_not_count(scored):
    np.testing.assert_allclose(scored[1], scored[0], rtol=1e-3)


def test_every_relu_is_watched():
    """Units counted by hand, of one image of 8 x 8."""

    def units(config, arch, C):
        count = functools.partial(
            supernet.network.watch_relus, config=config, watch=lambda x: 1.0 * x.size
        )
        params = supernet.init(jax.random.key(0), config)
        return jax.jit(count)(params, np.uint8(arch), np.zeros((1, 8, 8, C)))

    # Five convolutions of 128, 64 and 32; two blocks of 128 + 64 and 64 + 32; last 32.
    assert units(CONFIG, [2, 2, 1, 2, 2, 2], 1) == 5 * 224 + 320
    names = ("max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3")
    space = dataclasses.replace(spaces.darts(), operations=names)
    arch = np.full((2, 14), 4)  # one reduction cell, of 8 channels
    arch[1, [0, 1, 2, 3, 4, 7]] = [2, 1, 3, 0, 1, 2]
    # Two preprocessings of 12 channels; convolutions, the first from an image of 64
    # pixels, and a skip connection from such a one.
    wanted = 2 * 12 * 64 + (8 * 64 + 8 * 16) + 8 * 64 + 8 * 64 + 2 * 8 * 16
    assert units(supernet.SupernetConfig(space, channels=4, cells=1), arch, 3) == wanted
