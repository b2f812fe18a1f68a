"""Networks: orthogonal weights without LAPACK, and how small the last layer is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.agent import Actor, Critic, orthogonal

pytestmark = pytest.mark.usefixtures("quick_compile")


def assert_orthogonal(weight, tolerance=1e-4):
    """Rows (or columns, the shorter side) are orthonormal; `[..., m, n]`."""
    weight = np.asarray(weight, np.float64)
    turned = np.swapaxes(weight, -1, -2)
    wide = weight.shape[-2] <= weight.shape[-1]
    product = weight @ turned if wide else turned @ weight
    wanted = np.broadcast_to(np.eye(product.shape[-1]), product.shape)
    np.testing.assert_allclose(product, wanted, atol=tolerance)


@pytest.mark.parametrize("shape", [(128, 256), (256, 128), (256, 256), (30, 128)])
def test_orthogonal(shape):
    weight = jax.jit(orthogonal(), static_argnums=1)(jax.random.key(0), shape)
    assert weight.shape == shape
    assert weight.dtype == jnp.float32
    assert_orthogonal(weight)


def test_orthogonal_whatever_the_key():
    """A square Gaussian may be nearly singular; the iteration has to last."""
    keys = jax.random.split(jax.random.key(0), 1_000)
    weights = jax.jit(jax.vmap(lambda key: orthogonal()(key, (16, 16))))(keys)
    assert_orthogonal(weights)


@pytest.mark.parametrize("scale", [1e-3, 2.0])
def test_scale(scale):
    weight = np.asarray(orthogonal(scale)(jax.random.key(1), (8, 20)), np.float64)
    np.testing.assert_allclose(np.linalg.svd(weight)[1], scale, rtol=1e-4)


@pytest.mark.parametrize("shape", [(3,), (3, 3, 4, 4)])
def test_orthogonal_matrices_only(shape):
    with pytest.raises(ValueError, match="two dimensions"):
        orthogonal()(jax.random.key(0), shape)


def test_as_uniform_as_rotations_are():
    """Moments of the Haar measure: 0, 1/n, 3/(n (n + 2)); determinants +-1 alike."""
    n, count = 8, 4_000
    keys = jax.random.split(jax.random.key(2), count)
    weights = np.asarray(jax.vmap(lambda key: orthogonal()(key, (n, n)))(keys))
    for row, column in [(0, 0), (3, 5), (7, 7)]:
        entry = weights[:, row, column].astype(np.float64)
        for power, moment in [(1, 0), (2, 1 / n), (3, 0), (4, 3 / (n * (n + 2)))]:
            sample = entry**power
            error = sample.std() / np.sqrt(count)
            assert abs(sample.mean() - moment) < 4 * error
    positive = (np.linalg.det(weights) > 0).mean()
    assert abs(positive - 0.5) < 4 * 0.5 / np.sqrt(count)


@pytest.fixture(scope="module")
def actor_params():
    """Of two actors, drawn inside a vmapped jit (where QR can hang)."""
    actor = Actor((128, 256, 128), 30)
    keys = jax.random.split(jax.random.key(3), 2)
    return jax.jit(jax.vmap(lambda key: actor.init(key, jnp.zeros(30))))(keys)


def test_actor_layers(actor_params):
    layers = actor_params["params"]
    assert sorted(layers) == ["Dense_0", "Dense_1", "Dense_2", "Dense_3"]
    widths = [30, 128, 256, 128, 30]
    for i, name in enumerate(sorted(layers)):
        kernel, bias = layers[name]["kernel"], layers[name]["bias"]
        assert kernel.shape == (2, widths[i], widths[i + 1])
        np.testing.assert_array_equal(bias, 0)
        scale = 1e-3 if i == 3 else 1.0
        assert_orthogonal(kernel / scale)
        assert not np.allclose(kernel[0], kernel[1])


def test_actor_starts_near_a_half(actor_params):
    actor = Actor((128, 256, 128), 30)
    params = jax.tree.map(lambda x: x[0], actor_params)
    assert np.all(np.asarray(actor.apply(params, jnp.zeros(30))) == 0.5)
    observation = jax.random.uniform(jax.random.key(4), (7, 30))
    action = np.asarray(actor.apply(params, observation))
    assert action.shape == (7, 30)
    # sigmoid(x) = 1/2 + x/4 + ..., |x| <= 1e-3 |observation|.
    bound = 0.25e-3 * np.linalg.norm(observation, axis=1, keepdims=True)
    assert np.all(np.abs(action - 0.5) <= bound + 1e-7)
    assert action.std() > 1e-6
    assert action.min() > 0
    assert action.max() < 1


def test_critic_is_a_scalar_per_action():
    critic = Critic((16, 8))
    params = jax.jit(critic.init)(jax.random.key(5), jnp.zeros(4))
    last = np.asarray(params["params"]["Dense_2"]["kernel"], np.float64)
    np.testing.assert_allclose(np.linalg.norm(last), 1e-3, rtol=1e-4)
    action = jax.random.uniform(jax.random.key(6), (5, 3, 4))
    value = critic.apply(params, action)
    assert value.shape == (5, 3)
    assert critic.apply(params, action[0, 0]).shape == ()

    def by_hand(x):
        for i in range(3):
            layer = params["params"][f"Dense_{i}"]
            x = x @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])
            x = np.maximum(x, 0) if i < 2 else x
        return x[..., 0]

    np.testing.assert_allclose(value, by_hand(np.asarray(action)), atol=1e-8)


def test_scale_of_the_last_layer_and_tanh():
    """Traced; tanh(2 x) = 2 sigmoid(4 x) - 1 of the same weights."""
    observation = jax.random.uniform(jax.random.key(5), (6,))

    @jax.jit
    def both(last):
        actors = [Actor((8,), 5, last, output) for output in ("tanh", "sigmoid")]
        params = actors[0].init(jax.random.key(6), observation)
        doubled = jax.tree.map(lambda x: x, params)
        doubled["params"]["Dense_1"]["kernel"] *= 2
        critic = Critic((8,), last).init(jax.random.key(7), observation)
        tanh = actors[0].apply(params, observation)
        return params, critic, tanh, actors[1].apply(doubled, observation)

    params, critic, tanh, sigmoid = both(0.25)
    kernel = params["params"]["Dense_1"]["kernel"]
    assert_orthogonal(kernel / 0.25)
    assert np.linalg.norm(critic["params"]["Dense_1"]["kernel"]) == pytest.approx(0.25)
    np.testing.assert_allclose(tanh, 2 * sigmoid - 1, atol=1e-6)
    assert np.min(tanh) < 0 < np.max(tanh)
