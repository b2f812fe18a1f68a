"""A frozen supernet as an environment: its batches, its statistics, its lanes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nasjax
from nasjax import costs, search
from nasjax.environments.cached import cached
from nasjax.environments.frozen_supernet import batches_together, score
from nasjax.environments.frozen_supernet import frozen_supernet as environment
from nasjax.networks import supernet

pytestmark = pytest.mark.usefixtures("quick_compile")

CONFIG = supernet.nas_bench_201(cells=1, channels=4)
SPACE = CONFIG.space
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
LABELS = RNG.integers(0, 10, 20).astype(np.int32)
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
ARCHS = jax.vmap(SPACE.random)(jax.random.split(jax.random.key(1), 3))


@pytest.fixture(scope="module")
def params(quick_compile):
    return jax.jit(lambda key: supernet.init(key, CONFIG))(jax.random.key(0))


@pytest.fixture(scope="module")
def env(params):
    return environment(CONFIG, params, IMAGES, LABELS, mean=MEAN, std=STD, batch_size=8)


TRACES = []


@jax.jit
def evaluate(env, arch):
    TRACES.append(1)
    return env.evaluate(jax.random.key(0), env.params, env.state, arch)[1]


@functools.partial(jax.jit, static_argnames="config")
def logits(config, params, arch, images, statistics=None):
    return supernet.apply(params, arch, images, config, statistics=statistics)[0]


def by_hand(params, arch, mean=MEAN, std=STD, statistics=None):
    """Two batches of eight; the last four images are in neither."""
    pixels = (IMAGES / 255 - np.array(mean)) / np.array(std)
    correct, errors = [], []
    for batch in (slice(0, 8), slice(8, 16)):
        x = jnp.asarray(pixels[batch], jnp.float32)
        out = logits(CONFIG, params, arch, x, statistics)
        correct += (np.argmax(out, -1) == LABELS[batch]).tolist()
        errors.append(
            optax.softmax_cross_entropy_with_integer_labels(out, LABELS[batch])
        )
    return np.mean(correct), np.mean(errors)


def test_full_batches_by_their_own_statistics(env, params):
    """One program serves every architecture."""
    TRACES.clear()
    for arch in ARCHS:
        accuracy, loss = by_hand(params, arch)
        found = evaluate(env, arch)
        assert (found.accuracy.dtype, found.loss.dtype) == (jnp.float32, jnp.float32)
        assert float(found.accuracy) == accuracy
        np.testing.assert_allclose(found.loss, loss, rtol=1e-5)
    assert len(TRACES) == 1


def test_running_statistics_and_plain_pixels(params):
    statistics = supernet.initial_statistics(CONFIG, 8)
    one = jax.jit(functools.partial(score, CONFIG, mean=None, std=None, batch_size=8))
    found = one(params, ARCHS[0], IMAGES, LABELS, statistics=statistics)
    wanted = by_hand(params, ARCHS[0], (0, 0, 0), (1, 1, 1), statistics)
    np.testing.assert_allclose(found[:2], wanted, rtol=1e-5)
    _, by_batch = by_hand(params, ARCHS[0], (0, 0, 0), (1, 1, 1))
    assert abs(by_batch - found.loss) > 1e-3


def test_batches_side_by_side(params, monkeypatch):
    """As a GPU takes them: each still by its own statistics."""
    judge = functools.partial(
        score, CONFIG, params, images=IMAGES, labels=LABELS, mean=MEAN, std=STD
    )
    alone, several = (
        jax.jit(functools.partial(judge, batch_size=4, together=together))
        for together in (1, 5)
    )
    found, wanted = several(arch=ARCHS[0]), alone(arch=ARCHS[0])
    assert found.accuracy == wanted.accuracy
    np.testing.assert_allclose(found.loss, wanted.loss, rtol=1e-5)
    # Conditionals stay conditionals.
    assert " cond[" in str(jax.make_jaxpr(lambda arch: several(arch=arch))(ARCHS[0]))
    with pytest.raises(ValueError, match="together is 2; allowed: divisors of 5"):
        judge(arch=ARCHS[0], batch_size=4, together=2)
    assert batches_together(50, 500) == 1
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert batches_together(50, 500) == 5
    assert batches_together(7, 10_000) == 1


def test_lanes_run_one_after_another(env):
    """The same bits as alone, and conditionals stay conditionals."""
    lanes = jax.vmap(evaluate, in_axes=(None, 0))
    together = jax.jit(lanes)(env, ARCHS)
    alone = [evaluate(env, arch) for arch in ARCHS]
    np.testing.assert_array_equal(together.accuracy, [x.accuracy for x in alone])
    np.testing.assert_array_equal(together.loss, [x.loss for x in alone])
    assert " cond[" in str(jax.make_jaxpr(lanes)(env, ARCHS))


def test_weights_and_images_are_arguments(env):
    traced = jax.make_jaxpr(evaluate)(env, ARCHS[0])
    assert sum(np.size(x) for x in traced.consts) < 100
    program = evaluate.lower(env, ARCHS[0]).as_text()
    assert max(map(len, program.splitlines())) < 5_000


def test_traced_lanes_and_cached_searches_ask_the_same(env):
    steps, keys = 6, [jax.random.key(seed) for seed in (1, 2)]
    searcher = nasjax.evolution(SPACE, nasjax.EvolutionConfig(population=3, sample=2))

    def run(key, env):
        return search.run(key, searcher, env, steps)[1]

    lanes = jax.jit(jax.vmap(run, in_axes=(0, None)))(jnp.stack(keys), env)
    remembered = cached(env)
    for lane, key in enumerate(keys):
        _, trace = search.drive(key, searcher, remembered, steps)
        np.testing.assert_array_equal(trace.arch, lanes.arch[lane])
        np.testing.assert_array_equal(trace.accuracy, lanes.accuracy[lane])


@pytest.mark.parametrize(
    ("labels", "batch_size", "words"),
    [
        (LABELS, 21, "20 images hold no full batch of 21"),
        (LABELS, 0, "no full batch of 0"),
        (LABELS[:19], 8, "20 images with 19 labels"),
    ],
)
def test_sizes_that_do_not_fit(params, labels, batch_size, words):
    for make in (environment, functools.partial(score, arch=ARCHS[0])):
        with pytest.raises(ValueError, match=words):
            make(
                CONFIG,
                params,
                images=IMAGES,
                labels=labels,
                mean=MEAN,
                std=STD,
                batch_size=batch_size,
            )


def test_images_and_labels_that_do_not_fit(params):
    """Before any work: a label outside of the classes made the loss NaN."""
    for images, labels, words in (
        (IMAGES, LABELS + 1, "labels are 1 to 10; allowed: 0 to 9"),
        (IMAGES[..., :1], LABELS, "1 channels; the network has image_channels=3"),
    ):
        for make in (environment, functools.partial(score, arch=ARCHS[0])):
            with pytest.raises(ValueError, match=words):
                make(
                    CONFIG,
                    params,
                    images=images,
                    labels=labels,
                    mean=None,
                    std=None,
                    batch_size=8,
                )


def test_metrics_of_an_architecture(env, params):
    table = costs.nb201_network()
    options = {"mean": MEAN, "std": STD, "batch_size": 8}
    measuring = environment(
        *(CONFIG, params, IMAGES, LABELS),
        metrics=lambda arch: {"size": costs.params(table, arch)},
        **options,
    )
    for arch in ARCHS[:2]:
        known, outcome = evaluate(env, arch), evaluate(measuring, arch)
        assert (outcome.accuracy, outcome.loss) == (known.accuracy, known.loss)
        assert outcome.metrics == {"size": costs.params(table, np.asarray(arch))}
        assert known.metrics == {}
