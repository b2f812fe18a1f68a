"""DDPG and TD3: targets, what moves when, and that the actor finds the best action."""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nasjax import agent
from nasjax.agent import Transition, ddpg

pytestmark = pytest.mark.usefixtures("quick_compile")

S, D, B = 3, 2, 5


def key(seed=0):
    return jax.random.key(seed)


@functools.cache
def make(**settings):
    learner = ddpg(S, D, (8, 8), optax.adam(1e-3), optax.adam(1e-2), **settings)
    return learner._replace(init=jax.jit(learner.init), update=jax.jit(learner.update))


def batch(seed=0, size=B):
    rng = np.random.default_rng(seed)
    draw = [rng.random(shape) for shape in ((size, S), (size, D), size, (size, S))]
    return Transition(*(jnp.asarray(x, jnp.float32) for x in draw))


def mlp(params, x, last):
    layers = params["params"]
    names = [f"Dense_{i}" for i in range(len(layers))]
    for name in names:
        x = x @ np.asarray(layers[name]["kernel"]) + np.asarray(layers[name]["bias"])
        x = np.maximum(x, 0) if name != names[-1] else last(x)
    return x


def q(params, index, observation, action):
    """The critic in NumPy: the action joins the first hidden layer's output."""
    layers = {
        name: {k: np.asarray(v)[index] for k, v in layer.items()}
        for name, layer in params["params"].items()
    }
    x = observation @ layers["Dense_0"]["kernel"] + layers["Dense_0"]["bias"]
    x = np.concatenate([np.maximum(x, 0), action], -1)
    x = np.maximum(x @ layers["Dense_1"]["kernel"] + layers["Dense_1"]["bias"], 0)
    return (x @ layers["Dense_2"]["kernel"] + layers["Dense_2"]["bias"])[..., 0]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def trained(learner, steps=3):
    """A state whose targets lag behind its networks."""
    state = learner.init(key())
    for seed in range(steps):
        state, _ = learner.update(jax.random.key(seed), state, batch(seed), True)
    return state


@pytest.mark.parametrize("critics", [1, 2])
def test_critic_loss_is_that_of_the_equation(critics):
    """mean (r + gamma min Q'(s', mu'(s')) - Q(s, a))^2 / 2 (thesis Eq. 3.4)."""
    learner = make(gamma=0.9, mixing=0.3, critics=critics)
    state, x = trained(learner), batch(9)
    s, a, r, following = map(np.asarray, x)
    ahead = mlp(state.target_actor, following, sigmoid)
    later = [q(state.target_critics, i, following, ahead) for i in range(critics)]
    wanted = r + 0.9 * np.min(later, axis=0)
    errors = [wanted - q(state.critics, i, s, a) for i in range(critics)]
    _, loss = learner.update(key(), state, x, True)
    assert float(loss) == pytest.approx(np.mean(np.square(errors)) / 2, rel=1e-4)
    value = learner.value(state, x.observation, x.action)
    np.testing.assert_allclose(value, q(state.critics, 0, s, a), rtol=1e-4, atol=1e-6)


def test_targets_move_by_the_mixing():
    learner = make(gamma=0.9, mixing=0.3, critics=1)
    before = trained(learner)
    after, _ = learner.update(key(), before, batch(7), True)
    for target, online in (("target_actor", "actor"), ("target_critics", "critics")):
        jax.tree.map(
            lambda old, new, goal: np.testing.assert_allclose(
                new, 0.7 * old + 0.3 * goal, rtol=1e-5, atol=1e-7
            ),
            getattr(before, target),
            getattr(after, target),
            getattr(after, online),
        )


def test_targets_start_as_copies():
    state = make(critics=2).init(key())
    jax.tree.map(np.testing.assert_array_equal, state.actor, state.target_actor)
    jax.tree.map(np.testing.assert_array_equal, state.critics, state.target_critics)
    kernels = jax.tree.leaves(state.critics)
    assert any(not np.array_equal(x[0], x[1]) for x in kernels)


def test_a_delayed_actor_waits_with_the_targets():
    learner = make(critics=2)
    before = trained(learner)
    after, _ = learner.update(key(), before, batch(7), False)
    for name in ("actor", "actor_opt", "target_actor", "target_critics"):
        jax.tree.map(
            np.testing.assert_array_equal, getattr(before, name), getattr(after, name)
        )
    moved = jax.tree.map(
        lambda a, b: bool(jnp.any(a != b)), before.critics, after.critics
    )
    assert any(jax.tree.leaves(moved))


def test_smoothing_is_clipped():
    """Infinite noise, clipped to 0.1: the target's action moves by 0.1 at most."""
    calm = make(gamma=0.9, mixing=0.3, critics=2)
    state, x = trained(calm), batch(3)
    _, still = calm.update(key(), state, x, True)
    _, noisy = make(gamma=0.9, critics=2, smoothing=1e6, smoothing_clip=0.1).update(
        key(), state, x, True
    )
    _, same = make(gamma=0.9, critics=2, smoothing=1e6).update(key(), state, x, True)
    assert float(same) == float(still) != float(noisy)
    assert float(noisy) == pytest.approx(float(still), rel=0.5)


@pytest.mark.parametrize(
    "settings", [{}, {"critics": 2, "smoothing": 0.1, "smoothing_clip": 0.2},
                 {"action_layer": 0}]
)  # fmt: skip
def test_it_finds_the_best_action(settings):
    """r = -|a - c|^2 whatever is seen: the actor ends near c."""
    goal = jnp.array([0.8, 0.3])
    learner = ddpg(
        S, D, (32, 32), agent.adam(3e-4), agent.adam(3e-3),
        gamma=0.5, mixing=0.05, **settings
    )  # fmt: skip

    def one(state, step_key):
        keys = jax.random.split(step_key, 4)
        s, following = (jax.random.uniform(k, (32, S)) for k in keys[:2])
        a = jax.random.uniform(keys[2], (32, D))
        r = -jnp.sum((a - goal) ** 2, -1)
        return learner.update(keys[3], state, Transition(s, a, r, following), True)

    keys = jax.random.split(key(1), 1500)
    state, loss = jax.jit(lambda s: jax.lax.scan(one, s, keys))(
        jax.jit(learner.init)(key())
    )
    assert loss[-100:].mean() < 0.1 * loss[:20].mean()
    actions = jax.jit(learner.act)(state, jax.random.uniform(key(2), (20, S)))
    assert float(jnp.abs(actions - goal).max()) < 0.12


def test_targets_by_hand():
    x = batch()._replace(reward=jnp.array([1.0, 0.0]))
    module = importlib.import_module("nasjax.agent.ddpg")  # the function hides it
    low = module.targets(x, jnp.array([[2.0, 4.0], [3.0, -1.0]]), 0.5)
    np.testing.assert_allclose(low, [2.0, -0.5])


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"action_layer": 2}, "action_layer is 2; allowed: 0..1"),
        ({"critics": 0}, "got 0"),
    ],
)
def test_it_refuses(settings, text):
    with pytest.raises(ValueError, match=text):
        make(**settings)
