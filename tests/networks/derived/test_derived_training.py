"""Training derived networks: schedules and losses by hand, devices like one."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from nasjax.networks import derived, linear
from nasjax.networks import training as schedules
from nasjax.networks.augment import AugmentConfig
from nasjax.networks.derived import training

pytestmark = pytest.mark.usefixtures("quick_compile")

B, STEPS = 8, 4
# The batches' images differ in their mean: a device's own statistics would not do.
_RANDOM = np.random.default_rng(0)
IMAGES = _RANDOM.integers(0, 120, (32, 8, 8, 3)).astype(np.uint8)
IMAGES += np.arange(0, 128, 4, dtype=np.uint8).reshape(-1, 1, 1, 1)
LABELS = _RANDOM.integers(0, 10, 32).astype(np.int32)
INDEX = _RANDOM.permutation(32).astype(np.int32).reshape(STEPS, B)
PLAIN = AugmentConfig(padding=0, flip=False, mean=(0.5,) * 3, std=(0.2,) * 3)
CONFIG = derived.nas_bench_201([3, 0, 4, 0, 1, 2], channels=4, cells=1)
RECIPE = training.Recipe(epochs=2, batch_size=B, drop_path=0.4, label_smoothing=0.1)


def test_linear_schedule_of_the_imagenet_recipe():
    recipe = training.Recipe(learning_rate=0.5, epochs=250, schedule="linear", warmup=5)
    rates = [training.learning_rate(recipe, e) for e in (0, 4, 5, 244, 245, 249)]
    last = 0.5 / 245
    wanted = (0.1, 0.5, 0.5 * 240 / 245, last, last, last / 5)
    np.testing.assert_allclose(rates, wanted, rtol=1e-6)
    plain = dataclasses.replace(recipe, warmup=0)
    rates = [training.learning_rate(plain, e) for e in (0, 125, 250)]
    np.testing.assert_allclose(rates, (0.5, 0.25, 0), rtol=1e-6)


def test_cosine_schedule_ends_at_zero():
    recipe = training.Recipe()
    rates = [training.learning_rate(recipe, e) for e in (0, 300, 600)]
    np.testing.assert_allclose(rates, (0.025, 0.0125, 0), atol=1e-9)


def test_label_smoothing_by_hand():
    """p = (1/2, 1/4, 1/4), label 0: -(0.9 log 1/2 + 0.1/3 log (1/2 1/4 1/4))."""
    logits = jnp.log(jnp.array([[0.5, 0.25, 0.25]]))
    plain = schedules.cross_entropy(logits, jnp.array([0]))
    np.testing.assert_allclose(plain, [np.log(2)], rtol=1e-6)
    smooth = schedules.cross_entropy(logits, jnp.array([0]), 0.1)
    np.testing.assert_allclose(smooth, [(0.9 + 0.5 / 3) * np.log(2)], rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"schedule": "step"}, "schedule is 'step'; allowed: cosine, linear"),
        ({"warmup": 5}, "warmup is 5; the cosine schedule has none"),
        (
            {"schedule": "linear", "warmup": 5, "epochs": 10},
            "warmup is 5; allowed: less than half of the 10 epochs",
        ),
        (
            {"schedule": "linear", "final_learning_rate": 0.1},
            "ends at 0, got final_learning_rate 0.1",
        ),
        ({"drop_path": 1.0}, r"drop_path must lie in \[0, 1\), got 1.0"),
        ({"label_smoothing": -0.1}, "label_smoothing must lie in"),
        ({"auxiliary": -1.0}, "auxiliary must not be negative, got -1.0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
    ],
)
def test_recipes_out_of_range_are_refused(fields, text):
    with pytest.raises(ValueError, match=text):
        training.Recipe(**fields)


def start(config=CONFIG, recipe=RECIPE):
    make = functools.partial(training.init, config=config, recipe=recipe, image_size=8)
    return jax.jit(make)(jax.random.key(0))


def stepper(config, mesh=None, **changed):
    recipe = dataclasses.replace(RECIPE, **changed)
    return functools.partial(
        training.step,
        config=config,
        recipe=recipe,
        augment=PLAIN,
        steps_per_epoch=2,
        mesh=mesh,
    )


def train(step, index=INDEX):
    state, losses = start(), []
    for row in index:
        key = jax.random.key(7)
        state, metrics = step(key, state, IMAGES, LABELS, row)
        losses.append(metrics.loss)
    return state, losses


@functools.cache
def alone():
    return jax.device_get(train(jax.jit(stepper(CONFIG))))


def same(mine, theirs):
    for a, b in zip(*map(jax.tree.leaves, (mine, theirs)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_a_mesh_trains_like_one_device():
    """4 steps with drop path from the third on, statistics of the whole batch."""
    mesh = Mesh(np.array(jax.devices()[:2]), (training.AXIS,))
    config = dataclasses.replace(CONFIG, axis_name=training.AXIS)
    same(train(jax.jit(stepper(config, mesh))), alone())


def test_pmap_trains_like_one_device():
    config = dataclasses.replace(CONFIG, axis_name="any")
    mapped = jax.pmap(
        stepper(config),
        axis_name="any",
        in_axes=(None, None, None, None, 0),
        devices=jax.devices()[:2],
    )

    def step(key, state, images, labels, index):
        out = mapped(key, state, images, labels, index.reshape(2, -1))
        for leaf in jax.tree.leaves(out):  # the same on both devices, in every bit
            np.testing.assert_array_equal(leaf[0], leaf[1])
        return jax.tree.map(lambda x: x[0], out)

    same(train(step), alone())


def test_drop_path_grows_with_the_epochs():
    """None in epoch 0; in epoch 1 of 2 it changes what is learnt."""
    one, losses = alone()
    without = jax.device_get(train(jax.jit(stepper(CONFIG, drop_path=0.0))))
    np.testing.assert_allclose(losses[:2], without[1][:2], rtol=1e-5)
    assert np.abs(np.subtract(losses[2:], without[1][2:])).min() > 1e-3
    assert int(one.step) == STEPS


def test_the_auxiliary_loss_reaches_the_cells_before_it():
    """The head's own gradient is proportional to its weight; later cells have none."""
    arch = np.array([[1, 3, 8, 3, 3, 3, 1, 8, 8, 3, 8, 8, 8, 3]] * 2, np.uint8)
    config = derived.darts(arch, channels=4, cells=3, auxiliary=True)
    variables = jax.jit(functools.partial(derived.init, config=config))(
        jax.random.key(0)
    )
    images = _RANDOM.standard_normal((4, 32, 32, 3)).astype(np.float32)

    @jax.jit
    def gradient(variables):
        out = []
        for weight in (0.2, 0.4):
            recipe = training.Recipe(auxiliary=weight, drop_path=0.0)
            grads, metrics, _ = training.gradient(
                jax.random.key(0), variables["params"], variables["statistics"], 0.0,
                images, LABELS[:4], config=config, recipe=recipe,
            )  # fmt: skip
            out.append((grads, metrics.loss))
        return out

    (half, one_loss), (whole, loss) = gradient(variables)
    np.testing.assert_array_equal(one_loss, loss)  # the auxiliary one is not shown
    head = [tree["body"]["auxiliary"] for tree in (half, whole)]
    for a, b in zip(*map(jax.tree.leaves, head), strict=True):
        np.testing.assert_allclose(2 * a, b, rtol=1e-4, atol=1e-7)
    stem = [tree["body"]["stem"]["kernel"] for tree in (half, whole)]
    assert np.abs(stem[0] - stem[1]).max() > 1e-4
    np.testing.assert_array_equal(
        half["classifier"]["kernel"], whole["classifier"]["kernel"]
    )


def test_logistic_regression_separates_what_is_linear():
    """Labels by whether the left half is brighter than the right: no mean tells."""
    images = _RANDOM.integers(0, 256, (600, 4, 4, 3)).astype(np.uint8)
    left, right = images[:, :, :2].astype(int), images[:, :, 2:].astype(int)
    labels = (left.sum((1, 2, 3)) > right.sum((1, 2, 3))).astype(np.int32)
    options = {"classes": 2, "mean": (0.5,) * 3, "std": (0.25,) * 3}
    train, test = (images[:400], labels[:400]), (images[400:], labels[400:])
    assert linear.accuracy(train, test, **options) > 0.9
    shuffled = images[:400], _RANDOM.permutation(labels[:400])
    assert linear.accuracy(shuffled, test, **options) < 0.7
