"""DDAS: its reward, its phases, its bursts (thesis 3.1.2, 3.1.3, 3.2.1)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax import search
from nasjax.environments.tabular import from_arrays
from nasjax.search import Environment, Outcome
from nasjax.searchers import ddas as factory
from nasjax.searchers.ddas import VARIANTS, reward, similar
from nasjax.spaces import darts, table_space

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = table_space(4, ("a", "b", "c"))
VALUES = np.random.default_rng(0).random(81).astype(np.float32)
TABLE = from_arrays(SPACE, np.asarray(SPACE.from_index(jnp.arange(81))), [VALUES])


def small(**settings):
    defaults = {"hidden": (8, 8), "batch_size": 4, "explore": 10, "exploit": 10}
    return nasjax.DdasConfig(**defaults | settings)


@functools.partial(jax.jit, static_argnums=1)
def run(config, steps, env=TABLE):
    """One program for configs that differ in numbers only."""
    return search.run(jax.random.key(0), factory(SPACE, config), env, steps)


@functools.partial(jax.jit, static_argnums=1)
def start(config, steps):
    return search.init(jax.random.key(0), factory(SPACE, config), TABLE, steps)


@functools.cache
def states(config, steps):
    """The searcher's state after each step, and the trace."""
    kept = []
    _, trace = search.drive(
        jax.random.key(0),
        factory(SPACE, config),
        TABLE.replace(evaluate=jax.jit(TABLE.evaluate)),
        steps,
        start(config, steps),
        on_step=lambda step, state, row: kept.append(state.searcher),
    )
    return kept, trace


def test_the_presets_are_the_thesis_s():
    nl, g, four, td3 = (make() for make in VARIANTS.values())
    assert (nl.noise, nl.scale, nl.explore, nl.bursts) == ("uniform", 1e-5, 500, False)
    assert (g.noise, g.scale, g.bursts) == ("gaussian", 0.05, False)
    assert (four.exploit, four.bursts, four.stagnation, four.recent) == (
        500, True, 32, 500,
    )  # fmt: skip
    assert (nl.gamma, nl.mixing, nl.batch_size, nl.hidden) == (
        0.99, 1e-3, 64, (256, 256, 256),
    )  # fmt: skip
    assert (nl.actor_lr, nl.critic_lr, nl.beta1, nl.beta2) == (1e-4, 1e-3, 0.9, 0.99)
    assert (td3.critics, td3.actor_delay) == (2, 2)


def test_reward_by_hand():
    """(0.7 - 0.5) / 2 + (1.5 - 1.2) / 2 (thesis Eq. 3.3)."""
    fall = 1.5 - 1.2
    assert reward(small(), 0.7, fall, 0.5) == pytest.approx(0.25)
    assert reward(small(loss_weight=0.0), 0.7, fall, 0.5) == pytest.approx(0.1)
    assert reward(small(accuracy_weight=0.0), 0.7, fall, 0.5) == pytest.approx(0.15)


@pytest.mark.parametrize("changed, alike", [(0, True), (5, True), (6, False)])
def test_similar_is_fewer_than_6_of_16(changed, alike):
    space = darts(none=True)
    before = np.asarray(space.random(jax.random.key(0)))
    after = before.copy()
    edges = np.argwhere(before < space.num_operations)[:changed]
    for cell, edge in edges:
        after[cell, edge] = (after[cell, edge] + 1) % space.num_operations
    assert bool(similar(space, before, after, 0.375)) is alike


def test_a_moved_edge_is_one_new_pair():
    """The same operation from another predecessor counts once, not twice."""
    space = darts(none=True)
    before = np.full((2, 14), 8, np.uint8)
    before[:, [0, 1, 2, 3, 5, 6, 9, 10]] = 3
    after = before.copy()
    after[0, 2], after[0, 4] = 8, 3
    assert bool(similar(space, before, after, 1.5 / 16))
    assert not bool(similar(space, before, after, 1 / 16))


def test_rewards_in_the_trace():
    """Loss 1 - accuracy, Acc(OS) and the first loss as given."""
    _, trace = run(small(os_accuracy=0.4, os_loss=0.9), 20)
    accuracy = np.asarray(trace.accuracy)
    last = np.concatenate([[0.1], accuracy[:-1]])
    wanted = 0.5 * (accuracy - 0.4) + 0.5 * (accuracy - last)
    np.testing.assert_allclose(trace.info["reward"], wanted, atol=1e-6)


def test_without_acc_os_it_is_the_mean_of_the_exploration():
    _, trace = run(small(loss_weight=0.0), 20)
    accuracy = np.asarray(trace.accuracy)
    count = np.minimum(np.arange(1, 21), 10)
    mean = np.cumsum(np.where(np.arange(20) < 10, accuracy, 0)) / count
    np.testing.assert_allclose(trace.info["reward"], 0.5 * (accuracy - mean), atol=1e-6)
    first = run(small(accuracy_weight=0.0), 20)[1].info["reward"][0]
    assert float(first) == 0


def test_no_update_while_it_explores_then_one_a_step():
    kept, trace = states(small(), 14)
    begun = start(small(), 14).searcher
    jax.tree.map(np.testing.assert_array_equal, begun.agent, kept[9].agent)
    counts = [int(state.agent.actor_opt.count) for state in kept]
    assert counts == [0] * 10 + [1, 2, 3, 4]
    np.testing.assert_array_equal(trace.info["explored"], np.arange(14) < 10)
    assert [int(state.replay.count) for state in kept] == list(range(1, 15))


def test_td3_moves_the_actor_every_other_step():
    kept, _ = states(small(critics=2, actor_delay=2), 16)
    assert [int(s.agent.actor_opt.count) for s in kept[10:]] == [1, 1, 2, 2, 3, 3]
    assert [int(s.agent.critic_opt.count) for s in kept[10:]] == [1, 2, 3, 4, 5, 6]


def test_the_state_is_the_last_architecture():
    kept, trace = states(small(), 14)
    np.testing.assert_array_equal(kept[4].replay.items.observation[0], np.ones(12))
    for t in range(1, 5):
        seen = SPACE.one_hot(trace.arch[t - 1]).reshape(-1)
        np.testing.assert_array_equal(kept[4].replay.items.observation[t], seen)
        np.testing.assert_array_equal(
            kept[4].replay.items.next_observation[t - 1], seen
        )


def test_exploration_is_uniform_over_the_space():
    _, trace = run(small(explore=4000), 4000)
    counts = np.bincount(np.asarray(SPACE.index(trace.arch)), minlength=81)
    assert ((counts - 4000 / 81) ** 2 / (4000 / 81)).sum() < 125  # 0.999 of chi^2(80)


def frozen(**settings):
    """An actor that never changes, so that only the noise moves the architecture."""
    return small(actor_lr=0.0, bursts=True, stagnation=3, exploit=0, **settings)


def test_bursts_begin_and_end():
    """Three similar architectures in a row start three noisy steps: told again here."""
    _, trace = run(frozen(ou_dt=1.0, ou_sigma=0.5), 60)
    archs, burst = np.asarray(trace.arch), np.asarray(trace.info["burst"])
    count, left = 0, 0
    for t in range(60):
        assert burst[t] == (left > 0)
        if t >= 10 and not left:
            new = (archs[t] != archs[t - 1]).sum()
            count = count + 1 if new < 1.5 else 0  # 3/8 of 4 pairs
        left = max(left - 1, 0)
        if count == 3:
            count, left = 0, 3
    assert 9 <= burst.sum() < 40
    # Noise moves it; without, only the state that it looks at differs.
    index = np.asarray(SPACE.index(archs))
    assert len(np.unique(index[burst])) > len(np.unique(index[10:][~burst[10:]]))


def test_the_walk_starts_at_zero_with_every_burst():
    kept, trace = states(frozen(), 30)
    burst = np.asarray(trace.info["burst"])
    walks = np.array([float(jnp.abs(state.ou_noise).max()) for state in kept])
    assert np.all(walks[~burst] == 0) and np.all(walks[burst] > 0)
    first = burst & ~np.roll(burst, 1)
    # One step from 0: sigma sqrt(dt) = 0.02, the largest of 12 draws.
    assert first.sum() >= 2 and walks[first].max() < 0.08


def test_other_variants_never_burst():
    config = frozen().replace(bursts=False, scale=0.0)
    assert not np.asarray(run(config, 40)[1].info["burst"]).any()


def test_the_last_phase_learns_from_recent_steps_only():
    """Old experiences are worthless numbers: with `recent` they are never drawn."""

    def evaluate(key, params, state, arch):
        accuracy = jnp.where(state < 12, 1e6, 0.5)
        return state + 1, Outcome(accuracy, 1.0 - accuracy)

    env = Environment((), jnp.int32(0), evaluate)
    config = small(
        explore=5, exploit=11, bursts=True, recent=4, loss_weight=0.0, os_accuracy=0.5,
        critic_lr=0.0,
    )  # fmt: skip
    loss = np.asarray(run(config, 24, env)[1].info["critic_loss"])
    assert loss[:5].sum() == 0 and loss[5:12].min() > 1e6
    assert loss[17:].max() < 1e-3


def test_it_learns_where_random_search_does_not():
    """Operation `a` everywhere is best: the policy's own queries find that."""
    ops = np.asarray(SPACE.from_index(jnp.arange(81)))
    easy = from_arrays(SPACE, ops, [(ops == 0).mean(1).astype(np.float32)])
    config = small(
        hidden=(32, 32), explore=50, actor_lr=1e-3, critic_lr=3e-3, batch_size=32,
        noise="gaussian", scale=0.1, gamma=0.5, mixing=0.05,
    )  # fmt: skip
    searcher = factory(SPACE, config)

    def late(key):
        return search.run(key, searcher, easy, 400)[1].accuracy[-50:].mean()

    keys = jax.vmap(jax.random.key)(jnp.arange(3))
    assert jax.jit(jax.vmap(late))(keys).min() > 0.6  # chance is 1 / 3


@pytest.mark.parametrize(
    "name, value",
    [
        ("stagnation", 0),
        ("recent", 0),
        ("batch_size", 0),
        ("explore", -1),
        ("critics", 0),
        ("hidden", (4, 0)),
        ("noise", "none"),
        ("gamma", 1.0),
        ("mixing", 1.5),
        ("actor_lr", -1.0),
        ("os_accuracy", 70.0),
        ("os_accuracy", float("nan")),
        ("ou_dt", float("inf")),
        ("action_layer", 2),
    ],
)
def test_it_refuses_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        factory(SPACE, small(**{name: value}))


def test_a_failure_is_learnt_as_the_worst_seen():
    """In the replay, accuracy and fall of the loss; the last good loss stays."""
    searcher = nasjax.ddas(
        SPACE, nasjax.DdasConfig(hidden=(8, 8), batch_size=4, explore=9)
    )
    init, tell = jax.jit(searcher.init, static_argnums=1), jax.jit(searcher.tell)
    state = init(jax.random.key(0), 8)
    nan = float("nan")
    told = [(nan, 1.0), (0.5, 1.0), (0.4, 1.5), (nan, 0.1), (0.6, nan), (0.7, 1.25)]
    for step, (accuracy, loss) in enumerate(told):
        outcome = Outcome(jnp.float32(accuracy), jnp.float32(loss))
        arch = jnp.zeros(4, jnp.uint8)
        state, info = tell(jax.random.key(1), state, step, arch, outcome)
        assert np.isfinite(info["reward"])
    held = state.replay.items
    # The first failed before any score: 0, which then is the worst there is.
    np.testing.assert_allclose(held.accuracy[:6], [0, 0.5, 0.4, 0, 0.6, 0.7])
    np.testing.assert_allclose(held.loss_decrease[:6], [0, 0, -0.5, -0.5, -0.5, 0.25])
    assert float(state.loss) == 1.25
