"""What the thesis leaves open in CADAM: each choice's effect."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax.agent import history
from nasjax.search import Outcome
from nasjax.searchers.cadam import observe

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(4, ("a", "b", "c"))
SMALL = nasjax.CadamConfig(hidden=(8,), top_k=4, batch_size=2, max_cycles=2)


def told(config, archs, scores):
    """States after each outcome; what is asked is replaced by `archs`."""
    searcher = nasjax.cadam(SPACE, config)
    ask, tell = jax.jit(searcher.ask), jax.jit(searcher.tell)
    states = [jax.jit(searcher.init, static_argnums=1)(jax.random.key(0), 8)]
    for step, (arch, score) in enumerate(zip(archs, scores, strict=True)):
        state, _ = ask(jax.random.key(10 + step), states[-1], step)
        outcome = Outcome(jnp.float32(score), jnp.float32(0))
        arch = jnp.array(arch, jnp.uint8)
        states.append(tell(jax.random.key(20 + step), state, step, arch, outcome)[0])
    return states


ARCHS = [(0, 1, 2, 0), (1, 1, 1, 1), (0, 1, 2, 0), (2, 2, 2, 2)]
SCORES = [0.5, 0.25, 0.75, 0.125]


@pytest.fixture(scope="module")
def varied(quick_compile):
    config = SMALL.replace(
        stored_action="discrete",
        repeats=True,
        replacement=False,
        adam_epsilon=1e20,
        last_layer=0.5,
        actor_output="tanh",
        observation="share",
        epsilon_start=0.0,
        epsilon_stop=0.0,
        critic_lr=1.0,
        actor_lr=1.0,
    )
    return told(config, ARCHS, SCORES)


def test_a_discrete_action_is_stored(varied):
    stored = varied[-1].replay.items.action[:4].reshape(4, 4, 3)
    np.testing.assert_array_equal(stored, np.eye(3)[np.array(ARCHS)])


def test_repeats_in_the_top_k(varied):
    """0.75, 0.5 (the same architecture), 0.25, 0.125."""
    assert varied[-1].history.score.tolist() == [0.75, 0.5, 0.25, 0.125]


def test_a_large_epsilon_stops_adam(varied):
    """A step is lr m / (sqrt(v) + 1e20), with gradients of about 1 and a rate of 1."""
    first, last = varied[0].agent, varied[-1].agent
    still = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-17)  # noqa: E731
    jax.tree.map(still, first.actor, last.actor)
    jax.tree.map(still, first.critic, last.critic)
    assert int(last.critic_opt.count) == 1 + 1 + 2  # cycles after 2, 3 and 4 items


def test_the_last_layer_is_scaled(varied):
    """An orthonormal column times 0.5."""
    kernel = varied[0].agent.critic["params"]["Dense_1"]["kernel"]
    assert np.linalg.norm(kernel) == pytest.approx(0.5, rel=1e-4)


def test_tanh_actions_lie_on_both_sides_of_zero(varied):
    """The greedy ones near 0; random ones uniform in [-1, 1]."""
    greedy = np.asarray(varied[1].action)  # the state is 0 at step 0: noise alone
    assert np.abs(greedy).max() <= 1e-4
    assert greedy.min() < 0 < greedy.max()
    config = SMALL.replace(actor_output="tanh", epsilon_stop=1.0)
    searcher = nasjax.cadam(SPACE, config)
    state = searcher.init(jax.random.key(0), 1)
    keys = jax.random.split(jax.random.key(1), 500)
    ask = jax.jit(jax.vmap(lambda key: searcher.ask(key, state, 0)[0].action))
    action = np.asarray(ask(keys))
    assert -1 <= action.min() < -0.99
    assert 0.99 < action.max() <= 1
    assert abs(action.mean()) < 4 / np.sqrt(3 * action.size)


def test_observations_by_hand(varied):
    """Two of K = 4 architectures that share the second edge's operation."""
    archs = jnp.array([(0, 1, 2, 0), (1, 1, 1, 1), (0,) * 4, (0,) * 4], jnp.uint8)
    score = jnp.array([0.5, 0.25, -jnp.inf, -jnp.inf])
    two = history.HistoryState(archs, score)
    mean = np.array([[0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0.5, 0.5, 0]])
    for kind, wanted in {
        "mean": mean,
        "share": mean / 2,
        "centred": 3 * mean - 1,
    }.items():
        seen = observe(SPACE, two, kind).reshape(4, 3)
        np.testing.assert_allclose(seen, wanted, atol=1e-6)
        none = observe(SPACE, history.init(4, archs[0]), kind)
        np.testing.assert_array_equal(none, 0)
    # In a search: before the third query, two of four places are filled.
    stored = varied[3].replay.items.observation[2].reshape(4, 3)
    np.testing.assert_allclose(stored, mean / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("actor_output", "relu", "allowed: sigmoid, tanh"),
        ("observation", "sum", "allowed: mean, share, centred"),
        ("stored_action", "both", "allowed: continuous, discrete"),
        ("update_order", "both", "allowed: critic-first, actor-first"),
        ("last_layer", -1.0, "last_layer must lie in"),
        ("adam_epsilon", 0.0, "adam_epsilon must lie in"),
    ],
)
def test_refusals(name, value, says):
    with pytest.raises(ValueError, match=f"{name}.*{says}|{says}"):
        nasjax.cadam(SPACE, SMALL.replace(**{name: value}))
