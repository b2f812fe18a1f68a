"""Exploration: the thesis's schedule (4.2.1), noise (Eq. 4.2), warm-up (4.1.2)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nasjax.agent import exploration


def thesis_epsilon(step):
    return exploration.cosine_epsilon(step, 1.0, 0.05, 175)


@pytest.mark.parametrize(
    "step, epsilon",
    [(0, 1.0), (87.5, 0.525), (175, 0.05), (176, 0.05), (10**6, 0.05)],
)
def test_cosine_values(step, epsilon):
    assert float(thesis_epsilon(step)) == pytest.approx(epsilon, abs=1e-6)


@pytest.mark.parametrize(
    "steps, actions",
    # 175 * 0.525 + 0.475, as the cosines at 0 .. 174 add up to 1; then 0.05 a step.
    [(175, 92.35), (500, 108.60), (1000, 133.60)],
)
def test_expected_random_actions(steps, actions):
    total = np.asarray(thesis_epsilon(jnp.arange(steps)), np.float64).sum()
    assert total == pytest.approx(actions, abs=1e-3)


def test_cosine_never_rises_and_ends_at_once_without_steps():
    assert np.all(np.diff(thesis_epsilon(jnp.arange(300))) <= 0)
    no_steps = exploration.cosine_epsilon(jnp.arange(3), 1.0, 0.2, 0)
    np.testing.assert_allclose(no_steps[1:], 0.2, rtol=1e-6)


def test_warm_up_is_all_or_nothing():
    probability = exploration.warm_up(jnp.arange(6), 3)
    np.testing.assert_array_equal(probability, [1, 1, 1, 0, 0, 0])
    assert float(exploration.warm_up(0, 0)) == 0


def test_noise_is_uniform_within_its_bounds():
    noisy = exploration.uniform_noise(jax.random.key(0), jnp.full(4_000, 0.5), 0.25)
    scaled = (np.asarray(noisy) - 0.5) / 0.25
    assert np.all(np.abs(scaled) <= 1)
    assert stats.kstest(scaled, "uniform", args=(-1, 2)).pvalue > 1e-3


def test_noise_is_clipped_to_actions():
    edges = jnp.repeat(jnp.array([0.0, 1.0]), 500)
    noisy = exploration.uniform_noise(jax.random.key(1), edges, 0.1)
    assert noisy.min() == 0
    assert noisy.max() == 1
    # Half of the draws at an edge point outwards.
    assert 0.4 < np.mean(np.asarray(noisy == edges)) < 0.6


def test_no_noise():
    action = jnp.array([0.0, 0.3, 1.0])
    same = exploration.uniform_noise(jax.random.key(0), action, 0.0)
    np.testing.assert_array_equal(same, action)


def test_gaussian_noise_has_its_deviation():
    noise = exploration.gaussian_noise(jax.random.key(0), jnp.full(20_000, 0.5), 0.05)
    assert float(noise.std()) == pytest.approx(0.05, rel=0.03)
    assert stats.kstest((np.asarray(noise) - 0.5) / 0.05, "norm").pvalue > 0.01
    edge = exploration.gaussian_noise(jax.random.key(0), jnp.zeros(100), 0.05)
    assert edge.min() >= 0 and edge.max() > 0


@pytest.mark.parametrize("steps, deviation", [(1, 0.020), (8, 0.0563), (32, 0.1105)])
def test_ornstein_uhlenbeck_spreads(steps, deviation):
    """From 0, theta 0.15, sigma 0.2, dt 0.01: variance dt sigma^2 (1 - c^n) / (1 - c),
    c = (1 - theta dt)^2."""

    def step(noise, key):
        return exploration.ornstein_uhlenbeck(key, noise, 0.15, 0.2, 1e-2), None

    keys = jax.random.split(jax.random.key(1), steps)
    noise, _ = jax.lax.scan(step, jnp.zeros(40_000), keys)
    assert float(noise.std()) == pytest.approx(deviation, rel=0.02)
    assert abs(float(noise.mean())) < 0.002


def test_ornstein_uhlenbeck_without_kicks_returns_to_zero():
    noise = exploration.ornstein_uhlenbeck(
        jax.random.key(0), jnp.array([1.0, -2.0]), 0.15, 0.0, 1.0
    )
    np.testing.assert_allclose(noise, [0.85, -1.7])
