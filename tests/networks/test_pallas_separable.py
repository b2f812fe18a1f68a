"""Fused separable convolutions: kernels, interpreted, against `primitives`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.networks import pallas_separable, platforms, primitives
from nasjax.networks.supernet import cells, path

pytestmark = pytest.mark.usefixtures("quick_compile")

# (B, H, W, C), blocks, k, dilation, stride
SIZES = {
    "sep 3x3": ((1, 32, 32, 16), 2, 3, 1, 1),
    "sep 5x5, halved, odd sides": ((2, 7, 9, 20), 2, 5, 1, 2),
    "dil 3x3, halved": ((3, 16, 16, 36), 1, 3, 2, 2),
    "dil 5x5": ((2, 8, 8, 4), 1, 5, 2, 1),
    "two tiles of channels": ((1, 5, 5, 72), 1, 3, 1, 1),
    "more tiles than programs": ((65, 16, 16, 64), 1, 3, 1, 2),
}


@pytest.fixture
def kernels_on_cpu(monkeypatch):
    monkeypatch.setattr(platforms, "GPUS", ("cuda", "cpu"))
    jax.clear_caches()
    yield
    monkeypatch.undo()
    jax.clear_caches()


def composed(x, depth, point, dilation, stride, axis_name=None):
    statistics = []
    for t in range(len(depth)):
        x = jax.nn.relu(x)
        x = primitives.depthwise(x, depth[t], dilation, 1 if t else stride)
        x = primitives.pointwise(x, point[t])
        x, used = primitives.batch_norm(x, axis_name)
        statistics.append(used)
    return x, jnp.stack(statistics)


def arrays(shape, blocks, k, stride, seed=0):
    draw = np.random.default_rng([seed, *shape]).standard_normal
    B, H, W, C = shape
    out = B, -(-H // stride), -(-W // stride), C
    shapes = shape, (blocks, k, k, C), (blocks, C, C), out
    scales = 1, k, C**0.5, 1
    return [
        jnp.asarray(draw(s, np.float32) / scale)
        for s, scale in zip(shapes, scales, strict=True)
    ]


def values(operation, dilation, stride):
    """Output, statistics and gradients, compiled."""

    @jax.jit
    def run(x, depth, point, g):
        def of(*arrays):
            return operation(*arrays, dilation, stride)

        (y, used), back = jax.vjp(of, x, depth, point)
        return y, used, *back((g, jnp.zeros_like(used)))

    return run


@pytest.mark.parametrize("name", SIZES)
def test_kernels_compute_what_primitives_do(kernels_on_cpu, name):
    """Output and all gradients to 1e-5 of their scale, with the same zeros."""
    shape, blocks, k, dilation, stride = SIZES[name]
    inputs = arrays(shape, blocks, k, stride)
    mine = values(pallas_separable.separable, dilation, stride)(*inputs)
    theirs = values(composed, dilation, stride)(*inputs)
    for a, b in zip(mine, theirs, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())
    np.testing.assert_array_equal(mine[2] == 0, theirs[2] == 0)


def test_other_platforms_compose_primitives():
    """Bit by bit."""
    inputs = arrays((2, 6, 5, 4), 2, 3, 2)
    mine = values(pallas_separable.separable, 1, 2)(*inputs)
    theirs = values(composed, 1, 2)(*inputs)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_devices_share_a_batch(kernels_on_cpu):
    """With an axis name, statistics and gradients are those of the whole batch."""
    x, depth, point, g = arrays((4, 5, 5, 4), 2, 3, 1)
    whole = values(pallas_separable.separable, 1, 1)(x, depth, point, g)

    def of(x, g):
        def operation(*arrays):
            return pallas_separable.separable(*arrays, 1, 1, "data")

        (y, used), back = jax.vjp(operation, x, depth, point)
        g_x, *weights = back((g, jnp.zeros_like(used)))
        return y, used[None], g_x, *jax.lax.psum(weights, "data")

    halves = (a.reshape(2, 2, *a.shape[1:]) for a in (x, g))
    y, used, g_x, *weights = jax.jit(jax.vmap(of, axis_name="data"))(*halves)
    shared = y.reshape(x.shape), used[0, 0], g_x.reshape(x.shape)
    for a, b in zip((*shared, *(w[0] for w in weights)), whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


def test_a_cell_computes_by_kernels_what_it_does_without(kernels_on_cpu):
    """A path's nodes, statistics and gradients, in its loop over edges."""
    names = ("sep_conv_3x3", "dil_conv_3x3")
    plain = cells.Cell(((0, 2), (1, 2)), names, "darts", channels=4, inputs=2)
    weights = cells.init(jax.random.key(0), plain)
    draw = np.random.default_rng(0).standard_normal
    inputs = tuple(jnp.asarray(draw((2, 5, 5, 4), np.float32)) for _ in range(2))
    arch = jnp.array([0, 1])

    @functools.partial(jax.jit, static_argnums=0)
    def run(cell):
        (nodes, used), back = jax.vjp(
            lambda w, x: path.path(cell, w, x, arch), weights, inputs
        )
        return nodes, used, *back((inputs[:1], jnp.zeros_like(used)))

    pairs = map(jax.tree.leaves, (run(plain._replace(pallas=True)), run(plain)))
    for a, b in zip(*pairs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())
