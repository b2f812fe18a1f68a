"""Convolutions, pools and normalisation: NumPy's values, other forms' gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpy_supernet as reference
import pytest
from jax import lax

from nasjax.networks import moments as images
from nasjax.networks import platforms, primitives

pytestmark = pytest.mark.usefixtures("quick_compile")

SIZES = [(8, 6), (7, 5)]


@pytest.fixture(params=("cpu", "gpu"))
def forms(request, monkeypatch):
    """The forms of a CPU, and those for a GPU on the CPU."""
    if request.param == "gpu":
        monkeypatch.setattr(platforms, "GPUS", ("cuda", "cpu"))
    jax.clear_caches()
    yield
    monkeypatch.undo()
    jax.clear_caches()


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)


def near(actual, wanted, tolerance):
    """Within the tolerance, relative to the largest entry."""
    assert actual.shape == wanted.shape
    bound = tolerance * max(1, np.abs(wanted).max())
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=bound)


def value_and_gradients(function, *args):
    """By reverse mode, of a cotangent of random numbers."""
    y, back = jax.vjp(function, *args)
    return y, back(jnp.asarray(normal(*y.shape, seed=9)).astype(y.dtype))


def gradients(function, *args):
    return jax.jit(lambda *args: value_and_gradients(function, *args))(*args)


def same_gradients(function, other, *args):
    """Of the two functions; returns the first one's value. Compiles once."""

    @jax.jit
    def both(*args):
        return [value_and_gradients(f, *args) for f in (function, other)]

    (y, mine), (_, theirs) = both(*args)
    for a, b in zip(mine, theirs, strict=True):
        near(a, b, 1e-4)
    return y


def grouped(dilation, stride):
    """XLA's depthwise convolution."""

    def apply(x, kernel):
        k, C = kernel.shape[1:]
        p = dilation * (k // 2)
        return lax.conv_general_dilated(
            x,
            kernel.reshape(k, k, 1, C),
            (stride, stride),
            ((p, p), (p, p)),
            rhs_dilation=(dilation, dilation),
            feature_group_count=C,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    return apply


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("k, size", [(3, (8, 6)), (3, (7, 5)), (5, (8, 7))])
def test_depthwise(k, dilation, stride, size, forms):
    x, kernel = normal(3, *size, 4), normal(k, k, 4)

    def mine(x, kernel):
        return primitives.depthwise(x, kernel, dilation, stride)

    y = same_gradients(mine, grouped(dilation, stride), x, kernel)
    near(y, reference.depthwise(x, kernel, dilation, stride), 1e-5)


@pytest.mark.parametrize("batch", [1, 7, 10, 11])
def test_depthwise_of_batches_that_do_not_divide(batch):
    """The kernel's gradient sums over groups of images first."""
    x, kernel = normal(batch, 5, 6, 3), normal(3, 3, 3)
    same_gradients(primitives.depthwise, grouped(1, 1), x, kernel)


def convolve(stride):
    def apply(x, kernel):
        p = len(kernel) // 2
        return lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            ((p, p), (p, p)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    return apply


@pytest.mark.parametrize(
    "k, stride, size",
    [
        (3, 1, (8, 6)),
        (3, 1, (7, 5)),
        (5, 1, (7, 6)),
        (1, 1, (4, 3)),
        (3, 2, (8, 6)),
        (3, 2, (7, 5)),
    ],
)
def test_convolution(k, stride, size):
    x, kernel = normal(3, *size, 4), normal(k, k, 4, 5)

    def mine(x, kernel):
        return primitives.convolution(x, kernel, stride)

    y = same_gradients(mine, convolve(stride), x, kernel)
    near(y, reference.convolution(x, kernel, stride), 1e-5)


def test_pointwise():
    x, kernel = normal(3, 4, 5, 6), normal(6, 2)
    y, (g_x, g_kernel) = gradients(primitives.pointwise, x, kernel)
    near(y, x.astype(float) @ kernel, 1e-5)
    g = normal(*y.shape, seed=9)
    near(g_x, g @ kernel.T, 1e-5)
    near(g_kernel, x.reshape(-1, 6).T @ g.reshape(-1, 2), 1e-5)


def max_pool_gradient(x, g, stride):
    """Each output's gradient to the first of the largest entries of its window."""
    out = np.zeros(x.shape)
    for b, i, j, c in np.ndindex(g.shape):
        top, left = stride * i - 1, stride * j - 1
        rows = range(max(top, 0), min(top + 3, x.shape[1]))
        columns = range(max(left, 0), min(left + 3, x.shape[2]))
        best = max(((r, s) for r in rows for s in columns), key=lambda at: x[b, *at, c])
        out[b, *best, c] += g[b, i, j, c]
    return out


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("stride", [1, 2])
def test_max_pool(stride, size, forms):
    run = jax.jit(
        lambda x: value_and_gradients(lambda x: primitives.max_pool(x, stride), x)
    )
    for x in (
        normal(2, *size, 3),
        -5 - normal(2, *size, 3) ** 2,  # the padding is not zero
        np.sign(normal(2, *size, 3)),  # many ties
        np.zeros((2, *size, 3), np.float32),
    ):
        y, (g_x,) = run(x)
        np.testing.assert_array_equal(y, reference.pool(x, np.max, stride))
        near(g_x, max_pool_gradient(x, normal(*y.shape, seed=9), stride), 1e-5)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("stride", [1, 2])
def test_average_pool(stride, size, forms):
    x = normal(2, *size, 3)

    def other(x):
        def total(x):
            window, step = (1, 3, 3, 1), (1, stride, stride, 1)
            padding = ((0, 0), (1, 1), (1, 1), (0, 0))
            return lax.reduce_window(x, 0.0, lax.add, window, step, padding)

        return total(x) / total(jnp.ones_like(x))

    def mine(x):
        return primitives.average_pool(x, stride)

    y = same_gradients(mine, other, x)
    near(y, reference.pool(x, np.mean, stride), 1e-6)
    # A corner sees four entries, all of them counted.
    np.testing.assert_allclose(y[0, 0, 0], x[0, :2, :2].mean((0, 1)), rtol=1e-5)


def test_batch_norm(forms):
    x = 2 * normal(4, 5, 6, 3) + np.array([0, 3, -1], np.float32)

    def mine(x):
        return primitives.batch_norm(x)[0]

    def plain(x):
        centred = x - x.mean((0, 1, 2))
        return centred / jnp.sqrt(jnp.mean(centred**2, (0, 1, 2)) + 1e-5)

    y, statistics = jax.jit(primitives.batch_norm)(x)
    near(y, reference.norm(x.astype(float)), 1e-5)
    near(statistics, np.stack([x.mean((0, 1, 2)), x.var((0, 1, 2))]), 1e-5)
    assert statistics.dtype == jnp.float32
    same_gradients(mine, plain, x)
    # Numerically, in one direction of all entries.
    g, along = normal(*x.shape, seed=9), normal(*x.shape, seed=3).astype(float)
    ends = [(g * reference.norm(x + h * along)).sum() for h in (1e-5, -1e-5)]
    slope = (gradients(mine, x)[1][0] * along).sum()
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-5, rtol=1e-4)


@pytest.mark.parametrize("ratio, tolerance", [(10, 4e-6), (30, 8e-6), (100, 3e-5)])
def test_batch_norm_where_the_mean_is_large(ratio, tolerance, forms):
    """PyTorch's error is 1e-6, 2e-6, 6e-6; E[x^2] - E[x]^2 has 3e-5, 4e-4, 4e-3.

    In one pass around a pixel it is 7e-6 whatever the mean: a pixel may lie three
    deviations off.
    """
    if "cpu" in platforms.GPUS:
        tolerance = max(tolerance, 1e-5)
    x = normal(64, 8, 8, 8) + np.float32(ratio)
    (y, statistics), slope = jax.jit(
        lambda x: (
            primitives.batch_norm(x),
            jax.grad(lambda x: jnp.sum(jnp.sin(primitives.batch_norm(x)[0])))(x),
        )
    )(x)
    wide = x.astype(np.float64)
    wanted = reference.norm(wide)
    np.testing.assert_allclose(y, wanted, rtol=0, atol=tolerance)
    np.testing.assert_allclose(statistics[1], wide.var((0, 1, 2)), rtol=tolerance)
    # In float64: scale (g - mean(g) - y mean(g y)), g the derivative of sin.
    g = np.cos(wanted)
    along = (g * wanted).mean((0, 1, 2))
    slope_wanted = g - g.mean((0, 1, 2)) - wanted * along
    slope_wanted /= np.sqrt(wide.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(slope, slope_wanted, rtol=0, atol=2 * tolerance)


@pytest.mark.parametrize("moments", ("moments", "moments_in_one_pass"))
def test_moments_of_devices_are_the_whole_batchs(moments):
    """Each device's own mean is off by several deviations."""
    x = normal(8, 8, 8, 4) + 100 + np.arange(8, dtype=np.float32).reshape(-1, 1, 1, 1)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:4]), ("data",))
    over = functools.partial(getattr(images, moments), axis_name="data")
    split, whole = jax.P("data"), jax.P()
    mapped = jax.shard_map(
        over, mesh=mesh, in_specs=split, out_specs=whole, check_vma=False
    )
    mean, variance = jax.jit(mapped)(x)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean((0, 1, 2)), rtol=2e-7)
    np.testing.assert_allclose(variance, wide.var((0, 1, 2)), rtol=1e-5)


def test_batch_norm_of_a_constant(forms):
    x = np.full((4, 3, 3, 2), [0.0, 7.3], np.float32)
    y, (g_x,) = gradients(lambda x: primitives.batch_norm(x)[0], x)
    np.testing.assert_allclose(y, 0, atol=1e-3)
    assert np.all(np.isfinite(g_x))


def test_statistics_have_no_gradient():
    slope = jax.grad(lambda x: primitives.batch_norm(x)[1].sum())(normal(2, 3, 3, 2))
    np.testing.assert_array_equal(slope, 0)


def test_normalize():
    x = normal(4, 5, 6, 3)
    statistics = np.array([[0.5, -1, 0], [4, 1, 0.25]], np.float32)
    wanted = (x - statistics[0]) / np.sqrt(statistics[1] + 1e-5)
    near(primitives.normalize(x, statistics), wanted, 1e-5)
    y, used = primitives.batch_norm(x)
    near(primitives.normalize(x, used), y, 1e-6)


FORMS = {
    "depthwise": (lambda x, w: primitives.depthwise(x, w, 2), (3, 3, 4)),
    "depthwise of stride 2": (lambda x, w: primitives.depthwise(x, w, 1, 2), (3, 3, 4)),
    "convolution": (primitives.convolution, (3, 3, 4, 4)),
    "convolution of stride 2": (
        lambda x, w: primitives.convolution(x, w, 2),
        (3, 3, 4, 4),
    ),
    "pointwise": (primitives.pointwise, (4, 4)),
    "max pool": (lambda x, w: primitives.max_pool(x, 2), (1,)),
    "average pool": (lambda x, w: primitives.average_pool(x, 2), (1,)),
    "batch norm": (lambda x, w: primitives.batch_norm(x)[0], (1,)),
}


@pytest.mark.parametrize("name", FORMS)
def test_gradient_in_a_conditional_in_a_loop(name):
    form, shape = FORMS[name]
    x, w = normal(6, 8, 8, 4), normal(*shape)

    def gradient(x, w):
        y, back = jax.vjp(form, x, w)
        return back(jnp.cos(y))

    def nothing(x, w):
        return jnp.zeros_like(x), jnp.zeros_like(w)

    @jax.jit
    def in_a_loop(choice, times, x, w):
        def body(_, total):
            g = lax.switch(choice, (nothing, gradient), x, w)
            return jax.tree.map(jnp.add, total, g)

        return lax.fori_loop(0, times, body, nothing(x, w))

    for mine, once in zip(in_a_loop(1, 2, x, w), jax.jit(gradient)(x, w), strict=True):
        near(mine, 2 * once, 1e-5)
    assert not any(map(np.any, in_a_loop(0, 2, x, w)))


@pytest.mark.parametrize("name", FORMS)
def test_bfloat16(name):
    form, shape = FORMS[name]
    x, w = normal(6, 8, 8, 4), normal(*shape)
    y, slopes = gradients(form, jnp.bfloat16(x), jnp.bfloat16(w))
    assert {a.dtype for a in (y, *slopes)} == {jnp.dtype(jnp.bfloat16)}
    wide, wide_slopes = gradients(form, x, w)
    near(y.astype(np.float32), wide, 0.03)
    if name == "max pool":  # rounding makes ties
        return
    for mine, theirs in zip(slopes, wide_slopes, strict=True):
        near(mine.astype(np.float32), theirs, 0.03)


def test_statistics_of_bfloat16_are_wide():
    # 0.1 is lost where 16,384 numbers are summed in bfloat16.
    x = jnp.bfloat16(1 + 0.1 * normal(16, 32, 32, 2))
    y, statistics = jax.jit(primitives.batch_norm)(x)
    assert (y.dtype, statistics.dtype) == (jnp.bfloat16, jnp.float32)
    wide = np.asarray(x, float)
    wanted = [wide.mean((0, 1, 2)), wide.var((0, 1, 2))]
    np.testing.assert_allclose(statistics, wanted, rtol=1e-4)
    assert primitives.normalize(x, statistics).dtype == jnp.bfloat16
