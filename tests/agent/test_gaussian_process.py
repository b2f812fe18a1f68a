"""The Gaussian process against NumPy's linear algebra and SciPy's integrals."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import integrate, stats

from nasjax.agent import descend, inverse_root
from nasjax.agent import gaussian_process as gp

pytestmark = pytest.mark.usefixtures("quick_compile")

PRIOR = gp.Prior(0.5, 0.3, 0.1, 0.03, 0.25)
E, O, N = 3, 4, 7
RNG = np.random.default_rng(0)


def kernel():
    """Away from the mean of its prior."""
    draw = [RNG.normal(0, 0.2, shape) for shape in ((O, O), (E, O, O))]
    numbers = jnp.float32(-2.0), jnp.float32(-0.5)
    return gp.Kernel(*(jnp.asarray(x, jnp.float32) for x in draw), *numbers)


def one_hot(count, seed=1):
    index = np.random.default_rng(seed).integers(0, O, (count, E))
    return jnp.asarray(np.eye(O)[index], jnp.float32)


@pytest.mark.parametrize("form", ("inverse_root", "by_halves", "by_cholesky"))
def test_inverse_root(form):
    """Also the forms that no CPU takes by itself, and several matrices at once."""
    root_of = jax.jit(jax.vmap(getattr(inverse_root, form)))
    for n in (1, 5, 32, 33, 100):
        x = RNG.normal(size=(n, n + 3))
        matrix = x @ x.T / n + np.eye(n)
        two = jnp.asarray(np.stack([np.eye(n), matrix]), jnp.float32)
        root = np.asarray(root_of(two))[1]
        np.testing.assert_allclose(root @ matrix @ root.T, np.eye(n), atol=2e-4)
        assert np.all(np.triu(root, 1) == 0)


def test_neighbours_are_correlated_as_the_prior_says():
    """At the prior's mean each row that differs takes another factor 0.5, and a third
    of what is a sum over rows."""
    start = gp.init(E, O, PRIOR)
    alpha = np.eye(O)[[[0, 0, 0], [0, 0, 1], [0, 2, 1], [3, 2, 1]]]
    points = gp.embed(start, PRIOR, jnp.asarray(alpha, jnp.float32))
    covariance = gp.covariance(start, points, points)[0]
    product, total = np.array([1, 1 / 2, 1 / 4, 1 / 8]), np.array([3, 2, 1, 0]) / 3
    np.testing.assert_allclose(covariance, 0.75 * product + 0.25 * total, rtol=1e-5)
    np.testing.assert_allclose(gp.variance(start, points), 1, rtol=1e-5)


def test_before_an_observation_the_process_is_its_prior():
    """Mean 0 and the prior's deviation; the same as `condition` on empty slots."""
    k, alpha = kernel(), one_hot(N)
    empty = gp.unobserved(k, PRIOR, alpha)
    mean, deviation = gp.predict(empty, k, PRIOR, one_hot(5, seed=2))
    np.testing.assert_array_equal(mean, 0)
    np.testing.assert_allclose(deviation, 1, rtol=1e-6)
    none = jnp.zeros(N)
    jax.tree.map(
        np.testing.assert_array_equal,
        empty,
        gp.condition(k, PRIOR, alpha, none, none > 0),
    )


def test_predictions_against_numpy():
    """Mean k' (K + s I)^-1 y, variance 1 - k' (K + s I)^-1 k; empty slots ignored."""
    k, alpha, new = kernel(), one_hot(N), 0.9 * one_hot(5, seed=2) + 0.025
    y = jnp.asarray(RNG.normal(size=N), jnp.float32)
    held = jnp.array([True] * 5 + [False] * 2)
    posterior = gp.condition(k, PRIOR, alpha, y, held)
    mean, deviation = gp.predict(posterior, k, PRIOR, new)
    w = 1 / (1 + np.exp(0.5))

    def cov(x, y):
        x, y = (gp.embed(k, PRIOR, alpha) for alpha in (x, y))
        near, far = (np.asarray(p.embedded, np.float64) for p in (x, y))
        product = np.exp(-((near[:, None] - far[None]) ** 2).sum(-1))
        return (1 - w) * product + w * np.asarray(x.plain @ y.plain.T)

    known = alpha[:5]
    inverse = np.linalg.inv(cov(known, known) + np.exp(-2.0) * np.eye(5))
    np.testing.assert_allclose(mean, cov(new, known) @ inverse @ y[:5], atol=1e-4)
    wanted = np.diag(cov(new, new) - cov(new, known) @ inverse @ cov(new, known).T)
    np.testing.assert_allclose(deviation, np.sqrt(wanted), atol=1e-4)


def test_imagined_observations_are_observations_of_the_mean():
    """As conditioned anew on both, so that the mean stays; free slots do not count."""
    k, alpha, more, new = kernel(), one_hot(N), one_hot(3, seed=4), one_hot(5, seed=2)
    y = jnp.asarray(np.random.default_rng(2).normal(size=N), jnp.float32)
    held = jnp.arange(N) < 5
    before = gp.condition(k, PRIOR, alpha, y, held)
    used = jnp.array([True, True, False])
    mean, deviation = gp.predict(
        gp.imagine(before, k, PRIOR, more, used), k, PRIOR, new
    )
    old, wider = gp.predict(before, k, PRIOR, new)
    both = jnp.concatenate([alpha, more]), jnp.concatenate([held, used])
    y = jnp.concatenate([y, gp.predict(before, k, PRIOR, more)[0]])
    after = gp.condition(k, PRIOR, both[0], y, both[1])
    np.testing.assert_allclose(mean, old, atol=1e-5)
    wanted = gp.predict(after, k, PRIOR, new)
    np.testing.assert_allclose((mean, deviation), wanted, atol=1e-4)
    assert np.all(deviation < wider)


def test_an_assumed_score_is_an_observation_of_it():
    """As conditioned anew on both (a constant liar); free slots do not count."""
    k, alpha, more, new = kernel(), one_hot(N), one_hot(3, seed=4), one_hot(5, seed=2)
    y = jnp.asarray(np.random.default_rng(2).normal(size=N), jnp.float32)
    held, used = jnp.arange(N) < 5, jnp.array([True, True, False])
    before = gp.condition(k, PRIOR, alpha, y, held)
    lied = gp.predict(gp.imagine(before, k, PRIOR, more, used, -1.5), k, PRIOR, new)
    both = jnp.concatenate([alpha, more]), jnp.concatenate([held, used])
    after = gp.condition(k, PRIOR, both[0], jnp.append(y, jnp.full(3, -1.5)), both[1])
    wanted = gp.predict(after, k, PRIOR, new)
    np.testing.assert_allclose(lied, wanted, atol=1e-4)


def test_normal_scores_by_hand():
    """Ranks 1, 2.5, 2.5, 4 of four; the fifth slot is empty."""
    value = jnp.array([3.0, -5.0, 100.0, 3.0, 7.0])
    held = jnp.array([True, True, True, True, False])
    wanted = stats.norm.ppf([0.5, 0.125, 0.875, 0.5])
    np.testing.assert_allclose(gp.normal_scores(value, held), [*wanted, 0], atol=1e-5)


@pytest.mark.parametrize("mean", [-7.0, -4.2, -1.0, 0.0, 2.0])
def test_expected_improvement_is_the_integral(mean):
    def gain(f):
        return (f - 0.3) * stats.norm.pdf(f, mean, 0.8)

    wanted, _ = integrate.quad(gain, 0.3, 0.3 + 12, points=[0.5, 1, 2])
    log_gain = float(gp.log_expected_improvement(mean, 0.8, 0.3))
    assert log_gain == pytest.approx(np.log(wanted), rel=2e-2, abs=1e-3)


def test_the_kernel_learns_which_rows_matter():
    """Values depend on the first row only: a change there decorrelates more."""
    alpha = one_hot(60)
    y = jnp.asarray([0.0, 1.0, -1.0, 2.0])[jnp.argmax(alpha[:, 0], -1)]
    y = (y - y.mean()) / y.std()
    held = jnp.ones(60, bool)
    optimizer = optax.adam(0.05)

    def loss(kernel):
        return gp.loss(kernel, PRIOR, alpha, y, held)

    def step(carry, _):
        return descend(optimizer, loss, *carry)[:2], None

    start = gp.init(E, O, PRIOR)
    (learnt, _), _ = jax.jit(
        lambda k: jax.lax.scan(step, (k, optimizer.init(k)), None, 100)
    )(start)
    archs = jnp.asarray(np.eye(O)[[[0, 0, 0], [3, 0, 0], [0, 3, 0]]], jnp.float32)
    points = gp.embed(learnt, PRIOR, archs)
    same, first, second = np.asarray(gp.covariance(learnt, points, points)[0])
    assert same == pytest.approx(1) and 1 - first > 4 * (1 - second)
