"""Operations of both spaces against NumPy; weights, shuffle and partial channels."""

import jax
import jax.numpy as jnp
import numpy as np
import numpy_supernet as reference
import pytest

from nasjax import spaces
from nasjax.networks.supernet import operations
from nasjax.networks.supernet.operations import DARTS, NB201, Norm

pytestmark = pytest.mark.usefixtures("quick_compile")

EDGES, C, ROW = 3, 8, 1
KNOWN = {"darts": DARTS, "nb201": NB201}
IMAGES = np.random.default_rng(0).standard_normal((4, 8, 8, C), np.float32)


NORMALISED = {
    ("darts", 1): ("max_pool_3x3", "avg_pool_3x3", "dil_conv_3x3", "dil_conv_5x5"),
    ("nb201", 1): ("nor_conv_1x1", "nor_conv_3x3"),
}
NORMALISED["darts", 2] = (*NORMALISED["darts", 1], "skip_connect")


def weights_of(kind, stride):
    """Of all operations, for so many edges."""
    return {
        name: operation.init(jax.random.key(i), EDGES, C, stride)
        for i, (name, operation) in enumerate(KNOWN[kind].items())
    }


def test_names_are_the_spaces():
    assert tuple(DARTS) == spaces.darts(none=True).operations
    assert set(NB201) == set(spaces.nas_bench_201().operations)


@pytest.mark.parametrize(
    "kind, stride", [("darts", 1), ("darts", 2), ("nb201", 1)], ids=str
)
def test_values(kind, stride):
    weights = weights_of(kind, stride)

    @jax.jit
    def run(weights, x):
        def one(name, operation):
            norm = Norm()
            row = jax.tree.map(lambda w: w[ROW], weights[name])
            y = operation.apply(row, x, stride, norm)
            return y, norm.statistics(C)

        return {name: one(name, op) for name, op in KNOWN[kind].items()}

    for name, (y, statistics) in run(weights, IMAGES).items():
        row = reference.row(weights[name], ROW)
        apply = reference.OPERATIONS[kind]
        wanted = apply(name, row, IMAGES.astype(float), stride)
        assert y.shape == (4, 8 // stride, 8 // stride, C), name
        np.testing.assert_allclose(y, wanted, atol=2e-5, err_msg=name)
        # Of the normalisations that are not there: mean 0, variance 1.
        norms = 2 if name.startswith("sep") else int(name in NORMALISED[kind, stride])
        plain = np.tile([[0], [1]], (2 - norms, 1, C))
        np.testing.assert_array_equal(statistics[norms:], plain)
        assert np.all(statistics[:norms, 1] > 0)
        assert not np.any(statistics[:norms, 1] == 1)


def test_statistics_are_those_of_what_is_normalised():
    x = IMAGES
    norm = Norm()
    DARTS["avg_pool_3x3"].apply({}, x, 2, norm)
    pooled = reference.pool(x, np.mean, 2)
    wanted = [pooled.mean((0, 1, 2)), pooled.var((0, 1, 2))]
    np.testing.assert_allclose(norm.statistics(C)[0], wanted, atol=1e-6)


def test_given_statistics():
    """The first normalisation takes the first, the second the second."""
    given = jnp.stack([jnp.full((2, C), 1.0), jnp.full((2, C), 4.0)])
    norm = Norm(given)
    first, second = norm(IMAGES), norm(IMAGES)
    np.testing.assert_allclose(first, (IMAGES - 1) / np.sqrt(1.00001), atol=1e-6)
    np.testing.assert_allclose(second, (IMAGES - 4) / np.sqrt(4.00001), atol=1e-6)
    np.testing.assert_array_equal(norm.statistics(C), given)


@pytest.mark.parametrize("stride", [1, 2])
def test_weights_of_darts(stride):
    """Depthwise k x k x C and pointwise C x C; twice for separable ones."""
    shapes = jax.tree.map(jnp.shape, weights_of("darts", stride))

    def convolutions(k, times):
        return {
            "depthwise": (EDGES, times, k, k, C),
            "pointwise": (EDGES, times, C, C),
        }

    assert shapes == {
        "none": {},
        "max_pool_3x3": {},
        "avg_pool_3x3": {},
        "skip_connect": {"reduce": (EDGES, 2, C, C // 2)} if stride == 2 else {},
        "sep_conv_3x3": convolutions(3, 2),
        "sep_conv_5x5": convolutions(5, 2),
        "dil_conv_3x3": convolutions(3, 1),
        "dil_conv_5x5": convolutions(5, 1),
    }


def test_weights_of_nb201():
    assert jax.tree.map(jnp.shape, weights_of("nb201", 1)) == {
        "none": {},
        "skip_connect": {},
        "nor_conv_1x1": {"kernel": (EDGES, 1, 1, C, C)},
        "nor_conv_3x3": {"kernel": (EDGES, 3, 3, C, C)},
        "avg_pool_3x3": {},
    }


# What one output sees: a window of one channel, a pixel of all, a window of all.
@pytest.mark.parametrize(
    "kind, name, leaf, inputs",
    [
        ("darts", "skip_connect", "reduce", C),
        ("darts", "sep_conv_3x3", "depthwise", 9),
        ("darts", "sep_conv_5x5", "depthwise", 25),
        ("darts", "dil_conv_3x3", "depthwise", 9),
        ("darts", "dil_conv_5x5", "depthwise", 25),
        ("darts", "sep_conv_5x5", "pointwise", C),
        ("darts", "dil_conv_3x3", "pointwise", C),
        ("nb201", "nor_conv_1x1", "kernel", C),
        ("nb201", "nor_conv_3x3", "kernel", 9 * C),
    ],
)
def test_weights_are_uniform(kind, name, leaf, inputs):
    """U(-b, b), b = 1 / sqrt(inputs)."""
    edges, stride = 400 // C, 2 if name == "skip_connect" else 1
    weights = KNOWN[kind][name].init(jax.random.key(1), edges, C, stride)[leaf]
    weights, bound = np.asarray(weights), inputs**-0.5
    assert weights.dtype == np.float32
    assert 0.99 * bound < np.abs(weights).max() <= bound
    error = bound / np.sqrt(3 * weights.size)  # of the mean
    assert abs(weights.mean()) < 4 * error
    np.testing.assert_allclose(weights.std(), bound / np.sqrt(3), rtol=0.03)
    assert len(np.unique(weights[:, 0], axis=0)) == edges  # each edge has its own


def test_factorized_reduce_sees_two_grids():
    """Even pixels in the first half of the channels, odd ones in the second."""
    x = 1 + jnp.arange(2 * 6 * 4 * 4.0).reshape(2, 6, 4, 4)
    half = jnp.eye(4)[:, :2]
    y = operations.reduce_by_two(jnp.stack([half, half]), x, lambda y: y)
    assert y.shape == (2, 3, 2, 4)
    np.testing.assert_array_equal(y[..., :2], x[:, ::2, ::2, :2])
    np.testing.assert_array_equal(y[..., 2:], x[:, 1::2, 1::2, :2])
    # ReLU first.
    np.testing.assert_array_equal(
        operations.reduce_by_two(jnp.stack([half, half]), -x, lambda y: y), 0
    )


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
def test_shuffle(groups):
    mine = operations.shuffle(IMAGES, groups)
    np.testing.assert_array_equal(mine, reference.shuffle(IMAGES, groups))


def test_shuffle_by_hand():
    # Two groups of three: abc, ABC.
    np.testing.assert_array_equal(
        operations.shuffle(np.arange(6), 2), [0, 3, 1, 4, 2, 5]
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", ["none", "sep_conv_3x3", "skip_connect"])
def test_partial_channels(name, stride):
    """PC-DARTS with K = 4: two of eight channels go through the operation."""
    K = 4
    weights = DARTS[name].init(jax.random.key(2), EDGES, C // K, stride)
    row = reference.row(weights, ROW)

    @jax.jit
    def run(row, x):
        def operation(x):
            return DARTS[name].apply(row, x, stride, Norm())

        return operations.partially(operation, x, K, stride)

    y = run(row, IMAGES)
    x = IMAGES.astype(float)
    wanted = reference.partially(
        lambda x: reference.darts_operation(name, row, x, stride), x, K, stride
    )
    np.testing.assert_allclose(y, wanted, atol=2e-5)
    # Shuffled, the operation's two channels are 0 and 4; 2 to 7 passed by.
    passed = reference.pool(x, np.max, 2, 2, 0) if stride == 2 else x
    np.testing.assert_allclose(
        y[..., [1, 2, 3, 5, 6, 7]], passed[..., [2, 4, 6, 3, 5, 7]], atol=1e-6
    )
