"""SGD by hand, schedules at their ends, epochs as permutations."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nasjax.networks import platforms, train_state, training
from nasjax.networks.training import Recipe


def test_cosine_starts_and_ends_where_the_recipe_says():
    recipe = Recipe(learning_rate=0.025, final_learning_rate=1e-3, epochs=10)
    ends = [float(training.cosine(recipe, epoch)) for epoch in (0, 5, 10)]
    np.testing.assert_allclose(ends, (0.025, 0.013, 1e-3), rtol=1e-6)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_equals_two_steps_by_hand(nesterov):
    recipe = Recipe(momentum=0.9, weight_decay=0.1, clip=5.0, nesterov=nesterov)
    p, v = np.array([1.0, -2.0]), np.zeros(2)
    state = train_state.start(jnp.asarray(p), None, recipe)
    for g in (np.array([6.0, 8.0]), np.array([0.3, -0.4])):
        gradient = jnp.asarray(g, jnp.float32)
        state = train_state.update(state, gradient, None, 0.5, recipe)
        clipped = g * min(1.0, 5.0 / np.linalg.norm(g)) + 0.1 * p
        v = 0.9 * v + clipped
        p = p - 0.5 * (clipped + 0.9 * v if nesterov else v)
        np.testing.assert_allclose(state.params, p, rtol=1e-6)
    assert int(state.step) == 2


def test_weights_not_selected_keep_value_and_momentum_bits():
    recipe = Recipe(weight_decay=0.3, clip=1.0)
    params = {"a": jnp.array([[1.1, 2.3], [3.7, 4.9]]), "b": jnp.array([0.1])}
    start = train_state.start(params, None, recipe)
    both = {"a": jnp.array([[True], [True]]), "b": jnp.array([True])}
    first = {"a": jnp.array([[True], [False]]), "b": jnp.array([False])}
    grads = jax.tree.map(jnp.ones_like, params)
    before = train_state.update(start, grads, None, 0.1, recipe, both)
    params, state = before.params, before.optimizer
    grads = {"a": jnp.array([[1.0, 1.0], [0.0, 0.0]]), "b": jnp.zeros(1)}
    new, after, *_ = train_state.update(before, grads, None, 0.1, recipe, first)
    np.testing.assert_array_equal(new["a"][1], params["a"][1])
    np.testing.assert_array_equal(new["b"], params["b"])
    np.testing.assert_array_equal(after[-1].trace["a"][1], state[-1].trace["a"][1])
    np.testing.assert_array_equal(after[-1].trace["b"], state[-1].trace["b"])
    assert np.all(np.asarray(new["a"][0]) != np.asarray(params["a"][0]))
    # Clipping saw the two selected entries only: norm sqrt(2), so each is 1/sqrt(2).
    moved = np.asarray(after[-1].trace["a"][0] - 0.9 * state[-1].trace["a"][0])
    decay = 0.3 * np.asarray(params["a"][0])
    np.testing.assert_allclose(moved - decay, 0.5**0.5, rtol=1e-5)


def test_an_epoch_shows_every_image_once_and_epochs_differ():
    key = jax.random.key(0)
    one = np.asarray(training.batches(key, 0, 103, 10))
    assert one.shape == (10, 10)
    assert len(set(one.ravel().tolist())) == 100
    assert one.min() >= 0
    assert one.max() < 103
    other = np.asarray(training.batches(key, 1, 103, 10))
    assert (one != other).any()
    np.testing.assert_array_equal(one, training.batches(key, 0, 103, 10))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"epochs": -1}, "epochs must be at least 1, got -1"),
        ({"learning_rate": -0.1}, "learning_rate must not be negative, got -0.1"),
        ({"clip": float("nan")}, "clip must not be negative, got nan"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1.0"),
    ],
)
def test_recipes_out_of_range_are_refused(fields, text):
    with pytest.raises(ValueError, match=text):
        Recipe(**fields)


def test_too_few_images_for_a_batch_is_an_error():
    with pytest.raises(ValueError, match="9 images are too few for a batch of 10"):
        training.batches(jax.random.key(0), 0, 9, 10)


def test_the_last_batch_is_kept():
    """Every image once; DARTS has 521 steps of 96, NAS-Bench-201 196 of 256."""
    index = np.asarray(training.batches(jax.random.key(0), 0, 103, 10, drop_last=False))
    assert index.shape == (11, 10)
    whole, last = training.parts(index)
    assert (whole.shape, last.shape) == ((10, 10), (1, 3))
    assert sorted([*whole.ravel(), *last.ravel()]) == list(range(103))
    np.testing.assert_array_equal(
        whole, training.batches(jax.random.key(0), 0, 103, 10)
    )
    (only,) = training.parts(index[-1:])
    np.testing.assert_array_equal(only, last)
    for size, kept, dropped in ((96, 521, 520), (256, 196, 195)):
        steps = [
            training.epoch_of(50_000, Recipe(batch_size=size, drop_last=drop)).steps
            for drop in (False, True)
        ]
        assert steps == [kept, dropped]


def test_an_epoch_weighs_batches_by_their_images():
    epoch = training.epoch_of(25, Recipe(batch_size=10, drop_last=False))
    assert (epoch.steps, epoch.whole, epoch.total) == (3, 2, 2.5)
    assert epoch.sizes(1, 3).tolist() == [10, 5]
    assert epoch.weights(0, 3).tolist() == [1, 1, 0.5]
    few = training.epoch_of(7, Recipe(batch_size=10, drop_last=False))
    assert (few.steps, few.whole, few.sizes(0, 1).tolist()) == (1, 0, [7])


def test_a_last_batch_that_cannot_be_divided_is_refused():
    recipe = Recipe(batch_size=10, drop_last=False)
    training.epoch_of(24, recipe).check(2)
    with pytest.raises(
        ValueError, match=r"last batch, of 5 images, .* 2 devices; drop_last=True"
    ):
        training.epoch_of(25, recipe).check(2)
    training.epoch_of(25, Recipe(batch_size=10)).check(2)


@pytest.mark.parametrize("gpu", (False, True))
def test_clipping_is_that_of_optax(gpu, monkeypatch):
    """Bit by bit on a CPU; a GPU adds up the squares of all arrays in another order."""
    if gpu:
        monkeypatch.setattr(platforms, "GPUS", ("cuda", "cpu"))
    recipe = Recipe(clip=2.0, weight_decay=0.0, momentum=0.0)
    draw = np.random.default_rng(0).standard_normal
    gradients = [draw((i % 3 + 1, 5)).astype(np.float32) for i in range(40)]
    optimizer, clip = training.sgd(recipe), optax.clip_by_global_norm(2.0)

    @jax.jit
    def both(gradients):
        mine, _ = optimizer.update(gradients, optimizer.init(gradients), gradients)
        theirs, _ = clip.update(gradients, clip.init(gradients))
        return mine, theirs

    for a, b in zip(*both(gradients), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6 if gpu else 0)
