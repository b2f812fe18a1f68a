"""CADAM against the thesis: its numbers, its state, its reward, and that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax import search
from nasjax.agent import history
from nasjax.environments.tabular import from_arrays
from nasjax.search import Outcome
from nasjax.searchers.cadam import cycles, observe, reward
from nasjax.searchers.cadam_config import thesis, thesis_supernet

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(4, ("a", "b", "c"))
ARCHS = np.asarray(SPACE.from_index(jnp.arange(81)))
VALUES = np.random.default_rng(0).random(81).astype(np.float32)
STEPS = 60


def test_defaults_are_the_thesis():
    """Sections 4.2.1 and 4.4.3."""
    config = nasjax.CadamConfig()
    assert thesis() == config
    assert (config.top_k, config.tau, config.batch_size) == (64, 0.9, 8)
    assert (config.xi, config.max_cycles) == (1e-4, 10)
    assert config.exploration == "epsilon-greedy"
    assert (config.epsilon_start, config.epsilon_stop) == (1.0, 0.05)
    assert config.epsilon_steps == 175
    assert config.hidden == (128, 256, 128)
    assert (config.beta1, config.beta2) == (0.9, 0.99)
    assert (config.actor_lr, config.critic_lr) == (1e-8, 1e-4)
    assert (config.critic_loss, config.reward_base) == ("check", 100)


def test_supernet_settings_are_the_thesis():
    config = thesis_supernet()
    assert config.hidden == (256, 256, 256)
    assert (config.exploration, config.warm_up) == ("warm-up", 3000)
    assert (config.top_k, config.tau, config.batch_size) == (500, 0.95, 64)
    assert (config.xi, config.max_cycles, config.capacity) == (5e-5, 1, 5000)
    nasjax.cadam(nasjax.darts(), config)


@pytest.mark.parametrize("steps, total", [(500, 4_570), (1_000, 9_570)])
def test_updates_in_all(steps, total):
    """Eq. 4.6: 8 (1 + ... + 9) + 1 + ... : none before 8 are stored, ten from 80."""
    C = np.asarray(cycles(jnp.arange(steps), steps, nasjax.CadamConfig()))
    assert C.sum() == total
    assert C[[0, 6, 7, 14, 15, 78, 79, steps - 1]].tolist() == [
        0,
        0,
        1,
        1,
        2,
        9,
        10,
        10,
    ]


def test_updates_with_a_small_replay():
    config = nasjax.CadamConfig()
    assert int(cycles(999, 7, config)) == 0
    assert int(cycles(999, 20, config)) == 2
    assert int(cycles(999, 20, config.replace(max_cycles=0))) == 0


SMALL = nasjax.CadamConfig(
    hidden=(16, 16), top_k=5, batch_size=4, max_cycles=2, epsilon_steps=30
)


@pytest.fixture(scope="module")
def searched(quick_compile):
    """One search; the replay holds every step in order, as it never fills."""
    env = from_arrays(SPACE, ARCHS, [VALUES])
    searcher = nasjax.cadam(SPACE, SMALL)
    go = jax.jit(lambda key, env: search.run(key, searcher, env, STEPS))
    state, trace = go(jax.random.key(0), env)
    return jax.tree.map(np.asarray, (state.searcher, trace))


def test_the_state_is_the_mean_of_the_top_k_distinct(searched):
    state, trace = searched
    one_hot = np.eye(3, dtype=np.float32)
    best = {}
    for t in range(STEPS):
        top = sorted(best, key=best.get, reverse=True)[:5]
        wanted = np.mean([one_hot[list(arch)] for arch in top], 0) if top else 0
        observed = state.replay.items.observation[t].reshape(4, 3)
        np.testing.assert_allclose(observed, wanted * np.ones((4, 3)), atol=1e-6)
        best[tuple(trace.arch[t].tolist())] = trace.accuracy[t]
    assert len(best) < STEPS  # some were asked twice
    top = sorted(best, key=best.get, reverse=True)[:5]
    wanted = np.mean([one_hot[list(arch)] for arch in top], 0)
    final = history.HistoryState(*(jnp.asarray(x) for x in state.history))
    np.testing.assert_allclose(observe(SPACE, final).reshape(4, 3), wanted, atol=1e-6)


def test_what_is_stored(searched):
    """(s_t, a_t, r_t), with r = 100^Acc (Eq. 4.1) and the noisy action."""
    state, trace = searched
    items = state.replay.items
    assert int(state.replay.count) == STEPS
    np.testing.assert_allclose(
        items.reward, 100.0 ** trace.accuracy.astype(float), 1e-5
    )
    assert items.reward.min() >= 1
    alpha = items.action.reshape(STEPS, 4, 3)
    np.testing.assert_array_equal(alpha.argmax(-1), trace.arch)
    np.testing.assert_allclose(items.action.std(1), trace.info["spread"], rtol=1e-4)


def test_random_actions_are_uniform_and_greedy_ones_near_the_actor(searched):
    state, trace = searched
    explored = trace.info["explored"]
    assert 0 < explored.sum() < STEPS
    random = state.replay.items.action[explored]
    assert random.min() < 0.1
    assert random.max() > 0.9
    # sigmoid(1e-3 w . h) +- 1e-4, with an actor that 1e-8 barely moves.
    greedy = state.replay.items.action[~explored]
    assert np.abs(greedy - 0.5).max() < 2e-3
    assert greedy.std() > 1e-6


def test_no_training_before_a_batch_is_there(searched):
    trace = searched[1]
    assert np.all(trace.info["critic_loss"][:3] == 0)
    assert np.all(trace.info["critic_loss"][3:] > 0)


def explored(config, steps, seeds):
    """bool [S, T]: whether a fresh agent's action at a step is a random one."""
    searcher = nasjax.cadam(SPACE, config)
    state = searcher.init(jax.random.key(0), 1)
    keys = jax.random.split(jax.random.key(1), (seeds, steps))

    def ask(key, step):
        return searcher.ask(key, state, step)[0].explored

    over_steps = jax.vmap(ask)
    return np.asarray(jax.jit(jax.vmap(over_steps, (0, None)))(keys, jnp.arange(steps)))


def test_random_actions_follow_epsilon():
    """92.35 of the first 175 steps on average, 108.6 of 500 (thesis 4.2.1)."""
    is_random = explored(SMALL.replace(epsilon_steps=175), 500, 200)
    assert np.all(is_random[:, 0])
    epsilon = 0.05 + 0.475 * (1 + np.cos(np.pi * np.minimum(np.arange(500) / 175, 1)))
    for steps, wanted in [(175, 92.35), (500, 108.60)]:
        counts = is_random[:, :steps].sum(1)
        variance = (epsilon * (1 - epsilon))[:steps].sum()
        assert abs(counts.mean() - wanted) < 4 * np.sqrt(variance / len(counts))


def test_warm_up_is_random_then_never():
    is_random = explored(SMALL.replace(exploration="warm-up", warm_up=25), 60, 2)
    np.testing.assert_array_equal(is_random, np.tile(np.arange(60) < 25, (2, 1)))


def test_the_policy_learns():
    """An additive table: late greedy actions beat random and untrained ones.

    Worth: 2 on each edge's best operation, 1 on the second; over 8. Random: 1/2.
    """
    best = np.array([2, 0, 1, 2])
    values = ((ARCHS - best) % 3 == 0) * 2 + ((ARCHS - best) % 3 == 1) * 1
    values = values.sum(1).astype(np.float32) / 8
    assert values.mean() == 0.5
    env = from_arrays(SPACE, ARCHS, [values])

    @jax.jit
    def late(rates, keys):
        def one(rate, key):
            config = SMALL.replace(
                actor_lr=rate,
                critic_lr=1e-2,
                xi=0.02,
                max_cycles=4,
                batch_size=8,
                epsilon_steps=100,
            )
            trace = search.run(key, nasjax.cadam(SPACE, config), env, 300)[1]
            greedy = ~trace.info["explored"][200:]
            return jnp.sum(trace.accuracy[200:] * greedy) / jnp.sum(greedy)

        return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(rates, keys)

    keys = jax.vmap(jax.random.key)(jnp.arange(10))
    still, trained = np.asarray(late(jnp.array([0.0, 3e-3]), keys))
    # Searches differ by about 0.04: their means of ten by 0.012.
    assert abs(still.mean() - 0.5) < 0.05
    assert trained.mean() > 0.75
    assert trained.mean() > still.mean() + 0.2


@pytest.mark.parametrize(
    ("reward", "wanted"),
    [("power", [1, 10, 100**0.25, 100**0.25]), ("scaled", [-1e30, 0.5, 0.25, 0.25])],
)
def test_a_failure_is_learnt_as_the_lowest_score(reward, wanted):
    """Before any score as an accuracy of 0; never in the history of the best."""
    config = nasjax.CadamConfig(hidden=(8,), top_k=5, batch_size=8, reward=reward)
    searcher = nasjax.cadam(SPACE, config)
    init, tell = jax.jit(searcher.init, static_argnums=1), jax.jit(searcher.tell)
    state = init(jax.random.key(0), 8)
    for step, accuracy in enumerate([float("nan"), 0.5, 0.25, float("inf")]):
        outcome = Outcome(jnp.float32(accuracy), jnp.float32(0))
        arch = jnp.full(4, step % 3, jnp.uint8)
        state, _ = tell(jax.random.key(1), state, step, arch, outcome)
    np.testing.assert_allclose(state.replay.items.reward[:4], wanted, rtol=1e-6)
    np.testing.assert_array_equal(state.history.score[:3], [0.5, 0.25, -np.inf])
    assert (float(state.low), float(state.high)) == (0.25, 0.5)


RELATIVE = nasjax.CadamConfig(reward="relative", env_accuracy=0.5)


def test_rewards_by_hand():
    """Thesis Eq. 4.1, and L2NAS Eq. 7: 100^(Acc / 0.5) / 100 - 1."""
    accuracy = jnp.array([0, 0.25, 0.5, 1])
    power = reward(nasjax.CadamConfig(), accuracy)
    np.testing.assert_allclose(power, [1, 10**0.5, 10, 100], rtol=1e-5)
    relative = reward(RELATIVE, accuracy)
    np.testing.assert_allclose(relative, [-0.99, -0.9, 0, 99], rtol=1e-5, atol=1e-6)


def test_the_accuracy_of_the_environment_is_traced():
    count = []

    @jax.jit
    def go(config):
        count.append(1)
        return reward(config, jnp.float32(0.5))

    values = [go(RELATIVE.replace(env_accuracy=x)) for x in (0.25, 0.5, 1.0)]
    np.testing.assert_allclose(values, [99, 0, -0.9], rtol=1e-5, atol=1e-6)
    assert len(count) == 1


@pytest.mark.parametrize(
    ("name", "value"), [("reward", "log"), ("env_accuracy", 0.0), ("env_accuracy", -1)]
)
def test_rewards_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        nasjax.cadam(nasjax.darts(), RELATIVE.replace(**{name: value}))


def test_scaled_scores_of_any_unit_search_the_same_way():
    """An affine map of all scores changes nothing; without scaling it would."""
    config = nasjax.CadamConfig(
        reward="scaled", hidden=(8,), batch_size=4, max_cycles=2, epsilon_steps=5,
        actor_lr=1e-2, critic_lr=1e-2,
    )  # fmt: skip

    searcher = nasjax.cadam(SPACE, config)
    run = jax.jit(lambda key, env: search.run(key, searcher, env, 40)[1])

    def trace(scores):
        return run(jax.random.key(0), from_arrays(SPACE, ARCHS, [scores]))

    fractions, degrees = trace(VALUES), trace(64 * VALUES - 512)
    np.testing.assert_array_equal(fractions.arch, degrees.arch)
    assert np.isfinite(degrees.info["critic_loss"]).all()
    assert len(np.unique(SPACE.index(fractions.arch))) > 10
