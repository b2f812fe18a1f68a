"""A supernet trained by its queries (thesis Algorithm 1)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax import search
from nasjax.environments.frozen_supernet import score
from nasjax.environments.trainable_supernet import trainable_supernet
from nasjax.networks import augment, supernet, training
from nasjax.networks.examples import Examples
from nasjax.networks.supernet import training as supernet_training

pytestmark = pytest.mark.usefixtures("quick_compile")

CONFIG = supernet.nas_bench_201(cells=1, channels=4)
# Compile times add up over operations.
CONFIG = dataclasses.replace(
    CONFIG,
    space=dataclasses.replace(
        CONFIG.space, operations=("none", "skip_connect", "nor_conv_3x3")
    ),
)
RECIPE = training.Recipe(batch_size=8, learning_rate=0.05)
AUGMENT = augment.AugmentConfig(padding=1, mean=(0.5,) * 3, std=(0.25,) * 3)
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 60).astype(np.int32)
# Each class has a brightness of its own.
PIXELS = RNG.integers(0, 60, (60, 8, 8, 3)) + 60 * LABELS[:, None, None, None]
EXAMPLES = Examples(PIXELS.astype(np.uint8), LABELS)
TRAIN, VALID = EXAMPLES.at(slice(40)), EXAMPLES.at(slice(40, 60))
ARCH = jnp.array([2, 1, 2, 2, 0, 1], jnp.uint8)


def key(seed=0):
    return jax.random.key(seed)


@pytest.fixture(scope="module")
def start(quick_compile):
    init = jax.jit(lambda key: supernet_training.init(key, CONFIG, RECIPE, 8))
    return init(key())


def make(state, train=TRAIN, valid=VALID, **changed):
    settings = {"recipe": RECIPE, "augment": AUGMENT, "batches": 3, "eval_batch": 10}
    return trainable_supernet(CONFIG, state, train, valid, **settings | changed)


@pytest.fixture(scope="module")
def asked(start):
    env = make(start, scan=False)
    state, outcome = env.evaluate(key(1), env.params, env.state, ARCH)
    return env, state, outcome


def test_a_query_trains_m_batches_then_scores(start, asked):
    _, state, outcome = asked
    assert int(state.step) - int(start.step) == 3
    wanted = score(
        CONFIG, state.params, ARCH, *VALID, mean=AUGMENT.mean, std=AUGMENT.std,
        batch_size=10,
    )  # fmt: skip
    assert float(outcome.accuracy) == float(wanted.accuracy)
    assert float(outcome.loss) == pytest.approx(float(wanted.loss), rel=1e-5)


def test_only_the_architecture_s_weights_move(start, asked):
    """Value and momentum of the others keep their bits."""
    _, state, _ = asked
    mask = supernet.network.selected(CONFIG, ARCH)
    moved = 0
    for new, old, used in zip(
        *map(jax.tree.leaves, (state.params, start.params, mask)), strict=True
    ):
        used = np.broadcast_to(used, new.shape)
        np.testing.assert_array_equal(new[~used], old[~used])
        moved += int((np.asarray(new) != np.asarray(old))[used].sum())
    assert moved > 100


def test_one_function_is_the_loop(start, asked):
    """`scan=True` trains on the same batches as calls one by one."""
    env = make(start, scan=True)
    assert env.traceable and not asked[0].traceable
    state, outcome = jax.jit(env.evaluate)(key(1), env.params, env.state, ARCH)
    for new, old in zip(*map(jax.tree.leaves, (state, asked[1])), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-4, atol=1e-5)
    assert float(outcome.loss) == pytest.approx(float(asked[2].loss), rel=1e-3)


def test_keys_choose_the_batches(start, asked):
    env = asked[0]
    again, _ = env.evaluate(key(1), env.params, env.state, ARCH)
    other, _ = env.evaluate(key(2), env.params, env.state, ARCH)
    jax.tree.map(np.testing.assert_array_equal, again, asked[1])
    leaves = zip(*map(jax.tree.leaves, (other.params, again.params)), strict=True)
    assert any(not np.array_equal(a, b) for a, b in leaves)


def test_a_search_trains_it(start):
    """Random search for 30 steps: the supernet gets better as it is asked."""
    env = make(start, scan=False)
    space = CONFIG.space
    _, trace = search.drive(key(3), nasjax.random_search(space), env, 30)
    assert trace.loss[-10:].mean() < trace.loss[:5].mean()
    assert trace.accuracy[-10:].mean() > 0.3  # 0.1 is chance


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"batches": 6}, "batches is 6; the training half has 1..5"),
        ({"batches": 0}, "batches is 0"),
        ({"eval_batch": 21}, "20 images hold no full batch of 21"),
    ],
)
def test_it_refuses(start, settings, text):
    with pytest.raises(ValueError, match=text):
        make(start, **settings)


def test_it_refuses_labels_outside_of_the_classes(start):
    for name, half in (("train", TRAIN), ("valid", VALID)):
        wrong = {name: half._replace(labels=half.labels + 8)}
        text = rf"{name} images: labels are 8 to 11; .* 0 to 9"
        with pytest.raises(ValueError, match=text):
            make(start, **wrong)
