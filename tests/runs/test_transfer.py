"""Agents in files, and searches that start from them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax.runs import transfer

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(3, ("a", "b"))
SMALL = nasjax.CadamConfig(hidden=(8,), top_k=3, batch_size=2, max_cycles=1)
SEARCHER = nasjax.cadam(SPACE, SMALL)


@pytest.fixture(scope="module")
def agents(quick_compile):
    init = jax.jit(SEARCHER.init, static_argnums=1)
    return [init(jax.random.key(seed), 5).agent for seed in (4, 7)]


@pytest.fixture(scope="module")
def path(agents, tmp_path_factory):
    path = tmp_path_factory.mktemp("agent") / "agent.npz"
    transfer.save(path, [4, 7], agents)
    return path


@pytest.mark.parametrize(("seed", "row"), [(None, 0), (4, 0), (7, 1)])
def test_round_trip(path, agents, seed, row):
    loaded = transfer.load(path, seed)
    wanted = transfer.Networks(agents[row].actor, agents[row].critic)
    jax.tree.map(np.testing.assert_array_equal, loaded, wanted)


def test_a_search_starts_from_the_agent_with_fresh_moments(path, agents):
    searcher = transfer.warm_start(SEARCHER, transfer.load(path, 7))
    state = searcher.init(jax.random.key(1), 5)
    jax.tree.map(np.testing.assert_array_equal, state.agent.actor, agents[1].actor)
    jax.tree.map(np.testing.assert_array_equal, state.agent.critic, agents[1].critic)
    assert int(state.agent.actor_opt.count) == 0
    assert not any(np.any(x) for x in jax.tree.leaves(state.agent.actor_opt.mu))
    jitted = jax.jit(searcher.init, static_argnums=1)(jax.random.key(1), 5)
    assert jax.tree.structure(jitted) == jax.tree.structure(state)
    assert searcher.ask is SEARCHER.ask and searcher.tell is SEARCHER.tell


@pytest.mark.parametrize(
    ("space", "config", "words"),
    [
        (nasjax.table_space(4, ("a", "b")), SMALL, r"\[6, 8\], needed \[8, 8\]"),
        (SPACE, SMALL.replace(hidden=(9,)), r"\[6, 8\], needed \[6, 9\]"),
        (SPACE, SMALL.replace(hidden=(8, 8)), r"Dense_2/kernel is absent"),
    ],
)
def test_other_sizes_are_refused(path, space, config, words):
    searcher = nasjax.cadam(space, config)
    with pytest.raises(ValueError, match=f"other sizes.*{words}"):
        transfer.warm_start(searcher, transfer.load(path))


def test_files_that_hold_no_agents(path, tmp_path):
    with pytest.raises(ValueError, match="no agent of seed 5; it has 4, 7"):
        transfer.load(path, 5)
    with pytest.raises(ValueError, match=r"nothing\.npz holds no agents"):
        transfer.load(tmp_path / "nothing.npz")
    (tmp_path / "torn.npz").write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"torn\.npz holds no agents"):
        transfer.load(tmp_path / "torn.npz")
    np.savez(tmp_path / "other.npz", seeds=np.array([1]), x=jnp.zeros((1, 2)))
    with pytest.raises(ValueError, match="holds x, not an actor and a critic"):
        transfer.load(tmp_path / "other.npz")
