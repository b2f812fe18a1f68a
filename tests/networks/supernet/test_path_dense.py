"""`path`, `dense` and a network in NumPy are one function, and so are their slopes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpy_supernet as reference
import pytest

from nasjax import spaces
from nasjax.networks import supernet

pytestmark = pytest.mark.usefixtures("quick_compile")

B, CLASSES = 4, 10


def few(space, *names):
    """Compile times add up over operations, strides and cells."""
    return dataclasses.replace(space, operations=names)


NONE, SEPARABLE, DILATED = "none", "sep_conv_3x3", "dil_conv_3x3"
MAX, AVERAGE, SKIP = "max_pool_3x3", "avg_pool_3x3", "skip_connect"
DARTS, WITH_NONE = spaces.darts(), spaces.darts(none=True)
CONFIGS = {
    # One reduction cell: both strides.
    "darts with none": supernet.SupernetConfig(
        few(WITH_NONE, NONE, MAX, SKIP, SEPARABLE, DILATED),
        channels=8,
        cells=1,
    ),
    "pc_darts": supernet.SupernetConfig(
        few(WITH_NONE, NONE, AVERAGE, SKIP, DILATED),
        channels=8,
        cells=1,
        parts=2,
        stem="imagenet",
    ),
    "nas_bench_201": supernet.nas_bench_201(channels=8, cells=1),
}
# A normal cell and two reduction cells, one after the other.
THREE = supernet.SupernetConfig(few(DARTS, MAX, SKIP, DILATED), channels=8, cells=3)
every = pytest.mark.parametrize("name", CONFIGS)


def wide(tree):
    return jax.tree.map(lambda x: np.asarray(x, float), tree)


def near(actual, wanted, tolerance):
    """Within the tolerance, relative to the largest entry."""
    bound = tolerance * max(1e-2, np.abs(wanted).max(initial=0))
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=bound)


def same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


class Net:
    """A supernet, a batch, and its two compiled gradients."""

    def __init__(self, config):
        self.config, self.traces = config, 0
        self.params = reference.weights(
            jax.eval_shape(lambda: supernet.init(jax.random.key(0), config))
        )
        random = np.random.default_rng(3)
        size = 32 if config.stem == "imagenet" else 8
        self.images = random.standard_normal((B, size, size, 3), np.float32)
        self.labels = random.integers(CLASSES, size=B)
        self.path, self.dense = jax.jit(self._path), jax.jit(self._dense)

    def _loss(self, params, choice, mode):
        logits, used = supernet.apply(
            params, choice, self.images, self.config, mode=mode
        )
        errors = -jax.nn.log_softmax(logits)[jnp.arange(B), self.labels]
        return errors.mean(), (logits, used)

    def _path(self, params, arch):
        """Logits, gradient of params, statistics."""
        self.traces += 1
        loss = jax.value_and_grad(self._loss, has_aux=True)
        (_, (logits, used)), grads = loss(params, arch, "path")
        return logits, grads, used

    def _dense(self, params, alpha):
        """Logits, gradients of params and alpha, statistics."""
        loss = jax.value_and_grad(self._loss, (0, 1), has_aux=True)
        (_, (logits, used)), grads = loss(params, alpha, "dense")
        return logits, *grads, used

    def reference(self, params, alpha):
        return reference.network(params, alpha, wide(self.images), self.config)

    def reference_loss(self, params, alpha):
        logits = self.reference(params, alpha)
        total = np.log(np.exp(logits).sum(-1))
        return np.mean(total - logits[np.arange(B), self.labels])

    def architectures(self):
        """Two of the space; one with any number of absent edges; all edges one."""
        space, random = self.config.space, np.random.default_rng(8)
        yield space.random(jax.random.key(0))
        yield space.random(jax.random.key(1))
        O = space.num_operations
        yield random.integers(0, O + 1, space.arch_shape).astype(np.uint8)
        yield np.full(space.arch_shape, O - 1, np.uint8)

    def poisoned(self, arch):
        """NaN for weights that the architecture does not select."""
        mine = supernet.selected(self.config, arch)
        return jax.tree.map(lambda x, m: jnp.where(m, x, jnp.nan), self.params, mine)


@functools.cache
def net(name):
    return Net(CONFIGS[name])


@every
def test_path_is_dense(name):
    """In logits, gradients and statistics; one program for all architectures."""
    this = net(name)
    space = this.config.space
    for arch in this.architectures():
        logits, grads, used = this.path(this.params, arch)
        alpha = space.one_hot(arch)
        wanted, wanted_grads, _, wanted_used = this.dense(this.params, alpha)
        near(logits, wanted, 1e-5)
        jax.tree.map(lambda a, b: near(a, b, 1e-4), grads, wanted_grads)
        for place, statistics in used.items():
            other = wanted_used[place]
            if statistics.ndim > 2:  # of a cell: only what is computed has any
                mask = alpha.reshape(space.cells, *alpha.shape[-2:])[-1]
                seen = np.array(mask > 0)
                near(statistics[seen], other[seen], 1e-5)
                plain = np.broadcast_to([[0], [1]], statistics[~seen].shape)
                np.testing.assert_array_equal(statistics[~seen], plain)
            else:
                near(statistics, other, 1e-5)
    assert this.traces == 1


@every
def test_dense_is_the_sum_over_edges(name):
    """All ones, one operation an edge, and numbers of either sign."""
    this = net(name)
    shape = this.config.space.alpha_shape
    soft = np.random.default_rng(4).standard_normal(shape).astype(np.float32)
    one_hot = this.config.space.one_hot(next(this.architectures()))
    for alpha in (np.ones(shape, np.float32), soft, np.asarray(one_hot)):
        logits, *_ = this.dense(this.params, alpha)
        near(logits, this.reference(wide(this.params), wide(alpha)), 5e-5)


def check_slopes(loss, at, gradient):
    """A gradient along random directions, by differences of a loss in float64."""
    # So small that hardly any ReLU or maximum changes its mind.
    h, random = 1e-8, np.random.default_rng(5)
    for _ in range(3):
        along = jax.tree.map(lambda x: random.standard_normal(x.shape), at)
        ends = [
            loss(jax.tree.map(lambda x, d, s=s: x + s * d, at, along)) for s in (h, -h)
        ]
        slope, square = (
            sum(jax.tree.leaves(jax.tree.map(lambda a, b: (a * b).sum(), gradient, x)))
            for x in (along, gradient)
        )
        error = abs(slope - (ends[0] - ends[1]) / (2 * h))
        assert error < 2e-4 * np.sqrt(square), slope


@every
def test_slopes(name):
    """Gradients of params and of a soft mask."""
    this = net(name)
    shape = this.config.space.alpha_shape
    alpha = np.random.default_rng(6).uniform(0.1, 1, shape).astype(np.float32)
    _, g_params, g_alpha, _ = wide(this.dense(this.params, alpha))
    params, alpha = wide((this.params, alpha))
    check_slopes(lambda p: this.reference_loss(p, alpha), params, g_params)
    check_slopes(lambda a: this.reference_loss(params, a), alpha, g_alpha)


def test_three_cells():
    """`path` against NumPy: logits and slopes."""
    this = Net(THREE)
    for arch in this.architectures():
        logits, grads, _ = this.path(this.params, arch)
        alpha = np.asarray(THREE.space.one_hot(arch), float)
        params, grads = wide((this.params, grads))
        near(logits, this.reference(params, alpha), 5e-5)
        check_slopes(lambda p, a=alpha: this.reference_loss(p, a), params, grads)


def rows(x):
    """Which rows of a stack are not all zero."""
    return np.asarray(x != 0).any(axis=tuple(range(1, x.ndim)))


@every
def test_weights_not_selected_are_not_touched(name):
    """Read nowhere, whatever they hold; their gradient is exactly zero."""
    this = net(name)
    for arch in this.architectures():
        clean, poisoned = this.path(this.params, arch), this.poisoned(arch)
        same_bits(clean, this.path(poisoned, arch))
        mine, grads = supernet.selected(this.config, arch), clean[1]
        full = np.all(np.asarray(arch) == this.config.space.num_operations - 1)
        for place in (place for place in grads if place.startswith("cell")):
            flags = jax.tree.map(np.ravel, mine[place]["edges"])
            moved = jax.tree.map(rows, grads[place]["edges"])
            for flag, row in zip(*map(jax.tree.leaves, (flags, moved)), strict=True):
                assert np.all(flag | ~row)
                # Behind a `none` or an absent edge there may be nothing to learn.
                assert not full or np.array_equal(flag, row)
    assert this.traces == 1


def test_every_selected_weight_of_nas_bench_201_learns():
    this = net("nas_bench_201")
    arch = np.array([2, 3, 2, 3, 2, 3], np.uint8)
    grads = this.path(this.params, arch)[1]
    for stage in range(3):
        (edges,) = grads[f"cell{stage}.0"]["edges"]
        np.testing.assert_array_equal(rows(edges["nor_conv_1x1"]["kernel"]), arch == 2)
        np.testing.assert_array_equal(rows(edges["nor_conv_3x3"]["kernel"]), arch == 3)


@every
def test_nothing_on_any_edge(name):
    """Absent everywhere: no operation runs, least of all the first of the list."""
    this = net(name)
    space = this.config.space
    arch = np.full(space.arch_shape, space.num_operations, np.uint8)
    logits, grads, _ = this.path(this.poisoned(arch), arch)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves((logits, grads)))
    near(logits, this.dense(this.params, space.one_hot(arch))[0], 1e-5)
    bias = np.broadcast_to(this.params["classifier"]["bias"], logits.shape)
    np.testing.assert_array_equal(logits, bias)


@every
def test_none_on_every_edge(name):
    """As good as absent, but where PC-DARTS passes channels by."""
    this = net(name)
    arch = np.zeros(this.config.space.arch_shape, np.uint8)
    logits, grads, _ = this.path(this.poisoned(arch), arch)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves((logits, grads)))
    alpha = wide(this.config.space.one_hot(arch))
    near(logits, this.reference(wide(this.params), alpha), 5e-5)
    bias = np.broadcast_to(this.params["classifier"]["bias"], logits.shape)
    assert np.array_equal(logits, bias) == (name != "pc_darts")
