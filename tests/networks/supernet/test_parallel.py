"""A batch spread over devices: statistics, logits and gradient of the whole batch."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpy_supernet as reference
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nasjax import spaces
from nasjax.networks import supernet

pytestmark = pytest.mark.usefixtures("quick_compile")

B, CLASSES = 8, 10
# Compile times add up over operations.
FEW = dataclasses.replace(
    spaces.darts(none=True),
    operations=("none", "max_pool_3x3", "skip_connect", "dil_conv_3x3"),
)
FEW_201 = dataclasses.replace(
    spaces.nas_bench_201(), operations=("none", "nor_conv_3x3", "avg_pool_3x3")
)
CONFIGS = {
    "darts": supernet.SupernetConfig(FEW, channels=8, cells=1),
    "nas_bench_201": dataclasses.replace(
        supernet.nas_bench_201(channels=4, cells=1), space=FEW_201
    ),
}
IMAGES = np.random.default_rng(0).standard_normal((B, 8, 8, 3), np.float32)
# Devices see batches that differ: their own statistics would not do.
IMAGES += np.arange(B, dtype=np.float32).reshape(-1, 1, 1, 1)
LABELS = np.random.default_rng(1).integers(CLASSES, size=B)
SHARED, SPLIT = PartitionSpec(), PartitionSpec("data")


def gradient(config, mode, params, choice, images, labels):
    """Of the mean cross-entropy over all devices; their logits; statistics."""

    def loss(params):
        logits, used = supernet.apply(params, choice, images, config, mode=mode)
        errors = -jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels]
        return errors.mean(), (logits, used)

    grads, (logits, used) = jax.grad(loss, has_aux=True)(params)
    if config.axis_name is not None:
        grads = jax.lax.pmean(grads, config.axis_name)
    return grads, logits, used


@functools.cache
def params_of(name):
    return reference.weights(
        jax.eval_shape(lambda: supernet.init(jax.random.key(0), CONFIGS[name]))
    )


@functools.cache
def alone(name):
    """One device, `path`, any architecture."""
    return jax.jit(functools.partial(gradient, CONFIGS[name], "path"))


def architectures(name):
    space = CONFIGS[name].space
    yield from (space.random(jax.random.key(seed)) for seed in (2, 3))
    yield np.full(space.arch_shape, space.num_operations - 1, np.uint8)


def check(name, function, mode="path"):
    """The function gives, for each architecture, what one device gives."""
    for arch in architectures(name):
        grads, logits, used = function(params_of(name), arch, IMAGES, LABELS)
        wanted = alone(name)(params_of(name), arch, IMAGES, LABELS)
        wanted_grads, wanted_logits, wanted_used = wanted
        near(logits.reshape(B, CLASSES), wanted_logits)
        jax.tree.map(near, grads, wanted_grads)
        if mode == "path":  # the other has them of operations not selected, too
            jax.tree.map(near, used, wanted_used)


def near(actual, wanted):
    bound = 1e-4 * max(1e-2, np.abs(wanted).max(initial=0))
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=bound)


def mesh_of(devices):
    return Mesh(np.array(jax.devices()[:devices]), ("data",))


def spread(name, devices, mode):
    """Over a mesh; gradients and statistics are the same everywhere."""
    config = dataclasses.replace(CONFIGS[name], axis_name="data")
    return jax.jit(
        jax.shard_map(
            functools.partial(gradient, config, mode),
            mesh=mesh_of(devices),
            in_specs=(SHARED, SHARED, SPLIT, SPLIT),
            out_specs=(SHARED, SPLIT, SHARED),
            check_vma=False,
        )
    )


@pytest.mark.parametrize(
    "name, devices, mode",
    [
        ("nas_bench_201", 2, "path"),
        ("darts", 4, "path"),
        ("nas_bench_201", 4, "dense"),
    ],
)
def test_shard_map(name, devices, mode):
    check(name, spread(name, devices, mode), mode)


def test_pmap():
    name, devices = "darts", 4
    config = dataclasses.replace(CONFIGS[name], axis_name="data")
    mapped = jax.pmap(
        functools.partial(gradient, config, "path"),
        axis_name="data",
        in_axes=(None, None, 0, 0),
        devices=jax.devices()[:devices],
    )

    def function(params, arch, images, labels):
        images = images.reshape(devices, -1, *images.shape[1:])
        labels = labels.reshape(devices, -1)
        grads, logits, used = mapped(params, arch, images, labels)
        # The same on all devices, in every bit.
        for leaf in jax.tree.leaves((grads, used)):
            np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))
        grads, used = jax.tree.map(lambda x: x[0], (grads, used))
        return grads, logits, used

    check(name, function)


def test_sharded_arguments():
    """Without an axis: the compiler spreads one device's program over the batch."""
    name, mesh = "nas_bench_201", mesh_of(2)
    rows = NamedSharding(mesh, SPLIT)

    def function(params, arch, images, labels):
        images, labels = jax.device_put((images, labels), rows)
        return alone(name)(params, arch, images, labels)

    check(name, function)


def test_own_statistics_would_not_do():
    """The tests above would fail on a network that forgets the axis."""
    name = "nas_bench_201"
    arch = next(architectures(name))
    first = np.concatenate([IMAGES[: B // 2]] * 2)  # the statistics of a half
    whole, half = (
        alone(name)(params_of(name), arch, x, LABELS)[1][: B // 2]
        for x in (IMAGES, first)
    )
    assert np.abs(half - whole).max() > 0.1
