"""The process over several tasks: two tasks by hand, and one task as the process."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.agent import coregionalisation as cr
from nasjax.agent import gaussian_process as gp

pytestmark = pytest.mark.usefixtures("quick_compile")

BASE = gp.Prior(0.5, 0.3, 0.1, 0.25, 1e-6)  # one row that differs: 0.5
PRIOR = cr.Prior(BASE, 0.8, 0.2)
ROWS = jnp.eye(2, dtype=jnp.float32)[:, None]  # the two architectures of one row [1, 2]
TWO = jnp.array([True, True])


def kernel(tasks=2):
    return cr.init(1, 2, tasks, PRIOR)


def test_tasks_start_equally_correlated():
    wanted = 0.8 + 0.2 * np.eye(3)
    np.testing.assert_allclose(cr.correlations(kernel(3), PRIOR), wanted, atol=1e-6)


def test_covariance_is_that_of_the_tasks_times_that_of_the_architectures():
    """0.8 between tasks, 0.5 between architectures, noise 0.25 on the diagonal."""
    points = gp.embed(kernel().base, BASE, ROWS)
    task = jnp.array([0, 1])
    C = cr.noisy_covariance(kernel(), PRIOR, points, task, jnp.ones(2))
    np.testing.assert_allclose(C, [[1.25, 0.4], [0.4, 1.25]], atol=1e-5)
    noisy = kernel()._replace(log_noise=jnp.log(jnp.array([0.25, 0.5])))
    C = cr.noisy_covariance(noisy, PRIOR, points, task, jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(C, [[1.25, 0], [0, 1]], atol=1e-5)


def test_an_outcome_of_one_task_informs_the_other():
    """y = 1 of task 0 at a: task 1 has the mean 0.8 / 1.25 at a, 0.4 / 1.25 at b."""
    args = jnp.array([0, 0]), jnp.array([1.0, 9.0]), jnp.array([True, False])
    posterior = cr.condition(kernel(), PRIOR, ROWS, *args)
    mean, deviation = cr.predict(posterior, kernel(), PRIOR, ROWS, jnp.int32(1))
    np.testing.assert_allclose(mean, [0.64, 0.32], atol=1e-5)
    left = [1 - 0.8**2 / 1.25, 1 - 0.4**2 / 1.25]
    np.testing.assert_allclose(deviation, np.sqrt(left), atol=1e-5)


def test_one_task_is_the_single_process():
    rng = np.random.default_rng(0)
    prior = cr.Prior(gp.Prior(0.5, 0.3, 0.1, 0.03, 0.25), 0.8, 0.2)
    alpha = jnp.asarray(np.eye(3)[rng.integers(0, 3, (6, 2))], jnp.float32)
    y, valid = jnp.asarray(rng.normal(size=6), jnp.float32), jnp.arange(6) < 5
    single, several = gp.init(2, 3, prior.base), cr.init(2, 3, 1, prior)
    task = jnp.zeros(6, jnp.int32)
    one = gp.predict(
        gp.condition(single, prior.base, alpha, y, valid), single, prior.base, alpha
    )
    posterior = cr.condition(several, prior, alpha, task, y, valid)
    other = cr.predict(posterior, several, prior, alpha, jnp.int32(0))
    np.testing.assert_allclose(one, other, atol=1e-5)
    wanted = jax.grad(gp.loss)(single, prior.base, alpha, y, valid)
    grad = jax.grad(cr.loss)(several, prior, alpha, task, y, valid)
    np.testing.assert_allclose(grad.base.shared, wanted.shared, atol=1e-4)
    np.testing.assert_allclose(grad.log_noise[0], wanted.log_noise, atol=1e-4)
    assert grad.base.log_noise == 0


def test_loss_has_the_gradient_of_the_negative_log_posterior():
    """(y' C^-1 y + log det C) / 2 and the priors, by differences in float64."""
    task, y = jnp.array([0, 1]), jnp.array([1.0, -0.5])
    off = jnp.array([[0.1, 0.0], [-0.2, 0.3]])
    at = kernel()._replace(task=off, log_noise=jnp.log(jnp.array([0.1, 0.4])))

    def negative_log_posterior(u, log_noise):
        scale = np.sqrt(-0.5 * np.log(0.8))
        first, second = scale * np.eye(2) + u
        between = 0.5 * np.exp(-np.sum((first - second) ** 2))
        C = np.array([[1, between], [between, 1]]) + np.diag(np.exp(log_noise))
        fit = np.asarray(y) @ np.linalg.solve(C, np.asarray(y))
        priors = np.sum(u**2) / 0.2**2 + np.sum((log_noise - np.log(0.25)) ** 2)
        return 0.5 * (fit + np.log(np.linalg.det(C)) + priors)

    grad = jax.grad(cr.loss)(at, PRIOR, ROWS, task, y, TWO)
    u, noise = np.asarray(off, np.float64), np.asarray(at.log_noise, np.float64)
    h = 1e-5
    for i, j in np.ndindex(2, 2):
        step = np.zeros((2, 2))
        step[i, j] = h
        high, low = (negative_log_posterior(u + s * step, noise) for s in (1, -1))
        np.testing.assert_allclose(grad.task[i, j], (high - low) / (2 * h), rtol=2e-3)
    for i in range(2):
        step = h * np.eye(2)[i]
        high, low = (negative_log_posterior(u, noise + s * step) for s in (1, -1))
        np.testing.assert_allclose(grad.log_noise[i], (high - low) / (2 * h), rtol=2e-3)


def test_matched_values_take_the_references_in_their_order():
    value = jnp.array([30.0, 10.0, 99.0, 20.0])
    reference = jnp.array([0.5, 2.0, -9.0, 1.0])
    valid = jnp.array([True, True, False, True])
    matched = cr.matched(value, reference, valid)
    np.testing.assert_allclose(matched, [2.0, 0.5, 0.0, 1.0])
    tied = cr.matched(jnp.array([7.0, 7.0, 1.0, 8.0]), reference, jnp.full(4, True))
    np.testing.assert_allclose(tied, [0.75, 0.75, -9.0, 2.0])


def test_scores_of_a_later_task_start_where_the_first_one_predicts():
    """Task 0 knows a good and a bad architecture; task 1 was asked at the good one."""
    alpha = ROWS[jnp.array([0, 1, 0])]
    task, valid = jnp.array([0, 0, 1]), jnp.full(3, True)
    value = jnp.array([0.9, 0.1, 0.003])
    score = cr.scores(kernel(), PRIOR, alpha, task, value, valid)
    q = 0.6744898  # the normal quantiles of 1/4 and 3/4 are -q and q
    np.testing.assert_allclose(score[:2], [q, -q], atol=1e-5)
    # (k_a, k_b) C^-1 (q, -q) with k = 0.8 (1, 0.5), C = [[1.25, .5], [.5, 1.25]]
    np.testing.assert_allclose(score[2], q * 0.8 * 0.5 / 0.75, atol=1e-5)
    again = cr.scores(kernel(), PRIOR, alpha, task, value.at[2].set(7.0), valid)
    np.testing.assert_allclose(again, score, atol=1e-6)  # a single rank says nothing
