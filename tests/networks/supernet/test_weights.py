"""Weights of supernets: exact counts, and how they are drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.networks import supernet
from nasjax.spaces import costs

pytestmark = pytest.mark.usefixtures("quick_compile")

IMAGENET = {"parts": 2, "stem": "imagenet", "classes": 1000}


# Printed by the public DARTS and PC-DARTS code, but for other classes and cells.
@pytest.mark.parametrize("none", [False, True])
@pytest.mark.parametrize(
    "factory, settings, number",
    [
        (supernet.darts, {}, 1_930_618),
        (supernet.darts, {"cells": 6}, 1_322_490),
        (supernet.darts, {"classes": 100}, 1_953_748),
        (supernet.darts, {"classes": 120}, 1_958_888),
        (supernet.darts, {"cells": 6, "classes": 100}, 1_345_620),
        (supernet.pc_darts, {}, 299_578),
        (supernet.pc_darts, {"classes": 100}, 322_708),
        (supernet.pc_darts, {"classes": 120}, 327_848),
        (supernet.pc_darts, IMAGENET, 956_512),
    ],
)
def test_parameters(factory, settings, number, none):
    config = factory(none=none, **settings)
    assert supernet.count(shapes(config)) == number
    assert number == costs.supernet_parameters(
        config.space,
        cells=config.cells,
        channels=config.channels,
        classes=config.classes,
        partial=config.parts,
        stem=config.stem,
    )


def shapes(config):
    return jax.eval_shape(lambda: supernet.init(jax.random.key(0), config))


@pytest.mark.parametrize("cells, classes", [(5, 10), (1, 120)])
def test_parameters_of_nas_bench_201(cells, classes):
    """Stem, two residual blocks, classifier; 3 x 3 and 1 x 1 on six edges."""
    blocks = sum(9 * C * 2 * C + 9 * (2 * C) ** 2 + C * 2 * C for C in (16, 32))
    frame = 27 * 16 + 2 * 16 + blocks + 64 * classes + classes
    edges = 6 * cells * sum(10 * C**2 for C in (16, 32, 64))
    config = supernet.nas_bench_201(cells=cells, classes=classes)
    assert supernet.count(shapes(config)) == frame + edges


def test_frame_of_nas_bench_201_is_the_empty_network():
    """73,306 parameters without operations, 512 of them affine past the stem."""
    config = supernet.nas_bench_201()
    params = shapes(config)
    edges = sum(
        supernet.count(tree) for n, tree in params.items() if n.startswith("cell")
    )
    table = costs.nb201_network()
    empty = costs.params(table, np.zeros(6, np.uint8))
    assert supernet.count(params) - edges == empty - 512 == 73_306 - 512


SMALL = supernet.darts(channels=8, cells=1)
NB201 = supernet.nas_bench_201(channels=8, cells=1)
# How many numbers one output is a sum of.
INPUTS = {
    "['stem0']['kernel']": 27,
    "['cell0']['older']": 24,  # the stem is three times as wide
    "['cell0']['newer']": 24,
    "['classifier']['kernel']": 64,  # four nodes of 16 channels
    "['classifier']['bias']": 64,
}
INPUTS_NB201 = {
    "['stem']['kernel']": 27,
    "['block1']['first']": 72,
    "['block1']['second']": 144,
    "['block1']['shortcut']": 8,
    "['block2']['first']": 144,
    "['block2']['second']": 288,
    "['block2']['shortcut']": 16,
    "['classifier']['kernel']": 32,
    "['classifier']['bias']": 32,
}


@pytest.mark.parametrize("config, inputs", [(SMALL, INPUTS), (NB201, INPUTS_NB201)])
def test_weights_of_the_frame_are_uniform(config, inputs):
    params = jax.jit(lambda key: supernet.init(key, config))(jax.random.key(1))
    found = {jax.tree_util.keystr(k): v for k, v in jax.tree.leaves_with_path(params)}
    assert {v.dtype for v in found.values()} == {jnp.dtype(jnp.float32)}
    for path, number in inputs.items():
        largest, bound = np.abs(found[path]).max(), number**-0.5
        # Of n draws, one lies in the upper 5 / n but with probability exp(-5).
        assert bound * (1 - 5 / found[path].size) < largest <= bound, path
    stem = params["stem0" if config.kind == "darts" else "stem"]
    np.testing.assert_array_equal(stem["scale"], 1)
    np.testing.assert_array_equal(stem["bias"], 0)
    drawn = [np.ravel(v)[0] for k, v in found.items() if "scale" not in k]
    drawn = [x for x in drawn if x]  # without the stem's bias
    assert len(set(drawn)) == len(drawn)  # no key was used twice


def test_cells_have_weights_of_their_own():
    """Also cells of one shape."""
    config = supernet.nas_bench_201(cells=2, channels=4)

    @jax.jit
    def two(key):
        params = supernet.init(key, config)
        return [
            params[f"cell0.{i}"]["edges"][0]["nor_conv_3x3"]["kernel"] for i in (0, 1)
        ]

    a, b = two(jax.random.key(2))
    assert a.shape == b.shape
    assert not np.any(a == b)
