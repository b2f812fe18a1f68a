"""Losses by hand; one update against NumPy, Adam included."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasjax.agent import Batch, actor_critic, adam, check_loss, squared_loss

pytestmark = pytest.mark.usefixtures("quick_compile")

S, D, B = 3, 2, 4
CRITIC_LR, ACTOR_LR, TAU = 0.02, 0.01, 0.9


@pytest.mark.parametrize(
    "error, tau, loss",
    [
        (2.0, 0.9, 1.8),
        (-2.0, 0.9, 0.2),
        (0.0, 0.9, 0.0),
        (3.0, 0.5, 1.5),
        (-3.0, 0.5, 1.5),
        (-4.0, 0.0, 4.0),
        (4.0, 0.0, 0.0),
        (-4.0, 1.0, 0.0),
        (4.0, 1.0, 4.0),
    ],
)
def test_check_loss_by_hand(error, tau, loss):
    assert float(check_loss(jnp.float32(error), tau)) == pytest.approx(loss, abs=1e-6)


def test_at_nine_tenths_too_low_costs_nine_times_as_much():
    low, high = check_loss(jnp.array([0.7, -0.7]), 0.9)
    assert float(low / high) == pytest.approx(9, rel=1e-5)


# Few lengths: each is compiled.
samples = st.sampled_from([1, 2, 7, 20]).flatmap(
    lambda n: st.lists(st.integers(-16, 16), min_size=n, max_size=n)
)


@settings(deadline=None, max_examples=40)
@given(samples, st.sampled_from([0.125, 0.25, 0.5, 0.75, 0.875]))
def test_check_loss_is_least_at_the_quantile(sample, tau):
    """Binary fractions and integers: the sums are exact."""
    sample = np.array(sample, np.float32)
    quantile = np.quantile(sample, tau, method="inverted_cdf")

    def total(prediction):
        return float(jnp.sum(check_loss(sample - prediction, tau)))

    candidates = np.arange(-16.5, 17, 0.5, dtype=np.float32)
    errors = sample[None] - candidates[:, None]
    losses = np.asarray(check_loss(jnp.asarray(errors), tau)).sum(1)
    assert total(quantile) == losses.min()


@settings(deadline=None, max_examples=20)
@given(samples)
def test_squared_loss_is_flat_at_the_mean(sample):
    sample = np.array(sample, np.float32)

    def total(prediction):
        return jnp.sum(squared_loss(sample - prediction))

    assert abs(float(jax.grad(total)(sample.mean()))) < 1e-3
    assert float(total(sample.mean())) <= float(total(sample.mean() + 0.5))
    assert float(squared_loss(jnp.float32(3.0))) == 4.5


def build(actor_lr=ACTOR_LR, critic_lr=CRITIC_LR, loss=None):
    return jitted(
        actor_critic(
            S,
            D,
            (5, 4),
            adam(actor_lr, 0.9, 0.99),
            adam(critic_lr, 0.9, 0.99),
            loss or (lambda error: check_loss(error, TAU)),
        )
    )


def jitted(agent):
    return agent._replace(init=jax.jit(agent.init), update=jax.jit(agent.update))


@pytest.fixture(scope="module")
def agent():
    return build()


@pytest.fixture(scope="module")
def state(agent):
    """Weights of size 1, so that every layer's gradient counts."""
    start = agent.init(jax.random.key(0))
    rng = np.random.default_rng(1)

    def redraw(tree):
        return jax.tree.map(
            lambda x: jnp.asarray(rng.normal(0, 0.6, x.shape), jnp.float32), tree
        )

    return start._replace(actor=redraw(start.actor), critic=redraw(start.critic))


def batch(seed):
    rng = np.random.default_rng(seed)
    parts = rng.random((B, S)), rng.random((B, D)), 3 * rng.random(B)
    return Batch(*(jnp.asarray(x, jnp.float32) for x in parts))


def layers(params):
    tree = params["params"]
    names = sorted(tree)
    flat = [np.asarray(tree[n][part]) for n in names for part in ("kernel", "bias")]
    return [x.astype(np.float64) for x in flat]


def forward(params, x):
    """Pre-activation inputs of each layer, and the output before the head."""
    inputs = []
    for i in range(0, len(params), 2):
        inputs.append(x)
        x = x @ params[i] + params[i + 1]
        x = np.maximum(x, 0) if i + 2 < len(params) else x
    return inputs, x


def backward(params, inputs, grad):
    """Gradients of the parameters and of the input."""
    grads = [None] * len(params)
    for i in reversed(range(0, len(params), 2)):
        x = inputs[i // 2]
        grads[i], grads[i + 1] = x.T @ grad, grad.sum(0)
        grad = grad @ params[i].T
        grad = grad * (x > 0) if i else grad
    return grads, grad


class Adam:
    """Kingma and Ba 2014, algorithm 1, with betas (0.9, 0.99)."""

    def __init__(self, params, rate):
        self.rate, self.t = rate, 0
        self.m = [np.zeros_like(p) for p in params]
        self.v = [np.zeros_like(p) for p in params]

    def step(self, params, grads):
        self.t += 1
        new = []
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            self.m[i] = 0.9 * self.m[i] + 0.1 * g
            self.v[i] = 0.99 * self.v[i] + 0.01 * g**2
            m = self.m[i] / (1 - 0.9**self.t)
            v = self.v[i] / (1 - 0.99**self.t)
            new.append(p - self.rate * m / (np.sqrt(v) + 1e-8))
        return new


def test_updates_against_numpy(agent, state):
    """Critic first, by the check loss; then the actor, up the new critic."""
    actor, critic = layers(state.actor), layers(state.critic)
    adam_actor, adam_critic = Adam(actor, ACTOR_LR), Adam(critic, CRITIC_LR)
    for seed in range(3):
        data = batch(seed)
        state, loss = agent.update(state, data)
        observation, action, reward = (np.asarray(x, np.float64) for x in data)

        inputs, q = forward(critic, action)
        error = reward - q[:, 0]
        below = (error < 0).astype(float)
        assert float(loss) == pytest.approx(np.mean(error * (TAU - below)), rel=1e-5)
        slope = -(TAU - below)[:, None] / B  # d loss / d q
        critic = adam_critic.step(critic, backward(critic, inputs, slope)[0])

        inputs, logits = forward(actor, observation)
        mu = 1 / (1 + np.exp(-logits))
        critic_inputs, _ = forward(critic, mu)
        _, slope = backward(critic, critic_inputs, -np.ones((B, 1)) / B)
        grads, _ = backward(actor, inputs, slope * mu * (1 - mu))
        actor = adam_actor.step(actor, grads)

        for ours, theirs in [(state.actor, actor), (state.critic, critic)]:
            for layer, wanted in zip(layers(ours), theirs, strict=True):
                np.testing.assert_allclose(layer, wanted, rtol=1e-4, atol=2e-5)


def test_act_and_value(agent, state):
    data = batch(0)
    _, logits = forward(layers(state.actor), np.asarray(data.observation))
    _, q = forward(layers(state.critic), np.asarray(data.action))
    action = agent.act(state, data.observation)
    np.testing.assert_allclose(action, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    np.testing.assert_allclose(agent.value(state, data.action), q[:, 0], rtol=1e-4)


def test_the_actor_ascends_the_critic(state):
    agent = build(actor_lr=1e-2, critic_lr=0.0)
    data = batch(0)

    def worth(state):
        return float(jnp.mean(agent.value(state, agent.act(state, data.observation))))

    values = [worth(state)]
    for _ in range(20):
        state, _ = agent.update(state, data)
        values.append(worth(state))
    assert np.all(np.diff(values) > 0)


def test_the_critic_learns_its_quantile(state):
    """One action, rewards 0 to 9: Q settles at the 0.9 quantile, not at the mean."""
    rewards = jnp.arange(10.0)
    data = Batch(jnp.zeros((10, S)), jnp.full((10, D), 0.5), rewards)
    value = {}
    for name, loss in [("check", None), ("squared", squared_loss)]:
        agent = build(actor_lr=0.0, critic_lr=0.01, loss=loss)

        def train(state, agent=agent):
            step = lambda _, s: agent.update(s, data)[0]  # noqa: E731
            return jax.lax.fori_loop(0, 1_500, step, state)

        value[name] = float(agent.value(jax.jit(train)(state), data.action[0]))
    assert 7.8 < value["check"] < 9.2
    assert value["squared"] == pytest.approx(4.5, abs=0.2)


def test_learning_rate_zero_changes_no_parameter(state):
    agent = build(actor_lr=0.0, critic_lr=0.0)
    new, _ = agent.update(state, batch(0))
    for name in ("actor", "critic"):
        jax.tree.map(
            np.testing.assert_array_equal, getattr(new, name), getattr(state, name)
        )


def twins():
    rates = adam(ACTOR_LR), adam(CRITIC_LR)
    return jitted(actor_critic(S, D, (5, 4), *rates, squared_loss, critics=2))


def one_of(state, index):
    """The state with one of the two critics only."""
    pick = lambda tree: jax.tree.map(lambda x: x[index], tree)  # noqa: E731
    opt = state.critic_opt
    return state._replace(
        critic=pick(state.critic),
        critic_opt=opt._replace(mu=pick(opt.mu), nu=pick(opt.nu)),
    )


def test_twin_critics_learn_alone_and_the_lowest_counts():
    """Each critic's step is the step it would make alone; Q is the lower one."""
    pair, alone = twins(), build(loss=squared_loss)
    state = pair.init(jax.random.key(5))
    new, loss = pair.update(state, batch(3))
    losses = []
    for index in range(2):
        single, own = alone.update(one_of(state, index), batch(3))
        losses.append(float(own))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
            one_of(new, index).critic,
            single.critic,
        )
    assert float(loss) == pytest.approx(np.mean(losses), rel=1e-5)
    actions = batch(4).action
    values = [alone.value(one_of(new, index), actions) for index in range(2)]
    assert not np.allclose(values[0], values[1])
    np.testing.assert_allclose(
        pair.value(new, actions), np.minimum(*values), rtol=1e-5, atol=1e-7
    )


def test_the_actor_waits_when_told(state):
    agent = build()
    still, _ = agent.update(state, batch(1), jnp.bool_(False))
    moved, _ = agent.update(state, batch(1), jnp.bool_(True))
    always, _ = agent.update(state, batch(1))
    jax.tree.map(np.testing.assert_array_equal, still.actor, state.actor)
    jax.tree.map(np.testing.assert_array_equal, still.actor_opt, state.actor_opt)
    for new in (still, moved):
        jax.tree.map(np.testing.assert_array_equal, new.critic, always.critic)
    jax.tree.map(np.testing.assert_array_equal, moved.actor, always.actor)


def test_the_actor_may_step_before_the_critic(state):
    """mu moves by the rate times the gradient of the old Q; the critic as ever."""
    rate, data = 0.125, batch(2)
    sgd = optax.sgd(rate)
    start = state._replace(actor_opt=sgd.init(state.actor))

    def updated(first):
        options = (5, 4), sgd, adam(CRITIC_LR), squared_loss
        agent = actor_critic(S, D, *options, actor_first=first)
        return agent, jax.jit(agent.update)(start, data)

    (agent, (new, loss)), (_, (usual, same)) = updated(True), updated(False)
    jax.tree.map(np.testing.assert_array_equal, new.critic, usual.critic)
    assert float(loss) == float(same)

    def quality(actor, critic):
        action = agent.act(start._replace(actor=actor), data.observation)
        return jnp.mean(agent.value(start._replace(critic=critic), action))

    for moved, critic in [(new, start.critic), (usual, usual.critic)]:
        slope = jax.grad(quality)(start.actor, critic)
        jax.tree.map(
            lambda x, y, g: np.testing.assert_allclose(y, x + rate * g, 1e-4, 1e-6),
            start.actor,
            moved.actor,
            slope,
        )
    gaps = jax.tree.map(lambda a, b: np.abs(a - b).max(), new.actor, usual.actor)
    assert max(jax.tree.leaves(gaps)) > 1e-3
